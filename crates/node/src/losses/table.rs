//! The losses that are open, and what is still to be done about them.

use std::collections::{BTreeMap, BTreeSet};

use comity_model::{DocumentId, Heads};
use comity_store::StoreError;

use super::{HEADS_MAX, Loss, ROWS_AT_ONCE};

/// A document, and what is to stand in its row.
pub(super) type Row = (DocumentId, Option<Loss>);

/// Documents whose row the store refused, and why.
pub(super) type Refusals = BTreeMap<DocumentId, StoreError>;

#[derive(Default)]
pub(super) struct Table {
    pub open: BTreeMap<DocumentId, Loss>,
    /// Those that need a restart.
    pub unreadable: BTreeSet<DocumentId>,
    /// Documents with which a peer was in step since their loss was found: they may be back.
    pub to_look_at: BTreeSet<DocumentId>,
    /// Documents whose row in the store is not as it should be.
    unwritten: BTreeSet<DocumentId>,
    /// The store reports what it found until it hears that everything is written.
    pub must_acknowledge: bool,
}

impl Table {
    pub fn new(open: BTreeMap<DocumentId, Loss>) -> Self {
        Self { open, ..Self::default() }
    }

    /// Puts a loss together with one of the same document that is still open. What was missing before is missing still,
    /// so the heads of both are demanded.
    pub fn add(&mut self, new: Loss) {
        let document = new.document;
        let known = self.open.get(&document);
        let loss = match known {
            Some(known) => Loss { heads: union(known.heads.clone(), new.heads), since: known.since, ..new },
            None => Loss { heads: union(None, new.heads), ..new },
        };
        if loss.needs_restart {
            self.unreadable.insert(document);
        } else {
            self.unreadable.remove(&document);
        }
        if known != Some(&loss) {
            // What a peer had before this was found says nothing of it.
            self.to_look_at.remove(&document);
            self.open.insert(document, loss);
            self.unwritten.insert(document);
        }
    }

    pub fn remove(&mut self, document: &DocumentId) -> Option<Loss> {
        let loss = self.open.remove(document)?;
        self.unreadable.remove(document);
        self.unwritten.insert(*document);
        Some(loss)
    }

    pub fn has_work(&self) -> bool {
        !self.unwritten.is_empty() || self.must_acknowledge
    }

    /// Gives some documents whose rows are to be written, and what is to stand in them; none of those that the store has
    /// just refused.
    pub fn due(&self, refused: &Refusals) -> Vec<Row> {
        let some = self.unwritten.iter().filter(|document| !refused.contains_key(document)).take(ROWS_AT_ONCE);
        some.map(|document| (*document, self.open.get(document).cloned())).collect()
    }

    /// Takes rows for written, except those that should say something else by now.
    pub fn written(&mut self, rows: &[Row]) {
        for (document, loss) in rows {
            if self.open.get(document) == loss.as_ref() {
                self.unwritten.remove(document);
            }
        }
    }
}

/// Gives the heads that one or the other knows of. Of very many some are enough to keep: a document is not back before it
/// is whole, so to demand fewer is to wait for less, but not to know of any would be to wait for nothing.
pub(super) fn union(one: Option<Heads>, other: Option<Heads>) -> Option<Heads> {
    let both = [one, other].into_iter().flatten().flat_map(|heads| heads.as_slice().to_vec());
    let heads = Heads::new(both.collect());
    (!heads.is_empty()).then(|| heads.as_slice().iter().take(HEADS_MAX).copied().collect())
}
