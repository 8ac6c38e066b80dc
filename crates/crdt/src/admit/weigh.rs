//! What stored chunks hold, from their headers and run lengths alone.
//!
//! Our own store is trusted, so nothing is checked here; a document that was admitted once may be larger than its
//! bytes let suspect, and whoever loads it must know before.

use comity_model::Limits;

use super::Cost;
use super::budget::Budget;
use super::change::{read_actor, read_hashes};
use super::chunk::{CHANGE, COMPRESSED_CHANGE, DOCUMENT};
use super::columns::Layout;
use super::reader::Reader;
use super::refusal::{Quantity, Refusal};
use super::rows::ACTION;
use super::runs::count_rows;
use super::{change, document, document_rows};

/// Adds up changes, operations and inflated bytes of chunks that stand one after the other. What makes no sense counts as its
/// bytes.
pub(crate) fn weigh(bytes: &[u8]) -> Cost {
    let unlimited = unlimited();
    let mut budget = Budget::new(&unlimited, bytes.len());
    let mut reader = Reader::message(bytes);
    while !reader.is_empty() {
        let here = reader;
        if weigh_chunk(&mut reader, &mut budget).is_err() {
            budget.cost.inflated_bytes = budget.cost.inflated_bytes.saturating_add(here.left());
            break;
        }
    }
    budget.cost
}

fn weigh_chunk(reader: &mut Reader<'_>, budget: &mut Budget<'_>) -> Result<(), Refusal> {
    // Magic and checksum.
    reader.take(8, "chunk")?;
    let kind = reader.byte("type of a chunk")?;
    let length = reader.unsigned("length of a chunk")?;
    let body = reader.split(length, "chunk")?;
    let place = body.place();
    let weighed = match kind {
        COMPRESSED_CHANGE => super::inflate::inflate(body, "compressed change", budget)
            .and_then(|inflated| weigh_change(Reader::inflated(&inflated, None), budget)),
        // As admission counts it: columns that are deflated come on top.
        DOCUMENT | CHANGE => budget.take_inflated(body.left(), place).and_then(|()| match kind {
            DOCUMENT => weigh_document(body, budget),
            _ => weigh_change(body, budget),
        }),
        _ => budget.take_inflated(body.left(), place),
    };
    // What makes no sense counts as its bytes.
    weighed.or_else(|_| budget.take_inflated(body.left(), place))
}

fn weigh_document(mut reader: Reader<'_>, budget: &mut Budget<'_>) -> Result<(), Refusal> {
    for _ in 0..reader.unsigned("number of actors")? {
        read_actor(&mut reader)?;
    }
    read_hashes(&mut reader, Quantity::Hashes, usize::MAX)?;
    let changes = Layout::read(&mut reader, document::CHANGE_COLUMNS, true)?;
    let operations = Layout::read(&mut reader, document_rows::COLUMNS, true)?;
    let changes = changes.take(&mut reader, budget)?;
    let operations = operations.take(&mut reader, budget)?;
    let place = reader.place();
    budget.take_changes(count_rows(changes.get(document::ACTOR))?, place)?;
    budget.take_operations(count_rows(operations.get(ACTION))?, place)
}

fn weigh_change(mut reader: Reader<'_>, budget: &mut Budget<'_>) -> Result<(), Refusal> {
    let place = reader.place();
    read_hashes(&mut reader, Quantity::Dependencies, usize::MAX)?;
    read_actor(&mut reader)?;
    reader.unsigned("sequence number")?;
    reader.unsigned("number of the first operation")?;
    reader.signed("time")?;
    reader.text("message of the change")?;
    for _ in 0..reader.unsigned("number of other actors")? {
        read_actor(&mut reader)?;
    }
    budget.take_changes(1, place)?;
    let columns = Layout::read(&mut reader, change::COLUMNS, false)?.take(&mut reader, budget)?;
    budget.take_operations(count_rows(columns.get(ACTION))?, place)
}

/// Limits that bound nothing of what is stored, only what is done at once.
pub(crate) fn unlimited() -> Limits {
    let mut limits = Limits::default();
    limits.inflated_bytes_max = usize::MAX;
    limits.chunks_max = usize::MAX;
    limits.chunk_actors_max = usize::MAX;
    limits.hashes_max = usize::MAX;
    limits.orphan_bytes_max = usize::MAX;
    limits.document_operations_max = u64::MAX;
    limits.document_changes_max = u64::MAX;
    limits.message_operations_max = u64::MAX;
    limits.price_free_bytes_max = u64::MAX;
    limits.price_bytes_max = u64::MAX;
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::admit_document;
    use crate::admit::tests::document;

    #[test]
    fn what_is_weighed_is_what_admission_counts() {
        for seed in 0..20 {
            let written = document(seed, 40);
            let limits = Limits::default();
            let mut changes = written.get_changes(&[]);
            let compressed: Vec<u8> = changes.iter_mut().flat_map(|change| change.bytes().to_vec()).collect();
            let saved = [written.save(), written.save_nocompress(), compressed];
            for (kind, bytes) in saved.iter().enumerate() {
                let (weighed, admitted) = (weigh(bytes), admit_document(bytes, &limits).unwrap().cost());
                assert!(weighed.operations <= admitted.operations, "deletions have no row in a document");
                assert!(kind < 2 || weighed.operations == admitted.operations);
                assert_eq!(weighed.changes, admitted.changes);
                let (one, other) = (weighed.inflated_bytes, admitted.inflated_bytes);
                assert!(one <= other && other <= one + one / 4 + 100, "{one} and {other}, kind {kind}");
                assert!(weighed.operations > 0 || admitted.operations == 0);
            }
        }
    }

    #[test]
    fn a_small_chunk_with_much_in_it_is_heavy() {
        let bomb = crate::admit::tests::run_length_bomb(100_000);
        let weighed = weigh(&[bomb.clone(), bomb].concat());
        assert_eq!(weighed.operations, 200_002);
        assert!(weighed.price_bytes > 200_000 * 40);
        assert_eq!(weigh(b"no chunk at all").inflated_bytes, 15);
    }
}
