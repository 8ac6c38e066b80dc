//! Conflicts in words and in JSON.

use comity_model::{LIFE, Timestamp, Value};
use comity_review::{Choice, Conflict, ConflictKind, Place, Side, State, Subject, Written};
use serde_json::{Value as Json, json};

use crate::names::Who;
use crate::output::one_line;
use crate::review::{Reviewed, moment};
use crate::values;

/// Longest value of a side in a list, in characters.
const SIDE_MAX: usize = 24;

/// Sides that are named in a list.
const SIDES_MAX: usize = 3;

/// Writes of one side that are named in a list.
const WRITES_MAX: usize = 2;

/// Longest subject in a list, in characters.
pub const SUBJECT_MAX: usize = 48;

/// Gives the subject for a person.
pub fn subject(subject: &Subject) -> String {
    one_line(&subject.to_string(), SUBJECT_MAX)
}

/// Gives what stands against each other, on one line.
pub fn sides(conflict: &Conflict) -> String {
    let named = |side: &Side| side_in_short(conflict, side);
    let mut words: Vec<String> = conflict.sides.iter().take(SIDES_MAX).map(named).collect();
    if conflict.kind == ConflictKind::ImplicitResolution && conflict.sides.len() > 1 {
        // The last one wrote over the others.
        let last = conflict.sides.last().map(named).unwrap_or_default();
        words.truncate(conflict.sides.len() - 1);
        let more = if conflict.sides.len() > SIDES_MAX + 1 { ", …" } else { "" };
        return format!("{}{more} → {last}", words.join(", "));
    }
    let more = conflict.sides.len().saturating_sub(SIDES_MAX);
    if more > 0 {
        words.push(format!("… {more} more"));
    }
    words.join(" ≠ ")
}

fn side_in_short(conflict: &Conflict, side: &Side) -> String {
    if let (Subject::Entries(_), Some(Place::Field(key))) = (&conflict.subject, side.writes.first().map(|w| &w.place)) {
        return one_line(key.entry.as_str(), SIDE_MAX);
    }
    if matches!(conflict.subject, Subject::Place(_)) {
        return side.writes.first().map(|write| value(write.value.as_ref(), SIDE_MAX)).unwrap_or_default();
    }
    let mut words: Vec<String> =
        side.writes.iter().take(WRITES_MAX).map(|write| write_in_short(write, SIDE_MAX)).collect();
    if side.writes.len() > WRITES_MAX {
        words.push(format!("… {} more", side.writes.len() - WRITES_MAX));
    }
    words.join(", ")
}

/// Gives a write as `field = value`, or in a word where there is one.
pub fn write_in_short(write: &Written, max: usize) -> String {
    let Some(register) = write.place.register() else {
        return format!("{} = {}", one_line(&write.place.to_string(), SUBJECT_MAX), value(write.value.as_ref(), max));
    };
    match (register.field.as_str(), write.value.as_ref().and_then(Value::as_text)) {
        (LIFE, Some("deleted")) => "deleted".to_owned(),
        (LIFE, Some("live")) => "restored".to_owned(),
        (field, _) => format!("{} = {}", one_line(field, SUBJECT_MAX), value(write.value.as_ref(), max)),
    }
}

/// Gives a value, or says that it was removed.
pub fn value(value: Option<&Value>, max: usize) -> String {
    value.map_or_else(|| "(removed)".to_owned(), |value| values::shown(value, max))
}

/// Gives the moment of the latest write of a conflict: since then it is there, by the clocks of those who wrote.
pub fn since(conflict: &Conflict) -> Option<Timestamp> {
    conflict.writes().filter_map(|write| moment(write.act, write.time_s)).max()
}

