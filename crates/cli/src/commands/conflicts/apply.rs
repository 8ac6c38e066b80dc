//! `conflicts apply`: answers what still stands as it was when the plan was made, and refuses what has moved.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use comity_model::{ChangeHash, Heads, Write};
use comity_node::Node;
use comity_review::{Conflict, ConflictId, DecisionId, Note, Review, State};
use serde_json::{Value as Json, json};

use super::form::{Together, new_id, refusal};
use super::plan::{self, Planned, PlannedAnswer};
use super::words;
use crate::error::{CommandError, CommandResult, Kind};
use crate::input::read_file;
use crate::output::{count, one_line};
use crate::review::{self, Reviewed};
use crate::session::{Need, Session};

/// Reasons that are said one by one.
const SAID_MAX: usize = 10;

/// Apply a plan: answer what is still as it was when the plan was made
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity conflicts apply plan.json --dry-run
  comity conflicts apply plan.json
  comity conflicts plan 'Roof 7' --keep current | comity conflicts apply -

All answers in one document are one change, made at the heads that the plan names: nobody is taken to
have seen what came later. A conflict that was answered or changed meanwhile is left out and listed.
Exit codes: 0 all was applied; 8 a part was left out; 4 nothing was left to apply.")]
pub struct Apply {
    /// The plan; - reads it from the standard input
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    /// Say what would be applied, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// What came of a plan.
#[derive(Default)]
struct Outcome {
    applied: Vec<Applied>,
    moved: Vec<Moved>,
}

/// What was written to one document.
struct Applied {
    document: Json,
    label: String,
    change: Option<ChangeHash>,
    decisions: Vec<(ConflictId, DecisionId)>,
}

/// What was left out.
struct Moved {
    conflict: String,
    document: String,
    subject: String,
    reason: String,
}

impl Moved {
    fn of(answer: &PlannedAnswer, reason: impl Into<String>) -> Self {
        let PlannedAnswer { conflict, document, subject, .. } = answer;
        Self { conflict: conflict.clone(), document: document.clone(), subject: subject.clone(), reason: reason.into() }
    }
}

impl Apply {
    pub fn run(self, session: &Session) -> CommandResult {
        let plan = plan::read(&read_file(&self.plan)?)?;
        session.run(Need::Documents, |node| async move {
            let outcome = self.apply(&node, &plan).await?;
            self.say(session, &outcome)
        })
    }

    async fn apply(&self, node: &Node, plan: &Planned) -> CommandResult<Outcome> {
        let mut by_document: BTreeMap<&str, Vec<&PlannedAnswer>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for answer in &plan.answers {
            if !seen.insert((&answer.document, &answer.conflict)) {
                let conflict = one_line(&answer.conflict, 40);
                return Err(CommandError::new(Kind::Usage, format_args!("the plan answers {conflict} twice"))
                    .hint("take one of the answers out"));
            }
            by_document.entry(&answer.document).or_default().push(answer);
        }
        let all = review::read(node, None).await?;
        let mut outcome = Outcome::default();
        let mut ready = Vec::new();
        for (document, answers) in by_document {
            let reviewed = all.iter().find(|reviewed| reviewed.known.id.to_string() == document);
            let heads = plan.documents.iter().find(|planned| planned.id == document);
            let heads = heads.and_then(|planned| planned.heads.iter().map(|hash| hash.parse().ok()).collect());
            match (reviewed, heads) {
                (None, _) => outcome.leave_out(&answers, "the document is not on this device"),
                (_, None) => outcome.leave_out(&answers, "the plan does not say at which heads it was looked at"),
                (Some(reviewed), Some(heads)) => {
                    ready.extend(prepare(reviewed, Heads::new(heads), plan, answers, &mut outcome).await?);
                }
            }
        }
        // All of the plan makes sense: now it is written.
        let is_only = ready.len() == 1;
        for ready in ready {
            self.write(ready, is_only, &mut outcome).await?;
        }
        Ok(outcome)
    }

    async fn write(&self, ready: Ready<'_>, is_only: bool, outcome: &mut Outcome) -> CommandResult {
        let Ready { reviewed, heads, answers, conflicts, decisions, writes } = ready;
        let change = match self.dry_run {
            true => Ok(None),
            false => reviewed.decide(&heads, conflicts, writes).await,
        };
        match change {
            Ok(change) => {
                let (document, label) = (words::document(reviewed), reviewed.label());
                outcome.applied.push(Applied { document, label, change, decisions });
                Ok(())
            }
            Err(error) if is_only => Err(error),
            Err(error) => {
                outcome.leave_out(&answers, &error.message());
                Ok(())
            }
        }
    }

    fn say(&self, session: &Session, outcome: &Outcome) -> CommandResult {
        let out = session.output;
        let number: usize = outcome.applied.iter().map(|applied| applied.decisions.len()).sum();
        if out.json {
            out.json("conflicts-applied", outcome.json(self.dry_run))?;
        } else {
            let done = if self.dry_run { "would be answered, as" } else { "answered," };
            for applied in &outcome.applied {
                let conflicts = count(applied.decisions.len(), "conflict", "conflicts");
                out.done(format_args!("{}: {conflicts} {done} one change", applied.label));
            }
        }
        if outcome.moved.is_empty() {
            if number == 0 {
                out.note("the plan has no answers");
            }
            return Ok(());
        }
        let kind = if number == 0 { Kind::HeadsMoved } else { Kind::Partly };
        let left_out = count(outcome.moved.len(), "answer was left out", "answers were left out");
        let mut error = CommandError::new(kind, format_args!("{left_out}: what it was about has moved"));
        for moved in outcome.moved.iter().take(SAID_MAX) {
            let subject = one_line(&moved.subject, words::SUBJECT_MAX);
            error = error.hint(format!("{subject} ({}): {}", one_line(&moved.conflict, 8), moved.reason));
        }
        if outcome.moved.len() > SAID_MAX {
            error = error.hint(format!("… and {} more; --json lists all", outcome.moved.len() - SAID_MAX));
        }
        Err(error.hint("`comity conflicts list` shows what is open now; plan that anew"))
    }
}

impl Outcome {
    fn leave_out(&mut self, answers: &[&PlannedAnswer], reason: &str) {
        self.moved.extend(answers.iter().map(|answer| Moved::of(answer, reason)));
    }

