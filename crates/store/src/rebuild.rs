//! Builds an engine anew from the raw bytes of damaged files and the journal.
//!
//! The damaged engine is not asked: it may hang, panic or lie. Every row describes itself and carries a checksum, so
//! rows are found wherever they lie; the newest of each key is taken, the journal is replayed over them, and each
//! document is compared with what must be there. What was lost is said by name.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use comity_model::{DocumentId, Heads};

use crate::apply::{apply_group, remove_range};
use crate::catalogue::{Expected, Index, Stamps, meta_id};
use crate::check::{each_document, meta_rows};
use crate::disk;
use crate::document::Found;
use crate::engine::Engine;
use crate::entry::Entry;
use crate::error::StoreError;
use crate::open::{Evidence, name_suspects};
use crate::report::{Damage, DamagedDocument, Progress};
use crate::row::{
    DataKey, Manifest, Row, RowChange, Sealer, SnapshotRef, Space, VALUE_BYTES_MAX, after_prefix, meta_key_of,
    meta_prefix,
};
use crate::snapshots::Snapshots;

/// What a rebuild gave.
#[derive(Debug, Default)]
pub(crate) struct Rebuilt {
    pub(crate) index: Index,
    pub(crate) damaged: Vec<DamagedDocument>,
    pub(crate) meta_rows_lost: u64,
    /// Rows found in the raw bytes, old ones included.
    pub(crate) rows: u64,
    /// Snapshot files that documents refer to.
    pub(crate) referred: BTreeSet<(DocumentId, [u8; 32])>,
}

/// Builds the engine `target` anew, with so much memory for its cache, closed and durable, from all files below `sources` and the journal.
pub(crate) fn rebuild<E: Engine>(
    sealer: &Sealer,
    sources: &[PathBuf],
    (target, cache_bytes): (&Path, u64),
    evidence: &Evidence,
    snapshots: &Snapshots,
    progress: &mut dyn FnMut(Progress),
) -> Result<Rebuilt, StoreError> {
    if target.exists() {
        std::fs::remove_dir_all(target).map_err(StoreError::io("remove", target))?;
    }
    let engine = E::open(target, cache_bytes)?;
    let mut rebuilt = Rebuilt::default();
    let documents_total = evidence.expected().documents.len() as u64;
    let mut done = Progress { documents_total, ..Progress::default() };
    for source in sources {
        for path in disk::files_below(source)? {
            rebuilt.rows += take_rows(&engine, sealer, &path, &mut done, progress)?;
        }
    }
    for (stamp, entries) in &evidence.journal.groups {
        apply_group(&engine, sealer, *stamp, entries)?;
    }
    let settled = &mut |documents| progress(Progress { documents, ..done });
    let found = settle_documents(&engine, sealer, evidence, snapshots, &mut rebuilt, settled)?;
    name_suspects(&evidence.journal.suspects, &found, &mut rebuilt.damaged);
    settle_meta(&engine, sealer, evidence, &mut rebuilt)?;
    engine.close()?;
    Ok(rebuilt)
}

/// Takes the rows in one raw file that are newer than what is there.
fn take_rows<E: Engine>(
    engine: &E,
    sealer: &Sealer,
    path: &Path,
    done: &mut Progress,
    progress: &mut dyn FnMut(Progress),
) -> Result<u64, StoreError> {
    const WINDOW_BYTES: usize = 4 << 20;
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(StoreError::io("read", path)(error)),
    };
    let mut window: Vec<u8> = Vec::new();
    let mut rows = 0;
    loop {
        // Rows that begin in the last bytes of a window are read again with the next.
        let kept = window.len().min(VALUE_BYTES_MAX - 1);
        window.drain(..window.len() - kept);
        let read = file.by_ref().take(WINDOW_BYTES as u64).read_to_end(&mut window);
        match read.map_err(StoreError::io("read", path))? {
            0 => return Ok(rows),
            read => done.bytes += read as u64,
        }
        progress(*done);
        let mut changes = Vec::new();
        let mut failed = None;
        sealer.carve_all(&window, |row| {
            if failed.is_some() || !is_ours(&row) {
                return;
            }
            rows += 1;
            match engine.value(row.space, row.key) {
                Ok(old) if old.as_deref().and_then(|old| sealer.carve(old)).is_none_or(|old| old.stamp < row.stamp) => {
                    let value = sealer.seal(row.space, row.stamp, row.key, row.payload);
                    changes.push(RowChange { space: row.space, key: row.key.to_vec(), value: Some(value) });
                }
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        });
        match failed {
            Some(error) => return Err(error),
            None => engine.write(&newest(sealer, changes))?,
        }
    }
}

