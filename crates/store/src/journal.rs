//! The journal in front of the engine: what is acknowledged is here first, and stays until the engine has it for sure.
//!
//! sled's own `flush` does not survive a power loss, so a group is acknowledged when it is appended here and
//! `fdatasync` has returned. A checkpoint makes the engine durable and begins a new segment; then the old one goes.
//!
//! ```text
//! segment:  "CMTYJRN1" | first sequence 8 | checksum 16 | group …
//! group:    "CJg1" | payload length 4 | sequence 8 | checksum 16 | payload (entries)
//! ```

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::disk;
use crate::entry::Entry;
use crate::error::StoreError;
use crate::report::JournalReport;
use crate::row::Sealer;

const SEGMENT_MAGIC: &[u8; 8] = b"CMTYJRN1";
const GROUP_MAGIC: &[u8; 4] = b"CJg1";
const HEADER_BYTES: usize = 32;

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Journal {
    sealer: Sealer,
    folder: PathBuf,
    path: PathBuf,
    file: File,
    next: u64,
    bytes: u64,
    buffer: Vec<u8>,
}

impl Journal {
    /// Begins a new segment, durably, and removes all others: whatever they held must be durable in the engine.
    pub(crate) fn begin(sealer: Sealer, folder: &Path, next: u64) -> Result<Self, StoreError> {
        disk::create_folder(folder)?;
        let path = folder.join(format!("{next:020}.journal"));
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(SEGMENT_MAGIC);
        header.extend_from_slice(&next.to_be_bytes());
        let sum = checksum(&sealer, &header, &[]);
        header.extend_from_slice(&sum);
        disk::write_whole(&path, &header)?;
        disk::sync_folder(folder)?;
        let file = File::options().append(true).open(&path).map_err(StoreError::io("open", &path))?;
        for old in segments(folder)? {
            if old != path {
                fs::remove_file(&old).map_err(StoreError::io("remove", &old))?;
                disk::sync_folder(folder)?;
            }
        }
        Ok(Self { sealer, folder: folder.to_owned(), path, file, next, bytes: HEADER_BYTES as u64, buffer: Vec::new() })
    }

    /// Appends a group; it is durable when this returns.
    pub(crate) fn append<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>) -> Result<u64, StoreError> {
        let sequence = self.next;
        self.buffer.clear();
        self.buffer.extend_from_slice(GROUP_MAGIC);
        self.buffer.extend_from_slice(&[0; HEADER_BYTES - 4]);
        for entry in entries {
            entry.encode(&mut self.buffer);
        }
        let payload_len = u32::try_from(self.buffer.len() - HEADER_BYTES).expect("groups are bounded below 4 GiB");
        self.buffer[4..8].copy_from_slice(&payload_len.to_be_bytes());
        self.buffer[8..16].copy_from_slice(&sequence.to_be_bytes());
        let sum = checksum(&self.sealer, &self.buffer[..16], &self.buffer[HEADER_BYTES..]);
        self.buffer[16..32].copy_from_slice(&sum);
        self.file.write_all(&self.buffer).map_err(StoreError::io("append to", &self.path))?;
        self.file.sync_data().map_err(StoreError::io("flush", &self.path))?;
        self.next += 1;
        self.bytes += self.buffer.len() as u64;
        if self.buffer.capacity() > 1 << 20 {
            self.buffer = Vec::new();
        }
        Ok(sequence)
    }

    /// Begins a new segment and drops the old one, after a checkpoint of the engine.
    pub(crate) fn roll(&mut self) -> Result<(), StoreError> {
        if self.bytes > HEADER_BYTES as u64 {
            *self = Self::begin(self.sealer, &self.folder, self.next)?;
        }
        Ok(())
    }

    /// Gives the sequence of the next group.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Gives the bytes of the segment.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// What a journal holds.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) groups: Vec<(u64, Vec<Entry>)>,
    pub(crate) report: JournalReport,
    /// The sequence after the last group.
    pub(crate) next: u64,
    pub(crate) segments: usize,
}

/// Reads all segments. A torn tail ends the journal; damage before whole groups is stepped over and counted.
pub(crate) fn read(sealer: &Sealer, folder: &Path) -> Result<Contents, StoreError> {
    let mut contents = Contents::default();
    let mut expected = None;
    for path in segments(folder)? {
        let bytes = Bytes::from(fs::read(&path).map_err(StoreError::io("read", &path))?);
        contents.segments += 1;
        read_segment(sealer, &bytes, &mut expected, &mut contents);
    }
    contents.next = expected.unwrap_or(0);
    contents.report.groups = contents.groups.len() as u64;
    Ok(contents)
}

fn segments(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let all = disk::list(folder)?;
    Ok(all.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "journal")).collect())
}

