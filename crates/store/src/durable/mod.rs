//! The store over an engine: plan, journal, engine, catalogue; one group at a time.

mod calls;
mod newer;
mod plan;
mod upkeep;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use comity_model::DocumentId;

use self::newer::Newer;
use self::plan::{Plan, entry_document, manifest_entry};
use crate::apply::apply;
use crate::catalogue::{Catalogue, Expected, Index};
use crate::disk::{self, FolderLock};
use crate::engine::Engine;
use crate::entry::Entry;
use crate::error::StoreError;
use crate::folder::Folder;
use crate::journal::Journal;
use crate::options::Options;
use crate::report::Damage;
use crate::row::{Manifest, Sealer, SnapshotRef, Space, decode, manifest_key};
use crate::snapshots::Snapshots;

/// Locks that documents are spread over, for load against commit.
const STRIPES: usize = 64;

/// A store over an engine.
///
/// Locks are taken in this order: writer, engine, stripes (ascending), index, newer.
#[derive(Debug)]
pub(crate) struct Durable<E: Engine> {
    pub(crate) folder: Folder,
    pub(crate) sealer: Sealer,
    pub(crate) options: Options,
    pub(crate) snapshots: Snapshots,
    writer: Mutex<Writer>,
    engine: RwLock<Option<E>>,
    stripes: Vec<RwLock<()>>,
    index: RwLock<Index>,
    /// What documents got since the last checkpoint. It goes to the engine only then: the manifest once, however often
    /// it changed, and many small changes in one row. The journal has it all meanwhile. This halves what is written.
    newer: RwLock<HashMap<DocumentId, Newer>>,
    /// The error that was final for this handle.
    stopped: OnceLock<Arc<str>>,
    /// Damage was met: the next opening must verify.
    suspect: AtomicBool,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    groups: AtomicU64,
    ops: AtomicU64,
    journal_bytes: AtomicU64,
    engine_bytes: AtomicU64,
    snapshot_bytes: AtomicU64,
    checkpoints: AtomicU64,
    rewrites: AtomicU64,
}

/// What only the one who commits may touch.
#[derive(Debug)]
struct Writer {
    journal: Journal,
    catalogue: Catalogue,
    /// What changed since the last checkpoint.
    changed_documents: BTreeSet<DocumentId>,
    changed_meta: BTreeSet<[u8; 16]>,
    /// Snapshots that nothing refers to since the last checkpoint.
    garbage: Vec<(DocumentId, SnapshotRef)>,
    lock: Option<FolderLock>,
}

impl<E: Engine> Durable<E> {
    pub(crate) fn new(parts: OpenParts<E>) -> Self {
        let OpenParts { folder, sealer, options, snapshots, journal, catalogue, engine, index, lock } = parts;
        let writer = Writer {
            journal,
            catalogue,
            changed_documents: BTreeSet::new(),
            changed_meta: BTreeSet::new(),
            garbage: Vec::new(),
            lock: Some(lock),
        };
        Self {
            folder,
            sealer,
            options,
            snapshots,
            writer: Mutex::new(writer),
            engine: RwLock::new(Some(engine)),
            stripes: (0..STRIPES).map(|_| RwLock::new(())).collect(),
            index: RwLock::new(index),
            newer: RwLock::new(HashMap::new()),
            stopped: OnceLock::new(),
            suspect: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    /// Takes note of an error: a final one stops the handle, damage makes the next opening verify.
    pub(crate) fn note<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            match error {
                StoreError::DamagedDocument { .. } | StoreError::DamagedMeta { .. } => {
                    self.suspect.store(true, Ordering::Release);
                }
                StoreError::Stopped { .. } | StoreError::Closed => {}
                error if error.is_final() => {
                    tracing::error!(folder = %self.folder.root.display(), %error, "the store has stopped");
                    // A second error does not replace the first.
                    let _ = self.stopped.set(error.to_string().into());
                }
                _ => {}
            }
        }
        result
    }

