//! What waits in memory, and in the journal, for the next checkpoint.

use bytes::Bytes;
use comity_model::{DocumentId, Heads};

use crate::entry::Entry;
use crate::row::Manifest;

/// What the engine does not have yet of a document.
#[derive(Debug, Clone, Default)]
pub(super) struct Newer {
    pub(super) stamp: u64,
    pub(super) manifest: Manifest,
    pub(super) heads: Heads,
    /// Ascending, without holes.
    pub(super) changes: Vec<(u64, Bytes)>,
}

/// Most bytes of changes put into one row; a change that is larger has its rows for itself.
const PACKED_BYTES_MAX: usize = 3_800;

impl Newer {
    /// Gives the entries that bring the engine up to date.
    pub(super) fn into_entries(self, document: DocumentId) -> (u64, Vec<Entry>) {
        let mut entries: Vec<Entry> = Vec::new();
        let mut packed_bytes = 0;
        for (sequence, bytes) in self.changes {
            packed_bytes += bytes.len() + 4;
            match entries.last_mut() {
                Some(Entry::Changes { chunks, .. }) if packed_bytes <= PACKED_BYTES_MAX => chunks.push(bytes),
                _ => {
                    packed_bytes = bytes.len() + 4;
                    entries.push(Entry::Changes { document, first: sequence, chunks: vec![bytes] });
                }
            }
        }
        entries.push(Entry::Manifest { document, manifest: self.manifest, heads: self.heads });
        (self.stamp, entries)
    }
}
