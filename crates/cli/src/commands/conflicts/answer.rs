//! Answers: `resolve`, `dismiss`, `confirm`, `reopen`, `approve`, `link`. Each is one change.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use comity_model::{FieldName, KindName, KindSchema, Value};
use comity_node::{Node, NodeError};
use comity_review::{Answer, Conflict, ConflictKind, Note as Noted, Place, Subject};

use super::find::{self, Found, Target, open_or_moved};
use super::form::{Decision, Guard, Note, new_id, refusal};
use crate::commands::suggest::Read;
use crate::error::{CommandError, CommandResult, Kind};
use crate::names::Who;
use crate::session::{Need, Session};
use crate::values::{self, Assignment};

/// What can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Keep {
    /// What is shown now
    Current,
}

/// What is right.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Choice {
    /// What is shown stays
    #[arg(long)]
    keep: Option<Keep>,
    /// A side is right: its number, as `show` counts them
    #[arg(long, value_name = "SIDE", value_parser = clap::value_parser!(u16).range(1..))]
    accept: Option<u16>,
    /// Neither is right: this value is
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    value: Option<String>,
    /// In a conflict about several fields: the value of one (FIELD:=JSON takes JSON); the others stay as they are shown
    #[arg(long, value_name = "FIELD=VALUE")]
    field: Vec<String>,
}

/// Decide a conflict: keep what is shown, accept a side, or give another value
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity conflicts resolve 3f2a --keep current
  comity conflicts resolve 3f2a --accept 2 -m 'the second image is sharper' --reviewer Ana
  comity conflicts resolve 3f2a --value string_open
  comity conflicts resolve 77b1 --field status=dead --field 'comment=burnt connector'
  comity conflicts resolve 3f2a --accept 1 --dry-run

It is one change, made at what this device shows. When somebody else has decided it meanwhile, or
wrote over it, nothing is written, what happened is said, and the exit code is 4.")]
pub struct Resolve {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    note: Note,
    /// Whether a suggestion was read before or after choosing [default: never]
    #[arg(long, value_name = "WHEN")]
    suggestion_shown: Option<Read>,
    #[command(flatten)]
    guard: Guard,
}

impl Resolve {
    pub fn run(self, session: &Session) -> CommandResult {
        session.run(Need::Documents, |node| async move {
            let found = open(session, &node, &self.target).await?;
            let answer = self.choice.answer(session, &found)?;
            let noted = Noted { suggestion: self.suggestion_shown.map(Read::noted), ..self.note.noted() };
            decide(session, &found, &answer, &noted, &self.guard).await
        })
    }
}

impl Choice {
    fn answer(&self, session: &Session, found: &Found) -> CommandResult<Answer> {
        if let Some(side) = self.accept {
            return Ok(Answer::Accept(usize::from(side - 1)));
        }
        let schema = || schema(session, found);
        if let Some(text) = &self.value {
            return Ok(Answer::Value(match field_of(&found.conflict) {
                Some(field) => values::read(&schema()?, field, text).map_err(NodeError::from)?,
                None => Value::from(text.as_str()),
            }));
        }
        if self.field.is_empty() {
            return Ok(Answer::Current);
        }
        let mut values = BTreeMap::new();
        for text in &self.field {
            let assignment = Assignment::parse(text)?;
            let value = assignment.value(&schema()?).map_err(NodeError::from)?;
            if values.insert(assignment.field.clone(), value).is_some() {
                return Err(CommandError::new(Kind::Usage, format_args!("field {} is given twice", assignment.field))
                    .hint("give each field once"));
            }
        }
        Ok(match field_of(&found.conflict) {
            // Whoever names the only field means its value.
            Some(field) if values.len() == 1 && values.contains_key(field) => {
                values.remove(field).map_or(Answer::Current, Answer::Value)
            }
            _ => Answer::Values(values),
        })
    }
}