/// Says how conflicts of a kind are found.
pub const fn rule(kind: ConflictKind) -> &'static str {
    match kind {
        ConflictKind::ConcurrentUpdate => {
            "Different values were written to one place by people of whom none had seen the other's value, and nobody \
             who knew both has written there since."
        }
        ConflictKind::FieldGroup => {
            "The policy says that these fields belong together. Different devices wrote to different ones of them, and \
             none had seen what the other wrote."
        }
        ConflictKind::DeleteAgainstUpdate => {
            "Somebody deleted it while somebody else wrote to it, and neither had seen what the other did."
        }
        ConflictKind::Duplicate => {
            "The policy says which fields tell what an entry is about. These live entries say the same there, and they \
             were made by people of whom none had seen the other's."
        }
        ConflictKind::Invariant => "A rule of the policy does not hold.",
        ConflictKind::StaleDecision => {
            "The policy says that the first field is chosen knowing the second. Somebody chose the first while somebody \
             else changed the second, and neither had seen what the other did."
        }
        ConflictKind::ImplicitResolution => {
            "Different values stood against each other here. Somebody who had seen them wrote over all of them at once \
             (or put the one that was shown again) without saying that it was a decision."
        }
        ConflictKind::ResolutionConflict => {
            "People decided it differently, and none had seen the other's decision. No rule stands above them."
        }
        ConflictKind::Counter => "A counter was set anew while somebody else added to it; what was added may be lost.",
        ConflictKind::TextOverlap => "Two people edited the same spot of a text, and none had seen the other's edit.",
        ConflictKind::HiddenEdit => {
            "Somebody wrote into an object that somebody else replaced or removed at the same time; what they wrote is \
             not shown any more."
        }
        _ => "This release has no words for this kind of conflict.",
    }
}

/// Says what was decided.
pub const fn choice(choice: Choice) -> &'static str {
    match choice {
        Choice::Current => "kept as shown",
        Choice::Accept => "accepted",
        Choice::Merged => "set",
        Choice::RolledBack => "rolled back",
        Choice::Linked => "linked as one",
        other => other.as_str(),
    }
}

/// Says what a state means.
pub const fn state(state: State) -> &'static str {
    match state {
        State::Open => "nobody has decided it",
        State::Reopened => {
            "it was answered, and then something came that the answer had not seen, or it was taken back"
        }
        State::NeedsSecondReviewer => "decided, and waiting for a second reviewer on another device",
        State::Agreed => "several people wrote the same by themselves",
        State::Resolved => "decided",
        State::Dismissed => "a person said that it needs no decision",
        _ => "this release has no words for this state",
    }
}

/// Gives a conflict as JSON.
pub fn json(reviewed: &Reviewed, conflict: &Conflict, short: &str) -> Json {
    let shown = conflict.shown().map(|write| write.op.clone());
    let write = |write: &Written| {
        json!({
            "place": write.place.to_string(), "value": write.value.as_ref().map(values::to_json),
            "removed": write.value.is_none(), "shown": Some(&write.op) == shown.as_ref(),
            "change": write.change.to_string(), "device": Who::device(write.actor()), "actor": write.actor().to_string(),
            "time": moment(write.act, write.time_s).map(|time| time.to_string()), "remark": write.remark,
            "seen": write.seen.iter().map(|value| given(value.as_ref())).collect::<Vec<_>>(),
        })
    };
    let side = |side: &Side| json!({ "writes": side.writes.iter().map(write).collect::<Vec<_>>() });
    let base = conflict.base.iter().map(|base| {
        let values: Vec<Json> = base.values.iter().map(|value| given(value.as_ref())).collect();
        json!({ "place": base.place.to_string(), "values": values })
    });
    json!({
        "id": conflict.id.to_string(), "short": short, "document": document(reviewed),
        "kind": conflict.kind.as_str(), "subject": conflict.subject.to_string(), "state": conflict.state.as_str(),
        "since": since(conflict).map(|time| time.to_string()),
        "base": base.collect::<Vec<_>>(), "sides": conflict.sides.iter().map(side).collect::<Vec<_>>(),
        "reopens": conflict.reopens.map(|id| id.to_string()),
        "decisions": conflict.decisions.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// Gives a document as JSON names it.
pub fn document(reviewed: &Reviewed) -> Json {
    let known = &reviewed.known;
    json!({ "id": known.id.to_string(), "title": known.title, "kind": known.kind })
}

/// Gives a value that may have been removed.
pub fn given(value: Option<&Value>) -> Json {
    json!({ "value": value.map(values::to_json), "removed": value.is_none() })
}