    fn json(&self, dry_run: bool) -> Json {
        let applied = self.applied.iter().map(|applied| {
            let decision = |(conflict, id): &(ConflictId, DecisionId)| {
                json!({ "conflict": conflict.to_string(), "decision": id.to_string() })
            };
            json!({
                "document": applied.document, "change": applied.change.map(|change| change.to_string()),
                "decisions": applied.decisions.iter().map(decision).collect::<Vec<_>>(),
            })
        });
        let moved = self.moved.iter().map(|moved| {
            json!({
                "conflict": moved.conflict, "document": moved.document, "subject": moved.subject,
                "reason": moved.reason,
            })
        });
        json!({ "dry_run": dry_run, "applied": applied.collect::<Vec<_>>(), "moved": moved.collect::<Vec<_>>() })
    }
}

/// The answers in one document, before they are written.
struct Ready<'a> {
    reviewed: &'a Reviewed,
    heads: Heads,
    answers: Vec<&'a PlannedAnswer>,
    conflicts: Vec<(ConflictId, State)>,
    decisions: Vec<(ConflictId, DecisionId)>,
    writes: Vec<Write>,
}

/// Finds out what still stands in a document; `None` when nothing does.
async fn prepare<'a>(
    reviewed: &'a Reviewed,
    heads: Heads,
    plan: &Planned,
    answers: Vec<&'a PlannedAnswer>,
    outcome: &mut Outcome,
) -> CommandResult<Option<Ready<'a>>> {
    let past;
    let then = if heads == reviewed.heads {
        &reviewed.review
    } else if let Some(review) = reviewed.at(&heads).await? {
        past = review;
        &past
    } else {
        outcome.leave_out(&answers, "this device has not seen what the plan was made at: sync first");
        return Ok(None);
    };
    let note = Note { reason: plan.reason.clone(), reviewer: plan.reviewer.clone(), ..Note::default() };
    let (conflicts, decisions, writes) = (Vec::new(), Vec::new(), Vec::new());
    let mut ready = Ready { reviewed, heads, answers: Vec::new(), conflicts, decisions, writes };
    let mut together = Together::default();
    for answer in answers {
        match decide(reviewed, then, answer, &note, &mut together)? {
            Ok((conflict, id, writes)) => {
                ready.answers.push(answer);
                ready.conflicts.push((conflict, now(reviewed, conflict)));
                ready.decisions.push((conflict, id));
                ready.writes.extend(writes);
            }
            Err(reason) => outcome.moved.push(Moved::of(answer, reason)),
        }
    }
    Ok((!ready.decisions.is_empty()).then_some(ready))
}

/// What an answer of a plan comes to: the conflict, the decision, what it writes.
type Decided = (ConflictId, DecisionId, Vec<Write>);

/// Gives what an answer writes, or why it has moved.
fn decide(
    reviewed: &Reviewed,
    then: &Review,
    answer: &PlannedAnswer,
    note: &Note,
    together: &mut Together,
) -> CommandResult<Result<Decided, String>> {
    let conflict = one_line(&answer.conflict, 40);
    let unfit = |reason: &str| {
        CommandError::new(Kind::Usage, format_args!("the answer to {conflict} makes no sense: {reason}"))
            .hint("nothing was written; make the plan anew, or correct it")
    };
    let id: ConflictId = answer.conflict.parse().map_err(|_| unfit("that is not the id of a conflict"))?;
    let what = answer.answer().ok_or_else(|| unfit("`side` belongs to `accept`, and counts from 1"))?;
    let Some(planned) = then.conflict(id) else {
        return Ok(Err("there was no such conflict at the heads of the plan".to_owned()));
    };
    if let Some(reason) = moved(reviewed, &planned) {
        return Ok(Err(reason));
    }
    let decision = new_id()?;
    match then.decide(&planned, &what, note, &decision) {
        Ok(writes) => Ok(together.add(&writes).map(|()| (id, decision, writes))),
        Err(error) => Err(refusal(error)),
    }
}

/// Says what became of a conflict, if it is not as it was.
fn moved(reviewed: &Reviewed, planned: &Conflict) -> Option<String> {
    match reviewed.review.conflict(planned.id) {
        // One that waits for a second reviewer is open, and has been answered all the same.
        Some(conflict) if conflict.state.is_open() && conflict.decisions == planned.decisions => None,
        Some(conflict) => Some(format!("{} meanwhile", conflict.state)),
        None => Some(format!("not there any more: {}", since(reviewed, planned))),
    }
}

fn since(reviewed: &Reviewed, planned: &Conflict) -> String {
    let open = reviewed.review.briefs().filter(|brief| brief.subject == planned.subject && brief.state.is_open());
    match open.map(|brief| brief.id.to_string()).next() {
        Some(id) => format!("a later write made {} of it", id.chars().take(8).collect::<String>()),
        None => "somebody wrote over it".to_owned(),
    }
}

fn now(reviewed: &Reviewed, id: ConflictId) -> State {
    reviewed.review.conflict(id).map_or(State::Open, |conflict| conflict.state)
}
