//! `conflicts plan`: one answer to many conflicts, as a file that can be looked at before it is applied.

use clap::{Args, ValueEnum};
use comity_model::HybridTime;
use comity_review::{Answer, CannotDecide, Conflict, ConflictKind, DecisionId, Note as Noted, Side, State};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::answer::Keep;
use super::find::Filter;
use super::form::{Note, Together, refusal};
use super::words;
use crate::error::{CommandError, CommandResult, Kind};
use crate::output::count;
use crate::review::{self, Reviewed};
use crate::session::{Need, Session};

/// Most answers in one plan.
pub const ANSWERS_MAX: usize = 100_000;

/// Reasons for what is left out that are said one by one.
const SAID_MAX: usize = 5;

/// Write a plan: one answer to many conflicts, to look at and then apply
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity conflicts plan --kind concurrent-update --keep current > plan.json
  comity conflicts plan 'Roof 7' --field comment --accept newest -m 'the later comment' > plan.json
  comity conflicts apply plan.json --dry-run
  comity conflicts apply plan.json

The plan is JSON, whether or not --json is given. It names each conflict, the heads at which it was looked at,
and its answer; lines may be taken out. Nothing is written before `apply`, which refuses what has moved.
`newest` and `oldest` go by the clocks of the authors, which may be wrong: look at what was chosen. What
cannot be answered so is left out and listed; the exit code is 8 then. Two decisions that differ
(resolution-conflict) are only planned when --kind asks for them.")]
pub struct Plan {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    note: Note,
}

/// The answer.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Choice {
    /// What is shown stays
    #[arg(long)]
    keep: Option<Keep>,
    /// The side that was written last, or first, is right
    #[arg(long, value_name = "WHICH")]
    accept: Option<Pick>,
    /// They need no decision
    #[arg(long)]
    dismiss: bool,
    /// They are right as they stand
    #[arg(long)]
    confirm: bool,
}

/// Which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Pick {
    /// The one with the latest write
    Newest,
    /// The one whose latest write is the earliest
    Oldest,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// When it was made.
    pub made: String,
    /// Why.
    pub reason: Option<String>,
    /// Who decides.
    pub reviewer: Option<String>,
    /// The documents, and the heads at which they were looked at.
    pub documents: Vec<PlannedDocument>,
    /// The answers.
    pub answers: Vec<PlannedAnswer>,
    /// What could not be planned.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedDocument {
    pub id: String,
    /// For people.
    pub title: Option<String>,
    pub heads: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedAnswer {
    pub conflict: String,
    pub document: String,
    pub answer: Word,
    /// The side that is accepted, counted from 1.
    pub side: Option<u16>,
    /// For people.
    #[serde(default)]
    pub kind: String,
    /// For people.
    #[serde(default)]
    pub subject: String,
    /// For people: what stands against each other, and what is chosen.
    #[serde(default)]
    pub note: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    pub conflict: String,
    pub document: String,
    pub subject: String,
    pub reason: String,
}

/// The word for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    Keep,
    Accept,
    Dismiss,
    Confirm,
}

/// What is chosen: the answer, the side when one is accepted, and what stands against each other, for people.
type Chosen = (Word, Option<u16>, String);

impl PlannedAnswer {
    /// Gives the answer; `None` when the side is missing or too much.
    pub fn answer(&self) -> Option<Answer> {
        match (self.answer, self.side) {
            (Word::Accept, Some(side)) => Some(Answer::Accept(usize::from(side.checked_sub(1)?))),
            (Word::Keep, None) => Some(Answer::Current),
            (Word::Dismiss, None) => Some(Answer::Dismiss),
            (Word::Confirm, None) => Some(Answer::Confirm),
            _ => None,
        }
    }
}

impl Plan {
    pub fn run(self, session: &Session) -> CommandResult {
        session.run(Need::Documents, |node| async move {
            let all = review::read(&node, self.filter.document.as_deref()).await?;
            let noted = self.note.noted();
            let mut plan = Planned {
                made: review::now().to_string(),
                reason: noted.reason.clone(),
                reviewer: noted.reviewer.clone(),
                documents: Vec::new(),
                answers: Vec::new(),
                left_out: Vec::new(),
            };
            for reviewed in &all {
                self.document(reviewed, &noted, &mut plan)?;
            }
            if plan.answers.len() > ANSWERS_MAX {
                let what = format!("a plan may hold {ANSWERS_MAX} answers, this one has {}", plan.answers.len());
                return Err(CommandError::new(Kind::Usage, what).hint("plan one document, or one kind, at a time"));
            }
            session.output.json("conflicts-plan", &plan)?;
            say(session, &plan)
        })
    }

