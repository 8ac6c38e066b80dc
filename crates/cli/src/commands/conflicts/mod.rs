//! What people have to decide: `conflicts list|show|why|resolve|…`.

mod answer;
mod apply;
pub mod find;
pub mod form;
mod list;
mod plan;
mod show;
mod stats;
mod watch;
mod why;
pub mod words;

use clap::Subcommand;

use crate::error::CommandResult;
use crate::session::Session;

/// What people have to decide: values, fields and entries that were changed by several at the same time
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  comity conflicts list                              what is open, in all documents here
  comity conflicts show 3f2a                         who wrote what, and what they had seen
  comity conflicts resolve 3f2a --accept 2 -m 'the second image is sharper'
  comity conflicts plan 'Roof 7' --accept newest > plan.json
  comity conflicts apply plan.json                   many at once, and only what is still as it was

A conflict is named by the beginning of its id, 4 digits or as many as it takes. It has the same id on
every device. Nothing blocks: a value is shown meanwhile. An answer is a change like any other; it
travels, stays in the history, and can be undone (`comity undo`).
Kinds:
  concurrent-update      different values in one field
  field-group            fields that belong together, written on different devices
  delete-against-update  an entry was deleted while somebody wrote to it
  duplicate              two entries for the same thing
  invariant              a rule of the policy is broken
  stale-decision         a value was chosen knowing another one that was changed meanwhile
  implicit-resolution    several values were overwritten at once, and nobody said that it was meant
  resolution-conflict    two people decided differently
  counter, text-overlap, hidden-edit   in documents of other applications
States: open, reopened, needs-second-reviewer (these three are open); agreed, resolved, dismissed.")]
pub enum Conflicts {
    List(list::List),
    Show(show::Show),
    Why(why::Why),
    Resolve(answer::Resolve),
    Dismiss(answer::Dismiss),
    Confirm(answer::Confirm),
    Reopen(answer::Reopen),
    Approve(answer::Approve),
    Link(answer::Link),
    Plan(plan::Plan),
    Apply(apply::Apply),
    Stats(stats::Stats),
    Watch(watch::Watch),
}

impl Conflicts {
    pub fn run(self, session: &Session) -> CommandResult {
        match self {
            Self::List(command) => command.run(session),
            Self::Show(command) => command.run(session),
            Self::Why(command) => command.run(session),
            Self::Resolve(command) => command.run(session),
            Self::Dismiss(command) => command.run(session),
            Self::Confirm(command) => command.run(session),
            Self::Reopen(command) => command.run(session),
            Self::Approve(command) => command.run(session),
            Self::Link(command) => command.run(session),
            Self::Plan(command) => command.run(session),
            Self::Apply(command) => command.run(session),
            Self::Stats(command) => command.run(session),
            Self::Watch(command) => command.run(session),
        }
    }
}