    /// Tells whether an error was final for this handle.
    pub(crate) fn check_running(&self) -> Result<(), StoreError> {
        match self.stopped.get() {
            Some(cause) => Err(StoreError::Stopped { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    fn with_engine<T>(&self, work: impl FnOnce(&E) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.check_running()?;
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        let result = work(engine.as_ref().ok_or(StoreError::Closed)?);
        self.note(result)
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what the engine does not have yet of a document.
    fn newer<T>(&self, document: &DocumentId, look: impl FnOnce(&Newer) -> T) -> Option<T> {
        self.newer.read().unwrap_or_else(PoisonError::into_inner).get(document).map(look)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stripe(&self, document: &DocumentId) -> usize {
        let bytes = document.as_bytes();
        usize::from(bytes[0] ^ bytes[7] ^ bytes[15]) % STRIPES
    }

    fn read_lock(&self, document: &DocumentId) -> RwLockReadGuard<'_, ()> {
        self.stripes[self.stripe(document)].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_locks<'a>(&'a self, documents: impl Iterator<Item = &'a DocumentId>) -> Vec<RwLockWriteGuard<'a, ()>> {
        let stripes: BTreeSet<usize> = documents.map(|document| self.stripe(document)).collect();
        let lock = |stripe: usize| self.stripes[stripe].write().unwrap_or_else(PoisonError::into_inner);
        stripes.into_iter().map(lock).collect()
    }

    /// Reads and checks the manifest of a document; `None` when there never was one.
    fn manifest(&self, engine: &E, document: &DocumentId) -> Result<Option<Manifest>, StoreError> {
        if let Some(manifest) = self.newer(document, |newer| newer.manifest.clone()) {
            return Ok(Some(manifest));
        }
        let Some(expected) = self.index().documents.get(document).copied() else { return Ok(None) };
        let key = manifest_key(document);
        let value = engine.value(Space::Data, &key)?;
        let damaged = |damage| StoreError::DamagedDocument { document: *document, damage };
        let value = value.ok_or_else(|| damaged(Damage::Gone))?;
        let row = self.sealer.unseal(Space::Data, &key, &value).ok_or_else(|| damaged(Damage::Row))?;
        if row.stamp < expected.stamp {
            return Err(damaged(Damage::Stale));
        }
        decode(row.payload).map(Some).ok_or_else(|| damaged(Damage::Row))
    }

    fn check_space(&self, bytes: u64) -> Result<(), StoreError> {
        let free_bytes = disk::free_bytes(&self.folder.root)?;
        let floor_bytes = self.options.free_bytes_floor;
        if free_bytes < floor_bytes.saturating_add(bytes) {
            return Err(StoreError::Full { folder: self.folder.root.clone(), free_bytes, floor_bytes });
        }
        Ok(())
    }

    /// Writes the planned group: snapshot files, journal, engine. Durable once the journal is flushed.
    fn execute(&self, writer: &mut Writer, engine: &E, plan: Plan) -> Result<(), StoreError> {
        for (document, reference, bytes) in &plan.snapshot_files {
            self.snapshots.write(document, reference, bytes)?;
            self.counters.snapshot_bytes.fetch_add(reference.bytes, Ordering::Relaxed);
        }
        if !plan.snapshot_files.is_empty() {
            self.snapshots.sync()?;
        }
        let before = writer.journal.bytes();
        let manifests: Vec<Entry> = plan.manifests.iter().map(manifest_entry).collect();
        let stamp = writer.journal.append(plan.entries.iter().chain(&manifests))?;
        self.counters.journal_bytes.fetch_add(writer.journal.bytes() - before, Ordering::Relaxed);

        let touched = plan.entries.iter().chain(&manifests).filter_map(entry_document).collect::<BTreeSet<_>>();
        let locks = self.write_locks(touched.iter());
        let at_once = plan.entries.iter().filter(|entry| !matches!(entry, Entry::Changes { .. }));
        let written = apply(engine, &self.sealer, at_once.map(|entry| (stamp, entry)))?;
        self.counters.engine_bytes.fetch_add(written, Ordering::Relaxed);
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let mut newer = self.newer.write().unwrap_or_else(PoisonError::into_inner);
        for (document, (manifest, heads)) in plan.manifests {
            writer.changed_documents.insert(document);
            index.put_document(document, Expected { stamp, live_bytes: manifest.live_bytes() });
            let newer = newer.entry(document).or_default();
            newer.changes.retain(|(sequence, _)| *sequence >= manifest.first);
            (newer.stamp, newer.manifest, newer.heads) = (stamp, manifest, heads);
        }
        for entry in plan.entries {
            if let Entry::Changes { document, first, chunks } = entry
                && let Some(newer) = newer.get_mut(&document)
            {
                let kept = newer.manifest.first;
                newer.changes.extend((first..).zip(chunks).filter(|(sequence, _)| *sequence >= kept));
            }
        }
        for (id, present) in &plan.meta {
            if *present {
                index.meta.insert(*id, stamp)
            } else {
                index.meta.remove(id)
            };
        }
        drop((newer, index, locks));
        writer.changed_meta.extend(plan.meta.keys());
        writer.garbage.extend(plan.garbage);
        Ok(())
    }
}

/// What opening puts together.
#[derive(Debug)]
pub(crate) struct OpenParts<E> {
    pub(crate) folder: Folder,
    pub(crate) sealer: Sealer,
    pub(crate) options: Options,
    pub(crate) snapshots: Snapshots,
    pub(crate) journal: Journal,
    pub(crate) catalogue: Catalogue,
    pub(crate) engine: E,
    pub(crate) index: Index,
    pub(crate) lock: FolderLock,
}

impl<E: Engine> Drop for Durable<E> {
    fn drop(&mut self) {
        let engine = self.engine.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(engine), true) = (engine, self.stopped.get().is_some()) {
            // After an error even dropping may hang: leave it to a thread that nobody waits for.
            let _ = std::thread::Builder::new().name("comity-store-drop".to_owned()).spawn(move || {
                let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(engine)));
                if dropped.is_err() {
                    tracing::warn!("the engine panicked while it was dropped");
                }
            });
        }
    }
}
