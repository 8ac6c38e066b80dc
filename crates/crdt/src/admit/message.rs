//! The envelope of a sync message.

use automerge::sync::{BloomFilter, Have, Message, MessageFlags, MessageVersion};

use super::budget::{Budget, within};
use super::change::read_hashes;
use super::chunk::check_chunks;
use super::reader::Reader;
use super::refusal::{Quantity, Refusal};

const VERSION_1: u8 = 0x42;
const VERSION_2: u8 = 0x43;

/// The parameters that every Automerge has ever written. With others, the library divides by zero or allocates what
/// the message says.
const BLOOM_BITS_PER_ENTRY: u64 = 10;
const BLOOM_PROBES: u64 = 7;

/// Reads a sync message, all of it.
pub(super) fn read_message(received: &[u8], budget: &mut Budget<'_>) -> Result<Message, Refusal> {
    let mut reader = Reader::message(received);
    let version = match reader.byte("message") {
        Ok(VERSION_1) => MessageVersion::V1,
        Ok(VERSION_2) => MessageVersion::V2,
        first => return Err(Refusal::NotASyncMessage { first: first.ok() }),
    };
    let heads = hash_list(&mut reader, budget)?;
    let need = hash_list(&mut reader, budget)?;
    let place = reader.place();
    let rows = reader.unsigned("number of `have` rows")?;
    within(Quantity::Haves, rows, budget.limits.have_max as u64, place)?;
    let have = (0..rows).map(|_| read_have(&mut reader, budget)).collect::<Result<Vec<_>, _>>()?;
    let changes = read_changes(&mut reader, budget)?;
    let flags = if reader.is_empty() {
        None
    } else {
        let length = reader.unsigned("length of the flags")?;
        Some(read_flags(reader.take(length, "flags")?))
    };
    // Bytes behind the flags belong to messages yet to be invented; Automerge skips them, and they end here.
    Ok(Message { heads, need, have, changes: changes.into(), flags, version })
}

/// Reads a list of hashes. Sorted, because Automerge wants it so when it passes them on.
fn hash_list(reader: &mut Reader<'_>, budget: &Budget<'_>) -> Result<Vec<automerge::ChangeHash>, Refusal> {
    let hashes = read_hashes(reader, Quantity::Hashes, budget.limits.hashes_max)?;
    let mut hashes: Vec<_> = hashes.iter().map(|hash| automerge::ChangeHash(*hash)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    Ok(hashes)
}

fn read_have(reader: &mut Reader<'_>, budget: &Budget<'_>) -> Result<Have, Refusal> {
    let last_sync = hash_list(reader, budget)?;
    let length = reader.unsigned("length of a Bloom filter")?;
    let filter = reader.split(length, "Bloom filter")?;
    check_bloom(filter, budget)?;
    let bloom = BloomFilter::try_from(filter.bytes()).map_err(|_| Refusal::Assembly)?;
    Ok(Have { last_sync, bloom })
}

fn check_bloom(mut filter: Reader<'_>, budget: &Budget<'_>) -> Result<(), Refusal> {
    if filter.is_empty() {
        return Ok(());
    }
    let place = filter.place();
    let entries = filter.unsigned("entries of a Bloom filter")?;
    within(Quantity::BloomEntries, entries, budget.limits.bloom_entries_max.into(), place)?;
    let bits_per_entry = filter.unsigned("bits an entry of a Bloom filter")?;
    let probes = filter.unsigned("probes of a Bloom filter")?;
    if entries == 0 || bits_per_entry != BLOOM_BITS_PER_ENTRY || probes != BLOOM_PROBES {
        return Err(Refusal::BloomParameters { entries, bits_per_entry, probes, place });
    }
    // No overflow: the entries are within a 32-bit limit.
    let expected = usize::try_from((entries * BLOOM_BITS_PER_ENTRY).div_ceil(8)).unwrap_or(usize::MAX);
    if filter.left() != expected {
        return Err(Refusal::BloomLength { entries, expected, found: filter.left(), place });
    }
    Ok(())
}

/// Reads the changes: lists of chunks, each of which is checked before it is kept.
fn read_changes(reader: &mut Reader<'_>, budget: &mut Budget<'_>) -> Result<Vec<Vec<u8>>, Refusal> {
    let place = reader.place();
    let count = reader.unsigned("number of changes")?;
    within(Quantity::Chunks, count, budget.limits.chunks_max as u64, place)?;
    let mut changes = Vec::new();
    for _ in 0..count {
        let length = reader.unsigned("length of a change")?;
        let bytes = reader.split(length, "change")?;
        check_chunks(bytes, budget)?;
        changes.push(bytes.bytes().to_vec());
    }
    Ok(changes)
}

/// Reads the flags: bytes with the high bit are bit fields, older ones say nothing more than that there are flags.
fn read_flags(bytes: &[u8]) -> MessageFlags {
    let mut flags = MessageFlags::new();
    for byte in bytes.iter().filter(|byte| **byte & 0x80 != 0) {
        flags.set(byte & 0x7f);
    }
    flags
}
