//! What people will probably choose, learned from what they chose before: `suggest eval`, and `conflicts show --suggest`.

mod eval;
mod learned;
mod shown;

pub use shown::{Read, Shown};

use clap::Subcommand;

use crate::error::CommandResult;
use crate::session::Session;

/// Suggestions: whether they are any good
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  comity suggest eval                           are suggestions any good here?
  comity conflicts show 3f2a --suggest          with what past decisions suggest, or why they suggest nothing

Suggestions are learned on this device, from the decisions of one space (of a document alone when it is
in none), and decide nothing. They stay silent until they have shown skill.")]
pub enum Suggest {
    Eval(eval::Eval),
}

impl Suggest {
    pub fn run(self, session: &Session) -> CommandResult {
        match self {
            Self::Eval(command) => command.run(session),
        }
    }
}
