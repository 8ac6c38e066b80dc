//! What each node knows of the conflicts in its documents, kept as a real one keeps it: made from the document when it is
//! first looked at after a start, then fed what arrives.
//!
//! A device is fed what its engine's events bring; the relay, whose events bring no changes, asks its document what is new.

use std::collections::BTreeMap;

use comity_crdt::{DecodedChange, Document};
use comity_model::{DocumentId, Heads};
use comity_review::policy::{Expr, Invariant};
use comity_review::{Conflict, Declarations, Review};

use crate::coverage::Seen;
use crate::host::{Mind, RELAY};
use crate::world::World;
use crate::{Sabotage, Violation, trace};

/// A review that is kept while changes arrive.
pub(crate) struct Kept {
    pub review: Review,
    /// The heads of what it was fed.
    pub heads: Heads,
    /// A digest of the changes in the order in which they came, for a planted bug.
    arrivals: u64,
}

impl Kept {
    fn of(content: &Document, declared: Declarations) -> Self {
        let mut kept = Self { review: Review::new(declared), heads: Heads::default(), arrivals: 0 };
        kept.follow(&content.decode_since(&Heads::default()), content.heads().clone());
        kept
    }

    fn follow(&mut self, changes: &[DecodedChange], heads: Heads) {
        self.review.feed(changes);
        self.heads = heads;
        for change in changes {
            self.arrivals = trace::digest(&[&self.arrivals.to_le_bytes()[..], &change.hash.0].concat());
        }
    }
}

