//! The folder of the records: what lies in it, and how to read it while somebody else writes.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use comity_model::Timestamp;

use super::record::{self, Kept, Record, RecordError, hex, sha256};

/// Ends the name of a record, after its number.
const ENDING: &str = "evidence";

/// Ends the name of a file that is being written.
pub(super) const TEMPORARY: &str = "tmp";

/// The file that counts what was not kept.
pub(super) const DROPPED_FILE: &str = "dropped";

/// The first line of [`DROPPED_FILE`].
const DROPPED_FIRST_LINE: &str = "comity-evidence-dropped 1";

/// Longest file that is read: far above what any limit lets a record be in practice.
const FILE_BYTES_MAX: u64 = 65 << 20;

/// What lies in a folder of evidence.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Contents {
    /// The whole records, by number.
    pub records: Vec<Record>,
    /// Records that were altered or cut short, by name.
    pub damaged: Vec<Unreadable>,
    /// Files that are not ours, by name.
    pub foreign: Vec<PathBuf>,
    /// What was refused and not kept.
    pub dropped: Dropped,
}

/// A file that cannot be read as a record.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// Why not.
    pub reason: String,
}

/// Counts what was refused and not kept, because it came too fast. Up to ten seconds behind; a process that is killed
/// takes what it has not written with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many, since the folder was made.
    pub count: u64,
    /// When the last one came.
    pub last: Option<Timestamp>,
}

/// Reads all records of a folder and checks every byte of them. A folder that is not there is empty.
///
/// Blocks; never call from an async thread.
///
/// # Errors
/// When the folder cannot be listed. Files that cannot be read are in the [`Contents`].
pub fn read(folder: &Path) -> io::Result<Contents> {
    let mut contents = Contents::default();
    for path in list(folder)? {
        match role(&path) {
            Role::Record(number) => match read_record(&path, number) {
                Ok(Some(kept)) => contents.records.push(kept.record),
                // Pruned by its writer since the folder was listed.
                Ok(None) => {}
                Err(reason) => contents.damaged.push(Unreadable { path, reason }),
            },
            Role::Dropped => match read_dropped(folder) {
                Ok(dropped) => contents.dropped = dropped,
                Err(reason) => contents.damaged.push(Unreadable { path, reason }),
            },
            Role::Temporary => {}
            Role::Foreign => contents.foreign.push(path),
        }
    }
    contents.records.sort_unstable_by_key(|record| record.number);
    Ok(contents)
}

/// Reads one record with its bytes; `None` when there is none of this number.
///
/// Blocks; never call from an async thread.
///
/// # Errors
/// What is wrong with its file, in words.
pub fn read_one(folder: &Path, number: u64) -> Result<Option<Kept>, Unreadable> {
    let path = file(folder, number);
    read_record(&path, number).map_err(|reason| Unreadable { path, reason })
}

/// What a file of the folder is, by its name.
pub(super) enum Role {
    Record(u64),
    Dropped,
    Temporary,
    Foreign,
}

pub(super) fn role(path: &Path) -> Role {
    let ending = path.extension().and_then(OsStr::to_str);
    let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    match (stem, ending) {
        (DROPPED_FILE, None) => Role::Dropped,
        (_, Some(TEMPORARY)) => Role::Temporary,
        (stem, Some(ENDING)) if stem.len() >= 8 && stem.bytes().all(|byte| byte.is_ascii_digit()) => {
            stem.parse().map_or(Role::Foreign, Role::Record)
        }
        _ => Role::Foreign,
    }
}

/// Gives the name of a record.
pub(super) fn file(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.{ENDING}"))
}

pub(super) fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort_unstable();
    Ok(paths)
}

fn read_record(path: &Path, number: u64) -> Result<Option<Kept>, String> {
    let Some(bytes) = read_bounded(path)? else { return Ok(None) };
    let kept = record::decode(&bytes).map_err(|error| error.to_string())?;
    if kept.record.number != number {
        return Err(format!("it is record {} under another name", kept.record.number));
    }
    Ok(Some(kept))
}

fn read_bounded(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let read = || {
        let bytes = fs::metadata(path)?.len();
        Ok(if bytes > FILE_BYTES_MAX { Err(RecordError::TooLong { bytes }.to_string()) } else { Ok(fs::read(path)?) })
    };
    match read() {
        Ok(read) => read.map(Some),
        Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("it cannot be read: {error}")),
    }
}

pub(super) fn encode_dropped(dropped: &Dropped) -> Vec<u8> {
    let last = dropped.last.map_or(0, |last| last.unix_ms);
    let lines = format!("{DROPPED_FIRST_LINE}\ncount: {}\nlast: {last}\n", dropped.count);
    format!("{lines}seal: {}\n", hex(&sha256(lines.as_bytes()))).into_bytes()
}

pub(super) fn read_dropped(folder: &Path) -> Result<Dropped, String> {
    let Some(bytes) = read_bounded(&folder.join(DROPPED_FILE))? else { return Ok(Dropped::default()) };
    let parse = || {
        let text = std::str::from_utf8(&bytes).ok()?;
        let mut lines = text.strip_prefix(DROPPED_FIRST_LINE)?.lines().skip(1);
        let count = lines.next()?.strip_prefix("count: ")?.parse().ok()?;
        let last = lines.next()?.strip_prefix("last: ")?.parse().ok()?;
        let dropped = Dropped { count, last: (count > 0).then_some(Timestamp::from_unix_ms(last)) };
        (encode_dropped(&dropped) == bytes).then_some(dropped)
    };
    parse().ok_or_else(|| "the count of what was not kept was altered".to_owned())
}
