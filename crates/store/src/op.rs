//! What can be stored.

use bytes::Bytes;
use comity_model::{DocumentId, Heads, StorageId};

use crate::error::StoreError;

/// One thing to make durable. The ops of a store take effect in the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Adds change chunks to a document, which comes into being with its first op.
    Append {
        /// Which document.
        document: DocumentId,
        /// The chunks, in causal order. May be empty, to change the heads alone.
        chunks: Vec<Bytes>,
        /// The heads with these chunks.
        heads: Heads,
    },
    /// Compacts a document: the snapshot covers all that was appended before this op, and takes its place.
    Replace {
        /// Which document.
        document: DocumentId,
        /// The whole document, saved.
        snapshot: Bytes,
        /// The heads of the snapshot.
        heads: Heads,
    },
    /// Keeps the state of the sync session with a peer, for the next connection. At most [`SYNC_STATES_MAX`] are kept for
    /// a document.
    SyncState {
        /// Which document.
        document: DocumentId,
        /// The storage of the peer.
        peer: StorageId,
        /// The encoded state.
        state: Bytes,
    },
    /// Writes a small node-level row.
    PutMeta {
        /// 1 to [`META_KEY_BYTES_MAX`] bytes without control characters.
        key: String,
        /// At most [`META_BYTES_MAX`] bytes.
        value: Bytes,
    },
    /// Removes a node-level row. It need not exist.
    RemoveMeta {
        /// The key.
        key: String,
    },
}

/// A document as it is stored. The snapshot, then the changes in order, give the document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredDocument {
    /// The last snapshot, when the document was ever compacted.
    pub snapshot: Option<Bytes>,
    /// The change chunks since the snapshot, in the order in which they were appended.
    pub changes: Vec<Bytes>,
    /// The heads that were given with the last op. Empty with changes present means unknown: the row that held them
    /// was lost to damage, which was reported at opening.
    pub heads: Heads,
    /// The states of sync sessions, ascending by peer.
    pub sync_states: Vec<(StorageId, Bytes)>,
}

/// What is known about a document without loading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentSummary {
    /// Which document.
    pub document: DocumentId,
    /// Its heads.
    pub heads: Heads,
    /// Change chunks since the snapshot.
    pub changes: u64,
    /// Bytes of those chunks.
    pub change_bytes: u64,
    /// Bytes of the snapshot, when there is one.
    pub snapshot_bytes: Option<u64>,
}

/// Longest change chunk, in bytes: twice the longest message, since a message may hold a whole document.
pub const CHUNK_BYTES_MAX: usize = 128 << 20;
/// Longest snapshot, in bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 1 << 30;
/// Longest state of a sync session, in bytes: room for 10,000 shared heads and more.
pub const SYNC_STATE_BYTES_MAX: usize = 1 << 20;
/// Most states of sync sessions kept for one document; the one that was written longest ago goes for one more. Losing one
/// is harmless: the next session with that peer takes one more round trip.
pub const SYNC_STATES_MAX: usize = 1_024;
/// Longest value of a node-level row, in bytes.
pub const META_BYTES_MAX: usize = 4_000;
/// Longest key of a node-level row, in bytes.
pub const META_KEY_BYTES_MAX: usize = 128;
/// Most heads of a document.
pub const HEADS_MAX: usize = 10_000;
/// Most bytes of one group, snapshots not counted (they are files of their own).
pub const GROUP_BYTES_MAX: usize = 256 << 20;

/// Checks the ops of one group against the limits, before anything is written.
pub(crate) fn check_limits(ops: &[Op]) -> Result<(), StoreError> {
    let mut group_bytes = 0;
    for op in ops {
        group_bytes += match op {
            Op::Append { chunks, heads, .. } => {
                check_heads(heads)?;
                for chunk in chunks {
                    at_most("a change chunk (bytes)", chunk.len(), CHUNK_BYTES_MAX)?;
                }
                chunks.iter().map(|chunk| chunk.len() + 64).sum::<usize>() + heads.as_slice().len() * 32 + 256
            }
            Op::Replace { snapshot, heads, .. } => {
                check_heads(heads)?;
                at_most("a snapshot (bytes)", snapshot.len(), SNAPSHOT_BYTES_MAX)?;
                heads.as_slice().len() * 32 + crate::row::VALUE_BYTES_MAX + 256
            }
            Op::SyncState { state, .. } => {
                at_most("the state of a sync session (bytes)", state.len(), SYNC_STATE_BYTES_MAX)?;
                state.len() + 256
            }
            Op::PutMeta { key, value } => {
                check_meta_key(key)?;
                at_most("a node-level row (bytes)", value.len(), META_BYTES_MAX)?;
                value.len() + 256
            }
            Op::RemoveMeta { key } => {
                check_meta_key(key)?;
                256
            }
        };
    }
    at_most("a group of operations (bytes)", group_bytes, GROUP_BYTES_MAX)
}

pub(crate) fn check_meta_key(key: &str) -> Result<(), StoreError> {
    if key.is_empty() || key.len() > META_KEY_BYTES_MAX || key.chars().any(char::is_control) {
        let key = key.chars().take(64).collect();
        return Err(StoreError::InvalidMetaKey { key, max: META_KEY_BYTES_MAX });
    }
    Ok(())
}

fn check_heads(heads: &Heads) -> Result<(), StoreError> {
    at_most("the heads of a document (hashes)", heads.as_slice().len(), HEADS_MAX)
}

fn at_most(what: &'static str, actual: usize, max: usize) -> Result<(), StoreError> {
    if actual > max {
        return Err(StoreError::TooLarge { what, actual: actual as u64, max: max as u64 });
    }
    Ok(())
}
