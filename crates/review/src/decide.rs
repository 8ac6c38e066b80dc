//! What a person's answer writes.

use std::collections::BTreeMap;

use comity_crdt::OpId;
use comity_model::{FieldName, LIFE, RegisterKey, Value, Write};

use crate::conflict::digest_of;
use crate::decision::{Choice, DecisionId, DecisionRecord, InvalidRecord, SuggestionShown};
use crate::log::Decided;
use crate::{Base, Conflict, ConflictId, ConflictKind, Place, Review, Subject, Written};

/// A person's answer to a conflict.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// What is shown stays.
    Current,
    /// A side is right, by its place in [`Conflict::sides`].
    Accept(usize),
    /// Another value, in a conflict about one field.
    Value(Value),
    /// Values for some of the fields, in a conflict about several; the others stay as they are shown.
    Values(BTreeMap<FieldName, Value>),
    /// It needs no decision.
    Dismiss,
    /// Looked at again, and right as it stands.
    Confirm,
    /// The dismissal or confirmation is taken back.
    Reopen,
    /// A second reviewer agrees with the decisions about it.
    Approve,
    /// The duplicates are one and the same.
    Link,
}

/// What goes into the record beside the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Why, in the reviewer's words.
    pub reason: Option<String>,
    /// What the reviewer is called.
    pub reviewer: Option<String>,
    /// The rule that sent the conflict to a person.
    pub rule: Option<String>,
    /// Whether a suggestion was shown; never, unless told.
    pub suggestion: Option<SuggestionShown>,
}

/// Says why an answer cannot be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CannotDecide {
    /// The conflict has fewer sides.
    #[error("the conflict has no side {side}: it has {count}, counted from 1")]
    NoSuchSide {
        /// Which was asked for, counted from 1.
        side: usize,
        /// How many there are.
        count: usize,
    },
    /// The answer does not fit the kind of conflict.
    #[error("a {kind} conflict cannot be answered so: {instead}")]
    DoesNotFit {
        /// The kind.
        kind: ConflictKind,
        /// What would.
        instead: &'static str,
    },
    /// There is nothing to take back or agree with.
    #[error("there is no {what} of this conflict")]
    Nothing {
        /// What there is none of.
        what: &'static str,
    },
    /// The decision does not exist.
    #[error("there is no decision {id} in this document")]
    NoSuchDecision {
        /// Its id.
        id: DecisionId,
    },
    /// The record would be too long.
    #[error(transparent)]
    Record(#[from] InvalidRecord),
}

impl Conflict {
    /// Gives the write that Automerge shows, in a conflict about one register.
    pub fn shown(&self) -> Option<&Written> {
        self.writes().filter(|write| write.value.is_some()).max_by(|a, b| a.op.cmp(&b.op))
    }
}

impl Review {
    /// Gives what an answer to a conflict writes: all of it belongs into one change, made at the heads that the person had
    /// on screen, with [`ActKind::Decision`](comity_model::ActKind::Decision). `id` is of random bytes.
    ///
    /// # Errors
    /// When the answer does not fit the conflict.
    pub fn decide(
        &self,
        conflict: &Conflict,
        answer: &Answer,
        note: &Note,
        id: &DecisionId,
    ) -> Result<Vec<Write>, CannotDecide> {
        let (choice, values) = self.forced(conflict, answer)?;
        let is_life = |place: &Place| place.register().is_some_and(|key| key.field.as_str() == LIFE);
        let is_word = |value: &Value| matches!(value.as_text(), Some("deleted" | "live"));
        if values.iter().any(|(place, value)| is_life(place) && !is_word(value)) {
            return Err(misfit(conflict));
        }
        let supersedes = match answer {
            Answer::Reopen => self.closing(conflict.id),
            // Whoever approves adds a voice and takes none away.
            Answer::Approve => Vec::new(),
            _ => self.standing(conflict.id),
        };
        let against = conflict.writes().map(|write| write.op.clone()).collect();
        let about = About::of(conflict.kind, &conflict.subject, against);
        compose(about, choice, values, supersedes, note, id)
    }

    /// Gives what undoing a decision writes: what was shown before it stands again, and the conflict is open again.
    ///
    /// # Errors
    /// When there is no such decision, or it wrote nothing.
    pub fn undo(&self, decision: &DecisionId, note: &Note, id: &DecisionId) -> Result<Vec<Write>, CannotDecide> {
        let decided = self.decided(decision).ok_or_else(|| CannotDecide::NoSuchDecision { id: decision.clone() })?;
        let record = &decided.record;
        let before = |register: &RegisterKey| {
            let value = self.shown_before(register, decided);
            (Place::Field(register.clone()), value.unwrap_or(Value::Null))
        };
        let values: Vec<_> = record.writes.iter().map(|(register, _)| before(register)).collect();
        let wrote = [Choice::Current, Choice::Accept, Choice::Merged, Choice::RolledBack];
        if values.is_empty() && wrote.contains(&record.choice) {
            return Err(CannotDecide::Nothing { what: "field that the decision wrote" });
        }
        let choice = if values.is_empty() { Choice::Reopened } else { Choice::Undone };
        let about = About {
            conflict: record.conflict,
            kind: record.kind,
            subject: record.subject.clone(),
            against: record.against.clone(),
            writes_digest: record.writes_digest,
        };
        compose(about, choice, values, vec![decision.clone()], note, id)
    }

