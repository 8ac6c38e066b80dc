//! The journal in front of the engine: what is acknowledged is here first, and stays until the engine has it for sure.
//!
//! sled's own `flush` does not survive a power loss, so a group is acknowledged when it is appended here and
//! `fdatasync` has returned. A checkpoint makes the engine durable and begins a new segment; then the old one goes.
//!
//! A segment is made longer before it is written to, and what is not written yet is zeros. So a file that is cut short is
//! damage, whatever it is cut to; and a group that is not whole is a torn write, which nobody was told is saved, only if
//! a sector of it is still zeros. If every sector was written, the group was altered later.
//!
//! ```text
//! segment:  "CMTYJRN2" | first sequence 8 | catalogue generation 8 | catalogue bytes 8 | checksum 16 | group … | zeros
//! group:    "CJg2" | payload length 4 | sequence 8 | zero sectors 4 | payload checksum 16 | header checksum 8 | payload
//! ```

mod read;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub(crate) use self::read::{Contents, Suspect, holds_nothing, read};
use crate::catalogue::CatalogueMark;
use crate::disk;
use crate::entry::Entry;
use crate::error::StoreError;
use crate::row::Sealer;

const SEGMENT_MAGIC: &[u8; 8] = b"CMTYJRN2";
const GROUP_MAGIC: &[u8; 4] = b"CJg2";
const SEGMENT_HEADER_BYTES: usize = 48;
const GROUP_HEADER_BYTES: usize = 44;
/// What a segment grows by: one more flush for each step, and at most this much disk for nothing.
const STEP_BYTES: u64 = 256 << 10;
/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Journal {
    sealer: Sealer,
    folder: PathBuf,
    path: PathBuf,
    file: File,
    next: u64,
    /// Where the last group ends.
    bytes: u64,
    /// What the file takes; always more than `bytes`.
    file_bytes: u64,
    buffer: Vec<u8>,
}

impl Journal {
    /// Begins a new segment, durably, and removes all others: whatever they held must be durable in the engine, and
    /// noted in the catalogue, of which `mark` tells how far it must reach.
    pub(crate) fn begin(sealer: Sealer, folder: &Path, next: u64, mark: CatalogueMark) -> Result<Self, StoreError> {
        disk::create_folder(folder)?;
        let path = folder.join(format!("{next:020}.journal"));
        let mut header = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        header.extend_from_slice(SEGMENT_MAGIC);
        for number in [next, mark.generation, mark.bytes] {
            header.extend_from_slice(&number.to_be_bytes());
        }
        let sum = checksum(&sealer, &header, &[]);
        header.extend_from_slice(&sum);
        disk::write_whole_and_reserve(&path, &header, STEP_BYTES)?;
        disk::sync_folder(folder)?;
        let file = File::options().write(true).open(&path).map_err(StoreError::io("open", &path))?;
        for old in segments(folder)? {
            if old != path {
                fs::remove_file(&old).map_err(StoreError::io("remove", &old))?;
                disk::sync_folder(folder)?;
            }
        }
        let (folder, buffer, bytes) = (folder.to_owned(), Vec::new(), SEGMENT_HEADER_BYTES as u64);
        Ok(Self { sealer, folder, path, file, next, bytes, file_bytes: STEP_BYTES, buffer })
    }