fn read_segment(sealer: &Sealer, bytes: &Bytes, expected: &mut Option<u64>, contents: &mut Contents) {
    let report = &mut contents.report;
    match first_of(sealer, bytes) {
        Some(first) => {
            let gap = expected.map_or(0, |expected| first.saturating_sub(expected));
            report.lost_groups += gap;
            *expected = Some(expected.map_or(first, |expected| expected.max(first)));
        }
        None => report.damaged_segments += 1,
    }
    let mut at = HEADER_BYTES.min(bytes.len());
    while at < bytes.len() {
        if let Some((sequence, entries, next)) = group_at(sealer, bytes, at) {
            report.lost_groups += expected.map_or(0, |expected| sequence.saturating_sub(expected));
            *expected = Some(sequence + 1);
            contents.groups.push((sequence, entries));
            at = next;
            continue;
        }
        // Not a whole group. If a whole one follows, this is damage; else it is the torn tail.
        match (at + 1..bytes.len())
            .find(|at| bytes[*at..].starts_with(GROUP_MAGIC) && group_at(sealer, bytes, *at).is_some())
        {
            Some(next) => at = next,
            None => {
                report.tail_bytes += (bytes.len() - at) as u64;
                return;
            }
        }
    }
}

fn first_of(sealer: &Sealer, bytes: &[u8]) -> Option<u64> {
    let header = bytes.get(..HEADER_BYTES)?;
    let whole = &header[..8] == SEGMENT_MAGIC && header[16..] == checksum(sealer, &header[..16], &[]);
    whole.then(|| u64::from_be_bytes(header[8..16].try_into().expect("a slice of 8 bytes")))
}

fn group_at(sealer: &Sealer, bytes: &Bytes, at: usize) -> Option<(u64, Vec<Entry>, usize)> {
    let header = bytes.get(at..at.checked_add(HEADER_BYTES)?)?;
    if &header[..4] != GROUP_MAGIC {
        return None;
    }
    let len = u32::from_be_bytes(header[4..8].try_into().ok()?) as usize;
    let sequence = u64::from_be_bytes(header[8..16].try_into().ok()?);
    let end = (at + HEADER_BYTES).checked_add(len)?;
    let payload = bytes.get(at + HEADER_BYTES..end)?;
    if header[16..] != checksum(sealer, &header[..16], payload) {
        return None;
    }
    let entries = Entry::decode_all(&bytes.slice(at + HEADER_BYTES..end))?;
    Some((sequence, entries, end))
}

fn checksum(sealer: &Sealer, header: &[u8], payload: &[u8]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    hasher.update(sealer.0);
    hasher.update(header);
    hasher.update(payload);
    let mut short = [0; 16];
    short.copy_from_slice(&hasher.finalize()[..16]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEALER: Sealer = Sealer([3; 16]);

    fn meta(value: u8) -> Entry {
        Entry::Meta { key: "k".to_owned(), value: Bytes::from(vec![value; 20]) }
    }

    fn written(groups: u8) -> (tempfile::TempDir, PathBuf, Vec<u64>) {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(SEALER, folder.path(), 5).unwrap();
        let ends = (0..groups)
            .map(|value| {
                journal.append(&[meta(value), meta(value)]).unwrap();
                journal.bytes()
            })
            .collect();
        let path = journal.path.clone();
        (folder, path, ends)
    }

    #[test]
    fn a_journal_cut_at_any_byte_gives_the_groups_that_are_whole() {
        let (folder, path, ends) = written(6);
        let whole = fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let contents = read(&SEALER, folder.path()).unwrap();
            let expected = ends.iter().filter(|end| **end <= cut as u64).count();
            assert_eq!(contents.groups.len(), expected, "cut at {cut}");
            assert_eq!(contents.report.lost_groups, 0, "cut at {cut}");
            assert_eq!(contents.report.damaged_segments, u64::from(cut < HEADER_BYTES), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_is_never_silent_and_costs_one_group_at_most() {
        let (folder, path, _) = written(4);
        let whole = fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &flipped).unwrap();
            let contents = read(&SEALER, folder.path()).unwrap();
            assert!(contents.groups.len() >= 3, "bit {bit}");
            let told = contents.report.is_damaged() || contents.report.tail_bytes > 0;
            assert!(told, "bit {bit} was flipped in silence");
        }
    }

    #[test]
    fn a_new_segment_takes_the_place_of_the_old_one() {
        let (folder, path, _) = written(3);
        let next = read(&SEALER, folder.path()).unwrap().next;
        assert_eq!(next, 8);
        let mut journal = Journal::begin(SEALER, folder.path(), next).unwrap();
        assert!(!path.exists());
        assert!(read(&SEALER, folder.path()).unwrap().groups.is_empty());
        assert_eq!(journal.append(&[meta(1)]).unwrap(), 8);
        journal.roll().unwrap();
        assert_eq!(read(&SEALER, folder.path()).unwrap().next, 9);
    }
}
