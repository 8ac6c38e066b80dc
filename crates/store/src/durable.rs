//! The store over an engine: plan, journal, engine, catalogue; one group at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use comity_model::{DocumentId, Heads};

use crate::apply::apply;
use crate::catalogue::{Catalogue, CatalogueRow, Expected, Index, meta_id};
use crate::check::{copy_rows, meta_rows};
use crate::disk::{self, FolderLock};
use crate::document::DocumentReader;
use crate::engine::Engine;
use crate::entry::Entry;
use crate::error::StoreError;
use crate::folder::{CleanMark, Folder};
use crate::journal::Journal;
use crate::op::{DocumentSummary, Op, StoredDocument, check_limits, check_meta_key};
use crate::options::Options;
use crate::report::Damage;
use crate::row::{
    Manifest, Parts, Sealer, SnapshotRef, Space, after_prefix, decode, heads_prefix, manifest_key, meta_prefix,
};
use crate::snapshots::Snapshots;
use crate::store::{Store, StoreStats};

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

/// What the engine does not have yet of a document.
#[derive(Debug, Clone, Default)]
struct Newer {
    stamp: u64,
    manifest: Manifest,
    heads: Heads,
    /// Ascending, without holes.
    changes: Vec<(u64, Bytes)>,
}

/// Most bytes of changes put into one row; a change that is larger has its rows for itself.
const PACKED_BYTES_MAX: usize = 3_800;

