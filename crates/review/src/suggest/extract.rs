//! Cases of conflicts, and what their decisions say.

use comity_model::{DeviceTag, Value};

use super::case::{Author, Candidate, Case, Kept};
use super::feature::is_removal;
use crate::{Choice, Conflict, DecisionRecord, Place, Side, Subject, Written};

/// What a conflict does not say of itself.
pub struct Setting<'a> {
    /// The kind of the document.
    pub kind: &'a str,
    /// Which side's value is shown under the policy, while nobody has decided; `None` where that is what Automerge shows.
    pub shown: &'a dyn Fn(&Conflict) -> Option<usize>,
    /// Who writes on a device: name and verified role.
    pub who: &'a dyn Fn(&DeviceTag) -> Author,
    /// How many ranks the roles have, 0 when they have no order.
    pub ranks: u32,
    /// How long before a write its author had last heard of others, in milliseconds, where that is known.
    pub stale_ms: &'a dyn Fn(&Written) -> Option<i64>,
    /// How far apart two clocks may be, in milliseconds.
    pub uncertainty_ms: i64,
}

/// Makes a case of a conflict; `None` when it is not about one register of an entry, where values stand against each
/// other: there is nothing to suggest about the others.
pub fn case(conflict: &Conflict, setting: &Setting<'_>) -> Option<Case> {
    let Subject::Place(Place::Field(register)) = &conflict.subject else { return None };
    let base = match conflict.base.as_slice() {
        [base] if base.place == Place::Field(register.clone()) => match base.values.as_slice() {
            [one] => one.clone(),
            _ => None,
        },
        _ => None,
    };
    let candidates =
        conflict.sides.iter().enumerate().map(|(at, side)| candidate(conflict, at, side, setting)).collect();
    let case = Case {
        kind: setting.kind.to_owned(),
        field: register.field.as_str().to_owned(),
        base,
        candidates,
        shown: (setting.shown)(conflict).unwrap_or_else(|| by_automerge(conflict)),
        ranks: setting.ranks,
        uncertainty_ms: setting.uncertainty_ms,
    };
    case.is_sound().then_some(case)
}

/// The side with the write that Automerge shows; a removal is shown only where there is nothing else.
fn by_automerge(conflict: &Conflict) -> usize {
    let shown = conflict.shown().map(|written| &written.op);
    let is_it = |side: &Side| side.writes.iter().any(|written| Some(&written.op) == shown);
    conflict.sides.iter().position(is_it).unwrap_or(0)
}

fn candidate(conflict: &Conflict, at: usize, side: &Side, setting: &Setting<'_>) -> Candidate {
    let mut authors: Vec<Author> = side.writes.iter().map(|written| author(written, setting)).collect();
    authors.sort_unstable();
    authors.dedup_by(|a, b| a.id == b.id);
    let others = conflict.sides.iter().enumerate().filter(|(other, _)| *other != at);
    let others: Vec<Option<&Value>> = others.map(|(_, other)| other.value()).collect();
    let has_seen_other = |written: &Written| written.seen.iter().any(|seen| others.contains(&seen.as_ref()));
    Candidate {
        value: side.value().cloned(),
        authors,
        has_remark: side.writes.iter().any(|written| written.remark.is_some()),
        has_seen_other: side.writes.iter().any(has_seen_other),
        written_ms: side
            .writes
            .iter()
            .map(written_ms)
            .collect::<Option<Vec<_>>>()
            .and_then(|all| all.into_iter().max()),
        stale_ms: side.writes.iter().filter_map(|written| (setting.stale_ms)(written)).min(),
    }
}

fn author(written: &Written, setting: &Setting<'_>) -> Author {
    match written.device() {
        Some(device) => (setting.who)(&device),
        None => {
            let id = written.actor().to_string();
            Author { label: id.clone(), id, role: None }
        }
    }
}

/// The hybrid time; for another application's change, its seconds, where it says any.
fn written_ms(written: &Written) -> Option<i64> {
    let seconds = (written.time_s > 0).then(|| written.time_s.saturating_mul(1_000));
    written.act.map(|act| act.time.wall_ms).or(seconds)
}

/// Reads from a decision which candidate was kept; `None` when it says nothing of that: it dismissed the conflict, undid
/// another decision, or settled something else.
///
/// It goes by the values written, and not by the words "current" and "accept", which depend on what was shown.
pub fn kept(case: &Case, conflict: &Conflict, decision: &DecisionRecord) -> Option<Kept> {
    if decision.conflict != conflict.id {
        return None;
    }
    match decision.choice {
        Choice::Current | Choice::Accept | Choice::Merged => {}
        Choice::Confirmed => return Some(Kept::Candidate(case.shown)),
        _ => return None,
    }
    let Subject::Place(Place::Field(register)) = &conflict.subject else { return None };
    let (_, value) = decision.writes.iter().find(|(key, _)| key == register)?;
    let is_it = |candidate: &Candidate| {
        candidate.value.as_ref() == Some(value) || (*value == Value::Null && is_removal(candidate))
    };
    Some(case.candidates.iter().position(is_it).map_or(Kept::Neither, Kept::Candidate))
}
