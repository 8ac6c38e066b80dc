//! One document in memory.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, ReadDoc, SaveOptions};
use bytes::Bytes;
use comity_model::{Act, ActorId, ChangeHash, Heads};

use crate::replay::Replay;
use crate::size::Size;
use crate::stranded::Stranded;
use crate::sync::PayloadCache;
use crate::waiting::Waiting;
use crate::{convert, genesis};

// What a document takes in memory, measured with `examples/memory_cost.rs` and rounded up.

/// Bytes for an operation: columns and indexes.
const OPERATION_BYTES: usize = 40;
/// Bytes for a change: its place in the graph.
const CHANGE_BYTES: usize = 300;
/// How often the inflated bytes of the chunks stand in memory.
const CONTENT_COPIES: usize = 2;

/// A document: everything that has been written to it, by whom, knowing what.
///
/// Calls come in four families. *Make*: [`new`](Self::new), [`load`](Self::load), [`import`](Self::import). *Write*:
/// [`edit`](Self::edit). *Synchronise*: [`receive`](Self::receive) and [`generate`](Self::generate), with one
/// [`SyncSession`](crate::SyncSession) for each peer. *Read*: all others.
///
/// Should Automerge ever panic while it changes the document, then what is in memory can no longer be trusted: it is
/// thrown away, [`is_broken`](Self::is_broken) is true from then on, and the owner loads the document again from its
/// store, where only whole changes are.
#[derive(Debug)]
pub struct Document {
    pub(crate) inner: Automerge,
    pub(crate) heads: Heads,
    /// Changes that wait for what they depend on. Automerge knows nothing of them.
    pub(crate) waiting: Waiting,
    /// Those of them that our own store has, and others on which they depend not.
    pub(crate) stranded: Stranded,
    pub(crate) size: Size,
    pub(crate) payloads: PayloadCache,
    pub(crate) replay: Replay,
    broken: bool,
}

/// Automerge panicked; the document in memory is gone.
#[derive(Debug)]
pub(crate) struct Panicked;

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

impl Document {
    /// Makes a document of which nothing is known yet.
    pub fn new() -> Self {
        Self::from_inner(Automerge::new())
    }

    pub(crate) fn from_inner(inner: Automerge) -> Self {
        let heads = convert::heads(&inner.get_heads());
        Self {
            inner,
            heads,
            waiting: Waiting::default(),
            stranded: Stranded::default(),
            size: Size::default(),
            payloads: PayloadCache::default(),
            replay: Replay::default(),
            broken: false,
        }
    }

    /// Gives the heads: the name of the set of changes that the document consists of.
    pub fn heads(&self) -> &Heads {
        &self.heads
    }

    /// Tells whether nothing is known of the document.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Tells whether the document in memory had to be thrown away and must be loaded again.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Tells whether the document is all that its store holds. One that was [loaded incomplete](Self::load_incomplete)
    /// must not replace what is stored until it is whole: what waits for lost changes is in the store alone.
    pub fn is_whole(&self) -> bool {
        self.stranded.is_empty()
    }

    /// Tells whether the document has the shape of Comity's documents: whether the genesis change is in it.
    pub fn is_comity(&self) -> bool {
        self.contains(&genesis::HASH)
    }

    /// Tells whether a change is part of the document. A change that still waits for others is not.
    pub fn contains(&self, hash: &ChangeHash) -> bool {
        self.has(&convert::their_hash(*hash))
    }

    pub(crate) fn has(&self, hash: &automerge::ChangeHash) -> bool {
        self.heads.contains(&convert::hash(*hash)) || self.inner.get_change_meta_by_hash(hash).is_some()
    }

    /// Tells whether everything that the heads name is part of the document.
    pub fn covers(&self, heads: &Heads) -> bool {
        *heads == self.heads || heads.as_slice().iter().all(|hash| self.contains(hash))
    }

    /// Gives what a change of ours says of itself; `None` for another application's, or one that is not here.
    pub fn act_of(&self, hash: &ChangeHash) -> Option<Act> {
        let change = self.inner.get_change_meta_by_hash(&convert::their_hash(*hash))?;
        change.message.as_deref().and_then(Act::from_message)
    }

    /// Counts the changes.
    pub fn change_count(&self) -> usize {
        usize::try_from(self.inner.stats().num_changes).unwrap_or(usize::MAX)
    }

    /// Counts the operations that are kept.
    pub fn operation_count(&self) -> usize {
        usize::try_from(self.inner.stats().num_ops).unwrap_or(usize::MAX)
    }

    /// Counts the bytes of memory that changes take which wait for what they depend on, those not counted that the store
    /// has.
    pub fn orphan_bytes(&self) -> usize {
        self.waiting.size_bytes() - self.stranded.size_bytes()
    }

