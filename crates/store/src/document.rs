//! Reads one document out of its rows, and checks that it is what was stored.

use bytes::Bytes;
use comity_model::{DocumentId, Heads, StorageId};

use crate::entry::unpack;
use crate::error::StoreError;
use crate::op::StoredDocument;
use crate::report::{Damage, DamagedDocument};
use crate::row::{DataKey, Manifest, Parts, Row, Sealer, Space, chain, decode};
use crate::snapshots::Snapshots;

/// Takes the rows of one document in the order of their keys.
#[derive(Debug)]
pub(crate) struct DocumentReader {
    document: DocumentId,
    manifest: Option<(u64, Manifest)>,
    whole: Option<(Whole, Parts)>,
    /// The heads that belong to a manifest which is not in the rows yet.
    newer_heads: Option<Heads>,
    heads: Option<Bytes>,
    snapshot: Option<Bytes>,
    changes: Vec<(u64, Bytes)>,
    sync_states: Vec<(StorageId, Bytes)>,
    leftovers: bool,
    damage: Vec<Damage>,
}

/// What the parts at hand belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Whole {
    Heads,
    Snapshot,
    Change(u64),
    SyncState(StorageId),
}

/// A document as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) stamp: u64,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) heads: Option<Heads>,
    pub(crate) snapshot: Option<Bytes>,
    pub(crate) changes: Vec<(u64, Bytes)>,
    pub(crate) sync_states: Vec<(StorageId, Bytes)>,
    /// Rows are there that should be gone: possible only in what was pieced together from damaged files.
    pub(crate) leftovers: bool,
    /// What differs from what was stored, without duplicates.
    pub(crate) damage: Vec<Damage>,
}

impl DocumentReader {
    pub(crate) fn new(document: DocumentId) -> Self {
        Self {
            document,
            manifest: None,
            whole: None,
            newer_heads: None,
            heads: None,
            snapshot: None,
            changes: Vec::new(),
            sync_states: Vec::new(),
            leftovers: false,
            damage: Vec::new(),
        }
    }

    /// Takes changes that are newer than those in the rows, after all rows.
    pub(crate) fn newer_changes(&mut self, changes: impl IntoIterator<Item = (u64, Bytes)>) {
        self.finish_whole();
        changes.into_iter().for_each(|(sequence, chunk)| self.changes(sequence, [chunk]));
    }

    /// Takes a manifest that is newer than the one in the rows.
    pub(crate) fn manifest(&mut self, stamp: u64, manifest: Manifest, heads: Heads) {
        self.manifest = Some((stamp, manifest));
        self.newer_heads = Some(heads);
    }

    /// Takes the next row.
    pub(crate) fn row(&mut self, sealer: &Sealer, key: &[u8], value: &[u8]) {
        match (sealer.unseal(Space::Data, key, value), DataKey::parse(key)) {
            (Some(row), Some((_, kind))) => self.good_row(kind, &row),
            _ => self.note(Damage::Row),
        }
    }

    fn good_row(&mut self, kind: DataKey, row: &Row<'_>) {
        let (whole, part) = match kind {
            DataKey::Manifest => {
                if self.newer_heads.is_some() {
                    return;
                }
                match decode(row.payload) {
                    Some(manifest) => self.manifest = Some((row.stamp, manifest)),
                    None => self.note(Damage::Row),
                }
                return;
            }
            DataKey::Heads { part } => (Whole::Heads, part),
            DataKey::Snapshot { part } => (Whole::Snapshot, part),
            DataKey::Change { sequence, part } => (Whole::Change(sequence), part),
            DataKey::SyncState { peer, part } => (Whole::SyncState(peer), part),
        };
        if self.whole.as_ref().is_none_or(|(current, _)| *current != whole) {
            self.finish_whole();
            self.whole = Some((whole, Parts::default()));
        }
        if let Some((_, parts)) = &mut self.whole {
            parts.push(part, row.stamp, row.payload);
        }
    }

    fn finish_whole(&mut self) {
        let Some((whole, parts)) = self.whole.take() else { return };
        match (whole, parts.finish()) {
            (Whole::Heads, heads) => self.heads = heads,
            (Whole::Snapshot, snapshot) => self.snapshot = snapshot,
            (Whole::Change(first), Some(bytes)) => match unpack(&bytes) {
                Some(chunks) => self.changes(first, chunks),
                None => self.note(Damage::Row),
            },
            // A missing change shows in the count.
            (Whole::Change(_), None) => {}
            (Whole::SyncState(peer), Some(state)) => self.sync_states.push((peer, state)),
            (Whole::SyncState(_), None) => self.note(Damage::SyncStateLost),
        }
    }

