//! Nothing is lost in silence, shown without the review's own means: over the set of all changes, by who had seen what,
//! and with Automerge's own answer to what stands in a register.
//!
//! Of every value that somebody wrote to a register, one of these is true:
//!
//! - it is shown, or what is shown is equal to it;
//! - it stands beside what is shown, as a side of a listed conflict;
//! - somebody wrote over it whose change builds on it: they had it before them.
//!
//! And when its entry is shown deleted by somebody who did not know of it, while it did not know of that either, then a
//! conflict lists it as written against the deletion.
//!
//! To set what is shown already writes nothing, so nothing of it can be lost; a decision always writes.

use std::collections::{BTreeMap, BTreeSet};

use comity_crdt::{DecodedChange, DecodedOp, Document, ObjectId, OpId, OpKey, Version};
use comity_model::{ChangeHash, DocumentId, Heads, LIFE, RegisterKey, Value, Write};
use comity_review::{Conflict, ConflictKind, Place, Review};

use crate::Violation;
use crate::coverage::Seen;
use crate::world::{EditRecord, World};

impl World<'_> {
    /// Each decision that was called saved is among those that the review knows, as the change that its author made.
    pub fn judge_decisions(&mut self, document: DocumentId, review: &Review) {
        let due = self.edits.values().filter(|edit| edit.document == document && self.is_due(edit));
        let decided = due.filter_map(|edit| Some((edit.asked.decision.clone()?, edit.change?))).collect::<Vec<_>>();
        for (id, change) in decided {
            self.see(Seen::DecisionKept);
            if !review.decision(&id).any(|(_, by, _)| by == change) {
                self.violate(Violation::DecisionLost { document, decision: id.to_string(), change });
            }
        }
    }

    fn is_due(&self, edit: &EditRecord) -> bool {
        edit.is_saved() && edit.change.is_some_and(|change| !self.excused.contains(&change))
    }

    /// Every value that was written to a register has come to an end that somebody can see.
    pub fn judge_values(&mut self, document: DocumentId, content: &Document, listed: &[Conflict]) {
        let history = History::new(content, listed);
        let mut lost = Vec::new();
        let mut judged = 0_u64;
        for edit in self.edits.values().filter(|edit| edit.document == document && self.is_due(edit)) {
            let Some(change) = edit.change.and_then(|change| history.changes.get(&change)) else { continue };
            let missing = edit.asked.writes.iter().filter_map(|write| history.is_unwritten(change, write));
            lost.extend(missing.map(|place| (place, change.hash, "was asked for, and is not in the change")));
        }
        for change in history.changes.values() {
            for op in change.ops.iter().filter(|op| op.value().is_some()) {
                let Some(place) = place(op) else { continue };
                judged += 1;
                lost.extend(history.loss(change.hash, op, &place).map(|how| (place, change.hash, how)));
            }
        }
        self.coverage.add_to(Seen::ValueTraced, judged);
        if let Some((place, change, how)) = lost.into_iter().next() {
            let (place, how) = (place.to_string(), how.to_owned());
            self.violate(Violation::SilentLoss { document, place, change, how });
        }
    }
}

/// A document's changes, and what each author had seen.
struct History<'a> {
    content: &'a Document,
    changes: BTreeMap<ChangeHash, DecodedChange>,
    /// All that the author of a change had seen, the change itself included.
    seen: BTreeMap<ChangeHash, BTreeSet<ChangeHash>>,
    /// The changes that wrote over an operation.
    over: BTreeMap<OpId, Vec<ChangeHash>>,
    /// Operations that a conflict lists.
    listed: BTreeSet<OpId>,
    /// Those that one lists as written against a deletion.
    against_deletion: BTreeSet<OpId>,
}