    /// Estimates the memory that the document takes while nothing happens, in bytes.
    pub fn weight_bytes(&self) -> usize {
        let content = self.size.cost.inflated_bytes.saturating_mul(CONTENT_COPIES);
        let operations = self.operation_count().saturating_mul(OPERATION_BYTES);
        let changes = self.change_count().saturating_mul(CHANGE_BYTES);
        [operations, changes, self.waiting.size_bytes()].iter().fold(content, |sum, part| sum.saturating_add(*part))
    }

    /// Counts the changes that people and applications wrote: all but the constant genesis.
    pub fn written_count(&self) -> usize {
        self.change_count() - usize::from(self.is_comity())
    }

    /// Counts the written changes that somebody with these heads lacks. The cost follows what is counted.
    pub fn written_since(&self, heads: &Heads) -> usize {
        self.changes_since(heads).iter().filter(|(hash, _)| *hash != genesis::HASH).count()
    }

    /// Lists the changes that somebody with these heads lacks, each after what it depends on, with their actors.
    /// Heads that are not part of the document count for nothing. The cost follows what is listed.
    pub fn changes_since(&self, heads: &Heads) -> Vec<(ChangeHash, ActorId)> {
        if *heads == self.heads {
            return Vec::new();
        }
        let changes = self.inner.get_changes_meta(&convert::their_heads(heads));
        changes.iter().map(|change| (convert::hash(change.hash), convert::actor(&change.actor))).collect()
    }

    /// Writes the whole document in Automerge's document format, without changes that still wait for others. What is
    /// written is read back and compared, for the store forgets the single changes once it has it.
    ///
    /// `None` when the document is broken or not [whole](Self::is_whole), or Automerge writes what it cannot read; the changes one by one are then
    /// all there is.
    pub fn save(&self) -> Option<Bytes> {
        if self.broken || !self.is_whole() {
            return None;
        }
        let options = SaveOptions { deflate: true, retain_orphans: false };
        let bytes = self.quietly("save", |inner| {
            let bytes = inner.save_with_options(options);
            let read_back = Automerge::load(&bytes).is_ok_and(|copy| copy.get_heads() == inner.get_heads());
            read_back.then(|| Bytes::from(bytes))
        });
        if bytes.is_none() {
            tracing::error!(heads = %self.heads, "automerge cannot read back the document that it wrote");
        }
        bytes
    }

    /// Reads under `catch_unwind`: foreign operations that passed admission may still find a panic in Automerge.
    pub(crate) fn quietly<T: Default>(&self, what: &'static str, read: impl FnOnce(&Automerge) -> T) -> T {
        catch_unwind(AssertUnwindSafe(|| read(&self.inner))).unwrap_or_else(|_| {
            tracing::error!(what, heads = %self.heads, "automerge panicked while reading a document");
            T::default()
        })
    }

    /// Changes the document under `catch_unwind`. After a panic it is thrown away.
    pub(crate) fn guarded<T>(
        &mut self,
        what: &'static str,
        change: impl FnOnce(&mut Automerge) -> T,
    ) -> Result<T, Panicked> {
        let result = catch_unwind(AssertUnwindSafe(|| change(&mut self.inner)));
        result.map_err(|_| {
            tracing::error!(what, heads = %self.heads, "automerge panicked; the document must be loaded again");
            self.discard();
            Panicked
        })
    }

    /// Throws the content away after a panic.
    pub(crate) fn discard(&mut self) {
        *self = Self { broken: true, ..Self::new() };
    }

    /// Takes note that changes were added.
    pub(crate) fn advanced(&mut self) {
        self.heads = convert::heads(&self.inner.get_heads());
        self.payloads.clear();
    }
}

#[cfg(test)]
mod tests {
    use comity_model::{Act, ActKind, HybridTime, Limits};

    use super::*;
    use crate::{EditError, SyncSession};

    #[test]
    fn after_a_panic_the_document_is_gone_and_says_so() {
        let mut document = Document::new();
        let act = Act { time: HybridTime::default(), policy: [0; 8], kind: ActKind::Edit };
        let actor = ActorId::from_bytes(&[1; 24]);
        let write = [comity_model::Write::Set { key: "M1/status".parse().unwrap(), value: "good".into() }];
        document.edit(&actor, act, None, &write, &Limits::default()).unwrap();
        assert!(document.guarded("test", |_| panic!("as hostile bytes might make it")).is_err());
        assert!(document.is_broken() && document.is_empty());
        assert!(document.entries(None).is_empty());
        assert!(document.save().is_none());
        assert!(document.generate(&mut SyncSession::new()).is_none());
        let refused = document.edit(&actor, act, None, &write, &Limits::default());
        assert!(matches!(refused, Err(EditError::Broken)));
    }

    #[test]
    fn a_panic_while_reading_costs_only_the_answer() {
        let document = Document::new();
        let answer: Option<u8> = document.quietly("test", |_| panic!("as hostile bytes might make it"));
        assert_eq!(answer, None);
        assert!(!document.is_broken());
    }
}
