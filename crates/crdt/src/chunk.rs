//! The outermost layer of Automerge's chunks: just enough to tell them apart and to check that one arrived whole.

use automerge::Change;
use comity_model::ChangeHash;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];

/// What a chunk holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChunkKind {
    Document,
    Change,
    CompressedChange,
    Bundle,
}

/// One chunk with its header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) kind: ChunkKind,
    /// Header and body.
    pub(crate) bytes: &'a [u8],
    body: &'a [u8],
}

/// Says why bytes are not chunks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// Does not begin with Automerge's magic bytes.
    #[error("a chunk does not begin with Automerge's magic bytes")]
    Magic,
    /// Ends within a chunk.
    #[error("the last chunk is cut off")]
    Truncated,
    /// A type that is not synchronised.
    #[error("a chunk has type {0}, which Comity does not take")]
    Kind(u8),
    /// The content does not belong to the checksum.
    #[error("the checksum of a chunk is wrong")]
    Checksum,
    /// Automerge cannot read it.
    #[error("a chunk is not a change: {0}")]
    Change(String),
}

impl<'a> Chunk<'a> {
    /// Reads the next chunk off the front.
    pub(crate) fn next(bytes: &mut &'a [u8]) -> Result<Self, ChunkError> {
        let whole = *bytes;
        let header: &[u8; 9] = whole.first_chunk().ok_or(ChunkError::Truncated)?;
        if header[..4] != MAGIC {
            return Err(ChunkError::Magic);
        }
        let kind = match header[8] {
            0 => ChunkKind::Document,
            1 => ChunkKind::Change,
            2 => ChunkKind::CompressedChange,
            3 => ChunkKind::Bundle,
            other => return Err(ChunkError::Kind(other)),
        };
        let mut rest = &whole[9..];
        let length = uleb(&mut rest).ok_or(ChunkError::Truncated)?;
        let length = usize::try_from(length).map_err(|_| ChunkError::Truncated)?;
        let body = rest.get(..length).ok_or(ChunkError::Truncated)?;
        *bytes = &rest[length..];
        Ok(Self { kind, bytes: &whole[..whole.len() - bytes.len()], body })
    }

    /// Decodes a change and checks it against the checksum, which Automerge itself does not do here.
    pub(crate) fn change(&self) -> Result<Change, ChunkError> {
        let change = Change::try_from(self.bytes).map_err(|error| ChunkError::Change(error.to_string()))?;
        if change.hash().0[..4] != self.bytes[4..8] {
            return Err(ChunkError::Checksum);
        }
        Ok(change)
    }

    /// Reads the heads out of a document chunk; `None` when it is cut off.
    pub(crate) fn document_heads(&self) -> Option<Vec<ChangeHash>> {
        let mut rest = self.body;
        for _ in 0..uleb(&mut rest)? {
            let length = usize::try_from(uleb(&mut rest)?).ok()?;
            rest = rest.get(length..)?;
        }
        let count = uleb(&mut rest)?;
        let mut heads = Vec::new();
        for _ in 0..count {
            let (head, after) = rest.split_first_chunk::<32>()?;
            heads.push(ChangeHash(*head));
            rest = after;
        }
        Some(heads)
    }
}

/// Splits concatenated chunks.
pub(crate) fn split(mut bytes: &[u8]) -> Result<Vec<Chunk<'_>>, ChunkError> {
    let mut chunks = Vec::new();
    while !bytes.is_empty() {
        chunks.push(Chunk::next(&mut bytes)?);
    }
    Ok(chunks)
}

pub(crate) fn uleb(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis;

    #[test]
    fn chunks_are_split_and_a_cut_one_is_not_taken() {
        let two = [genesis::CHUNK.as_slice(), genesis::CHUNK].concat();
        let chunks = split(&two).unwrap();
        assert_eq!(chunks.len(), 2);
        assert_eq!(chunks[1].bytes, genesis::CHUNK);
        assert_eq!(chunks[0].change().unwrap().hash().0, genesis::HASH.0);
        for end in 1..genesis::CHUNK.len() {
            assert_eq!(split(&two[..end]).unwrap_err(), ChunkError::Truncated, "{end}");
        }
        assert_eq!(split(b"not a chunk").unwrap_err(), ChunkError::Magic);
    }

    #[test]
    fn a_changed_bit_is_noticed() {
        for at in 9..genesis::CHUNK.len() {
            let mut damaged = *genesis::CHUNK;
            damaged[at] ^= 1;
            assert!(split(&damaged).and_then(|chunks| chunks[0].change()).is_err(), "byte {at}");
        }
    }
}