    /// Gives what the answer forces into registers.
    fn forced(&self, conflict: &Conflict, answer: &Answer) -> Result<(Choice, Vec<(Place, Value)>), CannotDecide> {
        let nothing = Vec::new;
        Ok(match answer {
            Answer::Dismiss => (Choice::Dismissed, nothing()),
            Answer::Confirm => (Choice::Confirmed, nothing()),
            Answer::Link if conflict.kind == ConflictKind::Duplicate => (Choice::Linked, nothing()),
            Answer::Link => return Err(misfit(conflict)),
            Answer::Reopen if self.closing(conflict.id).is_empty() => {
                return Err(CannotDecide::Nothing { what: "dismissal or confirmation" });
            }
            Answer::Reopen => (Choice::Reopened, nothing()),
            Answer::Approve if self.standing(conflict.id).is_empty() => {
                return Err(CannotDecide::Nothing { what: "decision" });
            }
            Answer::Approve => (Choice::Approved, nothing()),
            Answer::Current => (Choice::Current, current(conflict, self)?),
            Answer::Accept(side) => {
                let count = conflict.sides.len();
                if *side >= count {
                    return Err(CannotDecide::NoSuchSide { side: side.saturating_add(1), count });
                }
                (Choice::Accept, accept(conflict, *side, self)?)
            }
            Answer::Value(value) => (Choice::Merged, vec![(only_place(conflict)?, value.clone())]),
            Answer::Values(values) => (Choice::Merged, merged(conflict, values, self)?),
        })
    }

    fn decided(&self, id: &DecisionId) -> Option<&Decided> {
        self.log.decisions.get(id)?.first()
    }

    /// Gives what a register showed before a decision.
    fn shown_before(&self, register: &RegisterKey, decided: &Decided) -> Option<Value> {
        let cell = self.log.cell(&Place::Field(register.clone()))?;
        let write = cell.writes.iter().find(|write| write.change == decided.change)?;
        let before = write.replaces.iter().map(|ix| cell.write(*ix)).filter(|write| write.value.is_some());
        before.max_by_key(|write| self.log.op_id(write))?.value.clone()
    }

    /// Gives what a field of an entry shows.
    fn shown_value(&self, place: &Place) -> Option<Value> {
        self.log.cell(place)?.shown().cloned()
    }
}

/// What a record says it is about.
pub(crate) struct About {
    conflict: ConflictId,
    kind: ConflictKind,
    subject: String,
    against: Vec<OpId>,
    writes_digest: [u8; 32],
}

impl About {
    pub(crate) fn of(kind: ConflictKind, subject: &Subject, mut against: Vec<OpId>) -> Self {
        let conflict = ConflictId::of(kind, subject, &against);
        let writes_digest = digest_of(&against);
        against.sort_unstable();
        against.truncate(DecisionRecord::AGAINST_MAX);
        Self { conflict, kind, subject: subject.to_string(), against, writes_digest }
    }
}

pub(crate) fn compose(
    about: About,
    choice: Choice,
    values: Vec<(Place, Value)>,
    mut supersedes: Vec<DecisionId>,
    note: &Note,
    id: &DecisionId,
) -> Result<Vec<Write>, CannotDecide> {
    let fields = values.iter().filter_map(|(place, value)| Some((place.register()?.clone(), value.clone())));
    let About { conflict, kind, subject, against, writes_digest } = about;
    supersedes.truncate(DecisionRecord::SUPERSEDES_MAX);
    let record = DecisionRecord {
        conflict,
        kind,
        subject,
        against,
        writes_digest,
        choice,
        writes: fields.collect(),
        reason: note.reason.clone(),
        reviewer: note.reviewer.clone(),
        rule: note.rule.clone(),
        supersedes,
        suggestion: note.suggestion.unwrap_or(SuggestionShown::Never),
    };
    let force = |(place, value): (Place, Value)| match place {
        Place::Field(key) => Some(Write::Force { key, value }),
        Place::About(name) => Some(Write::ForceAbout { name, value }),
        Place::Other { .. } => None,
    };
    let mut writes: Vec<Write> = values.into_iter().filter_map(force).collect();
    writes.push(Write::Decision { id: id.to_string(), record: record.to_text()? });
    Ok(writes)
}

