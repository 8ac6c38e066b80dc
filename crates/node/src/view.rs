//! A document as it can be read.

use std::collections::BTreeMap;

use comity_crdt::{Entry, HistoryFilter, HistoryItem, Register};
use comity_engine::Standing;
use comity_model::{EntryId, Heads, KindName, RegisterKey, Value};
use comity_review::{Declarations, Disagreement, Review};

/// A document as it can be read: on the node's thread, within [`Document::read`](crate::Document::read).
pub struct View<'a> {
    pub(crate) document: &'a comity_crdt::Document,
    pub(crate) standing: Standing,
}

impl View<'_> {
    /// Gives the heads: what an edit made after looking at this view is based on.
    pub fn heads(&self) -> Heads {
        self.document.heads().clone()
    }

    /// Whether nothing is known of the document on this device.
    pub fn is_empty(&self) -> bool {
        self.document.is_empty()
    }

    /// Whether Comity made it; documents of other applications are synchronised, but not shown as entries.
    pub fn is_comity(&self) -> bool {
        self.document.is_comity()
    }

    /// Gives its kind.
    pub fn kind(&self) -> Option<KindName> {
        self.document.kind()
    }

    /// Gives its title.
    pub fn title(&self) -> Option<String> {
        self.document.title()
    }

    /// Gives one of the registers about the document: `kind`, `space`, `schema`, `key`, `title`.
    pub fn about(&self, name: &str) -> Option<Value> {
        self.document.about(name)
    }

    /// Gives all entries, deleted ones included, by id.
    pub fn entries(&self) -> BTreeMap<EntryId, Entry> {
        self.document.entries(None)
    }

    /// Gives one entry.
    pub fn entry(&self, id: &EntryId) -> Option<Entry> {
        self.document.entry(id, None)
    }

    /// Gives a register with every value that stands in it.
    pub fn register(&self, key: &RegisterKey) -> Option<Register> {
        self.document.register(key, None)
    }

    /// Gives the registers in which different values stand that did not know of each other.
    pub fn disagreements(&self) -> Vec<Disagreement> {
        comity_review::disagreements(self.document)
    }

    /// Finds all conflicts of the document and how they stand. The cost follows the whole history.
    pub fn review(&self, declared: Declarations) -> Review {
        Review::of(self.document, declared)
    }

    /// Gives the changes of the document, of an entry, or of a field, the oldest first.
    pub fn history(&self, filter: &HistoryFilter) -> Vec<HistoryItem> {
        self.document.history(filter)
    }

    /// Gives how far others are behind.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Gives the document as the pure crates know it.
    pub fn document(&self) -> &comity_crdt::Document {
        self.document
    }
}
