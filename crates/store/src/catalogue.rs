//! The catalogue: which documents and node-level rows there must be, and how new. A small file beside the engine, so
//! that an engine that silently comes back older, or empty, is found out, by name.
//!
//! Rows are appended at every checkpoint for what changed since the last one; the last row of an id holds. The first row
//! tells how often the file was written anew; with that the journal knows how far the file must reach.
//!
//! ```text
//! row: kind 1 | id 16 | stamp 8 | live bytes 8 | checksum 7
//! ```

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use comity_model::DocumentId;

use crate::disk;
use crate::error::StoreError;
use crate::row::{Sealer, checksum};

const ROW_BYTES: usize = 40;
/// Bytes of a catalogue of nothing.
pub(crate) const EMPTY_BYTES: u64 = ROW_BYTES as u64;
/// Fewest rows before the file is written anew for holding too many old ones.
const REWRITE_ROWS_MIN: usize = 4_096;

/// What must be there of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Expected {
    /// The newest group that touched its manifest.
    pub(crate) stamp: u64,
    /// What it takes in the engine, about.
    pub(crate) live_bytes: u64,
}

/// Names a node-level row by the hash of its key.
pub(crate) type MetaId = [u8; 16];

/// The group that wrote each document last.
pub(crate) type Stamps = BTreeMap<DocumentId, u64>;

/// What must be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) documents: HashMap<DocumentId, Expected>,
    pub(crate) meta: HashMap<MetaId, u64>,
    pub(crate) live_bytes: u64,
}

impl Index {
    pub(crate) fn put_document(&mut self, document: DocumentId, expected: Expected) {
        let old = self.documents.insert(document, expected).unwrap_or_default();
        self.live_bytes = self.live_bytes.saturating_add(expected.live_bytes).saturating_sub(old.live_bytes);
    }

    fn put(&mut self, row: CatalogueRow) {
        match row {
            CatalogueRow::Document(document, expected) => self.put_document(document, expected),
            CatalogueRow::Meta(id, 0) => drop(self.meta.remove(&id)),
            CatalogueRow::Meta(id, stamp) => drop(self.meta.insert(id, stamp)),
            CatalogueRow::Generation(_) => {}
        }
    }

    fn rows(&self) -> impl Iterator<Item = CatalogueRow> + '_ {
        let documents = self.documents.iter().map(|(document, expected)| CatalogueRow::Document(*document, *expected));
        documents.chain(self.meta.iter().map(|(id, stamp)| CatalogueRow::Meta(*id, *stamp)))
    }

    fn len(&self) -> usize {
        self.documents.len() + self.meta.len()
    }

    /// Gives the group that wrote each document last.
    pub(crate) fn stamps(&self) -> Stamps {
        self.documents.iter().map(|(document, expected)| (*document, expected.stamp)).collect()
    }

    /// Gives the greatest stamp.
    pub(crate) fn stamp_max(&self) -> u64 {
        let documents = self.documents.values().map(|expected| expected.stamp);
        documents.chain(self.meta.values().copied()).max().unwrap_or(0)
    }
}

/// Names a node-level row.
pub(crate) fn meta_id(key: &str) -> MetaId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&checksum(&[b"a", key.as_bytes()]));
    id[8..].copy_from_slice(&checksum(&[b"b", key.as_bytes()]));
    id
}

/// How far the catalogue reached when a journal segment was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CatalogueMark {
    /// How often the file was written anew.
    pub(crate) generation: u64,
    pub(crate) bytes: u64,
}

/// One row. A node-level row with stamp 0 was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CatalogueRow {
    Document(DocumentId, Expected),
    Meta(MetaId, u64),
    Generation(u64),
}

impl CatalogueRow {
    fn encode(&self, sealer: &Sealer, out: &mut Vec<u8>) {
        let start = out.len();
        let (kind, id, stamp, live_bytes) = match self {
            Self::Document(document, expected) => (b'd', *document.as_bytes(), expected.stamp, expected.live_bytes),
            Self::Meta(id, stamp) => (b'm', *id, *stamp, 0),
            Self::Generation(generation) => (b'g', [0; 16], *generation, 0),
        };
        out.push(kind);
        out.extend_from_slice(&id);
        out.extend_from_slice(&stamp.to_be_bytes());
        out.extend_from_slice(&live_bytes.to_be_bytes());
        let sum = checksum(&[&sealer.0, &out[start..]]);
        out.extend_from_slice(&sum[..7]);
    }