/// Gives the field that a single value would be for.
fn field_of(conflict: &Conflict) -> Option<&FieldName> {
    match &conflict.subject {
        Subject::Place(Place::Field(register)) => Some(&register.field),
        Subject::Fields { fields, .. } if conflict.kind == ConflictKind::StaleDecision => fields.first(),
        _ => None,
    }
}

fn schema(session: &Session, found: &Found) -> CommandResult<KindSchema> {
    let known = &found.reviewed().known;
    let kind = known.kind.as_deref().and_then(|kind| kind.parse::<KindName>().ok());
    let kind = kind.ok_or_else(|| crate::commands::edit::no_kind(&known.label()))?;
    Ok(session.config.schema(&kind))
}

/// Finds a conflict that waits for an answer.
async fn open(session: &Session, node: &Node, target: &Target) -> CommandResult<Found> {
    let who = Who::new(node, &session.config);
    let found = find::conflict(node, target, &who).await?;
    open_or_moved(found.reviewed(), &found.conflict, &who)?;
    Ok(found)
}

async fn decide(session: &Session, found: &Found, answer: &Answer, noted: &Noted, guard: &Guard) -> CommandResult {
    let (reviewed, conflict) = (found.reviewed(), &found.conflict);
    if !reviewed.known.is_comity {
        let what = format!("{} belongs to another application; Comity does not write to it", reviewed.known.id);
        return Err(CommandError::new(Kind::NotAllowed, what).hint("correct it in the application that made it"));
    }
    let id = new_id()?;
    let writes = reviewed.review.decide(conflict, answer, noted, &id).map_err(refusal)?;
    Decision::about(reviewed, conflict, id, writes).carry_out(session, guard).await
}

/// An answer that writes no value.
#[derive(Debug, Args)]
pub struct Plain {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    note: Note,
    #[command(flatten)]
    guard: Guard,
}

impl Plain {
    fn run(self, session: &Session, answer: Answer, needs_open: bool) -> CommandResult {
        session.run(Need::Documents, |node| async move {
            let found = if needs_open {
                open(session, &node, &self.target).await?
            } else {
                find::conflict(&node, &self.target, &Who::new(&node, &session.config)).await?
            };
            decide(session, &found, &answer, &self.note.noted(), &self.guard).await
        })
    }
}

macro_rules! plain {
    ($(#[$meta:meta])* $name:ident, $answer:expr, $needs_open:literal) => {
        #[derive(Debug, Args)]
        $(#[$meta])*
        pub struct $name {
            #[command(flatten)]
            plain: Plain,
        }

        impl $name {
            pub fn run(self, session: &Session) -> CommandResult {
                self.plain.run(session, $answer, $needs_open)
            }
        }
    };
}

plain! {
    /// Say that a conflict needs no decision
    #[command(after_help = "Examples:
  comity conflicts dismiss 3f2a -m 'both words mean the same'

No value is written. It is listed again when somebody writes there anew; `comity conflicts reopen` takes
it back.")]
    Dismiss, Answer::Dismiss, true
}

plain! {
    /// Say that you looked again, and that it is right as it stands
    #[command(after_help = "Examples:
  comity conflicts confirm 3f2a -m 'measured again'

No value is written. It is listed again when somebody writes there anew; `comity conflicts reopen` takes
it back.")]
    Confirm, Answer::Confirm, true
}

plain! {
    /// Take a dismissal or confirmation back
    #[command(after_help = "Examples:
  comity conflicts reopen 3f2a -m 'there are new images'

A decision that wrote a value is taken back with `comity undo DECISION`.")]
    Reopen, Answer::Reopen, false
}

plain! {
    /// Agree, as second reviewer, with a decision
    #[command(after_help = "Examples:
  comity conflicts approve 3f2a --reviewer Ben

It counts when it comes from another device than the decision.")]
    Approve, Answer::Approve, false
}

plain! {
    /// Say that duplicates are one and the same; nothing is deleted
    #[command(after_help = "Examples:
  comity conflicts link 3f2a -m 'one module, scanned twice'")]
    Link, Answer::Link, true
}
