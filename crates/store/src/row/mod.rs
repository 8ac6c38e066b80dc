//! Rows: what the engine holds. Every row describes itself, so that it can be found in the raw bytes of a damaged
//! file without the engine's help.
//!
//! ```text
//! value:  "CmR" | space 1 | checksum 8 | stamp 8 | key length 1 | key | payload length 2 | payload
//! key:    document 16 | kind 1 | …
//!         manifest   0
//!         heads      1 | part 4            when there are too many for the manifest
//!         snapshot   2 | part 4            when it is small; larger ones are files
//!         changes    3 | sequence of the first 8 | part 4
//!         sync state 4 | peer | 0 | part 4
//!         in the other space: meta key | 0 | part 4
//! part payload: total length of the whole 4 | bytes
//! ```
//!
//! Integers are big-endian. The checksum (8 bytes of SHA-256) covers the store's salt, then space, stamp, key and
//! payload as they are stored.
//! The stamp is the number of the journal group that wrote the row: the newest row of a key has the greatest stamp.

mod key;
mod manifest;

use bytes::Bytes;
use sha2::{Digest, Sha256};

pub(crate) use self::key::{
    DataKey, MANIFEST_KEY_BYTES, after_prefix, change_prefix, heads_prefix, manifest_key, meta_key_of, meta_prefix,
    snapshot_prefix, sync_state_prefix, sync_states_prefix,
};
pub(crate) use self::manifest::{Manifest, SnapshotRef, chain, decode, encode, heads_bytes, heads_of};

/// Longest value given to an engine: sled turns longer ones (about 8 KB) into files that it never flushes and leaks.
pub(crate) const VALUE_BYTES_MAX: usize = 4_000;
const MAGIC: &[u8; 3] = b"CmR";
pub(crate) const FIXED_BYTES: usize = 3 + 1 + 8 + 8 + 1 + 2;

/// The two trees of an engine. A batch is atomic only within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Space {
    Data,
    Meta,
}

impl Space {
    pub(crate) const ALL: [Self; 2] = [Self::Data, Self::Meta];

    const fn tag(self) -> u8 {
        match self {
            Self::Data => b'd',
            Self::Meta => b'm',
        }
    }
}

/// A change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowChange {
    pub(crate) space: Space,
    pub(crate) key: Vec<u8>,
    /// The sealed value; `None` removes.
    pub(crate) value: Option<Vec<u8>>,
}

/// A row that has the content it was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    pub(crate) space: Space,
    pub(crate) stamp: u64,
    pub(crate) key: &'a [u8],
    pub(crate) payload: &'a [u8],
    /// Bytes of the value.
    pub(crate) len: usize,
}

/// Gives the first 8 bytes of the SHA-256 of the parts.
pub(crate) fn checksum(parts: &[&[u8]]) -> [u8; 8] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    let mut short = [0; 8];
    short.copy_from_slice(&hasher.finalize()[..8]);
    short
}

/// Seals rows and groups of one store. The salt is random and never leaves the disk, so that nobody can send a change
/// that holds a forged row, to be found when damage makes us search raw bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealer(pub(crate) [u8; 16]);

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// Seals a payload into a value.
    pub(crate) fn seal(&self, space: Space, stamp: u64, key: &[u8], payload: &[u8]) -> Vec<u8> {
        let key_len = u8::try_from(key.len()).expect("keys are bounded well below 256 bytes");
        let payload_len = u16::try_from(payload.len()).expect("payloads are cut to the longest value");
        let mut value = Vec::with_capacity(FIXED_BYTES + key.len() + payload.len());
        value.extend_from_slice(MAGIC);
        value.push(space.tag());
        value.extend_from_slice(&[0; 8]);
        value.extend_from_slice(&stamp.to_be_bytes());
        value.push(key_len);
        value.extend_from_slice(key);
        value.extend_from_slice(&payload_len.to_be_bytes());
        value.extend_from_slice(payload);
        let sum = checksum(&[&self.0, &value[..4], &value[12..]]);
        value[4..12].copy_from_slice(&sum);
        debug_assert!(value.len() <= VALUE_BYTES_MAX, "a value is longer than engines may be given");
        value
    }

    /// Opens a value that an engine gave for a key; `None` when it is not what was written under this key.
    pub(crate) fn unseal<'a>(&self, space: Space, key: &[u8], value: &'a [u8]) -> Option<Row<'a>> {
        let row = self.carve(value)?;
        (row.space == space && row.key == key && row.len == value.len()).then_some(row)
    }

    /// Reads a row at the beginning of raw bytes.
    pub(crate) fn carve<'a>(&self, bytes: &'a [u8]) -> Option<Row<'a>> {
        let (fixed, rest) = bytes.split_at_checked(21)?;
        if &fixed[..3] != MAGIC {
            return None;
        }
        let space = Space::ALL.into_iter().find(|space| space.tag() == fixed[3])?;
        let stamp = u64::from_be_bytes(fixed[12..20].try_into().ok()?);
        let (key, rest) = rest.split_at_checked(usize::from(fixed[20]))?;
        let (payload_len, rest) = rest.split_at_checked(2)?;
        let payload = rest.get(..usize::from(u16::from_be_bytes(payload_len.try_into().ok()?)))?;
        let len = FIXED_BYTES + key.len() + payload.len();
        let sum = checksum(&[&self.0, &bytes[..4], &bytes[12..len]]);
        (len <= VALUE_BYTES_MAX && sum == fixed[4..12]).then_some(Row { space, stamp, key, payload, len })
    }

    /// Finds every row in raw bytes, whatever lies between them.
    pub(crate) fn carve_all<'a>(&self, bytes: &'a [u8], mut found: impl FnMut(Row<'a>)) {
        let mut at = 0;
        while let Some(step) = bytes[at..].windows(MAGIC.len()).position(|window| window == MAGIC) {
            at += step;
            match self.carve(&bytes[at..]) {
                Some(row) => {
                    found(row);
                    at += row.len;
                }
                None => at += 1,
            }
        }
    }
}