    /// Appends a group; it is durable when this returns.
    pub(crate) fn append<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>) -> Result<u64, StoreError> {
        let sequence = self.next;
        self.encode(entries);
        let end = self.bytes + self.buffer.len() as u64;
        if end >= self.file_bytes {
            // Flushed before anything is written there: a file that is too short is damage, never a torn write.
            let file_bytes = (end / STEP_BYTES + 1) * STEP_BYTES;
            let grown = self.file.set_len(file_bytes).and_then(|()| self.file.sync_data());
            grown.map_err(StoreError::io("extend", &self.path))?;
            self.file_bytes = file_bytes;
        }
        self.file.write_all_at(&self.buffer, self.bytes).map_err(StoreError::io("append to", &self.path))?;
        self.file.sync_data().map_err(StoreError::io("flush", &self.path))?;
        self.next += 1;
        self.bytes = end;
        if self.buffer.capacity() > 1 << 20 {
            self.buffer = Vec::new();
        }
        Ok(sequence)
    }

    fn encode<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>) {
        let buffer = &mut self.buffer;
        buffer.clear();
        buffer.extend_from_slice(GROUP_MAGIC);
        buffer.extend_from_slice(&[0; GROUP_HEADER_BYTES - 4]);
        for entry in entries {
            entry.encode(buffer);
        }
        let (header, payload) = buffer.split_at_mut(GROUP_HEADER_BYTES);
        let payload_len = u32::try_from(payload.len()).expect("groups are bounded below 4 GiB");
        let zeros = zero_sectors(payload, self.bytes + GROUP_HEADER_BYTES as u64);
        header[4..8].copy_from_slice(&payload_len.to_be_bytes());
        header[8..16].copy_from_slice(&self.next.to_be_bytes());
        header[16..20].copy_from_slice(&zeros.to_be_bytes());
        let sum = checksum(&self.sealer, &header[..20], payload);
        header[20..36].copy_from_slice(&sum);
        let sum = checksum(&self.sealer, &header[..36], &[]);
        header[36..].copy_from_slice(&sum[..8]);
    }

    /// Begins a new segment and drops the old one, after a checkpoint of the engine.
    pub(crate) fn roll(&mut self, mark: CatalogueMark) -> Result<(), StoreError> {
        if self.bytes > SEGMENT_HEADER_BYTES as u64 {
            *self = Self::begin(self.sealer, &self.folder, self.next, mark)?;
        }
        Ok(())
    }

    /// Gives the sequence of the next group.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Gives the bytes of the segment that are written.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn segments(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let all = disk::list(folder)?;
    Ok(all.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "journal")).collect())
}

/// Counts the sectors of a file in which these bytes, which lie at an offset, are nothing but zeros.
fn zero_sectors(bytes: &[u8], at: u64) -> u32 {
    let first = SECTOR_BYTES - usize::try_from(at % SECTOR_BYTES as u64).expect("less than a sector");
    let (head, rest) = bytes.split_at(first.min(bytes.len()));
    let zeros =
        std::iter::once(head).chain(rest.chunks(SECTOR_BYTES)).filter(|part| is_zeros(part) && !part.is_empty());
    u32::try_from(zeros.count()).expect("groups are bounded below 4 GiB")
}

fn is_zeros(bytes: &[u8]) -> bool {
    // Every byte equals the one before: one comparison of memory, since this looks at whole segments.
    bytes.split_first().is_none_or(|(first, rest)| *first == 0 && *rest == bytes[..rest.len()])
}