    fn document(&self, reviewed: &Reviewed, noted: &Noted, plan: &mut Planned) -> CommandResult {
        let before = plan.answers.len();
        let mut together = Together::default();
        let document = reviewed.known.id.to_string();
        for conflict in self.filter.conflicts(&reviewed.review, State::is_open) {
            match self.choose(reviewed, &conflict, noted, &mut together)? {
                Ok((answer, side, note)) => plan.answers.push(PlannedAnswer {
                    conflict: conflict.id.to_string(),
                    document: document.clone(),
                    answer,
                    side,
                    kind: conflict.kind.to_string(),
                    subject: conflict.subject.to_string(),
                    note,
                }),
                Err(reason) => plan.left_out.push(LeftOut {
                    conflict: conflict.id.to_string(),
                    document: document.clone(),
                    subject: conflict.subject.to_string(),
                    reason,
                }),
            }
        }
        if plan.answers.len() > before {
            plan.documents.push(PlannedDocument {
                id: document,
                title: reviewed.known.title.clone(),
                heads: reviewed.heads.as_slice().iter().map(ToString::to_string).collect(),
            });
        }
        Ok(())
    }

    /// Gives the answer to a conflict, or why there is none.
    fn choose(
        &self,
        reviewed: &Reviewed,
        conflict: &Conflict,
        noted: &Noted,
        together: &mut Together,
    ) -> CommandResult<Result<Chosen, String>> {
        if conflict.kind == ConflictKind::ResolutionConflict && self.filter.kind != Some(conflict.kind) {
            return Ok(Err("people decided it differently; plan it with --kind resolution-conflict".to_owned()));
        }
        if !reviewed.known.is_comity {
            return Ok(Err("the document belongs to another application".to_owned()));
        }
        let (word, answer) = match (self.choice.accept, self.choice.dismiss, self.choice.confirm) {
            (Some(pick), ..) => match side(conflict, pick) {
                Some(side) => (Word::Accept, Answer::Accept(side)),
                None => return Ok(Err("the clocks do not tell which side is the newest".to_owned())),
            },
            (None, true, _) => (Word::Dismiss, Answer::Dismiss),
            (None, false, true) => (Word::Confirm, Answer::Confirm),
            (None, false, false) => (Word::Keep, Answer::Current),
        };
        // Whether it can be written at all is known now, and not only when it is applied.
        let id = DecisionId::from_random([0; 12]);
        match reviewed.review.decide(conflict, &answer, noted, &id) {
            Ok(writes) => {
                if let Err(reason) = together.add(&writes) {
                    return Ok(Err(reason));
                }
            }
            Err(error @ CannotDecide::Record(_)) => return Err(refusal(error)),
            Err(error) => return Ok(Err(error.to_string())),
        }
        let side = match answer {
            Answer::Accept(side) => match u16::try_from(side + 1) {
                Ok(side) => Some(side),
                Err(_) => return Ok(Err("it has too many sides".to_owned())),
            },
            _ => None,
        };
        Ok(Ok((word, side, words::sides(conflict))))
    }
}

/// Picks a side by the latest write of each; `None` when two are equal or a time is not known.
fn side(conflict: &Conflict, pick: Pick) -> Option<usize> {
    let latest = |side: &Side| -> Option<HybridTime> {
        let times: Option<Vec<HybridTime>> = side.writes.iter().map(|write| Some(write.act?.time)).collect();
        times?.into_iter().max()
    };
    let times: Vec<HybridTime> = conflict.sides.iter().map(latest).collect::<Option<_>>()?;
    let best = *match pick {
        Pick::Newest => times.iter().max()?,
        Pick::Oldest => times.iter().min()?,
    };
    let mut best = times.iter().enumerate().filter(|(_, time)| **time == best).map(|(at, _)| at);
    best.next().filter(|_| best.next().is_none())
}

fn say(session: &Session, plan: &Planned) -> CommandResult {
    let answers = count(plan.answers.len(), "answer", "answers");
    let documents = count(plan.documents.len(), "document", "documents");
    session.output.note(format_args!("a plan of {answers} in {documents}; nothing was written"));
    if plan.left_out.is_empty() {
        return Ok(());
    }
    let what = count(plan.left_out.len(), "conflict is left out", "conflicts are left out");
    let mut error = CommandError::new(Kind::Partly, what);
    for left_out in plan.left_out.iter().take(SAID_MAX) {
        let subject = crate::output::one_line(&left_out.subject, words::SUBJECT_MAX);
        error = error.hint(format!("{subject}: {}", left_out.reason));
    }
    Err(error.hint("the plan lists what is left out"))
}

/// Reads a plan.
pub fn read(text: &[u8]) -> CommandResult<Planned> {
    let wrong = |reason: String| {
        CommandError::new(Kind::Usage, format_args!("this is no plan: {reason}"))
            .hint("`comity conflicts plan … > plan.json` makes one")
    };
    let mut json: Json = serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
    let schema = json.as_object_mut().and_then(|object| object.remove("schema"));
    match schema.as_ref().and_then(Json::as_str) {
        Some("comity.conflicts-plan/1") => {}
        Some(other) => {
            let other = crate::output::one_line(other, 60);
            return Err(wrong(format!("its schema is {other:?}, and this release reads comity.conflicts-plan/1")));
        }
        None => return Err(wrong("it has no `schema`".to_owned())),
    }
    let plan: Planned = serde_json::from_value(json).map_err(|error| wrong(error.to_string()))?;
    if plan.answers.len() > ANSWERS_MAX {
        return Err(wrong(format!("it has {} answers, and {ANSWERS_MAX} are allowed", plan.answers.len())));
    }
    Ok(plan)
}
