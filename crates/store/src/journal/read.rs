//! Reads what a journal holds, and tells a torn write from damage.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use comity_model::{DocumentId, Heads};

use super::{
    GROUP_HEADER_BYTES, GROUP_MAGIC, SECTOR_BYTES, SEGMENT_HEADER_BYTES, SEGMENT_MAGIC, STEP_BYTES, checksum, is_zeros,
    segments, written_len, zero_sectors,
};
use crate::catalogue::CatalogueMark;
use crate::entry::Entry;
use crate::error::StoreError;
use crate::report::JournalReport;
use crate::row::Sealer;

/// What a journal holds.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) groups: Vec<(u64, Vec<Entry>)>,
    pub(crate) report: JournalReport,
    /// The sequence after the last group.
    pub(crate) next: u64,
    pub(crate) segments: usize,
    /// What groups that cannot be trusted seem to say: documents, with the heads that they had then.
    pub(crate) suspects: Vec<Suspect>,
    /// How far the catalogue must reach.
    pub(crate) catalogue: Option<CatalogueMark>,
}

/// A document that was in a group which is not as it was written. Nothing vouches for it, but one flipped bit leaves most
/// of a group readable, and it is better to ask a peer for a document in vain than not to know which to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suspect {
    pub(crate) sequence: u64,
    pub(crate) document: DocumentId,
    pub(crate) heads: Heads,
}

/// Reads all segments. A torn tail ends the journal; damage is stepped over and counted.
pub(crate) fn read(sealer: &Sealer, folder: &Path) -> Result<Contents, StoreError> {
    let mut reader = Reader { sealer, expected: None, contents: Contents::default() };
    for path in segments(folder)? {
        let bytes = Bytes::from(fs::read(&path).map_err(StoreError::io("read", &path))?);
        reader.segment(&bytes);
    }
    let Reader { expected, mut contents, .. } = reader;
    contents.next = expected.unwrap_or(0);
    contents.report.groups = contents.groups.len() as u64;
    Ok(contents)
}

/// Tells whether a segment has no groups, whoever made it.
pub(crate) fn holds_nothing(path: &Path) -> Result<bool, StoreError> {
    let bytes = fs::read(path).map_err(StoreError::io("read", path))?;
    Ok(is_zeros(bytes.get(SEGMENT_HEADER_BYTES..).unwrap_or_default()))
}

struct Reader<'a> {
    sealer: &'a Sealer,
    /// The sequence of the next group.
    expected: Option<u64>,
    contents: Contents,
}

/// What stands in the header of a group.
struct GroupHeader {
    sequence: u64,
    zero_sectors: u32,
    sum: [u8; 16],
    /// Where the payload ends.
    end: usize,
}

