//! `undo`: takes a decision back.

use clap::Args;
use comity_review::Choice;

use super::conflicts::form::{Decision, Guard, Note, new_id, refusal};
use super::conflicts::{find, words};
use crate::error::{CommandError, CommandResult, Kind};
use crate::names::Who;
use crate::output::one_line;
use crate::review;
use crate::session::{Need, Session};

/// Take a decision or a rollback back: what stood before it stands again, and its conflict is open again
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity undo 9f2c
  comity undo 9f2c -m 'wrong module' --dry-run

`comity conflicts show ID` lists the decisions about a conflict. Undoing is a decision itself, and can be
undone. When somebody has written there since, knowing of the decision, nothing is undone and the exit
code is 4: `comity set` writes what is right.")]
pub struct Undo {
    /// The decision: its id, or the beginning of it
    #[arg(value_name = "DECISION")]
    decision: String,
    /// Look only in this document
    #[arg(long, value_name = "DOC")]
    document: Option<String>,
    #[command(flatten)]
    note: Note,
    #[command(flatten)]
    guard: Guard,
}

impl Undo {
    pub fn run(self, session: &Session) -> CommandResult {
        session.run(Need::Documents, |node| async move {
            let who = Who::new(&node, &session.config);
            let found = find::decision(&node, &self.decision, self.document.as_deref()).await?;
            still_stands(&found, &who)?;
            let (reviewed, id) = (found.reviewed(), new_id()?);
            let writes = reviewed.review.undo(&found.id, &self.note.noted(), &id).map_err(refusal)?;
            let conflict = reviewed.review.decision(&found.id).next().map(|(record, ..)| record.conflict);
            let conflict = conflict.and_then(|id| reviewed.review.conflict(id));
            let conflict = conflict.map(|conflict| (conflict.id, conflict.state));
            Decision { reviewed, conflict, id, writes }.carry_out(session, &self.guard).await
        })
    }
}

/// Checks that there is something left to take back.
fn still_stands(found: &find::FoundDecision, who: &Who) -> CommandResult {
    let (review, id) = (&found.reviewed().review, &found.id);
    if let Some(later) = review.superseding(id).first() {
        let what = format!("another decision has taken the place of {}", one_line(id.as_str(), 60));
        let mut error = CommandError::new(Kind::HeadsMoved, what);
        for (record, change, act) in review.decision(later).take(1) {
            let author = review.author(&change);
            let by = author.map(|(actor, _, time_s)| review::by(who, actor, act, time_s)).unwrap_or_default();
            error = error.hint(format!("{}: {} by {by}", one_line(later.as_str(), 60), words::choice(record.choice)));
        }
        return Err(error.hint(format!("`comity undo {}` takes that one back", one_line(later.as_str(), 60))));
    }
    let overwritten = review.overwritten(id);
    if !overwritten.is_empty() {
        let places: Vec<String> = overwritten.iter().take(10).map(ToString::to_string).collect();
        let what = format!("somebody has written to {} since; nothing was undone", places.join(", "));
        return Err(CommandError::new(Kind::HeadsMoved, what)
            .hint("`comity log DOC ENTRY/FIELD` shows who; `comity set` writes what is right"));
    }
    let wrote = [Choice::Current, Choice::Accept, Choice::Merged];
    let wrote_elsewhere =
        review.decision(id).any(|(record, ..)| record.writes.is_empty() && wrote.contains(&record.choice));
    if wrote_elsewhere {
        let what = "a decision about the document's own registers, such as its title, cannot be undone";
        return Err(CommandError::new(Kind::NotAllowed, what).hint("write there what is right"));
    }
    Ok(())
}