/// Orders changes so that the newest of each key is written last.
fn newest(sealer: &Sealer, mut changes: Vec<RowChange>) -> Vec<RowChange> {
    let stamp = |change: &RowChange| {
        let row = change.value.as_deref().and_then(|value| sealer.carve(value));
        row.map_or(0, |row| row.stamp)
    };
    changes.sort_by_cached_key(|change| (change.space, stamp(change)));
    changes
}

fn is_ours(row: &Row<'_>) -> bool {
    match row.space {
        Space::Data => DataKey::parse(row.key).is_some(),
        Space::Meta => meta_key_of(row.key).is_some(),
    }
}

/// Compares every document with what must be there, and makes each consistent with what is left of it. Gives how new each
/// was before.
fn settle_documents<E: Engine>(
    engine: &E,
    sealer: &Sealer,
    evidence: &Evidence,
    snapshots: &Snapshots,
    rebuilt: &mut Rebuilt,
    settled: &mut dyn FnMut(u64),
) -> Result<Stamps, StoreError> {
    let expected = evidence.expected();
    let stamp = |document: &DocumentId| expected.documents.get(document).map_or(0, |expected| expected.stamp);
    let repaired_stamp = evidence.next();
    let mut repairs = Vec::new();
    let mut seen = BTreeSet::new();
    each_document(engine, sealer, snapshots, &stamp, &mut |document, found, _| {
        seen.insert(document);
        settled(seen.len() as u64);
        if found.damage.is_empty() && !found.leftovers {
            let manifest = found.manifest.unwrap_or_default();
            note_document(rebuilt, document, found.stamp, &manifest);
        } else {
            repairs.push(document);
        }
        Ok(())
    })?;
    let missing = expected.documents.keys().filter(|document| !seen.contains(document));
    repairs.extend(missing.copied());
    repairs.sort_unstable();
    let mut stamps = rebuilt.index.stamps();
    for document in repairs {
        // Read again, one at a time: the damaged ones need not fit in memory together.
        let mut found = read_one(engine, sealer, snapshots, &document, stamp(&document))?;
        let saved = save_snapshot(snapshots, &document, &mut found)?;
        let from = document.as_bytes().as_slice();
        remove_range(engine, Space::Data, from, &after_prefix(from))?;
        if !found.damage.is_empty() {
            rebuilt.damaged.push(found.damaged(document));
        }
        if found.manifest.is_none() && found.changes.is_empty() && saved.is_none() {
            continue;
        }
        // Not that of the repair: a lost group may be newer than what was found.
        stamps.insert(document, found.stamp);
        let (manifest, entries) = repair(&document, found, saved);
        apply_group(engine, sealer, repaired_stamp, &entries)?;
        note_document(rebuilt, document, repaired_stamp, &manifest);
    }
    Ok(stamps)
}

fn note_document(rebuilt: &mut Rebuilt, document: DocumentId, stamp: u64, manifest: &Manifest) {
    let live_bytes = manifest.live_bytes();
    rebuilt.index.put_document(document, Expected { stamp, live_bytes });
    if let Some(snapshot) = manifest.snapshot {
        rebuilt.referred.insert((document, snapshot.hash));
    }
}

fn read_one<E: Engine>(
    engine: &E,
    sealer: &Sealer,
    snapshots: &Snapshots,
    document: &DocumentId,
    expected: u64,
) -> Result<Found, StoreError> {
    let mut reader = crate::document::DocumentReader::new(*document);
    let from = document.as_bytes().as_slice();
    engine.scan(Space::Data, from, &after_prefix(from), &mut |key, value| {
        reader.row(sealer, key, value);
        true
    })?;
    reader.finish(snapshots, expected)
}

