//! Checks all that an engine holds against the catalogue and the manifests.

use std::collections::BTreeSet;

use comity_model::DocumentId;

use crate::catalogue::{Expected, Index, MetaId, meta_id};
use crate::document::{DocumentReader, Found};
use crate::engine::Engine;
use crate::error::StoreError;
use crate::report::{Damage, DamagedDocument, Progress};
use crate::row::{Parts, RowChange, Sealer, Space, meta_key_of};
use crate::snapshots::Snapshots;

/// The end of every scan: greater than any key.
pub(crate) const END: [u8; 256] = [u8::MAX; 256];

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// What is there and whole.
    pub(crate) index: Index,
    pub(crate) damaged: Vec<DamagedDocument>,
    pub(crate) meta_rows_lost: u64,
    /// Rows that belong to no document.
    pub(crate) stray_rows: u64,
    pub(crate) rows: u64,
    pub(crate) documents: u64,
    /// Bytes of changes and snapshots that were read.
    pub(crate) bytes: u64,
    /// The snapshot files that are referred to.
    pub(crate) snapshots: BTreeSet<(DocumentId, [u8; 32])>,
}

impl Checked {
    pub(crate) fn is_damaged(&self) -> bool {
        !self.damaged.is_empty() || self.meta_rows_lost > 0 || self.stray_rows > 0
    }
}

/// Checks every row, every document, and that nothing is missing or old.
pub(crate) fn check<E: Engine>(
    engine: &E,
    sealer: &Sealer,
    snapshots: &Snapshots,
    expected: &Index,
    progress: &mut dyn FnMut(Progress),
) -> Result<Checked, StoreError> {
    let mut checked = Checked::default();
    let documents_total = expected.documents.len() as u64;
    let stamp = |document: &DocumentId| expected.documents.get(document).map_or(0, |expected| expected.stamp);
    let stray = each_document(engine, sealer, snapshots, &stamp, &mut |document, found, rows| {
        checked.rows += rows;
        checked.documents += 1;
        checked.bytes += found.bytes();
        progress(Progress { documents: checked.documents, documents_total, bytes: checked.bytes });
        if let Some(snapshot) = found.manifest.as_ref().and_then(|manifest| manifest.snapshot) {
            checked.snapshots.insert((document, snapshot.hash));
        }
        let live_bytes = found.manifest.as_ref().map_or(0, crate::row::Manifest::live_bytes);
        checked.index.put_document(document, Expected { stamp: found.stamp, live_bytes });
        if !found.damage.is_empty() {
            checked.damaged.push(found.damaged(document));
        }
        Ok(())
    })?;
    checked.stray_rows += stray;
    for document in expected.documents.keys() {
        if !checked.index.documents.contains_key(document) {
            checked.damaged.push(DamagedDocument { document: *document, heads: None, damage: vec![Damage::Gone] });
        }
    }
    check_meta(engine, sealer, expected, &mut checked)?;
    checked.damaged.sort_by_key(|damaged| damaged.document);
    Ok(checked)
}

fn check_meta<E: Engine>(
    engine: &E,
    sealer: &Sealer,
    expected: &Index,
    checked: &mut Checked,
) -> Result<(), StoreError> {
    for (key, value) in meta_rows(engine, sealer)? {
        match (key, value) {
            (Some(key), Some((stamp, _))) => drop(checked.index.meta.insert(meta_id(&key), stamp)),
            _ => checked.meta_rows_lost += 1,
        }
        checked.rows += 1;
    }
    let missing = |(id, stamp): &(&MetaId, &u64)| checked.index.meta.get(*id).is_none_or(|found| found < *stamp);
    let lost = expected.meta.iter().filter(missing).count() as u64;
    checked.meta_rows_lost = checked.meta_rows_lost.max(lost);
    Ok(())
}

/// A node-level row: its key, and its stamp and value when it is whole.
pub(crate) type MetaRow = (Option<String>, Option<(u64, Vec<u8>)>);