    /// Takes changes, save those that are there already: after a replay, and in raw bytes, a change may stand in a row
    /// of its own and in a row with others.
    pub(crate) fn changes(&mut self, first: u64, chunks: impl IntoIterator<Item = Bytes>) {
        for (offset, chunk) in (0_u64..).zip(chunks) {
            let Some(sequence) = first.checked_add(offset) else { return self.note(Damage::Row) };
            if self.changes.last().is_none_or(|(last, _)| *last < sequence) {
                self.changes.push((sequence, chunk));
            }
        }
    }

    fn note(&mut self, damage: Damage) {
        if !self.damage.contains(&damage) {
            self.damage.push(damage);
        }
    }

    /// Compares what was found with the manifest. `expected` is the stamp that the document must have at least.
    pub(crate) fn finish(mut self, snapshots: &Snapshots, expected: u64) -> Result<Found, StoreError> {
        self.finish_whole();
        let (stamp, manifest) = self.manifest.take().map_or((0, None), |(stamp, manifest)| (stamp, Some(manifest)));
        let mut heads = None;
        let mut snapshot = self.snapshot.take();
        match &manifest {
            None if self.changes.is_empty() && snapshot.is_none() => self.note(Damage::Gone),
            None => self.note(Damage::ManifestLost),
            Some(manifest) => {
                if stamp < expected {
                    self.note(Damage::Stale);
                }
                heads = self.newer_heads.take().or_else(|| manifest.heads());
                heads = heads.or_else(|| manifest.heads_from(self.heads.as_deref()?));
                if heads.is_none() {
                    self.note(Damage::HeadsLost);
                }
                let before = self.changes.len();
                self.changes.retain(|(sequence, _)| *sequence >= manifest.first);
                self.leftovers |= before != self.changes.len();
                self.check_changes(manifest);
                snapshot = self.check_snapshot(snapshots, manifest, snapshot)?;
            }
        }
        Ok(Found {
            stamp,
            manifest,
            heads,
            snapshot,
            changes: self.changes,
            sync_states: self.sync_states,
            leftovers: self.leftovers,
            damage: self.damage,
        })
    }

    fn check_changes(&mut self, manifest: &Manifest) {
        let found = self.changes.len() as u64;
        let newer = self.changes.iter().any(|(sequence, _)| *sequence >= manifest.next);
        let digest = self.changes.iter().fold([0; 16], |digest, (_, bytes)| chain(&digest, bytes));
        if newer {
            self.note(Damage::Stale);
        } else if found != manifest.count {
            self.note(Damage::ChangesLost { found, expected: manifest.count });
        } else if digest != manifest.digest {
            self.note(Damage::ChangesAltered);
        }
    }

    fn check_snapshot(
        &mut self,
        snapshots: &Snapshots,
        manifest: &Manifest,
        inline: Option<Bytes>,
    ) -> Result<Option<Bytes>, StoreError> {
        let Some(expected) = &manifest.snapshot else {
            self.leftovers |= inline.is_some();
            return Ok(None);
        };
        let snapshot = match inline {
            Some(bytes) if expected.inline && crate::row::SnapshotRef::of(&bytes) == *expected => Ok(bytes),
            Some(_) if expected.inline => Err(Damage::SnapshotAltered),
            None if expected.inline => Err(Damage::SnapshotLost),
            _ => snapshots.read(&self.document, expected)?,
        };
        Ok(snapshot.map_err(|damage| self.note(damage)).ok())
    }
}

impl Found {
    /// Gives the bytes of what the document is made of.
    pub(crate) fn bytes(&self) -> u64 {
        let parts = self.snapshot.iter().chain(self.changes.iter().map(|(_, bytes)| bytes));
        parts.map(|bytes| bytes.len() as u64).sum()
    }

    /// Says what the document lost.
    pub(crate) fn damaged(&self, document: DocumentId) -> DamagedDocument {
        // The heads of an older state say nothing of what is missing.
        let is_stale = self.damage.contains(&Damage::Stale);
        let heads = if is_stale { None } else { self.heads.clone() };
        DamagedDocument { document, heads, damage: self.damage.clone() }
    }

    /// Gives the document when it is what was stored.
    pub(crate) fn into_document(self, document: &DocumentId) -> Result<StoredDocument, StoreError> {
        let harmless = |damage: &Damage| *damage == Damage::SyncStateLost;
        if let Some(damage) = self.damage.into_iter().find(|damage| !harmless(damage)) {
            return Err(StoreError::DamagedDocument { document: *document, damage });
        }
        Ok(StoredDocument {
            snapshot: self.snapshot,
            changes: self.changes.into_iter().map(|(_, bytes)| bytes).collect(),
            heads: self.heads.unwrap_or_default(),
            sync_states: self.sync_states,
        })
    }
}
