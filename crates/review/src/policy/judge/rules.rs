//! Each rule: what it decides, or why it abstains.

use std::collections::{BTreeMap, BTreeSet};

use comity_crdt::OpId;
use comity_model::{DeviceTag, Value};

use super::{Outcome, Roles};
use crate::policy::{Rule, excerpt, time};
use crate::{Conflict, ConflictKind, Place, Side, Written};

/// A conflict before its rules. It has two sides or more.
pub(super) struct Case<'a> {
    pub(super) conflict: &'a Conflict,
    pub(super) roles: &'a dyn Roles,
    /// The roles, the first before the others.
    pub(super) order: &'a [String],
    /// How far a clock may be off, either way.
    pub(super) uncertainty_ms: u64,
}

/// What a rule decides and why; or why it abstains.
type Answer = Result<(Outcome, String), String>;

/// When something was written, in milliseconds since 1970: not before, and not after.
#[derive(Clone, Copy)]
struct Span {
    earliest: i128,
    latest: i128,
}

impl Case<'_> {
    /// Asks one rule.
    pub(super) fn ask(&self, rule: Rule) -> Answer {
        match rule {
            Rule::Manual => {
                let reason = "the policy says that a person decides".to_owned();
                Ok((Outcome::Manual { reason: reason.clone() }, reason))
            }
            Rule::Suggested => Err("it asks for a suggestion, and leaves the choice to what follows".to_owned()),
            Rule::MergeFields => self.merge_fields(),
            Rule::LastWriteWins => self.choosing()?.last_write_wins(),
            Rule::UserPriority => self.choosing()?.user_priority(),
            Rule::DeviceSpecific => self.device_specific(),
        }
    }

    /// Goes on when there is one side to choose. In a group each side wrote what nobody wrote against, and to choose one
    /// would hide the other.
    fn choosing(&self) -> Result<&Self, String> {
        match self.conflict.kind {
            ConflictKind::FieldGroup => {
                Err("the sides wrote different fields, and choosing one would hide the other".to_owned())
            }
            _ => Ok(self),
        }
    }

    fn merge_fields(&self) -> Answer {
        if self.conflict.kind != ConflictKind::FieldGroup {
            let what = match self.conflict.kind {
                ConflictKind::DeleteAgainstUpdate => "a deletion and a write do not stand side by side",
                _ => "all sides wrote the same field",
            };
            return Err(what.to_owned());
        }
        let mut writers: BTreeMap<&Place, BTreeSet<usize>> = BTreeMap::new();
        for (i, side) in self.conflict.sides.iter().enumerate() {
            for write in &side.writes {
                writers.entry(&write.place).or_default().insert(i);
            }
        }
        match writers.into_iter().find(|(_, sides)| sides.len() > 1) {
            Some((place, sides)) => Err(format!("{place} was written by {} sides", sides.len())),
            None => Ok((Outcome::Merged, "no field was written by two sides".to_owned())),
        }
    }

    fn last_write_wins(&self) -> Answer {
        let mut spans = Vec::new();
        for side in self.sorted() {
            spans.push((side, self.written(side)?));
        }
        let Some((top, last)) = spans.iter().copied().max_by_key(|(_, span)| (span.latest, span.earliest)) else {
            return Err("there are no sides".to_owned());
        };
        // Not before the last one, as far as the clocks can tell.
        let may_differ = 2 * i128::from(self.uncertainty_ms);
        let contends = |span: &Span| last.earliest - span.latest <= may_differ;
        let contenders: Vec<usize> = spans.iter().filter(|(_, span)| contends(span)).map(|(side, _)| *side).collect();
        let may_differ = time::show_ms(self.uncertainty_ms.saturating_mul(2));
        match contenders.as_slice() {
            [_] => {
                let rest = spans.iter().filter(|(side, _)| *side != top).map(|(_, span)| span.latest).max();
                let ahead = rest.and_then(|rest| u64::try_from(last.earliest - rest).ok());
                let ahead = ahead.map_or_else(|| "long".to_owned(), time::show_ms);
                let told = self.tell(top);
                let why = format!("{told} was written {ahead} after all others, and clocks may differ by {may_differ}");
                Ok((Outcome::Decided { side: top, rule: Rule::LastWriteWins }, why))
            }
            [first, rest @ ..] if rest.iter().all(|other| self.shows_the_same(*first, *other)) => {
                // It shows the same whichever it is, so the operation may say which.
                let side = contenders.iter().copied().max_by_key(|side| self.greatest_op(*side)).unwrap_or(*first);
                let why = format!("the last writes all say {}", self.tell(side));
                Ok((Outcome::Decided { side, rule: Rule::LastWriteWins }, why))
            }
            _ => {
                let told: Vec<String> = contenders.iter().map(|side| self.tell(*side)).collect();
                let told = told.join(" and ");
                Err(format!("{told} were written within {may_differ} of each other, by which clocks may differ"))
            }
        }
    }

    fn shows_the_same(&self, left: usize, right: usize) -> bool {
        self.conflict.kind == ConflictKind::ConcurrentUpdate && self.value(left) == self.value(right)
    }

    /// Gives the time of the latest write of a side.
    fn written(&self, side: usize) -> Result<Span, String> {
        let mut latest: Option<Span> = None;
        for write in &self.side(side).writes {
            let span = span(write)
                .ok_or_else(|| format!("{} has a write of which nobody says when it was made", self.tell(side)))?;
            latest = Some(latest.map_or(span, |known| Span {
                earliest: known.earliest.max(span.earliest),
                latest: known.latest.max(span.latest),
            }));
        }
        latest.ok_or_else(|| "a side has no writes".to_owned())
    }

    fn user_priority(&self) -> Answer {
        let mut ranks = Vec::new();
        for side in self.sorted() {
            ranks.push((self.rank(side)?, side));
        }
        let Some(best) = ranks.iter().map(|(rank, _)| *rank).min() else {
            return Err("there are no sides".to_owned());
        };
        let role = self.order.get(best).map_or("", String::as_str);
        let mut holders = ranks.iter().filter(|(rank, _)| *rank == best);
        match (holders.next(), holders.next()) {
            (Some((_, side)), None) => {
                let others: BTreeSet<usize> =
                    ranks.iter().map(|(rank, _)| *rank).filter(|rank| *rank != best).collect();
                let others: Vec<&str> =
                    others.iter().filter_map(|rank| self.order.get(*rank)).map(String::as_str).collect();
                let why =
                    format!("{} is from the role {role}, which goes before {}", self.tell(*side), others.join(" and "));
                Ok((Outcome::Decided { side: *side, rule: Rule::UserPriority }, why))
            }
            _ => Err(format!("more than one side is from the role {role}")),
        }
    }

    /// Gives the best rank among those who wrote a side. All of them must have one: a role that nobody has verified
    /// might be a higher one.
    fn rank(&self, side: usize) -> Result<usize, String> {
        let mut best = usize::MAX;
        // Ascending, so that the one that is named does not follow the order in which they are given.
        let mut writes: Vec<&Written> = self.side(side).writes.iter().collect();
        writes.sort_by_key(|write| &write.op);
        for write in writes {
            let Some(device) = write.device() else {
                return Err(format!("{} was written by another application, which has no role", self.tell(side)));
            };
            let Some(role) = self.roles.role(&device) else {
                return Err(format!("device {device} has no verified role"));
            };
            let Some(rank) = self.order.iter().position(|known| known == role) else {
                return Err(format!("the role {} of device {device} has no place in the order", excerpt(role)));
            };
            best = best.min(rank);
        }
        if best == usize::MAX { Err("a side has no writes".to_owned()) } else { Ok(best) }
    }

    fn device_specific(&self) -> Answer {
        if self.conflict.kind != ConflictKind::ConcurrentUpdate {
            return Err("it is about values of one field, and this is not".to_owned());
        }
        let mut sides: BTreeMap<DeviceTag, BTreeSet<usize>> = BTreeMap::new();
        for (i, side) in self.conflict.sides.iter().enumerate() {
            for write in &side.writes {
                let Some(device) = write.device() else {
                    return Err("another application wrote, and does not say from which device".to_owned());
                };
                sides.entry(device).or_default().insert(i);
            }
        }
        match sides.iter().find(|(_, sides)| sides.len() > 1) {
            Some((device, sides)) => Err(format!("device {device} wrote {} values", sides.len())),
            None => Ok((Outcome::PerDevice, "each device wrote one value, which stands for that device".to_owned())),
        }
    }

    /// Lists the sides in an order of their own, so that words do not follow the order in which they are given.
    fn sorted(&self) -> Vec<usize> {
        let mut sides: Vec<usize> = (0..self.conflict.sides.len()).collect();
        sides.sort_by_key(|side| self.greatest_op(*side));
        sides
    }

    fn side(&self, side: usize) -> &Side {
        &self.conflict.sides[side]
    }

    /// Gives the value of a side: that of its greatest write, should they ever differ.
    fn value(&self, side: usize) -> Option<&Value> {
        self.greatest(side)?.value.as_ref()
    }

    fn greatest_op(&self, side: usize) -> Option<&OpId> {
        self.greatest(side).map(|write| &write.op)
    }

    fn greatest(&self, side: usize) -> Option<&Written> {
        self.side(side).writes.iter().max_by_key(|write| &write.op)
    }

    /// Names a side in words.
    fn tell(&self, side: usize) -> String {
        let what = match (self.conflict.kind, self.value(side)) {
            (ConflictKind::DeleteAgainstUpdate, _) if self.deletes(side) => "the deletion".to_owned(),
            (ConflictKind::DeleteAgainstUpdate, _) => "the update".to_owned(),
            (_, Some(value)) => show(value),
            (_, None) => "the removal".to_owned(),
        };
        let devices: BTreeSet<DeviceTag> = self.side(side).writes.iter().filter_map(Written::device).collect();
        match devices.first() {
            Some(device) if devices.len() == 1 => format!("{what} by device {device}"),
            Some(device) => format!("{what} by device {device} and {} more", devices.len() - 1),
            None => what,
        }
    }

    fn deletes(&self, side: usize) -> bool {
        let is_life = |write: &Written| write.place.register().is_some_and(|r| r.field.as_str() == comity_model::LIFE);
        self.side(side).writes.iter().any(|write| write.value.is_none() || is_life(write))
    }
}

/// Gives the time of a write, when its author said it. Another application counts in whole seconds.
fn span(write: &Written) -> Option<Span> {
    if let Some(act) = &write.act {
        let ms = act.time.wall_ms.into();
        return Some(Span { earliest: ms, latest: ms });
    }
    let ms = i128::from(write.time_s) * 1_000;
    (write.time_s != 0).then_some(Span { earliest: ms, latest: ms + 999 })
}

/// Shows a value in words.
pub(in crate::policy) fn show(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("\"{}\"", excerpt(text)),
        other => excerpt(&other.to_string()),
    }
}