/// Reads all node-level rows. They are few and small.
pub(crate) fn meta_rows<E: Engine>(engine: &E, sealer: &Sealer) -> Result<Vec<MetaRow>, StoreError> {
    let mut rows: Vec<(Option<String>, Parts, u64)> = Vec::new();
    engine.scan(Space::Meta, &[], &END, &mut |key, value| {
        let name = meta_key_of(key).map(str::to_owned);
        let row = sealer.unseal(Space::Meta, key, value);
        if rows.last().is_none_or(|(last, ..)| *last != name || name.is_none()) {
            rows.push((name, Parts::default(), row.map_or(0, |row| row.stamp)));
        }
        let part = key.last_chunk::<4>().map_or(u32::MAX, |part| u32::from_be_bytes(*part));
        if let (Some(row), Some((_, parts, _))) = (row, rows.last_mut()) {
            parts.push(part, row.stamp, row.payload);
        }
        true
    })?;
    let finish = |(name, parts, stamp): (Option<String>, Parts, u64)| {
        (name, parts.finish().map(|value| (stamp, value.to_vec())))
    };
    Ok(rows.into_iter().map(finish).collect())
}

/// Reads every document in turn; `expected` gives the stamp each must have. Gives the number of rows that belong to no
/// document.
pub(crate) fn each_document<E: Engine>(
    engine: &E,
    sealer: &Sealer,
    snapshots: &Snapshots,
    expected: &dyn Fn(&DocumentId) -> u64,
    found: &mut dyn FnMut(DocumentId, Found, u64) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let mut current: Option<(DocumentId, DocumentReader, u64)> = None;
    let mut stray = 0;
    let mut error = None;
    let mut finish = |current: Option<(DocumentId, DocumentReader, u64)>| match current {
        Some((document, reader, rows)) => {
            reader.finish(snapshots, expected(&document)).and_then(|whole| found(document, whole, rows))
        }
        None => Ok(()),
    };
    engine.scan(Space::Data, &[], &END, &mut |key, value| {
        let Some(document) = key.get(..16).and_then(|id| DocumentId::try_from(id).ok()) else {
            stray += 1;
            return true;
        };
        if current.as_ref().is_none_or(|(id, ..)| *id != document) {
            let done = current.replace((document, DocumentReader::new(document), 0));
            if let Err(failed) = finish(done) {
                error = Some(failed);
                return false;
            }
        }
        if let Some((_, reader, rows)) = &mut current {
            reader.row(sealer, key, value);
            *rows += 1;
        }
        true
    })?;
    match error {
        Some(error) => Err(error),
        None => finish(current).map(|()| stray),
    }
}

/// Copies all rows into another engine: the logical rewrite of a store that has grown too large.
///
/// Not by way of a backup, although both copy a store: here the rows stay as they are, sealed and with their stamps,
/// which the catalogue and the journal are compared with; the states of sync sessions come along, since it is the same
/// store that goes on; and no document need fit in memory. A backup is the opposite of each, so that any engine and any
/// device can read it. What the two could share is a loop.
///
/// `seen` is told the key and the bytes of each row.
pub(crate) fn copy_rows<E: Engine>(
    from: &E,
    to: &E,
    sealer: &Sealer,
    seen: &mut dyn FnMut(Space, &[u8], u64),
) -> Result<u64, StoreError> {
    const GATHERED_BYTES_MAX: usize = 1 << 20;
    let mut rows = 0;
    for space in Space::ALL {
        let mut waiting: Vec<RowChange> = Vec::new();
        let mut bytes = 0;
        let mut failed = None;
        from.scan(space, &[], &END, &mut |key, value| {
            if sealer.unseal(space, key, value).is_none() {
                let message = "a row was altered on disk".to_owned();
                failed = Some(StoreError::Engine { engine: E::NAME, what: "rewrite", message });
                return false;
            }
            bytes += key.len() + value.len();
            seen(space, key, (key.len() + value.len()) as u64);
            rows += 1;
            waiting.push(RowChange { space, key: key.to_vec(), value: Some(value.to_vec()) });
            if bytes > GATHERED_BYTES_MAX {
                bytes = 0;
                failed = to.write(&std::mem::take(&mut waiting)).err();
            }
            failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        to.write(&waiting)?;
    }
    Ok(rows)
}