    fn decode(sealer: &Sealer, row: &[u8; ROW_BYTES]) -> Option<Self> {
        if row[33..] != checksum(&[&sealer.0, &row[..33]])[..7] {
            return None;
        }
        let id: [u8; 16] = row[1..17].try_into().ok()?;
        let stamp = u64::from_be_bytes(row[17..25].try_into().ok()?);
        let live_bytes = u64::from_be_bytes(row[25..33].try_into().ok()?);
        match row[0] {
            b'd' => Some(Self::Document(DocumentId::from_bytes(id), Expected { stamp, live_bytes })),
            b'm' => Some(Self::Meta(id, stamp)),
            b'g' => Some(Self::Generation(stamp)),
            _ => None,
        }
    }
}

/// The file.
#[derive(Debug)]
pub(crate) struct Catalogue {
    sealer: Sealer,
    path: PathBuf,
    generation: u64,
    rows: usize,
}

/// What a catalogue file held.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) index: Index,
    pub(crate) bytes: u64,
    /// How often the file was written anew; 0 when the row that tells it is lost.
    pub(crate) generation: u64,
    /// Rows that are not as they were written, although later ones are.
    pub(crate) rows_lost: u64,
    /// Rows at the end that are not as they were written: their checkpoint was not finished, the journal has them.
    pub(crate) rows_torn: u64,
    /// There is no file.
    pub(crate) missing: bool,
}

impl Catalogue {
    pub(crate) const NAME: &'static str = "catalogue";

    /// Reads the file. `mark` tells how far it must reach: what is bad before that is lost, not torn.
    pub(crate) fn read(sealer: &Sealer, folder: &Path, mark: Option<CatalogueMark>) -> Result<Contents, StoreError> {
        let Some(bytes) = disk::read_optional(&folder.join(Self::NAME))? else {
            return Ok(Contents { missing: true, ..Contents::default() });
        };
        let mut contents = Contents { bytes: bytes.len() as u64, ..Contents::default() };
        let rows = bytes.as_chunks::<ROW_BYTES>().0;
        let decoded: Vec<_> = rows.iter().map(|row| CatalogueRow::decode(sealer, row)).collect();
        if let Some(Some(CatalogueRow::Generation(generation))) = decoded.first() {
            contents.generation = *generation;
        }
        // Rows that were certain when the journal began. What is bad behind them belongs to an append that did not end.
        let certain_rows = mark.map(|mark| match mark.generation.cmp(&contents.generation) {
            Ordering::Equal => mark.bytes / ROW_BYTES as u64,
            // Written anew since, whole.
            Ordering::Less => rows.len() as u64,
            // Older than the journal, or nobody can tell: what was noted since is lost.
            Ordering::Greater => u64::MAX,
        });
        for (number, row) in (0_u64..).zip(decoded) {
            match row {
                Some(row) => {
                    if certain_rows.is_none() {
                        contents.rows_lost += std::mem::take(&mut contents.rows_torn);
                    }
                    contents.index.put(row);
                }
                None if certain_rows.is_some_and(|certain| number < certain) => contents.rows_lost += 1,
                None => contents.rows_torn += 1,
            }
        }
        contents.rows_lost += match certain_rows {
            Some(u64::MAX) => u64::from(contents.rows_lost == 0),
            certain => certain.unwrap_or(0).saturating_sub(rows.len() as u64),
        };
        Ok(contents)
    }

    /// Writes the whole catalogue anew; `generation` is the one of the file before.
    pub(crate) fn write(sealer: Sealer, folder: &Path, index: &Index, generation: u64) -> Result<Self, StoreError> {
        let mut catalogue = Self { sealer, path: folder.join(Self::NAME), generation, rows: 0 };
        catalogue.rewrite(index)?;
        Ok(catalogue)
    }

    /// Tells how far the file reaches.
    pub(crate) fn mark(&self) -> CatalogueMark {
        CatalogueMark { generation: self.generation, bytes: self.bytes() }
    }

    /// Goes on with a file that was read whole.
    pub(crate) fn reopen(sealer: Sealer, folder: &Path, contents: &Contents) -> Self {
        let rows = usize::try_from(contents.bytes).unwrap_or(usize::MAX) / ROW_BYTES;
        Self { sealer, path: folder.join(Self::NAME), generation: contents.generation, rows }
    }

