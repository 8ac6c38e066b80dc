//! Manifests: what there must be of a document.

use comity_model::{ChangeHash, Heads};
use sha2::{Digest, Sha256};

use super::{VALUE_BYTES_MAX, checksum};

/// Most heads kept in the manifest itself.
const HEADS_INLINE_MAX: usize = 64;

/// Where a snapshot is, and what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct SnapshotRef {
    pub(crate) hash: [u8; 32],
    pub(crate) bytes: u64,
    /// In rows, not in a file.
    pub(crate) inline: bool,
}

impl SnapshotRef {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let hash = Sha256::digest(bytes).into();
        Self { hash, bytes: bytes.len() as u64, inline: bytes.len() <= VALUE_BYTES_MAX }
    }
}

/// Describes a document: what must be there.
#[derive(Debug, Clone, PartialEq, Eq, Default, bincode::Encode, bincode::Decode)]
pub(crate) struct Manifest {
    heads: Vec<[u8; 32]>,
    /// 0 when the heads stand above; else how many stand in rows of their own.
    heads_apart: u32,
    heads_sum: [u8; 8],
    /// Chunks below this sequence are covered by the snapshot.
    pub(crate) first: u64,
    /// The sequence of the next chunk. Never used twice.
    pub(crate) next: u64,
    /// How many chunks there are.
    pub(crate) count: u64,
    pub(crate) change_bytes: u64,
    /// Chain over the chunks, in order.
    pub(crate) digest: [u8; 16],
    pub(crate) snapshot: Option<SnapshotRef>,
}

impl Manifest {
    /// Takes note of one more chunk.
    pub(crate) fn append(&mut self, chunk: &[u8]) {
        self.digest = chain(&self.digest, chunk);
        self.next += 1;
        self.count += 1;
        self.change_bytes += chunk.len() as u64;
    }

    /// Forgets the chunks, for a snapshot that covers them.
    pub(crate) fn cover(&mut self, snapshot: SnapshotRef) {
        self.first = self.next;
        self.count = 0;
        self.change_bytes = 0;
        self.digest = [0; 16];
        self.snapshot = Some(snapshot);
    }

    pub(crate) fn set_heads(&mut self, heads: &Heads) {
        let all = heads.as_slice();
        let inline = all.len() <= HEADS_INLINE_MAX;
        self.heads_sum = checksum(&[&heads_bytes(heads)]);
        self.heads = if inline { all.iter().map(|hash| hash.0).collect() } else { Vec::new() };
        self.heads_apart = if inline { 0 } else { u32::try_from(all.len()).expect("heads are bounded") };
    }

    /// Gives the heads when they stand in the manifest.
    pub(crate) fn heads(&self) -> Option<Heads> {
        (self.heads_apart == 0).then(|| self.heads.iter().map(|hash| ChangeHash(*hash)).collect())
    }

    pub(crate) fn has_heads_apart(&self) -> bool {
        self.heads_apart > 0
    }

    /// Reads heads that stand apart; `None` when they are not those that were written.
    pub(crate) fn heads_from(&self, bytes: &[u8]) -> Option<Heads> {
        let heads = heads_of(bytes)?;
        (checksum(&[bytes]) == self.heads_sum && heads.as_slice().len() == self.heads_apart as usize).then_some(heads)
    }

    /// Gives what the document takes in the engine, about, for the comparison of disk and live bytes.
    pub(crate) fn live_bytes(&self) -> u64 {
        let inline = self.snapshot.filter(|snapshot| snapshot.inline).map_or(0, |snapshot| snapshot.bytes);
        let heads = self.heads.len() as u64 + u64::from(self.heads_apart);
        // A row that got past its checksum although it was altered may hold any number.
        let rows = self.count.saturating_mul(96).saturating_add(256 + 32 * heads);
        self.change_bytes.saturating_add(inline).saturating_add(rows)
    }
}

/// Gives the digest of a chain with one more chunk.
pub(crate) fn chain(digest: &[u8; 16], chunk: &[u8]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    hasher.update(digest);
    hasher.update((chunk.len() as u64).to_be_bytes());
    hasher.update(chunk);
    let mut next = [0; 16];
    next.copy_from_slice(&hasher.finalize()[..16]);
    next
}

pub(crate) fn heads_bytes(heads: &Heads) -> Vec<u8> {
    heads.as_slice().iter().flat_map(|hash| hash.0).collect()
}

pub(crate) fn heads_of(bytes: &[u8]) -> Option<Heads> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| hashes.iter().map(|hash| ChangeHash(*hash)).collect())
}

/// The version byte before everything that bincode writes for us.
const VERSION: u8 = 1;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<65_536>()
}

/// Encodes one of our own small structures. Chunk bodies never go through here.
pub(crate) fn encode(value: &impl bincode::Encode) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bincode::encode_into_std_write(value, &mut bytes, config()).expect("a Vec takes all that is written");
    bytes
}

/// Decodes what [`encode`] wrote; `None` unless version and length are exactly right.
pub(crate) fn decode<T: bincode::Decode<()>>(bytes: &[u8]) -> Option<T> {
    let (version, rest) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    let (value, consumed) = bincode::decode_from_slice(rest, config()).ok()?;
    (consumed == rest.len()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_with_absurd_counts_has_a_size() {
        let manifest = Manifest { count: u64::MAX, change_bytes: u64::MAX, ..Manifest::default() };
        assert_eq!(manifest.live_bytes(), u64::MAX);
    }

    #[test]
    fn trailing_or_missing_bytes_and_other_versions_do_not_decode() {
        let bytes = encode(&Manifest::default());
        assert_eq!(decode::<Manifest>(&bytes), Some(Manifest::default()));
        assert_eq!(decode::<Manifest>(&bytes[..bytes.len() - 1]), None);
        assert_eq!(decode::<Manifest>(&[bytes.as_slice(), &[0]].concat()), None);
        let mut other = bytes;
        other[0] += 1;
        assert_eq!(decode::<Manifest>(&other), None);
    }
}
