//! What a store is asked.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use comity_model::DocumentId;

use super::Durable;
use super::newer::Newer;
use crate::catalogue::meta_id;
use crate::check::meta_rows;
use crate::damage;
use crate::disk;
use crate::document::DocumentReader;
use crate::engine::Engine;
use crate::error::StoreError;
use crate::folder::CleanMark;
use crate::op::{DocumentSummary, Op, StoredDocument, check_limits, check_meta_key};
use crate::report::Damage;
use crate::row::{Parts, Sealer, Space, after_prefix, heads_prefix, meta_prefix};
use crate::store::{Store, StoreStats};

impl<E: Engine> Store for Durable<E> {
    fn commit(&self, ops: &[Op]) -> Result<(), StoreError> {
        check_limits(ops)?;
        // Before the lock: whoever holds it may hang.
        self.check_running()?;
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

    fn acknowledge(&self) -> Result<(), StoreError> {
        self.check_running()?;
        // With the engine: once that is closed, another handle may have the folder, and a report of its own.
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        engine.as_ref().ok_or(StoreError::Closed)?;
        // A report that stays is told again, which is no reason to stop.
        damage::forget(&self.folder)
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        self.check_running()?;
        self.checkpoint_with(&mut self.writer())
    }

    fn close(&self) -> Result<(), StoreError> {
        self.check_running()?;
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
