//! Snapshot files: large snapshots beside the engine, named by document and content.
//!
//! A file is written to a temporary name, flushed, renamed, and the folder flushed, before anything refers to it: there
//! is never a dangling reference. The document stands in the name so that no two documents share a file, and removing
//! one never needs a count of references.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use comity_model::{ChangeHash, DocumentId};

use crate::disk;
use crate::error::StoreError;
use crate::report::Damage;
use crate::row::SnapshotRef;

/// The folder of snapshot files.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    folder: PathBuf,
}

impl Snapshots {
    pub(crate) fn open(folder: PathBuf) -> Result<Self, StoreError> {
        disk::create_folder(&folder)?;
        Ok(Self { folder })
    }

    /// Looks at a folder without creating it.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, document: &DocumentId, snapshot: &SnapshotRef) -> PathBuf {
        self.folder.join(format!("{}-{}.snapshot", document_hex(document), ChangeHash(snapshot.hash)))
    }

    /// Writes a snapshot; durable once the folder is flushed too ([`Self::sync`]).
    pub(crate) fn write(&self, document: &DocumentId, snapshot: &SnapshotRef, bytes: &[u8]) -> Result<(), StoreError> {
        disk::write_whole(&self.path(document, snapshot), bytes)
    }

    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        disk::sync_folder(&self.folder)
    }

    /// Reads a snapshot and checks that it is the one that was written.
    pub(crate) fn read(
        &self,
        document: &DocumentId,
        snapshot: &SnapshotRef,
    ) -> Result<Result<Bytes, Damage>, StoreError> {
        let Some(bytes) = disk::read_optional(&self.path(document, snapshot))? else {
            return Ok(Err(Damage::SnapshotLost));
        };
        if SnapshotRef::of(&bytes) != *snapshot {
            return Ok(Err(Damage::SnapshotAltered));
        }
        Ok(Ok(bytes.into()))
    }

    /// Finds the largest whole snapshot file of a document, for when what referred to it is lost.
    pub(crate) fn find(&self, document: &DocumentId) -> Result<Option<(SnapshotRef, Bytes)>, StoreError> {
        let mut best: Option<(SnapshotRef, Bytes)> = None;
        for path in disk::list(&self.folder)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.starts_with(&document_hex(document)) {
                continue;
            }
            let Some(bytes) = disk::read_optional(&path)? else { continue };
            let reference = SnapshotRef::of(&bytes);
            let larger = best.as_ref().is_none_or(|(best, _)| best.bytes < reference.bytes);
            if larger && self.path(document, &reference) == path {
                best = Some((reference, bytes.into()));
            }
        }
        Ok(best)
    }

    /// Removes a snapshot that nothing refers to. It need not exist.
    pub(crate) fn remove(&self, document: &DocumentId, snapshot: &SnapshotRef) -> Result<(), StoreError> {
        remove_file(&self.path(document, snapshot))
    }

    /// Removes all files but those that are referred to; gives how many.
    pub(crate) fn collect(&self, kept: &BTreeSet<(DocumentId, [u8; 32])>) -> Result<u64, StoreError> {
        let others = self.all_but(kept)?;
        others.iter().try_for_each(|path| remove_file(path))?;
        Ok(others.len() as u64)
    }

    /// Moves all files but those that are referred to into a folder of evidence.
    pub(crate) fn set_aside(&self, kept: &BTreeSet<(DocumentId, [u8; 32])>, evidence: &Path) -> Result<(), StoreError> {
        let others = self.all_but(kept)?;
        if others.is_empty() {
            return Ok(());
        }
        disk::create_folder(evidence)?;
        for path in others {
            let name = path.file_name().expect("a listed file has a name");
            fs::rename(&path, evidence.join(name)).map_err(StoreError::io("set aside", &path))?;
        }
        disk::sync_folder(evidence)?;
        self.sync()
    }

    fn all_but(&self, kept: &BTreeSet<(DocumentId, [u8; 32])>) -> Result<Vec<PathBuf>, StoreError> {
        let kept: BTreeSet<PathBuf> = kept
            .iter()
            .map(|(document, hash)| self.path(document, &SnapshotRef { hash: *hash, bytes: 0, inline: false }))
            .collect();
        Ok(disk::list(&self.folder)?.into_iter().filter(|path| !kept.contains(path)).collect())
    }
}

fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn document_hex(document: &DocumentId) -> String {
    document.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
