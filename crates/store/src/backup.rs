//! Logical backup and restore: one checksummed file that any engine can read, and that a running store can write.
//!
//! ```text
//! file:    "CMTYBKP1" | row … | trailer row
//! row:     kind 1 | length 4 | checksum 8 | body
//! ```
//!
//! The checksum of a row covers the checksum of the row before it, so that rows cannot be cut out, repeated or put in
//! another order. Sync states are left out: a copy that is brought back must not believe that it knows what its peers
//! have.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use comity_model::{DocumentId, Heads};

use crate::disk;
use crate::engines::SledStore;
use crate::error::{BackupError, OpenError, StoreError};
use crate::op::{Op, SNAPSHOT_BYTES_MAX};
use crate::options::Options;
use crate::report::Progress;
use crate::row::{checksum, heads_bytes, heads_of};
use crate::store::Store;

/// The node-level row that a restored store has. Whoever opens it takes a new actor session, since the device may have
/// gone on writing after the backup was made.
pub const RESTORED_META_KEY: &str = "comity.restored";

const MAGIC: &[u8; 8] = b"CMTYBKP1";
const ROW_HEADER_BYTES: usize = 13;
/// Most bytes of changes gathered into one commit while restoring.
const GROUP_BYTES: usize = 1 << 20;

const DOCUMENT: u8 = b'd';
const SNAPSHOT: u8 = b's';
const CHANGE: u8 = b'c';
const META: u8 = b'm';
const TRAILER: u8 = b't';

/// Counts of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupSummary {
    /// Documents.
    pub documents: u64,
    /// Change chunks.
    pub changes: u64,
    /// Node-level rows.
    pub meta_rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Writes all documents and node-level rows into one new file. The store may be in use: each document is taken whole,
/// as it is at its turn. The file appears under its name only when it is complete and on disk.
///
/// # Errors
/// When the file exists, a document is damaged (salvage first), or writing fails.
pub fn backup(store: &dyn Store, to: &Path, progress: &mut dyn FnMut(Progress)) -> Result<BackupSummary, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists { path: to.to_owned() });
    }
    let temporary = with_suffix(to, ".partial");
    let written = write_backup(store, &temporary, progress);
    match written {
        Ok(summary) => {
            disk::rename_durably(&temporary, to)?;
            Ok(summary)
        }
        Err(error) => {
            // Best effort: the partial file is of no use, and the first error is the one to tell.
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    // A bare file name has an empty parent, which is not a folder that can be flushed.
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => parent.join(name),
        None => Path::new(".").join(name),
    }
}

