//! A store in memory, for simulation and tests, and the oracle that the others are compared with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use comity_model::{DocumentId, Heads, StorageId};

use crate::error::StoreError;
use crate::op::{DocumentSummary, Op, SYNC_STATES_MAX, StoredDocument, check_limits, check_meta_key};
use crate::store::{Store, StoreStats};

/// Keeps documents in memory. Everything is lost when it is dropped, save what [`MemoryStore::image`] copied.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Debug, Default, Clone)]
struct State {
    documents: BTreeMap<DocumentId, MemoryDocument>,
    meta: BTreeMap<String, Bytes>,
    full: bool,
    closed: bool,
    /// Groups since the beginning, for the age of what they wrote.
    clock: u64,
    groups: u64,
    ops: u64,
}

#[derive(Debug, Default, Clone)]
struct MemoryDocument {
    snapshot: Option<Bytes>,
    changes: Vec<Bytes>,
    heads: Heads,
    /// With the number of the group that wrote each.
    sync_states: BTreeMap<StorageId, (u64, Bytes)>,
}

impl MemoryStore {
    /// Makes an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies what is stored now: what a crash at this moment would leave on a disk. The copy is open and not full.
    pub fn image(&self) -> Self {
        let state = self.state().clone();
        Self(Mutex::new(State { full: false, closed: false, groups: 0, ops: 0, ..state }))
    }

    /// Makes commits fail with [`StoreError::Full`], or lets them work again.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_state(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state();
        if state.closed { Err(StoreError::Closed) } else { Ok(state) }
    }
}

impl State {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Append { document, chunks, heads } => {
                let document = self.documents.entry(*document).or_default();
                document.changes.extend_from_slice(chunks);
                document.heads = heads.clone();
            }
            Op::Replace { document, snapshot, heads } => {
                let document = self.documents.entry(*document).or_default();
                document.changes.clear();
                document.snapshot = Some(snapshot.clone());
                document.heads = heads.clone();
            }
            Op::SyncState { document, peer, state } => {
                if let Some(document) = self.documents.get_mut(document) {
                    let states = &mut document.sync_states;
                    states.insert(peer.clone(), (self.clock, state.clone()));
                    let oldest = states.iter().min_by_key(|(peer, (written, _))| (*written, *peer));
                    if let (true, Some(oldest)) = (states.len() > SYNC_STATES_MAX, oldest.map(|(peer, _)| peer.clone()))
                    {
                        states.remove(&oldest);
                    }
                }
            }
            Op::PutMeta { key, value } => drop(self.meta.insert(key.clone(), value.clone())),
            Op::RemoveMeta { key } => drop(self.meta.remove(key)),
        }
    }
}

impl Store for MemoryStore {
    fn commit(&self, ops: &[Op]) -> Result<(), StoreError> {
        check_limits(ops)?;
        let mut state = self.open_state()?;
        if state.full {
            return Err(StoreError::Full { folder: PathBuf::from("memory"), free_bytes: 0, floor_bytes: 1 });
        }
        state.clock += 1;
        ops.iter().for_each(|op| state.apply(op));
        state.groups += 1;
        state.ops += ops.len() as u64;
        Ok(())
    }

    fn load(&self, document: &DocumentId) -> Result<Option<StoredDocument>, StoreError> {
        let state = self.open_state()?;
        Ok(state.documents.get(document).map(|document| StoredDocument {
            snapshot: document.snapshot.clone(),
            changes: document.changes.clone(),
            heads: document.heads.clone(),
            sync_states: document.sync_states.iter().map(|(peer, (_, state))| (peer.clone(), state.clone())).collect(),
        }))
    }

    fn summary(&self, document: &DocumentId) -> Result<Option<DocumentSummary>, StoreError> {
        let state = self.open_state()?;
        Ok(state.documents.get(document).map(|stored| DocumentSummary {
            document: *document,
            heads: stored.heads.clone(),
            changes: stored.changes.len() as u64,
            change_bytes: stored.changes.iter().map(|chunk| chunk.len() as u64).sum(),
            snapshot_bytes: stored.snapshot.as_ref().map(|snapshot| snapshot.len() as u64),
        }))
    }

    fn documents(&self) -> Result<Vec<DocumentId>, StoreError> {
        Ok(self.open_state()?.documents.keys().copied().collect())
    }

    fn meta(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        check_meta_key(key)?;
        Ok(self.open_state()?.meta.get(key).cloned())
    }

    fn meta_keys(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.open_state()?.meta.keys().cloned().collect())
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        self.open_state().map(drop)
    }

    fn close(&self) -> Result<(), StoreError> {
        self.state().closed = true;
        Ok(())
    }

    fn stats(&self) -> Result<StoreStats, StoreError> {
        let state = self.open_state()?;
        let bytes = |stored: &MemoryDocument| {
            let chunks = stored
                .changes
                .iter()
                .chain(&stored.snapshot)
                .chain(stored.sync_states.values().map(|(_, state)| state));
            chunks.map(|chunk| chunk.len() as u64).sum::<u64>()
        };
        Ok(StoreStats {
            engine: "memory",
            documents: state.documents.len() as u64,
            meta_rows: state.meta.len() as u64,
            live_bytes: state.documents.values().map(bytes).sum(),
            groups: state.groups,
            ops: state.ops,
            ..StoreStats::default()
        })
    }
}