impl<'a> History<'a> {
    fn new(content: &'a Document, listed: &[Conflict]) -> Self {
        let decoded = content.decode_since(&Heads::default());
        let mut seen: BTreeMap<ChangeHash, BTreeSet<ChangeHash>> = BTreeMap::new();
        let mut over: BTreeMap<OpId, Vec<ChangeHash>> = BTreeMap::new();
        for change in &decoded {
            let mut all: BTreeSet<ChangeHash> = change.deps.iter().flat_map(|dep| seen[dep].iter().copied()).collect();
            all.insert(change.hash);
            seen.insert(change.hash, all);
            for op in change.ops.iter().flat_map(|op| &op.pred) {
                over.entry(op.clone()).or_default().push(change.hash);
            }
        }
        let ops = |wanted: fn(&Conflict) -> bool| {
            let conflicts = listed.iter().filter(move |one| wanted(one));
            conflicts.flat_map(Conflict::writes).map(|write| write.op.clone()).collect()
        };
        Self {
            content,
            changes: decoded.into_iter().map(|change| (change.hash, change)).collect(),
            seen,
            over,
            listed: ops(|_| true),
            against_deletion: ops(|one| one.kind == ConflictKind::DeleteAgainstUpdate),
        }
    }

    fn sees(&self, later: &ChangeHash, earlier: &ChangeHash) -> bool {
        self.seen.get(later).is_some_and(|seen| seen.contains(earlier))
    }

    fn standing(&self, place: &Place, at: Option<&Heads>) -> Vec<Version> {
        let register = match place {
            Place::Field(register) => self.content.register(register, at),
            Place::About(name) => self.content.about_register(name, at),
            _ => None,
        };
        register.map_or_else(Vec::new, |register| register.versions)
    }

    /// Says how a written value was lost, when it was.
    fn loss(&self, change: ChangeHash, op: &DecodedOp, place: &Place) -> Option<&'static str> {
        if let Some(over) = self.over.get(&op.id) {
            let has_seen = over.iter().any(|later| self.sees(later, &change));
            return (!has_seen).then_some("was written over by somebody who had not seen it");
        }
        let standing = self.standing(place, None);
        let value = op.value();
        if !standing.iter().any(|version| version.change == change && Some(&version.value) == value) {
            return Some("does not stand, and nobody wrote over it");
        }
        let is_shown = standing.last().is_some_and(|shown| Some(&shown.value) == value);
        if !is_shown && !self.listed.contains(&op.id) {
            return Some("stands beside what is shown, and no conflict lists it");
        }
        let is_hidden = self.is_deleted_unseen(&change, place) && !self.against_deletion.contains(&op.id);
        is_hidden.then_some("stands in an entry that was deleted at the same time, and no conflict lists it")
    }

    /// Whether a value's entry is shown deleted by somebody who did not know of it, nor it of them.
    fn is_deleted_unseen(&self, change: &ChangeHash, place: &Place) -> bool {
        let Some(register) = place.register().filter(|register| register.field.as_str() != LIFE) else { return false };
        let life = self.standing(&Place::Field(RegisterKey::life(register.entry.clone())), None);
        let is_deletion = |version: &Version| version.value.as_text() == Some("deleted");
        let is_unseen = |by: &ChangeHash| !self.sees(by, change) && !self.sees(change, by);
        life.last().is_some_and(is_deletion)
            && life.iter().any(|version| is_deletion(version) && is_unseen(&version.change))
    }

    /// Gives the place of a write that was asked for and that the change neither holds nor had no need to hold.
    fn is_unwritten(&self, change: &DecodedChange, write: &Write) -> Option<Place> {
        let (place, value, is_forced) = match write {
            Write::Set { key, value } => (Place::Field(key.clone()), value, false),
            Write::About { name, value } => (Place::About(name.clone()), value, false),
            Write::Force { key, value } => (Place::Field(key.clone()), value, true),
            Write::ForceAbout { name, value } => (Place::About(name.clone()), value, true),
            _ => return None,
        };
        let written: Option<&Value> =
            change.ops.iter().rfind(|op| self::place(op).as_ref() == Some(&place)).and_then(DecodedOp::value);
        let is_there = match written {
            Some(written) => written == value,
            None if is_forced => false,
            None => {
                let before = self.standing(&place, Some(&Heads::new(change.deps.clone())));
                before.last().is_some_and(|shown| shown.value == *value)
            }
        };
        (!is_there).then_some(place)
    }
}

/// Names the register of an operation, in a document of ours.
fn place(op: &DecodedOp) -> Option<Place> {
    match (&op.object, &op.key) {
        (ObjectId::Values, _) => op.register().map(Place::Field),
        (ObjectId::About, OpKey::Map(name)) => Some(Place::About(name.clone())),
        _ => None,
    }
}