/// Cuts bytes of any length into rows under a prefix.
pub(crate) fn part_rows(
    sealer: &Sealer,
    space: Space,
    stamp: u64,
    prefix: &[u8],
    bytes: &[u8],
    rows: &mut Vec<RowChange>,
) {
    let room = VALUE_BYTES_MAX - FIXED_BYTES - (prefix.len() + 4) - 4;
    let total = u32::try_from(bytes.len()).expect("limits keep every whole below 4 GiB");
    let mut part = 0_u32;
    let mut rest = bytes;
    loop {
        let (now, later) = rest.split_at(rest.len().min(room));
        let key = [prefix, &part.to_be_bytes()].concat();
        let payload = [&total.to_be_bytes(), now].concat();
        rows.push(RowChange { space, value: Some(sealer.seal(space, stamp, &key, &payload)), key });
        if later.is_empty() {
            break;
        }
        (rest, part) = (later, part + 1);
    }
}

/// Puts the parts of a whole together again.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    total: usize,
    stamp: u64,
    next: u32,
    bytes: Vec<u8>,
    broken: bool,
}

impl Parts {
    /// Takes the next part; parts must come in order.
    pub(crate) fn push(&mut self, part: u32, stamp: u64, payload: &[u8]) {
        let Some((total, bytes)) = payload.split_at_checked(4) else {
            self.broken = true;
            return;
        };
        let total = u32::from_be_bytes(total.try_into().expect("a slice of 4 bytes")) as usize;
        if part == 0 {
            (self.total, self.stamp) = (total, stamp);
        } else if self.stamp > stamp || self.bytes.len() == self.total {
            // Left over from a longer whole that this one took the place of, earlier or in the same group.
            return;
        }
        self.broken |= part != self.next || self.total != total || self.stamp != stamp;
        self.next = self.next.wrapping_add(1);
        self.bytes.extend_from_slice(bytes);
    }

    /// Gives the whole; `None` when a part is missing or does not belong.
    pub(crate) fn finish(self) -> Option<Bytes> {
        (!self.broken && self.next > 0 && self.bytes.len() == self.total).then(|| self.bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use comity_model::DocumentId;

    use super::*;

    const SEALER: Sealer = Sealer([3; 16]);

    #[test]
    fn a_row_opens_only_under_its_own_key_and_with_every_bit_as_written() {
        let value = SEALER.seal(Space::Data, 7, b"key", b"payload");
        assert_eq!(SEALER.unseal(Space::Data, b"key", &value).unwrap().payload, b"payload");
        assert!(SEALER.unseal(Space::Data, b"kez", &value).is_none());
        assert!(SEALER.unseal(Space::Meta, b"key", &value).is_none());
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SEALER.unseal(Space::Data, b"key", &flipped).is_none(), "bit {bit}");
        }
        for cut in 0..value.len() {
            assert!(SEALER.unseal(Space::Data, b"key", &value[..cut]).is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn rows_are_found_in_raw_bytes() {
        let first = SEALER.seal(Space::Data, 1, b"a", b"one");
        let second = SEALER.seal(Space::Meta, 2, b"b", &[b'C'; 3_000]);
        let raw = [b"CmCmRd".as_slice(), &first, b"junk CmR", &second, &first[..10]].concat();
        let mut found = Vec::new();
        SEALER.carve_all(&raw, |row| found.push((row.stamp, row.key.to_vec())));
        assert_eq!(found, [(1, b"a".to_vec()), (2, b"b".to_vec())]);
    }

    #[test]
    fn a_row_sealed_elsewhere_is_not_found_in_raw_bytes() {
        let forged = Sealer([4; 16]).seal(Space::Data, u64::MAX, b"a", b"forged");
        SEALER.carve_all(&forged, |row| panic!("took {row:?} for ours"));
    }

    #[test]
    fn a_whole_is_cut_into_values_of_at_most_4000_bytes_and_put_together_again() {
        let prefix = change_prefix(&DocumentId::from_bytes([1; 16]), 3);
        let room = VALUE_BYTES_MAX - FIXED_BYTES - prefix.len() - 8;
        for len in [0, 1, room - 1, room, room + 1, 10 * room, 10 * room + 1] {
            let whole = vec![5; len];
            let mut rows = Vec::new();
            part_rows(&SEALER, Space::Data, 9, &prefix, &whole, &mut rows);
            assert_eq!(rows.len(), len.div_ceil(room).max(1));
            let mut parts = Parts::default();
            for (i, row) in rows.iter().enumerate() {
                let value = row.value.as_deref().unwrap();
                assert!(value.len() <= VALUE_BYTES_MAX);
                let row = SEALER.unseal(Space::Data, &row.key, value).unwrap();
                parts.push(u32::try_from(i).unwrap(), row.stamp, row.payload);
            }
            assert_eq!(parts.finish().unwrap().len(), len);
        }
    }
}