    /// Appends what changed since the last time, durably.
    pub(crate) fn append(&mut self, changed: &[CatalogueRow], index: &Index) -> Result<(), StoreError> {
        if changed.is_empty() {
            return Ok(());
        }
        if self.rows + changed.len() > REWRITE_ROWS_MIN.max(4 * index.len()) {
            return self.rewrite(index);
        }
        let mut bytes = Vec::with_capacity(changed.len() * ROW_BYTES);
        changed.iter().for_each(|row| row.encode(&self.sealer, &mut bytes));
        let appended = File::options().append(true).open(&self.path).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_data()
        });
        appended.map_err(StoreError::io("append to", &self.path))?;
        self.rows += changed.len();
        Ok(())
    }

    /// Gives the bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        (self.rows * ROW_BYTES) as u64
    }

    fn rewrite(&mut self, index: &Index) -> Result<(), StoreError> {
        let mut bytes = Vec::with_capacity((index.len() + 1) * ROW_BYTES);
        self.generation += 1;
        CatalogueRow::Generation(self.generation).encode(&self.sealer, &mut bytes);
        index.rows().for_each(|row| row.encode(&self.sealer, &mut bytes));
        disk::write_whole(&self.path, &bytes)?;
        if let Some(folder) = self.path.parent() {
            disk::sync_folder(folder)?;
        }
        self.rows = index.len() + 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEALER: Sealer = Sealer([3; 16]);

    fn document(id: u8, stamp: u64) -> CatalogueRow {
        CatalogueRow::Document(DocumentId::from_bytes([id; 16]), Expected { stamp, live_bytes: 100 })
    }

    #[test]
    fn the_last_row_of_an_id_holds_and_live_bytes_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut catalogue = Catalogue::write(SEALER, folder.path(), &Index::default(), 0).unwrap();
        let mut index = Index::default();
        for row in [document(1, 1), document(2, 2), document(1, 3), CatalogueRow::Meta([1; 16], 4)] {
            index.put(row);
            catalogue.append(&[row], &index).unwrap();
        }
        let read = Catalogue::read(&SEALER, folder.path(), Some(catalogue.mark())).unwrap();
        assert_eq!((read.rows_lost, &read.index), (0, &index));
        assert_eq!((read.index.live_bytes, read.index.stamp_max(), read.bytes), (200, 4, catalogue.bytes()));
    }

    #[test]
    fn a_flipped_bit_loses_one_row_and_is_counted() {
        let (folder, whole, mark) = four_documents();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(folder.path().join(Catalogue::NAME), flipped).unwrap();
            let read = Catalogue::read(&SEALER, folder.path(), Some(mark)).unwrap();
            let documents = 3 + usize::from(bit / 8 < ROW_BYTES);
            assert_eq!((read.rows_lost, read.index.documents.len()), (1, documents), "bit {bit}");
        }
    }

    #[test]
    fn a_file_that_is_shorter_or_older_than_the_journal_knows_has_lost_rows() {
        let (folder, whole, mark) = four_documents();
        for cut in 0..whole.len() {
            std::fs::write(folder.path().join(Catalogue::NAME), &whole[..cut]).unwrap();
            assert!(Catalogue::read(&SEALER, folder.path(), Some(mark)).unwrap().rows_lost > 0, "cut at {cut}");
        }
        std::fs::write(folder.path().join(Catalogue::NAME), &whole).unwrap();
        let newer = CatalogueMark { generation: mark.generation + 1, ..mark };
        assert_eq!(Catalogue::read(&SEALER, folder.path(), Some(newer)).unwrap().rows_lost, 1);
        let older = CatalogueMark { generation: mark.generation - 1, bytes: 1 << 20 };
        assert_eq!(Catalogue::read(&SEALER, folder.path(), Some(older)).unwrap().rows_lost, 0);
    }

    fn four_documents() -> (tempfile::TempDir, Vec<u8>, CatalogueMark) {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::default();
        (1..5).for_each(|id| index.put(document(id, u64::from(id))));
        let catalogue = Catalogue::write(SEALER, folder.path(), &index, 3).unwrap();
        let whole = std::fs::read(folder.path().join(Catalogue::NAME)).unwrap();
        (folder, whole, catalogue.mark())
    }
}