fn write_backup(
    store: &dyn Store,
    path: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<BackupSummary, BackupError> {
    let mut out = RowWriter::create(path)?;
    let mut summary = BackupSummary::default();
    for key in store.meta_keys()? {
        if let Some(value) = store.meta(&key)? {
            let mut body = vec![u8::try_from(key.len()).expect("keys are at most 128 bytes")];
            body.extend_from_slice(key.as_bytes());
            body.extend_from_slice(&value);
            out.row(META, &body)?;
            summary.meta_rows += 1;
        }
    }
    let documents = store.documents()?;
    let documents_total = documents.len() as u64;
    for document in documents {
        let Some(stored) = store.load(&document)? else { continue };
        let mut body = document.as_bytes().to_vec();
        body.extend_from_slice(&heads_bytes(&stored.heads));
        out.row(DOCUMENT, &body)?;
        if let Some(snapshot) = &stored.snapshot {
            out.row(SNAPSHOT, snapshot)?;
        }
        for change in &stored.changes {
            out.row(CHANGE, change)?;
        }
        summary.documents += 1;
        summary.changes += stored.changes.len() as u64;
        progress(Progress { documents: summary.documents, documents_total, bytes: out.bytes });
    }
    out.row(TRAILER, &trailer(&summary))?;
    summary.bytes = out.finish()?;
    Ok(summary)
}

fn trailer(summary: &BackupSummary) -> Vec<u8> {
    [summary.documents, summary.changes, summary.meta_rows].iter().flat_map(|count| count.to_be_bytes()).collect()
}

/// Reads a whole backup and checks it, without restoring anything.
///
/// # Errors
/// When the file is not a backup, is cut short or altered, or cannot be read.
pub fn verify_backup(file: &Path) -> Result<BackupSummary, BackupError> {
    let mut rows = RowReader::open(file)?;
    let mut summary = BackupSummary::default();
    while let Some((kind, body)) = rows.next()? {
        match kind {
            DOCUMENT if body.len() >= 16 && heads_of(&body[16..]).is_some() => summary.documents += 1,
            SNAPSHOT if summary.documents > 0 => {}
            CHANGE if summary.documents > 0 => summary.changes += 1,
            META if meta_of(&body).is_some() => summary.meta_rows += 1,
            TRAILER if body == trailer(&summary) && rows.is_at_end()? => {
                summary.bytes = rows.at;
                return Ok(summary);
            }
            _ => break,
        }
    }
    Err(rows.damaged())
}

/// Restores a backup into an empty or new folder, as a sled store marked with [`RESTORED_META_KEY`]. The file is checked
/// whole before anything is written, and the folder gets the store only when it is complete.
///
/// # Errors
/// When the file is damaged, the folder is not empty, or writing fails.
pub fn restore(
    file: &Path,
    into: &Path,
    options: Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<BackupSummary, BackupError> {
    let total = verify_backup(file)?;
    if into.exists() && !disk::list(into)?.is_empty() {
        return Err(OpenError::NotEmpty { folder: into.to_owned() }.into());
    }
    let temporary = with_suffix(into, ".restoring");
    if temporary.exists() {
        fs::remove_dir_all(&temporary).map_err(StoreError::io("remove", &temporary))?;
    }
    let restored = restore_store(file, &temporary, options, total, progress);
    if let Err(error) = restored {
        // Best effort: the first error is the one to tell.
        let _ = fs::remove_dir_all(&temporary);
        return Err(error);
    }
    if into.exists() {
        fs::remove_dir(into).map_err(StoreError::io("replace the folder", into))?;
    }
    disk::rename_durably(&temporary, &with_suffix(into, ""))?;
    Ok(total)
}

fn restore_store(
    file: &Path,
    folder: &Path,
    options: Options,
    total: BackupSummary,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), BackupError> {
    let (store, _) = SledStore::open(folder, options)?;
    let mut rows = RowReader::open(file)?;
    let mut current: Option<(DocumentId, Heads)> = None;
    let mut ops: Vec<Op> = Vec::new();
    let mut ops_bytes = 0;
    let mut done = Progress { documents_total: total.documents, ..Progress::default() };
    while let Some((kind, body)) = rows.next()? {
        let here = || current.clone().ok_or_else(|| rows.damaged());
        ops_bytes += body.len();
        match kind {
            DOCUMENT => {
                let id = body.get(..16).and_then(|id| DocumentId::try_from(id).ok()).ok_or_else(|| rows.damaged())?;
                let heads = heads_of(&body[16..]).ok_or_else(|| rows.damaged())?;
                ops.push(Op::Append { document: id, chunks: Vec::new(), heads: heads.clone() });
                current = Some((id, heads));
                done.documents += 1;
            }
            SNAPSHOT => {
                let (document, heads) = here()?;
                ops.push(Op::Replace { document, snapshot: body, heads });
            }
            CHANGE => {
                let (document, heads) = here()?;
                ops.push(Op::Append { document, chunks: vec![body], heads });
            }
            META => {
                let (key, value) = meta_of(&body).ok_or_else(|| rows.damaged())?;
                ops.push(Op::PutMeta { key, value });
            }
            _ => break,
        }
        if ops_bytes > GROUP_BYTES || ops.len() >= 4_096 {
            store.commit(&ops)?;
            ops.clear();
            ops_bytes = 0;
            progress(Progress { bytes: rows.at, ..done });
        }
    }
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    ops.push(Op::PutMeta { key: RESTORED_META_KEY.to_owned(), value: Bytes::from(seconds.to_string()) });
    store.commit(&ops)?;
    store.close()?;
    progress(Progress { bytes: rows.at, ..done });
    Ok(())
}

fn meta_of(body: &Bytes) -> Option<(String, Bytes)> {
    let key_end = 1 + usize::from(*body.first()?);
    let key = std::str::from_utf8(body.get(1..key_end)?).ok()?.to_owned();
    crate::op::check_meta_key(&key).ok()?;
    Some((key, body.slice(key_end..)))
}

struct RowWriter {
    path: PathBuf,
    out: BufWriter<File>,
    sum: [u8; 8],
    bytes: u64,
}

impl RowWriter {
    fn create(path: &Path) -> Result<Self, StoreError> {
        let mut out = BufWriter::new(File::create(path).map_err(StoreError::io("create", path))?);
        out.write_all(MAGIC).map_err(StoreError::io("write", path))?;
        Ok(Self { path: path.to_owned(), out, sum: *MAGIC, bytes: MAGIC.len() as u64 })
    }

    fn row(&mut self, kind: u8, body: &[u8]) -> Result<(), StoreError> {
        let len = u32::try_from(body.len()).expect("limits keep every row below 4 GiB").to_be_bytes();
        self.sum = checksum(&[&self.sum, &[kind], &len, body]);
        let parts = [&[kind], len.as_slice(), &self.sum, body];
        parts.iter().try_for_each(|part| self.out.write_all(part)).map_err(StoreError::io("write", &self.path))?;
        self.bytes += (ROW_HEADER_BYTES + body.len()) as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<u64, StoreError> {
        let flushed = self.out.flush().and_then(|()| self.out.get_ref().sync_all());
        flushed.map_err(StoreError::io("flush", &self.path))?;
        Ok(self.bytes)
    }
}

struct RowReader {
    path: PathBuf,
    input: BufReader<File>,
    sum: [u8; 8],
    at: u64,
}

impl RowReader {
    fn open(path: &Path) -> Result<Self, BackupError> {
        let mut input = BufReader::new(File::open(path).map_err(StoreError::io("open", path))?);
        let mut magic = [0; 8];
        match input.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC => Ok(Self { path: path.to_owned(), input, sum: magic, at: MAGIC.len() as u64 }),
            _ => Err(BackupError::NotABackup { path: path.to_owned() }),
        }
    }

    fn damaged(&self) -> BackupError {
        BackupError::Damaged { path: self.path.clone(), offset: self.at }
    }

    /// Reads the next row; `None` at the end of the file.
    fn next(&mut self) -> Result<Option<(u8, Bytes)>, BackupError> {
        if self.is_at_end()? {
            return Ok(None);
        }
        let mut header = [0; ROW_HEADER_BYTES];
        self.input.read_exact(&mut header).map_err(|_| self.damaged())?;
        let len = u32::from_be_bytes(header[1..5].try_into().expect("a slice of 4 bytes"));
        if len as usize > SNAPSHOT_BYTES_MAX {
            return Err(self.damaged());
        }
        // Grows with what is really there: the length may be the damaged part.
        let mut body = Vec::new();
        let read = self.input.by_ref().take(u64::from(len)).read_to_end(&mut body);
        read.map_err(StoreError::io("read", &self.path))?;
        let sum = checksum(&[&self.sum, &header[..5], &body]);
        if body.len() != len as usize || header[5..] != sum {
            return Err(self.damaged());
        }
        self.sum = sum;
        self.at += (ROW_HEADER_BYTES + body.len()) as u64;
        Ok(Some((header[0], body.into())))
    }

    fn is_at_end(&mut self) -> Result<bool, BackupError> {
        use std::io::BufRead;
        let rest = self.input.fill_buf().map_err(StoreError::io("read", &self.path))?;
        Ok(rest.is_empty())
    }
}
