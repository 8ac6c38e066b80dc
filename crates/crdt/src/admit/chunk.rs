//! The frame around each chunk: magic, checksum, type, length.

use sha2::{Digest, Sha256};

use super::budget::Budget;
use super::change::check_change;
use super::document::check_document;
use super::inflate::inflate;
use super::reader::Reader;
use super::refusal::Refusal;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
pub(super) const DOCUMENT: u8 = 0;
pub(super) const CHANGE: u8 = 1;
pub(super) const COMPRESSED_CHANGE: u8 = 2;
// Type 3 is a bundle: experimental, its format still to change, never part of a sync message or of a saved
// document, and read by code that allocates what the bytes ask for. It is refused like an unknown type.

/// Checks the chunks that stand one after the other in the reader.
pub(super) fn check_chunks(mut reader: Reader<'_>, budget: &mut Budget<'_>) -> Result<(), Refusal> {
    while !reader.is_empty() {
        reader = reader.in_chunk(budget.cost.chunks);
        check_chunk(&mut reader, budget)?;
    }
    Ok(())
}

fn check_chunk(reader: &mut Reader<'_>, budget: &mut Budget<'_>) -> Result<(), Refusal> {
    let place = reader.place();
    budget.take_chunk(place)?;
    if reader.take(4, "magic of a chunk")? != MAGIC {
        return Err(Refusal::Magic { place });
    }
    let checksum = reader.take(4, "checksum of a chunk")?;
    let kind = reader.byte("type of a chunk")?;
    if !matches!(kind, DOCUMENT | CHANGE | COMPRESSED_CHANGE) {
        return Err(Refusal::ChunkType { found: kind, place });
    }
    let length = reader.unsigned("length of a chunk")?;
    let body = reader.split(length, "chunk")?;
    let verify = |kind: u8, bytes: &[u8]| {
        if checksum == checksum_of(kind, bytes) { Ok(()) } else { Err(Refusal::Checksum { place }) }
    };
    if kind == COMPRESSED_CHANGE {
        let inflated = inflate(body, "compressed change", budget)?;
        verify(CHANGE, &inflated)?;
        return check_change(Reader::inflated(&inflated, place.chunk), place, budget);
    }
    verify(kind, body.bytes())?;
    budget.take_inflated(body.left(), place)?;
    if kind == CHANGE { check_change(body, place, budget) } else { check_document(body, place, budget) }
}

/// Gives the first bytes of the SHA-256 of type, length and content.
fn checksum_of(kind: u8, bytes: &[u8]) -> [u8; 4] {
    let mut hasher = Sha256::new();
    hasher.update([kind]);
    let mut length = bytes.len();
    while length >= 0x80 {
        hasher.update([(length & 0x7f) as u8 | 0x80]);
        length >>= 7;
    }
    hasher.update([length as u8]);
    hasher.update(bytes);
    let hash = hasher.finalize();
    [hash[0], hash[1], hash[2], hash[3]]
}