impl World<'_> {
    /// Lets the review of a node take in a change of a document that its engine tells of.
    pub fn review_change(
        &mut self,
        node: usize,
        document: DocumentId,
        before: &Heads,
        after: &Heads,
        changes: &[DecodedChange],
    ) {
        match self.hosts[node].reviews.remove(&document) {
            Some(mut kept) if kept.heads == *before && !changes.is_empty() => {
                let changes = self.tampered(changes.to_vec());
                kept.follow(&changes, after.clone());
                self.hosts[node].reviews.insert(document, kept);
            }
            Some(kept) => {
                self.hosts[node].reviews.insert(document, kept);
                self.catch_up(node, document);
            }
            None => self.catch_up(node, document),
        }
        self.check_digest(node, document);
    }

    /// Brings the review of a node up to the document in its memory, and makes it if there is none.
    pub fn catch_up(&mut self, node: usize, document: DocumentId) {
        let declared = self.declared_at(node);
        let host = &mut self.hosts[node];
        let Mind::Comity(engine) = &host.mind else { return };
        let Some(content) = engine.document(&document) else { return };
        // It would not cover what a disk has lost.
        let goes_on = |kept: &Kept| self.sabotage == Some(Sabotage::KeepReview) || content.covers(&kept.heads);
        let kept = match host.reviews.remove(&document).filter(goes_on) {
            None => Kept::of(content, declared),
            Some(mut kept) => {
                let (new, heads) = (content.decode_since(&kept.heads), content.heads().clone());
                if kept.heads != heads {
                    let new = self.tampered(new);
                    kept.follow(&new, heads);
                }
                kept
            }
        };
        self.hosts[node].reviews.insert(document, kept);
    }

    /// What a planted bug makes of changes on their way to a review.
    fn tampered(&mut self, mut changes: Vec<DecodedChange>) -> Vec<DecodedChange> {
        if self.strikes(Sabotage::SkipChange, 50) {
            changes.pop();
        }
        if self.sabotage == Some(Sabotage::ChangesBackwards) {
            changes.reverse();
        }
        if self.strikes(Sabotage::ChangeTwice, 50)
            && let Some(mut again) = changes.last().cloned()
        {
            // Under another name, so that it is not passed over.
            again.hash.0[0] ^= 1;
            changes.push(again);
        }
        changes
    }

    pub fn declared_at(&self, node: usize) -> Declarations {
        match self.sabotage {
            Some(Sabotage::OtherPolicy) if node == 1 => Declarations::default(),
            _ => self.declared.clone(),
        }
    }

    /// Lists all conflicts of a review.
    pub fn listed(&self, review: &Review) -> Vec<Conflict> {
        let mut listed = review.conflicts(|_| true);
        if self.sabotage == Some(Sabotage::HideConflict) {
            listed.retain(|conflict| conflict.id.as_bytes()[0] >= 64);
        }
        listed
    }

    /// Equal heads give equal digests, on every node and at any time.
    pub fn check_digest(&mut self, node: usize, document: DocumentId) {
        let Some(kept) = self.hosts[node].reviews.get(&document) else { return };
        let mut digest = kept.review.digest();
        if self.sabotage == Some(Sabotage::DigestOfArrivals) {
            digest[..8].copy_from_slice(&kept.arrivals.to_le_bytes());
        }
        let key = (document, kept.heads.clone());
        let (known, first) = *self.digests.entry(key).or_insert((digest, node));
        if first != node {
            self.see(Seen::DigestCompared);
        }
        if known != digest {
            let reference = self.name(first);
            let detail = "the digests differ at equal heads".to_owned();
            self.violate(Violation::ConflictsDiffer { document, node: self.name(node), reference, detail });
        }
    }

    /// The review that a node keeps is the one that is made anew from its document.
    pub fn check_review(&mut self, node: usize, document: DocumentId) {
        let Some(content) = self.hosts[node].engine().and_then(|engine| engine.document(&document)) else { return };
        let anew = Review::of(content, self.declared.clone());
        let heads = content.heads().clone();
        let anew = self.listed(&anew);
        self.compare_review(node, document, &anew, &heads, "its own document");
    }

    /// Compares the conflicts that a node lists with those found anew in a document at these heads.
    fn compare_review(&mut self, node: usize, document: DocumentId, anew: &[Conflict], heads: &Heads, whose: &str) {
        let Some(kept) = self.hosts[node].reviews.get(&document) else { return };
        let detail = if kept.heads == *heads {
            difference(&self.listed(&kept.review), anew)
        } else {
            Some(format!("it was told of {}, and not of {heads}", kept.heads))
        };
        self.see(Seen::ReviewCompared);
        if let Some(detail) = detail {
            let reference = whose.to_owned();
            self.violate(Violation::ConflictsDiffer { document, node: self.name(node), reference, detail });
        }
    }

    /// Compares the conflicts of all nodes, now that all is quiet, and looks for what was lost in silence.
    pub fn judge_reviews(&mut self) {
        for document in self.documents.clone() {
            // What cannot be read was judged before.
            let Ok(content) = self.hosts[RELAY].disk.durable(&document) else { continue };
            let anew = Review::of(&content, self.declared.clone());
            let listed = self.listed(&anew);
            for node in 0..self.hosts.len() {
                self.check_digest(node, document);
                self.compare_review(node, document, &listed, content.heads(), "the relay's disk");
            }
            for conflict in &listed {
                self.see(Seen::Conflict(conflict.kind));
                self.see(Seen::Stands(conflict.state));
            }
            self.judge_decisions(document, &anew);
            self.judge_values(document, &content, &listed);
        }
    }
}

/// Says where two lists of conflicts part.
fn difference(ours: &[Conflict], theirs: &[Conflict]) -> Option<String> {
    if ours == theirs {
        return None;
    }
    let by_id = |list: &[Conflict]| list.iter().map(|one| (one.id, one.clone())).collect::<BTreeMap<_, _>>();
    let (ours, theirs) = (by_id(ours), by_id(theirs));
    let id = ours.keys().chain(theirs.keys()).find(|id| ours.get(*id) != theirs.get(*id))?;
    Some(format!("{id} is {:#?} here, {:#?} there", ours.get(id), theirs.get(id)))
}

/// A group, a dependency, a natural key, a second reviewer, and invariants.
pub(crate) fn declared() -> Declarations {
    let field = |name: &str| name.parse().expect("a field name");
    let invariant =
        |name: &str, text: &str| Invariant { name: name.to_owned(), expr: Expr::parse(text).expect("an expression") };
    Declarations {
        groups: vec![[field("status"), field("comment")].into()],
        depends_on: BTreeMap::from([(field("verdict"), [field("status")].into())]),
        natural_key: vec![field("serial")],
        second_reviewer: [field("verdict")].into(),
        invariants: vec![invariant("at-most-eight", "count(entries) <= 8"), invariant("own-note", "unique(note)")],
    }
}