/// Gives how many bytes there are up to the last that is not zero.
fn written_len(bytes: &[u8]) -> usize {
    let zeros: usize = bytes.rchunks(4_096).take_while(|part| is_zeros(part)).map(<[u8]>::len).sum();
    let rest = &bytes[..bytes.len() - zeros];
    rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
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
    use bytes::Bytes;
    use comity_model::{DocumentId, Heads};

    use super::*;
    use crate::row::Manifest;

    const SEALER: Sealer = Sealer([3; 16]);
    const MARK: CatalogueMark = CatalogueMark { generation: 2, bytes: 80 };

    fn meta(value: Bytes) -> Entry {
        Entry::Meta { key: "k".to_owned(), value }
    }

    fn small(value: u8) -> Entry {
        meta(Bytes::from(vec![value; 300]))
    }

    fn written(groups: &[Entry]) -> (tempfile::TempDir, PathBuf, Vec<usize>) {
        // In memory where there is such a folder: these stories write very many whole segments.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut journal = Journal::begin(SEALER, folder.path(), 5, MARK).unwrap();
        let append = |entry: &Entry| {
            journal.append([entry]).unwrap();
            usize::try_from(journal.bytes()).unwrap()
        };
        let ends = groups.iter().map(append).collect();
        let path = journal.path.clone();
        (folder, path, ends)
    }

    fn reread(folder: &tempfile::TempDir, path: &Path, bytes: &[u8]) -> Contents {
        fs::write(path, bytes).unwrap();
        read(&SEALER, folder.path()).unwrap()
    }

    #[test]
    fn a_write_torn_at_any_sector_gives_the_groups_that_are_whole_and_is_no_damage() {
        let zeros = meta(Bytes::from(vec![0; 3_000]));
        let (folder, path, ends) = written(&[small(1), small(2), zeros, small(4), small(5)]);
        let whole = fs::read(&path).unwrap();
        let (last, end) = (ends[3], ends[4]);
        for cut in (0..=end.div_ceil(SECTOR_BYTES)).map(|sector| sector * SECTOR_BYTES).filter(|cut| *cut >= last) {
            // Sectors that were not written are zeros: after the cut, and before it.
            for torn in [last..cut.min(end), cut.min(end)..end] {
                let mut bytes = whole.clone();
                bytes[torn.clone()].fill(0);
                let contents = reread(&folder, &path, &bytes);
                assert_eq!(contents.groups.len(), if torn.is_empty() { 5 } else { 4 }, "{torn:?}");
                assert!(!contents.report.is_damaged(), "{torn:?}: {:?}", contents.report);
            }
        }
    }

    #[test]
    fn a_segment_cut_at_any_byte_is_damaged() {
        let (folder, path, ends) = written(&[small(1), small(2)]);
        let whole = fs::read(&path).unwrap();
        for cut in (0..ends[1] + 2).chain([whole.len() - 1]) {
            let contents = reread(&folder, &path, &whole[..cut]);
            assert!(contents.report.is_damaged(), "cut at {cut}");
            assert_eq!(contents.groups.len(), ends.iter().filter(|end| **end <= cut).count(), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_is_never_silent_and_costs_one_group_at_most() {
        let zeros = meta(Bytes::from(vec![0; 2_000]));
        let (folder, path, ends) = written(&[small(1), small(2), small(3), zeros]);
        let whole = fs::read(&path).unwrap();
        for bit in (0..ends[3] * 8).step_by(5) {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let contents = reread(&folder, &path, &flipped);
            assert!(contents.groups.len() >= 3 && contents.next >= 9, "bit {bit}");
            assert!(contents.report.is_damaged(), "bit {bit} was flipped in silence");
        }
    }

    #[test]
    fn the_documents_of_a_group_with_a_flipped_bit_are_known_by_name() {
        let manifest = |id: u8| Entry::Manifest {
            document: DocumentId::from_bytes([id; 16]),
            manifest: Manifest::default(),
            heads: Heads::default(),
        };
        let (folder, path, ends) = written(&[small(1), manifest(7), small(2), manifest(8)]);
        let whole = fs::read(&path).unwrap();
        for (document, group, sequence) in [(7, 1, 6), (8, 3, 8)] {
            let mut flipped = whole.clone();
            // In the checksum of the payload, so that the payload itself reads well.
            flipped[ends[group - 1] + 25] ^= 1;
            let suspects = reread(&folder, &path, &flipped).suspects;
            let document = DocumentId::from_bytes([document; 16]);
            assert_eq!(suspects, [Suspect { sequence, document, heads: Heads::default() }]);
        }
    }

    #[test]
    fn groups_of_any_size_are_read_back_however_the_file_grew() {
        let sizes = [1, 200_000, 300_000, 10, 1_000_000, 44];
        let entries: Vec<Entry> = sizes.iter().map(|size| meta(Bytes::from(vec![7; *size]))).collect();
        let (folder, path, ends) = written(&entries);
        let file_bytes = fs::metadata(&path).unwrap().len();
        assert!(file_bytes.is_multiple_of(STEP_BYTES) && file_bytes > ends[5] as u64);
        let contents = read(&SEALER, folder.path()).unwrap();
        let groups: Vec<Entry> = contents.groups.into_iter().flat_map(|(_, entries)| entries).collect();
        assert!(groups == entries && !contents.report.is_damaged() && contents.report.tail_bytes == 0);
        assert_eq!(contents.catalogue, Some(MARK));
    }

    #[test]
    fn a_new_segment_takes_the_place_of_the_old_one() {
        let (folder, path, _) = written(&[small(1), small(2), small(3)]);
        let next = read(&SEALER, folder.path()).unwrap().next;
        assert_eq!(next, 8);
        let mut journal = Journal::begin(SEALER, folder.path(), next, MARK).unwrap();
        assert!(!path.exists());
        assert!(read(&SEALER, folder.path()).unwrap().groups.is_empty());
        assert!(holds_nothing(&journal.path).unwrap());
        assert_eq!(journal.append(&[small(1)]).unwrap(), 8);
        assert!(!holds_nothing(&journal.path).unwrap());
        journal.roll(MARK).unwrap();
        assert_eq!(read(&SEALER, folder.path()).unwrap().next, 9);
    }
}