impl Newer {
    /// Gives the entries that bring the engine up to date.
    fn into_entries(self, document: DocumentId) -> (u64, Vec<Entry>) {
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

/// What a group will do, before anything is written.
#[derive(Debug, Default)]
struct Plan {
    entries: Vec<Entry>,
    manifests: BTreeMap<DocumentId, (Manifest, Heads)>,
    garbage: Vec<(DocumentId, SnapshotRef)>,
    snapshot_files: Vec<(DocumentId, SnapshotRef, Bytes)>,
    meta: BTreeMap<[u8; 16], bool>,
    bytes: u64,
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
    fn note<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
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

    fn plan(&self, engine: &E, ops: &[Op]) -> Result<Plan, StoreError> {
        let mut plan = Plan::default();
        for op in ops {
            match op {
                Op::Append { document, chunks, heads } => {
                    let mut manifest = self.planned(engine, &plan, document)?.unwrap_or_default();
                    if !chunks.is_empty() {
                        let (document, first) = (*document, manifest.next);
                        plan.entries.push(Entry::Changes { document, first, chunks: chunks.clone() });
                    }
                    for chunk in chunks {
                        manifest.append(chunk);
                        plan.bytes += chunk.len() as u64;
                    }
                    manifest.set_heads(heads);
                    plan.manifests.insert(*document, (manifest, heads.clone()));
                }
                Op::Replace { document, snapshot, heads } => {
                    let mut manifest = self.planned(engine, &plan, document)?.unwrap_or_default();
                    plan_replace(&mut plan, document, &mut manifest, snapshot);
                    manifest.set_heads(heads);
                    plan.manifests.insert(*document, (manifest, heads.clone()));
                }
                Op::SyncState { document, peer, state } => {
                    if self.planned(engine, &plan, document)?.is_some() {
                        let (document, peer, state) = (*document, peer.clone(), state.clone());
                        plan.bytes += state.len() as u64;
                        plan.entries.push(Entry::SyncState { document, peer, state });
                    }
                }
                Op::PutMeta { key, value } => {
                    plan.entries.push(Entry::Meta { key: key.clone(), value: value.clone() });
                    plan.meta.insert(meta_id(key), true);
                    plan.bytes += value.len() as u64;
                }
                Op::RemoveMeta { key } => {
                    plan.entries.push(Entry::RemoveMeta { key: key.clone() });
                    plan.meta.insert(meta_id(key), false);
                }
            }
        }
        Ok(plan)
    }

    /// Gives the manifest as it will be after what is planned so far.
    fn planned(&self, engine: &E, plan: &Plan, document: &DocumentId) -> Result<Option<Manifest>, StoreError> {
        match plan.manifests.get(document) {
            Some((manifest, _)) => Ok(Some(manifest.clone())),
            None => self.manifest(engine, document),
        }
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

    /// Makes the engine durable, notes in the catalogue what must be there, and drops the journal.
    fn checkpoint_with(&self, writer: &mut Writer) -> Result<(), StoreError> {
        self.with_engine(|engine| {
            self.write_newer(engine)?;
            engine.sync()
        })?;
        let result = self.checkpoint_files(writer);
        self.note(result)
    }

    /// Gives the engine what documents got since the last checkpoint. The caller holds the writer, so nothing is added
    /// meanwhile; a load sees each document as before or as after.
    fn write_newer(&self, engine: &E) -> Result<(), StoreError> {
        let mut documents: Vec<DocumentId> =
            self.newer.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        documents.sort_unstable();
        for documents in documents.chunks(256) {
            let locks = self.write_locks(documents.iter());
            let newer = |document: &DocumentId| {
                self.newer(document, |newer| newer.clone().into_entries(*document)).unwrap_or_default()
            };
            let groups: Vec<(u64, Vec<Entry>)> = documents.iter().map(newer).collect();
            let entries = groups.iter().flat_map(|(stamp, entries)| entries.iter().map(|entry| (*stamp, entry)));
            let written = apply(engine, &self.sealer, entries)?;
            self.counters.engine_bytes.fetch_add(written, Ordering::Relaxed);
            let mut newer = self.newer.write().unwrap_or_else(PoisonError::into_inner);
            documents.iter().for_each(|document| drop(newer.remove(document)));
            drop((newer, locks));
        }
        Ok(())
    }

    fn checkpoint_files(&self, writer: &mut Writer) -> Result<(), StoreError> {
        let index = self.index();
        let documents = writer.changed_documents.iter().map(|document| {
            CatalogueRow::Document(*document, index.documents.get(document).copied().unwrap_or_default())
        });
        let meta = writer.changed_meta.iter();
        let meta = meta.map(|id| CatalogueRow::Meta(*id, index.meta.get(id).copied().unwrap_or(0)));
        let changed: Vec<_> = documents.chain(meta).collect();
        writer.catalogue.append(&changed, &index)?;
        drop(index);
        writer.journal.roll()?;
        writer.changed_documents.clear();
        writer.changed_meta.clear();
        let garbage = std::mem::take(&mut writer.garbage);
        self.with_engine(|engine| {
            for (document, old) in &garbage {
                match self.manifest(engine, document) {
                    // Kept for the rebuild, which may need it.
                    Err(StoreError::DamagedDocument { .. }) => {}
                    Ok(Some(manifest)) if manifest.snapshot.is_some_and(|current| current.hash == old.hash) => {}
                    Ok(_) => self.snapshots.remove(document, old)?,
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })?;
        self.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Writes the engine's files anew when they take many times what they hold: sled never gives space back.
    fn rewrite_if_large(&self) -> Result<bool, StoreError> {
        let folder = self.folder.engine(E::NAME);
        let live_bytes = self.index().live_bytes;
        let disk_bytes = disk::bytes_below(&folder)?;
        let Options { rewrite_bytes_min, rewrite_ratio, .. } = self.options;
        if disk_bytes < rewrite_bytes_min || disk_bytes <= live_bytes.saturating_mul(rewrite_ratio) {
            return Ok(false);
        }
        if self.check_space(live_bytes.saturating_mul(2)).is_err() {
            return Ok(false);
        }
        tracing::info!(disk_bytes, live_bytes, "writing the engine's files anew");
        self.rewrite()?;
        Ok(true)
    }

    /// Writes the engine's files anew. The journal must be empty, and the caller must hold the writer.
    fn rewrite(&self) -> Result<(), StoreError> {
        let name = E::NAME;
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        let new_folder = self.folder.engine_new(name);
        if new_folder.exists() {
            fs::remove_dir_all(&new_folder).map_err(StoreError::io("remove", &new_folder))?;
        }
        let new = E::open(&new_folder)?;
        copy_rows(engine.as_ref().ok_or(StoreError::Closed)?, &new, &self.sealer)?;
        new.close()?;
        // From here on a failure leaves the handle without an engine, and the folder such that opening settles it.
        engine.take().ok_or(StoreError::Closed)?.close()?;
        let (current, old) = (self.folder.engine(name), self.folder.engine_old(name));
        disk::rename_durably(&current, &old)?;
        disk::rename_durably(&new_folder, &current)?;
        *engine = Some(E::open(&current)?);
        fs::remove_dir_all(&old).map_err(StoreError::io("remove", &old))?;
        self.counters.rewrites.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Rewrites the engine's files now, whatever their size. Gives bytes before and after.
    pub(crate) fn compact(&self) -> Result<(u64, u64), StoreError> {
        let mut writer = self.writer();
        self.checkpoint_with(&mut writer)?;
        let folder = self.folder.engine(E::NAME);
        let before = disk::bytes_below(&folder)?;
        let rewritten = self.rewrite();
        self.note(rewritten)?;
        Ok((before, disk::bytes_below(&folder)?))
    }
}

fn plan_replace(plan: &mut Plan, document: &DocumentId, manifest: &mut Manifest, snapshot: &Bytes) {
    let reference = SnapshotRef::of(snapshot);
    if let Some(old) = manifest.snapshot.filter(|old| !old.inline && old.hash != reference.hash) {
        plan.garbage.push((*document, old));
    }
    manifest.cover(reference);
    plan.entries.push(Entry::Cover { document: *document, to: manifest.first });
    plan.bytes += reference.bytes;
    if reference.inline {
        plan.entries.push(Entry::Snapshot { document: *document, bytes: snapshot.clone() });
    } else {
        plan.snapshot_files.push((*document, reference, snapshot.clone()));
    }
}

fn manifest_entry((document, (manifest, heads)): (&DocumentId, &(Manifest, Heads))) -> Entry {
    Entry::Manifest { document: *document, manifest: manifest.clone(), heads: heads.clone() }
}

fn entry_document(entry: &Entry) -> Option<DocumentId> {
    match entry {
        Entry::Changes { document, .. }
        | Entry::Cover { document, .. }
        | Entry::Snapshot { document, .. }
        | Entry::Manifest { document, .. }
        | Entry::SyncState { document, .. } => Some(*document),
        Entry::Meta { .. } | Entry::RemoveMeta { .. } => None,
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

impl<E: Engine> Store for Durable<E> {
    fn commit(&self, ops: &[Op]) -> Result<(), StoreError> {
        check_limits(ops)?;
        let mut writer = self.writer();
        self.with_engine(|engine| {
            let plan = self.plan(engine, ops)?;
            if plan.entries.is_empty() && plan.manifests.is_empty() {
                return Ok(());
            }
            self.check_space(plan.bytes)?;
            self.execute(&mut writer, engine, plan)
        })?;
        self.counters.groups.fetch_add(1, Ordering::Relaxed);
        self.counters.ops.fetch_add(ops.len() as u64, Ordering::Relaxed);
        if writer.journal.bytes() >= self.options.checkpoint_bytes {
            // The group is durable whatever comes of this; an error stops the handle and shows at the next call.
            let checkpoint = self.checkpoint_with(&mut writer).and_then(|()| self.note(self.rewrite_if_large()));
            if let Err(error) = checkpoint {
                tracing::error!(%error, "checkpoint failed");
            }
        }
        Ok(())
    }

    fn load(&self, document: &DocumentId) -> Result<Option<StoredDocument>, StoreError> {
        self.with_engine(|engine| {
            let _lock = self.read_lock(document);
            let Some(expected) = self.index().documents.get(document).copied() else { return Ok(None) };
            let mut reader = DocumentReader::new(*document);
            let newer = self.newer(document, Newer::clone);
            if let Some(Newer { stamp, manifest, heads, .. }) = &newer {
                reader.manifest(*stamp, manifest.clone(), heads.clone());
            }
            let from = document.as_bytes().as_slice();
            engine.scan(Space::Data, from, &after_prefix(from), &mut |key, value| {
                reader.row(&self.sealer, key, value);
                true
            })?;
            reader.newer_changes(newer.map(|newer| newer.changes).unwrap_or_default());
            let found = reader.finish(&self.snapshots, expected.stamp)?;
            found.into_document(document).map(Some)
        })
    }

    fn summary(&self, document: &DocumentId) -> Result<Option<DocumentSummary>, StoreError> {
        self.with_engine(|engine| {
            let _lock = self.read_lock(document);
            let Some(manifest) = self.manifest(engine, document)? else { return Ok(None) };
            let newer_heads = self.newer(document, |newer| newer.heads.clone());
            let heads = match newer_heads.or_else(|| manifest.heads()) {
                Some(heads) => heads,
                None => {
                    let prefix = heads_prefix(document);
                    let bytes = read_parts(engine, &self.sealer, Space::Data, &prefix)?;
                    let heads = bytes.and_then(|bytes| manifest.heads_from(&bytes));
                    heads.ok_or(StoreError::DamagedDocument { document: *document, damage: Damage::HeadsLost })?
                }
            };
            Ok(Some(DocumentSummary {
                document: *document,
                heads,
                changes: manifest.count,
                change_bytes: manifest.change_bytes,
                snapshot_bytes: manifest.snapshot.map(|snapshot| snapshot.bytes),
            }))
        })
    }

    fn documents(&self) -> Result<Vec<DocumentId>, StoreError> {
        self.with_engine(|_| {
            let mut documents: Vec<_> = self.index().documents.keys().copied().collect();
            documents.sort_unstable();
            Ok(documents)
        })
    }

    fn meta(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        check_meta_key(key)?;
        self.with_engine(|engine| {
            let expected = self.index().meta.get(&meta_id(key)).copied();
            let Some(_stamp) = expected else { return Ok(None) };
            let bytes = read_parts(engine, &self.sealer, Space::Meta, &meta_prefix(key))?;
            bytes.map(Some).ok_or_else(|| StoreError::DamagedMeta { key: key.to_owned() })
        })
    }

    fn meta_keys(&self) -> Result<Vec<String>, StoreError> {
        self.with_engine(|engine| {
            let rows = meta_rows(engine, &self.sealer)?;
            Ok(rows.into_iter().filter_map(|(key, _)| key).collect())
        })
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        self.checkpoint_with(&mut self.writer())
    }

    fn close(&self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        if self.engine.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            return self.check_running();
        }
        self.checkpoint_with(&mut writer)?;
        let engine = self.engine.write().unwrap_or_else(PoisonError::into_inner).take();
        let closed = engine.map_or(Ok(()), Engine::close).and_then(|()| {
            let mark = CleanMark { catalogue_bytes: writer.catalogue.bytes(), next: writer.journal.next() };
            if self.suspect.load(Ordering::Acquire) {
                return Ok(());
            }
            self.folder.write_clean_mark(&self.sealer, &mark)
        });
        writer.lock = None;
        self.note(closed)
    }

    fn stats(&self) -> Result<StoreStats, StoreError> {
        let journal_disk_bytes = self.writer().journal.bytes();
        let engine_disk_bytes = disk::bytes_below(&self.folder.engine(E::NAME))?;
        let snapshot_disk_bytes = disk::bytes_below(&self.folder.snapshots())?;
        let free_bytes = disk::free_bytes(&self.folder.root)?;
        let counters = &self.counters;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.with_engine(|_| {
            let index = self.index();
            Ok(StoreStats {
                engine: E::NAME,
                documents: index.documents.len() as u64,
                meta_rows: index.meta.len() as u64,
                live_bytes: index.live_bytes,
                engine_disk_bytes,
                snapshot_disk_bytes,
                journal_disk_bytes,
                free_bytes,
                groups: count(&counters.groups),
                ops: count(&counters.ops),
                journal_bytes_written: count(&counters.journal_bytes),
                engine_bytes_written: count(&counters.engine_bytes),
                snapshot_bytes_written: count(&counters.snapshot_bytes),
                checkpoints: count(&counters.checkpoints),
                rewrites: count(&counters.rewrites),
            })
        })
    }
}

/// Reads a whole from its rows; `None` when it is not what was written.
fn read_parts<E: Engine>(
    engine: &E,
    sealer: &Sealer,
    space: Space,
    prefix: &[u8],
) -> Result<Option<Bytes>, StoreError> {
    let mut parts = Parts::default();
    let mut whole = true;
    engine.scan(space, prefix, &after_prefix(prefix), &mut |key, value| {
        match (sealer.unseal(space, key, value), key.last_chunk::<4>()) {
            (Some(row), Some(part)) => parts.push(u32::from_be_bytes(*part), row.stamp, row.payload),
            _ => whole = false,
        }
        true
    })?;
    Ok(parts.finish().filter(|_| whole))
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
