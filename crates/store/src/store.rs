//! The trait that every store has.

use bytes::Bytes;
use comity_model::{DocumentId, Heads};

use crate::error::StoreError;
use crate::op::{DocumentSummary, Op, StoredDocument};

/// Keeps documents. Calls block; never call from an async thread. None hangs: stores with an engine give a call up after
/// [`Options::call_deadline`](crate::Options::call_deadline).
///
/// The contract: when [`Store::commit`] returns Ok, the whole group is on disk and survives a power loss, and every
/// later read sees it. When it fails, nothing was written if the error is not final
/// ([`StoreError::is_final`]); after a final error the group is either whole or absent, which the next opening
/// tells, and the handle answers everything with [`StoreError::Stopped`].
pub trait Store: Send + Sync + 'static {
    /// Makes one group durable, whole or not at all. Ops take effect in order.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::TooLarge`] and [`StoreError::InvalidMetaKey`] wrote nothing;
    /// [`StoreError::DamagedDocument`] names the document whose op stopped the group, and wrote nothing.
    fn commit(&self, ops: &[Op]) -> Result<(), StoreError>;

    /// Reads a document, and checks that it is what was stored. `None` when there never was one.
    ///
    /// # Errors
    /// [`StoreError::DamagedDocument`] when it is not what was stored; other documents still load.
    fn load(&self, document: &DocumentId) -> Result<Option<StoredDocument>, StoreError>;

    /// Describes a document without loading it. `None` when there never was one.
    ///
    /// # Errors
    /// As [`Store::load`].
    fn summary(&self, document: &DocumentId) -> Result<Option<DocumentSummary>, StoreError>;

    /// Gives the heads of a document without loading it. `None` when there never was one.
    ///
    /// # Errors
    /// As [`Store::load`].
    fn heads(&self, document: &DocumentId) -> Result<Option<Heads>, StoreError> {
        Ok(self.summary(document)?.map(|summary| summary.heads))
    }

    /// Lists the documents, ascending, damaged ones included. Reads nothing from disk.
    ///
    /// # Errors
    /// When the handle was closed or has stopped.
    fn documents(&self) -> Result<Vec<DocumentId>, StoreError>;

    /// Reads a node-level row.
    ///
    /// # Errors
    /// [`StoreError::DamagedMeta`] when it is not what was stored.
    fn meta(&self, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// Lists the keys of the node-level rows, ascending.
    ///
    /// # Errors
    /// When the handle was closed or has stopped.
    fn meta_keys(&self) -> Result<Vec<String>, StoreError>;

    /// Says that what the opening of this handle reported as damaged is written down elsewhere. Until then every opening
    /// reports it again, whatever became of the process that heard it first. Without damage there is nothing to do, and
    /// a store that is never damaged need not do anything.
    ///
    /// # Errors
    /// When the handle was closed or has stopped, or the disk fails. The last stops nothing: it is reported again.
    fn acknowledge(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Tells whether every call ends by itself, with an error at a deadline if it must. Then a writer commits on its own
    /// thread; else it keeps one more, which it can leave behind.
    fn ends_by_itself(&self) -> bool {
        false
    }

    /// Makes the engine itself durable and drops the journal. Happens by itself as the journal grows.
    ///
    /// # Errors
    /// All are final.
    fn checkpoint(&self) -> Result<(), StoreError>;

    /// Closes properly, so that the next opening needs no replay. Closing twice is fine. A store that is dropped
    /// without this loses nothing: the next opening replays the journal and verifies.
    ///
    /// # Errors
    /// All are final; nothing acknowledged is lost.
    fn close(&self) -> Result<(), StoreError>;

    /// Counts what there is and what was written.
    ///
    /// # Errors
    /// When the handle was closed, or sizes cannot be read.
    fn stats(&self) -> Result<StoreStats, StoreError>;
}

/// Counts of a store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StoreStats {
    /// Which engine.
    pub engine: &'static str,
    /// Documents.
    pub documents: u64,
    /// Node-level rows.
    pub meta_rows: u64,
    /// What the engine must hold, about, in bytes. Snapshot files are not counted.
    pub live_bytes: u64,
    /// What the engine's files take, in bytes.
    pub engine_disk_bytes: u64,
    /// What the snapshot files take, in bytes.
    pub snapshot_disk_bytes: u64,
    /// What the journal takes, in bytes.
    pub journal_disk_bytes: u64,
    /// Free bytes on the disk.
    pub free_bytes: u64,
    /// Groups committed by this handle.
    pub groups: u64,
    /// Ops committed by this handle.
    pub ops: u64,
    /// Bytes that this handle wrote to the journal.
    pub journal_bytes_written: u64,
    /// Bytes of keys and values that this handle gave to the engine.
    pub engine_bytes_written: u64,
    /// Bytes of snapshot files that this handle wrote.
    pub snapshot_bytes_written: u64,
    /// Checkpoints of this handle.
    pub checkpoints: u64,
    /// Times this handle rewrote the engine's files because they had grown too large.
    pub rewrites: u64,
}