/// Says how a conflict of this kind can be answered.
fn misfit(conflict: &Conflict) -> CannotDecide {
    let instead = match conflict.kind {
        ConflictKind::Duplicate => "say that they are the same (link), or dismiss it",
        ConflictKind::Invariant => "correct the values by an edit, or confirm that it is right as it stands",
        ConflictKind::Counter | ConflictKind::TextOverlap | ConflictKind::HiddenEdit => {
            "the document belongs to another application; correct it there"
        }
        ConflictKind::FieldGroup => "keep what is shown, accept a side, or give the values by field",
        ConflictKind::StaleDecision => "keep what is shown, give a value for the first field, or confirm it",
        ConflictKind::DeleteAgainstUpdate => "keep what is shown, or accept a side",
        _ => "keep what is shown, accept a side, or give a value",
    };
    CannotDecide::DoesNotFit { kind: conflict.kind, instead }
}

/// Gives the one register that a conflict is about, when an answer can write to it.
fn only_place(conflict: &Conflict) -> Result<Place, CannotDecide> {
    match &conflict.subject {
        Subject::Place(place @ (Place::Field(_) | Place::About(_))) => Ok(place.clone()),
        Subject::Fields { entry, fields } if conflict.kind == ConflictKind::StaleDecision => {
            let field = fields.first().ok_or_else(|| misfit(conflict))?;
            Ok(Place::Field(RegisterKey::new(entry.clone(), field.clone())))
        }
        _ => Err(misfit(conflict)),
    }
}

/// Lists the registers of a conflict about several fields.
fn group_places(conflict: &Conflict) -> Option<Vec<Place>> {
    let Subject::Fields { entry, fields } = &conflict.subject else { return None };
    let place = |field: &FieldName| Place::Field(RegisterKey::new(entry.clone(), field.clone()));
    (conflict.kind == ConflictKind::FieldGroup).then(|| fields.iter().map(place).collect())
}

fn life(conflict: &Conflict) -> Option<Place> {
    match &conflict.subject {
        Subject::Entry(entry) => Some(Place::Field(RegisterKey::life(entry.clone()))),
        _ => None,
    }
}

fn current(conflict: &Conflict, review: &Review) -> Result<Vec<(Place, Value)>, CannotDecide> {
    let places = match group_places(conflict) {
        Some(places) => places,
        None => vec![life(conflict).map_or_else(|| only_place(conflict), Ok)?],
    };
    let shown = places.into_iter().filter_map(|place| Some((place.clone(), review.shown_value(&place)?)));
    Ok(shown.collect())
}

fn accept(conflict: &Conflict, side: usize, review: &Review) -> Result<Vec<(Place, Value)>, CannotDecide> {
    let side = &conflict.sides[side];
    if let Some(life) = life(conflict) {
        let is_life = |write: &Written| write.place.register().is_some_and(|key| key.field.as_str() == LIFE);
        let word = if side.writes.iter().any(is_life) { "deleted" } else { "live" };
        return Ok(vec![(life, word.into())]);
    }
    if let Some(places) = group_places(conflict) {
        // The fields that the side did not write are taken back to what its author had seen there.
        let value = |place: Place| {
            let own = side.writes.iter().rfind(|write| write.place == place).and_then(|write| write.value.clone());
            let base = || conflict.base.iter().find(|base| base.place == place).and_then(base_value);
            let value = own.or_else(base).or_else(|| review.shown_value(&place));
            value.map(|value| (place, value))
        };
        return Ok(places.into_iter().filter_map(value).collect());
    }
    if conflict.kind == ConflictKind::StaleDecision {
        return Err(misfit(conflict));
    }
    let place = only_place(conflict)?;
    match side.value() {
        Some(value) => Ok(vec![(place, value.clone())]),
        None => Err(CannotDecide::DoesNotFit {
            kind: conflict.kind,
            instead: "a value cannot be removed; give another value, or delete the entry",
        }),
    }
}

/// Gives what stood in a register when the sides parted; null when nothing did but now something does.
fn base_value(base: &Base) -> Option<Value> {
    match &base.values[..] {
        [] => Some(Value::Null),
        values => values.iter().flatten().next_back().cloned(),
    }
}

fn merged(
    conflict: &Conflict,
    values: &BTreeMap<FieldName, Value>,
    review: &Review,
) -> Result<Vec<(Place, Value)>, CannotDecide> {
    let places = group_places(conflict).ok_or_else(|| misfit(conflict))?;
    let field = |place: &Place| place.register().map(|key| key.field.clone());
    if values.keys().any(|name| !places.iter().any(|place| field(place).as_ref() == Some(name))) {
        return Err(CannotDecide::DoesNotFit { kind: conflict.kind, instead: "name only fields of the conflict" });
    }
    let value = |place: Place| {
        let given = field(&place).and_then(|name| values.get(&name).cloned());
        given.or_else(|| review.shown_value(&place)).map(|value| (place, value))
    };
    Ok(places.into_iter().filter_map(value).collect())
}
