//! Change chunks: the header of the change and its operations.

use super::budget::{Budget, within};
use super::change_rows::ChangeRows;
use super::columns::{Known, Layout};
use super::reader::Reader;
use super::refusal::{Place, Quantity, Refusal};
use super::rows::{
    ACTION, EXPAND, INSERT, IdLists, KEY_ACTOR, KEY_COUNTER, KEY_TEXT, MARK_NAME, OBJECT_ACTOR, OBJECT_COUNTER,
    Operations, VALUE, VALUE_METADATA,
};
use super::runs::{count_rows, sum_rows};

const PREDECESSOR_COUNT: u64 = 0x70;
const PREDECESSOR_ACTOR: u64 = 0x71;
const PREDECESSOR_COUNTER: u64 = 0x73;

pub(super) const COLUMNS: &[Known] = &[
    (OBJECT_ACTOR, "object actor"),
    (OBJECT_COUNTER, "object counter"),
    (KEY_ACTOR, "key actor"),
    (KEY_COUNTER, "key counter"),
    (KEY_TEXT, "key text"),
    (INSERT, "insert"),
    (ACTION, "action"),
    (VALUE_METADATA, "value metadata"),
    (VALUE, "value"),
    (PREDECESSOR_COUNT, "predecessor count"),
    (PREDECESSOR_ACTOR, "predecessor actor"),
    (PREDECESSOR_COUNTER, "predecessor counter"),
    (EXPAND, "expand"),
    (MARK_NAME, "mark name"),
];

/// Reads a hash list with its length.
pub(super) fn read_hashes<'a>(
    reader: &mut Reader<'a>,
    quantity: Quantity,
    limit: usize,
) -> Result<&'a [[u8; 32]], Refusal> {
    let place = reader.place();
    let count = reader.unsigned("number of hashes")?;
    within(quantity, count, limit as u64, place)?;
    let bytes = reader.take(count.saturating_mul(32), "list of hashes")?;
    Ok(bytes.as_chunks().0)
}

/// Reads an actor id.
pub(super) fn read_actor<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Refusal> {
    let length = reader.unsigned("length of an actor id")?;
    reader.take(length, "actor id")
}

/// Checks the body of a change chunk.
pub(super) fn check_change(mut reader: Reader<'_>, chunk: Place, budget: &mut Budget<'_>) -> Result<(), Refusal> {
    budget.take_changes(1, chunk)?;
    let dependencies = read_hashes(&mut reader, Quantity::Dependencies, budget.limits.dependencies_max)?;
    let author = read_actor(&mut reader)?;
    let place = reader.place();
    let sequence = reader.unsigned("sequence number")?;
    // The author's change before this one is among those it depends on.
    if sequence == 0 || u32::try_from(sequence).is_err() || (sequence > 1 && dependencies.is_empty()) {
        return Err(Refusal::Header { what: "sequence number", value: sequence, place });
    }
    let start_place = reader.place();
    let start = reader.unsigned("number of the first operation")?;
    reader.signed("time")?;
    reader.text("message of the change")?;
    let actors = read_actors(&mut reader, author, budget)?;
    let columns = Layout::read(&mut reader, COLUMNS, false)?.take(&mut reader, budget)?;
    check_extra(reader, sequence)?;

    let action = columns.get(ACTION);
    let operations = count_rows(action)?;
    budget.take_change(operations, action.place())?;
    let references = columns.get(PREDECESSOR_COUNT);
    budget.take_references(sum_rows(references)?, references.place())?;
    // The number behind the last operation must fit too: Automerge computes it.
    let fits = start > 0 && start.checked_add(operations).is_some_and(|end| end < u64::from(u32::MAX));
    let Some(first) = u32::try_from(start).ok().filter(|_| fits) else {
        return Err(Refusal::Header { what: "number of the first operation", value: start, place: start_place });
    };
    let count = actors.len() as u64;
    let predecessors =
        IdLists::new(references, columns.get(PREDECESSOR_ACTOR), columns.get(PREDECESSOR_COUNTER), count);
    let rows = Operations::new(&columns, count, chunk);
    let repeated = ChangeRows::new(rows, predecessors, first, actors, !dependencies.is_empty()).check(operations)?;
    budget.take_inflated(repeated, chunk)
}

/// What extra bytes begin with when they name an author.
const AUTHOR_FOOTER: u8 = 1;

/// Checks the extra bytes, which are free but for one thing: only the first change of an actor may name an author.
fn check_extra(extra: Reader<'_>, sequence: u64) -> Result<(), Refusal> {
    // Automerge also takes longer forms of the number, hence the mask.
    let names_author = extra.bytes().first().is_some_and(|first| first & 0x7f == AUTHOR_FOOTER);
    if names_author && sequence != 1 {
        return Err(Refusal::Header { what: "sequence number with an author", value: sequence, place: extra.place() });
    }
    Ok(())
}

/// Reads the other actors, which follow the author in ascending order.
fn read_actors<'a>(reader: &mut Reader<'a>, author: &'a [u8], budget: &Budget<'_>) -> Result<Vec<&'a [u8]>, Refusal> {
    let place = reader.place();
    let count = reader.unsigned("number of other actors")?;
    within(Quantity::Actors, count.saturating_add(1), budget.limits.chunk_actors_max as u64, place)?;
    let mut actors = vec![author];
    for _ in 0..count {
        let place = reader.place();
        let actor = read_actor(reader)?;
        let follows = actors.len() == 1 || actors.last().is_none_or(|last| *last < actor);
        if !follows || actor == author {
            return Err(Refusal::Header { what: "order of the other actors", value: actors.len() as u64, place });
        }
        actors.push(actor);
    }
    Ok(actors)
}