impl Reader<'_> {
    fn segment(&mut self, bytes: &Bytes) {
        self.contents.segments += 1;
        let report = &mut self.contents.report;
        match segment_header(self.sealer, bytes) {
            Some((first, mark)) => {
                let gap = self.expected.map_or(0, |expected| first.saturating_sub(expected));
                report.lost_groups += gap;
                self.expected = Some(self.expected.map_or(first, |expected| expected.max(first)));
                self.contents.catalogue = Some(mark);
            }
            None => report.damaged_segments += 1,
        }
        if !(bytes.len() as u64).is_multiple_of(STEP_BYTES) {
            report.cut_segments += 1;
        }
        let (mut at, written) = (SEGMENT_HEADER_BYTES.min(bytes.len()), written_len(bytes));
        loop {
            at = self.groups(bytes, at);
            // Not a whole group. If a whole one follows, this is damage; else it is the end.
            let follows = |at: &usize| bytes[*at..].starts_with(GROUP_MAGIC) && self.group(bytes, *at).is_some();
            match (at + 1..at.max(written)).find(follows) {
                Some(next) => {
                    self.suspect(bytes, at, next);
                    at = next;
                }
                None => return self.end(bytes, at),
            }
        }
    }

    /// Takes whole groups that follow each other; gives where they end.
    fn groups(&mut self, bytes: &Bytes, mut at: usize) -> usize {
        while let Some((header, entries)) = self.group(bytes, at) {
            let gap = self.expected.map_or(0, |expected| header.sequence.saturating_sub(expected));
            self.contents.report.lost_groups += gap;
            self.expected = Some(header.sequence + 1);
            self.contents.groups.push((header.sequence, entries));
            at = header.end;
        }
        at
    }

    fn group(&self, bytes: &Bytes, at: usize) -> Option<(GroupHeader, Vec<Entry>)> {
        let header = group_header(self.sealer, bytes, at)?;
        let payload_at = at + GROUP_HEADER_BYTES;
        let payload = bytes.get(payload_at..header.end)?;
        if header.sum != checksum(self.sealer, &bytes[at..at + 20], payload) {
            return None;
        }
        let entries = Entry::decode_all(&bytes.slice(payload_at..header.end))?;
        Some((header, entries))
    }

    /// Judges what lies behind the last whole group.
    fn end(&mut self, bytes: &Bytes, at: usize) {
        let report = &mut self.contents.report;
        let rest = &bytes[at..];
        if rest.is_empty() && bytes.len() > SEGMENT_HEADER_BYTES {
            // There is always room behind the last group: this file was cut between two.
            report.cut_segments = report.cut_segments.max(1);
        }
        if is_zeros(rest) {
            return;
        }
        report.tail_bytes += written_len(rest) as u64;
        let was_written = match group_header(self.sealer, bytes, at) {
            Some(header) => {
                self.expected = self.expected.max(Some(header.sequence));
                let payload = bytes.get(at + GROUP_HEADER_BYTES..header.end);
                let zeros = |payload| zero_sectors(payload, (at + GROUP_HEADER_BYTES) as u64);
                payload.is_none_or(|payload| zeros(payload) <= header.zero_sectors)
            }
            None => {
                let header = &rest[..rest.len().min(GROUP_HEADER_BYTES)];
                let (one, two) = header.split_at(header.len().min(SECTOR_BYTES - at % SECTOR_BYTES));
                !is_zeros(one) && (two.is_empty() || !is_zeros(two))
            }
        };
        if was_written {
            report.altered_groups += 1;
            self.suspect(bytes, at, bytes.len());
            self.expected = self.expected.map(|expected| expected + 1);
        }
    }
}

impl Reader<'_> {
    /// Takes note of the documents of a group that is not as it was written.
    fn suspect(&mut self, bytes: &Bytes, at: usize, end: usize) {
        let sequence = self.expected.unwrap_or(0);
        for entry in Entry::decode_some(&bytes.slice((at + GROUP_HEADER_BYTES).min(end)..end)) {
            if let Entry::Manifest { document, heads, .. } = entry {
                self.contents.suspects.push(Suspect { sequence, document, heads });
            }
        }
    }
}

fn segment_header(sealer: &Sealer, bytes: &[u8]) -> Option<(u64, CatalogueMark)> {
    let header = bytes.get(..SEGMENT_HEADER_BYTES)?;
    let whole = header.starts_with(SEGMENT_MAGIC) && header[32..] == checksum(sealer, &header[..32], &[]);
    let number = |at: usize| u64::from_be_bytes(header[at..at + 8].try_into().expect("a slice of 8 bytes"));
    whole.then(|| (number(8), CatalogueMark { generation: number(16), bytes: number(24) }))
}

fn group_header(sealer: &Sealer, bytes: &[u8], at: usize) -> Option<GroupHeader> {
    let header = bytes.get(at..at.checked_add(GROUP_HEADER_BYTES)?)?;
    if !header.starts_with(GROUP_MAGIC) || header[36..] != checksum(sealer, &header[..36], &[])[..8] {
        return None;
    }
    let len = u32::from_be_bytes(header[4..8].try_into().ok()?) as usize;
    Some(GroupHeader {
        sequence: u64::from_be_bytes(header[8..16].try_into().ok()?),
        zero_sectors: u32::from_be_bytes(header[16..20].try_into().ok()?),
        sum: header[20..36].try_into().ok()?,
        end: (at + GROUP_HEADER_BYTES).checked_add(len)?,
    })
}
