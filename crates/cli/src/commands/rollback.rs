//! `rollback`: takes an entry back to what it was.

use clap::Args;
use comity_model::EntryId;
use comity_node::{Document, Node};
use comity_review::{CannotRollBack, DecisionId, Note as Noted, Rollback as Back};

use super::conflicts::form::{Decision, Guard, Note, new_id, nothing, refusal};
use super::edit::writable;
use super::past::when::{Past, Then, When};
use crate::entries;
use crate::error::{CommandError, CommandResult, Kind};
use crate::review::{self, Reviewed};
use crate::session::{Need, Session};

/// Take an entry back to what it was: every field, as one change; history stays
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity rollback 'Roof 7' M050 --to 5f3a1b2c --dry-run
  comity rollback 'Roof 7' M050 --to 5f3a1b2c -m 'the wrong module was marked'
  comity rollback 'Roof 7' M050 --to 2026-11-21T12:00Z

A moment is named by changes (4 or more digits of each, several joined by `+`; `comity log DOC ENTRY` lists
them) or by a time, by the clocks of the authors. Fields that were not there yet become null. An entry
that was deleted since is restored. A rollback is a decision: `comity undo` takes it back.")]
pub struct Rollback {
    /// The document: title, id, or the beginning of an id
    #[arg(value_name = "DOC")]
    document: String,
    /// The entry
    #[arg(value_name = "ENTRY")]
    entry: String,
    /// The moment
    #[arg(long, value_name = "HEADS", value_parser = When::parse)]
    to: When,
    #[command(flatten)]
    note: Note,
    #[command(flatten)]
    guard: Guard,
}

impl Rollback {
    pub fn run(self, session: &Session) -> CommandResult {
        let entry = entries::entry(&self.entry)?;
        session.run(Need::Documents, |node| async move {
            let document = writable(&node, &self.document).await?;
            let then = Past::read(&document).await?.find(&self.to)?;
            then.explain(session.output);
            let reviewed = one(&node, &document).await?;
            let id = new_id()?;
            let back = self.back(&reviewed, &entry, &then, &id).await?;
            if !back.fields.iter().any(comity_review::TakenBack::is_change) {
                self.guard.check(&reviewed)?;
                return nothing(session, &reviewed, "rolled-back", &format!("{entry} is what it was then"));
            }
            Decision { reviewed: &reviewed, conflict: None, id, writes: back.writes }
                .carry_out(session, &self.guard)
                .await
        })
    }

    async fn back(&self, reviewed: &Reviewed, entry: &EntryId, then: &Then, id: &DecisionId) -> CommandResult<Back> {
        let (declared, entry, at) = (reviewed.declared.clone(), entry.clone(), then.heads.clone());
        let (note, id): (Noted, DecisionId) = (self.note.noted(), id.clone());
        let back = reviewed
            .document
            .read(move |view| view.review(declared).rollback(view.document(), &entry, &at, &note, &id));
        back.await?.map_err(cannot)
    }
}

async fn one(node: &Node, document: &Document) -> CommandResult<Reviewed> {
    let mut all = review::read(node, Some(&document.id().to_string())).await?;
    all.pop().ok_or_else(|| super::not_here(&document.id()))
}

fn cannot(error: CannotRollBack) -> CommandError {
    let hint = match &error {
        CannotRollBack::NotThere { .. } => "`comity log DOC ENTRY` says when it came; `comity delete` marks it deleted",
        CannotRollBack::NoSuchEntry { .. } => "`comity show DOC` lists the entries; capital letters matter",
        CannotRollBack::UnknownHeads { .. } => "`comity log DOC` lists the changes",
        _ => "nothing was written",
    };
    match error {
        CannotRollBack::Decide(error) => refusal(error),
        error => CommandError::new(Kind::NotFound, error).hint(hint),
    }
}