/// Finds the snapshot that a damaged document goes on with: its own, or a file that bears its name.
fn save_snapshot(
    snapshots: &Snapshots,
    document: &DocumentId,
    found: &mut Found,
) -> Result<Option<SnapshotRef>, StoreError> {
    let lost = [Damage::Gone, Damage::ManifestLost, Damage::Stale, Damage::SnapshotLost, Damage::SnapshotAltered];
    if !found.damage.iter().any(|damage| lost.contains(damage)) {
        return Ok(found.manifest.as_ref().and_then(|manifest| manifest.snapshot));
    }
    let own = found.snapshot.as_deref().map(SnapshotRef::of);
    let file = snapshots.find(document)?.map(|(reference, _)| reference);
    let larger = |file: &SnapshotRef| own.is_none_or(|own| own.bytes < file.bytes);
    match file.filter(larger) {
        Some(file) => {
            found.snapshot = None;
            if let Some(gone) = found.damage.iter_mut().find(|damage| **damage == Damage::Gone) {
                *gone = Damage::ManifestLost;
            }
            Ok(Some(file))
        }
        None => Ok(own),
    }
}

/// Writes a document anew from what is left of it, with a manifest that fits.
fn repair(document: &DocumentId, found: Found, snapshot: Option<SnapshotRef>) -> (Manifest, Vec<Entry>) {
    let document = *document;
    let whole = !found.damage.iter().any(|damage| !matches!(damage, Damage::Row | Damage::SyncStateLost));
    let heads = if whole { found.heads.unwrap_or_default() } else { Heads::default() };
    let old = found.manifest.unwrap_or_default();
    let mut manifest = Manifest::default();
    if let Some(snapshot) = snapshot {
        manifest.cover(snapshot);
    }
    let mut entries = Vec::new();
    if let (Some(bytes), Some(true)) = (found.snapshot, snapshot.map(|snapshot| snapshot.inline)) {
        entries.push(Entry::Snapshot { document, bytes });
    }
    manifest.first = old.first.min(found.changes.first().map_or(old.first, |(sequence, _)| *sequence));
    for (sequence, bytes) in found.changes {
        manifest.next = sequence;
        manifest.append(&bytes);
        entries.push(Entry::Changes { document, first: sequence, chunks: vec![bytes] });
    }
    manifest.next = manifest.next.max(old.next);
    manifest.set_heads(&heads);
    for (peer, state) in found.sync_states {
        entries.push(Entry::SyncState { document, peer, state });
    }
    entries.push(Entry::Manifest { document, manifest: manifest.clone(), heads });
    (manifest, entries)
}

/// Removes node-level rows that had been removed, and counts those that are lost or old.
fn settle_meta<E: Engine>(
    engine: &E,
    sealer: &Sealer,
    evidence: &Evidence,
    rebuilt: &mut Rebuilt,
) -> Result<(), StoreError> {
    let expected = evidence.expected();
    // A catalogue with holes cannot tell a removed row from a kept one: then rows are kept.
    let complete = evidence.catalogue.rows_lost == 0 && !evidence.catalogue.missing;
    for (key, value) in meta_rows(engine, sealer)? {
        let Some(key) = key else { continue };
        let (prefix, id) = (meta_prefix(&key), meta_id(&key));
        match value {
            Some((stamp, _)) if !complete || expected.meta.contains_key(&id) => {
                rebuilt.index.meta.insert(id, stamp);
            }
            _ => drop(remove_range(engine, Space::Meta, &prefix, &after_prefix(&prefix))?),
        }
    }
    let whole = |id: &[u8; 16], stamp: u64| rebuilt.index.meta.get(id).is_some_and(|found| *found >= stamp);
    rebuilt.meta_rows_lost = expected.meta.iter().filter(|(id, stamp)| !whole(id, **stamp)).count() as u64;
    Ok(())
}
