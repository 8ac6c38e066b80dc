//! Looking back: what was in conflict at older heads, what became of a conflict that is gone, what overtook a decision.
//!
//! Whoever answers a conflict has looked at it some time ago. These tell what has happened since.

use std::collections::{BTreeMap, BTreeSet};

use comity_crdt::{DecodedChange, Document};
use comity_model::{Act, ActorId, ChangeHash, Heads, RegisterKey};

use crate::{ConflictId, ConflictKind, DecisionId, Declarations, Place, Review, Subject};

/// A conflict that was there once and is not any more: somebody wrote over it, or a new write made another one of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// The conflict.
    pub id: ConflictId,
    /// What sort.
    pub kind: ConflictKind,
    /// What it was about.
    pub subject: Subject,
    /// The change with which it went.
    pub by: ChangeHash,
}

impl Review {
    /// Makes the review of a document as it was at older heads; `None` when they are not part of it. The cost follows the
    /// whole history.
    pub fn at(document: &Document, heads: &Heads, declared: Declarations) -> Option<Self> {
        if !document.covers(heads) {
            return None;
        }
        let mut changes = document.decode_since(&Heads::default());
        if heads != document.heads() {
            let later: BTreeSet<ChangeHash> = document.changes_since(heads).into_iter().map(|(hash, _)| hash).collect();
            changes.retain(|change| !later.contains(&change.hash));
        }
        let mut review = Self::new(declared);
        review.feed(&changes);
        Some(review)
    }

    /// Finds conflicts that were there once and are gone, of those that are wanted, by taking in the changes one by one in
    /// this order. What several devices saw in another order may be missing.
    pub fn ended(
        changes: &[DecodedChange],
        declared: Declarations,
        is_wanted: impl Fn(&ConflictId) -> bool,
    ) -> Vec<Ended> {
        let mut review = Self::new(declared);
        let mut ended = BTreeMap::new();
        for change in changes {
            for turn in review.feed(std::slice::from_ref(change)) {
                if !is_wanted(&turn.id) {
                    continue;
                }
                match turn.now {
                    Some(_) => ended.remove(&turn.id),
                    None => {
                        let by = change.hash;
                        ended.insert(turn.id, Ended { id: turn.id, kind: turn.kind, subject: turn.subject, by })
                    }
                };
            }
        }
        ended.into_values().collect()
    }

    /// Gives who made a change, what they say of it, and when, in seconds since 1970, as their clock said.
    pub fn author(&self, change: &ChangeHash) -> Option<(&ActorId, Option<Act>, i64)> {
        let node = self.log.graph.node(self.log.graph.change(change)?);
        Some((self.log.graph.actor_id(node.actor), node.act, node.time_s))
    }

    /// Lists the decisions that took the place of one, by id.
    pub fn superseding(&self, id: &DecisionId) -> Vec<DecisionId> {
        let all = self.log.decisions.iter();
        let takes = all.filter(|(_, decided)| decided.iter().any(|one| one.record.supersedes.contains(id)));
        takes.map(|(other, _)| other.clone()).collect()
    }

    /// Lists the registers that a decision wrote and that somebody has written since, knowing of it.
    pub fn overwritten(&self, id: &DecisionId) -> Vec<RegisterKey> {
        let mut overwritten = BTreeSet::new();
        for decided in self.log.decisions.get(id).into_iter().flatten() {
            for (register, _) in &decided.record.writes {
                let cell = self.log.cell(&Place::Field(register.clone()));
                let stands = cell.is_some_and(|cell| cell.live().any(|write| write.change == decided.change));
                if !stands {
                    overwritten.insert(register.clone());
                }
            }
        }
        overwritten.into_iter().collect()
    }
}
