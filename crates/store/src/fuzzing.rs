//! Doors for the fuzz targets, to the decoders of what lies on disk. Not part of the library's promises.
//!
//! Rows and journal groups carry checksums that no fuzzer guesses, so here everything is sealed properly first: what is
//! tried is whether the decoders hold when damage, or an old version, gets past the checksums.

use std::path::Path;

use bytes::Bytes;
use comity_model::DocumentId;

use crate::catalogue::CatalogueMark;
use crate::document::DocumentReader;
use crate::entry::{Entry, pack, unpack};
use crate::error::StoreError;
use crate::journal::{self, Journal};
use crate::op::StoredDocument;
use crate::row::{
    self, DataKey, FIXED_BYTES, Manifest, RowChange, Sealer, Space, VALUE_BYTES_MAX, decode, encode, meta_key_of,
};
use crate::snapshots::Snapshots;

const SEALER: Sealer = Sealer([7; 16]);
/// The document that the rows are of.
const DOCUMENT: [u8; 16] = [7; 16];

/// Reads any bytes as each thing that lies on disk. Asserts that what can be read is written again as it was.
pub fn raw(bytes: &[u8]) {
    SEALER.carve_all(bytes, |row| assert!(row.len <= VALUE_BYTES_MAX));
    let _ = (DataKey::parse(bytes), meta_key_of(bytes));
    if let Some(manifest) = decode::<Manifest>(bytes) {
        let again = decode(&encode(&manifest)).expect("what was written can be read");
        assert_eq!(manifest, again);
        let _ = (manifest.heads(), manifest.live_bytes());
    }
    let bytes = Bytes::copy_from_slice(bytes);
    if let Some(chunks) = unpack(&bytes) {
        assert_eq!(pack(&chunks), bytes);
    }
}

/// Puts rows of a document, each a key without the document's id, a stamp and a payload, into the form they have on
/// disk, and reads the document. `snapshots` is where its snapshot files would be.
///
/// # Errors
/// When the rows are not those of a whole document.
pub fn document(rows: &[(Vec<u8>, u64, Vec<u8>)], snapshots: &Path) -> Result<StoredDocument, StoreError> {
    let document = DocumentId::from_bytes(DOCUMENT);
    let mut sealed: Vec<_> = rows.iter().filter_map(|(key, stamp, payload)| seal(key, *stamp, payload)).collect();
    sealed.sort_by(|a, b| a.key.cmp(&b.key));
    sealed.dedup_by(|a, b| a.key == b.key);
    let mut reader = DocumentReader::new(document);
    for RowChange { key, value, .. } in &sealed {
        reader.row(&SEALER, key, value.as_deref().unwrap_or_default());
    }
    reader.finish(&Snapshots::at(snapshots.to_owned()), 1)?.into_document(&document)
}

fn seal(key: &[u8], stamp: u64, payload: &[u8]) -> Option<RowChange> {
    let key = [&DOCUMENT, key].concat();
    let fits = key.len() < 256 && FIXED_BYTES + key.len() + payload.len() <= VALUE_BYTES_MAX;
    let space = Space::Data;
    fits.then(|| RowChange { space, value: Some(SEALER.seal(space, stamp, &key, payload)), key })
}

/// Reads bytes as the entries of a journal group; if they are, writes a journal with them and asserts that it reads
/// back the same.
///
/// # Errors
/// When the folder cannot be written to.
pub fn journal(bytes: &[u8], folder: &Path) -> Result<(), StoreError> {
    let Some(entries) = Entry::decode_all(&Bytes::copy_from_slice(bytes)) else { return Ok(()) };
    let mut journal = Journal::begin(SEALER, folder, 1, CatalogueMark::default())?;
    journal.append(&entries)?;
    let contents = journal::read(&SEALER, folder)?;
    assert!(!contents.report.is_damaged(), "{:?}", contents.report);
    assert_eq!(contents.groups, [(1, entries)]);
    Ok(())
}

/// Gives a manifest as it stands in its row, for seeds.
pub fn manifest(chunks: &[&[u8]]) -> Vec<u8> {
    let mut manifest = Manifest::default();
    chunks.iter().for_each(|chunk| manifest.append(chunk));
    row::encode(&manifest)
}
