//! Change chunks: the header of the change and its operations.

use super::budget::{Budget, within};
use super::columns::{Known, Layout};
use super::reader::Reader;
use super::refusal::{Place, Quantity, Refusal, RowFault};
use super::rows::{
    ACTION, Action, EXPAND, INSERT, Id, IdLists, KEY_ACTOR, KEY_COUNTER, KEY_TEXT, Key, MARK_NAME, OBJECT_ACTOR,
    OBJECT_COUNTER, Operation, Operations, VALUE, VALUE_METADATA,
};
use super::runs::{count_rows, sum_rows};

const PREDECESSOR_COUNT: u64 = 0x70;
const PREDECESSOR_ACTOR: u64 = 0x71;
const PREDECESSOR_COUNTER: u64 = 0x73;

const COLUMNS: &[Known] = &[
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
    // What is left are extra bytes, which Automerge keeps as they are.

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
    check_operations(Operations::new(&columns, count, chunk), predecessors, first, operations, &actors)
}

/// Checks what the operations of a change say of each other and of older ones.
fn check_operations(
    mut rows: Operations<'_>,
    mut predecessors: IdLists<'_>,
    first: u32,
    count: u64,
    actors: &[&[u8]],
) -> Result<(), Refusal> {
    let mut own: Vec<Operation<'_>> = Vec::new();
    for counter in (first..).take(usize::try_from(count).unwrap_or(usize::MAX)) {
        let operation = rows.next(counter)?;
        let known = |id: Id| if id.actor == 0 && id.counter >= first { own.get((id.counter - first) as usize) } else { None };
        if let Some(maker) = operation.object.and_then(known) {
            let in_map = matches!(operation.key, Key::Text(_));
            let fits = if in_map { maker.action == Action::MakeMap } else { maker.action == Action::MakeSequence };
            if !fits {
                return Err(rows.fault_of_last(RowFault::Object));
            }
        }
        if let Key::Element(element) = operation.key
            && let Some(inserter) = known(element)
            && !(inserter.insert && inserter.object == operation.object)
        {
            return Err(rows.fault_of_last(RowFault::Key));
        }
        let references = predecessors.next_count()?;
        let wants_some = matches!(operation.action, Action::Delete | Action::Increment);
        if (operation.insert && references > 0) || (wants_some && references == 0) {
            return Err(rows.fault_of_last(RowFault::Reference));
        }
        let mut previous: Option<Id> = None;
        for _ in 0..references {
            let id = predecessors.next_id()?;
            let order = |id: Id| (id.counter, actors.get(id.actor as usize));
            let ascends = previous.is_none_or(|previous| order(previous) < order(id));
            let same_target = known(id).is_none_or(|older| target(older, id) == target(&operation, id));
            if id.counter >= counter || !ascends || !same_target {
                return Err(rows.fault_of_last(RowFault::Reference));
            }
            previous = Some(id);
        }
        own.push(operation);
    }
    rows.finish()?;
    predecessors.finish()
}

/// Gives the register that an operation works on; `id` is its own id if it is an insertion.
fn target<'a>(operation: &Operation<'a>, id: Id) -> (Option<Id>, Key<'a>) {
    (operation.object, if operation.insert { Key::Element(id) } else { operation.key })
}

/// Reads the other actors, which follow the author in ascending order.
fn read_actors<'a>(
    reader: &mut Reader<'a>,
    author: &'a [u8],
    budget: &Budget<'_>,
) -> Result<Vec<&'a [u8]>, Refusal> {
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
