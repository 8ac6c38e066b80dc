//! Checkpoints, and writing the engine's files anew.

use std::fs;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use comity_model::DocumentId;

use super::{Durable, Writer};
use crate::apply::apply;
use crate::catalogue::CatalogueRow;
use crate::check::copy_rows;
use crate::disk;
use crate::engine::Engine;
use crate::entry::Entry;
use crate::error::StoreError;
use crate::options::Options;
use crate::report::Progress;
use crate::row::{MANIFEST_KEY_BYTES, Space};

impl<E: Engine> Durable<E> {
    /// Makes the engine durable, notes in the catalogue what must be there, and drops the journal.
    pub(super) fn checkpoint_with(&self, writer: &mut Writer) -> Result<(), StoreError> {
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
        let mark = writer.catalogue.mark();
        writer.journal.roll(mark)?;
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
    pub(super) fn rewrite_if_large(&self) -> Result<bool, StoreError> {
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
        self.rewrite(&mut |_| {})?;
        Ok(true)
    }

    /// Writes the engine's files anew. The journal must be empty, and the caller must hold the writer. Reads go on while
    /// the rows are copied; they wait only while the files change places.
    fn rewrite(&self, progress: &mut dyn FnMut(Progress)) -> Result<(), StoreError> {
        let name = E::NAME;
        let new_folder = self.folder.engine_new(name);
        if new_folder.exists() {
            fs::remove_dir_all(&new_folder).map_err(StoreError::io("remove", &new_folder))?;
        }
        let new = E::open(&new_folder, self.options.cache())?;
        let mut done = Progress { documents_total: self.index().documents.len() as u64, ..Progress::default() };
        let mut seen = |space: Space, key: &[u8], bytes: u64| {
            // The manifest is the first row of a document.
            done.documents += u64::from(space == Space::Data && key.len() == MANIFEST_KEY_BYTES);
            done.bytes += bytes;
            progress(done);
        };
        self.with_engine(|engine| copy_rows(engine, &new, &self.sealer, &mut seen))?;
        new.close()?;
        // From here on a failure leaves the handle without an engine, and the folder such that opening settles it.
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        engine.take().ok_or(StoreError::Closed)?.close()?;
        let (current, old) = (self.folder.engine(name), self.folder.engine_old(name));
        disk::rename_durably(&current, &old)?;
        disk::rename_durably(&new_folder, &current)?;
        *engine = Some(E::open(&current, self.options.cache())?);
        drop(engine);
        fs::remove_dir_all(&old).map_err(StoreError::io("remove", &old))?;
        self.counters.rewrites.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Rewrites the engine's files now, whatever their size. Gives bytes before and after.
    pub(crate) fn compact(&self, progress: &mut dyn FnMut(Progress)) -> Result<(u64, u64), StoreError> {
        let mut writer = self.writer();
        self.checkpoint_with(&mut writer)?;
        let folder = self.folder.engine(E::NAME);
        let before = disk::bytes_below(&folder)?;
        self.check_space(self.index().live_bytes.saturating_mul(2))?;
        let rewritten = self.rewrite(progress);
        self.note(rewritten)?;
        Ok((before, disk::bytes_below(&folder)?))
    }
}
