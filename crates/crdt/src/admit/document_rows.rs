//! The operations of a document chunk. Here the whole history is at hand, so ids, order and types are checked too.

use std::collections::{HashMap, HashSet};

use super::budget::Budget;
use super::columns::{Columns, Known};
use super::document::Spans;
use super::refusal::{Place, Refusal, RowFault};
use super::rows::{
    ACTION, Action, EXPAND, INSERT, Id, IdLists, KEY_ACTOR, KEY_COUNTER, KEY_TEXT, Key, MARK_NAME, OBJECT_ACTOR,
    OBJECT_COUNTER, Operation, Operations, VALUE, VALUE_METADATA,
};
use super::runs::{Cursor, DeltaCursor, count_rows, sum_rows};

const ID_ACTOR: u64 = 0x21;
const ID_COUNTER: u64 = 0x23;
const SUCCESSOR_COUNT: u64 = 0x80;
const SUCCESSOR_ACTOR: u64 = 0x81;
const SUCCESSOR_COUNTER: u64 = 0x83;

pub(super) const COLUMNS: &[Known] = &[
    (OBJECT_ACTOR, "object actor"),
    (OBJECT_COUNTER, "object counter"),
    (KEY_ACTOR, "key actor"),
    (KEY_COUNTER, "key counter"),
    (KEY_TEXT, "key text"),
    (ID_ACTOR, "id actor"),
    (ID_COUNTER, "id counter"),
    (INSERT, "insert"),
    (ACTION, "action"),
    (VALUE_METADATA, "value metadata"),
    (VALUE, "value"),
    (SUCCESSOR_COUNT, "successor count"),
    (SUCCESSOR_ACTOR, "successor actor"),
    (SUCCESSOR_COUNTER, "successor counter"),
    (EXPAND, "expand"),
    (MARK_NAME, "mark name"),
];

/// Checks the operations of a document.
pub(super) fn check_operations(
    columns: &Columns<'_>,
    spans: &Spans,
    actors: u64,
    chunk: Place,
    budget: &mut Budget<'_>,
) -> Result<(), Refusal> {
    let id_actor = columns.get(ID_ACTOR);
    let count = count_rows(id_actor)?;
    budget.take_operations(count, id_actor.place())?;
    let successor_count = columns.get(SUCCESSOR_COUNT);
    budget.take_references(sum_rows(successor_count)?, successor_count.place())?;

    let mut id_actor = Cursor::<u64>::new(id_actor);
    let mut id_counter = DeltaCursor::new(columns.get(ID_COUNTER));
    let mut operations = Operations::new(columns, actors, chunk);
    let mut successors =
        IdLists::new(successor_count, columns.get(SUCCESSOR_ACTOR), columns.get(SUCCESSOR_COUNTER), actors);
    let mut order = Order::default();
    let mut ids: Vec<Id> = Vec::new();
    for row in 0..count {
        let fault = |fault| Refusal::Row { table: "operations", row, fault, place: chunk };
        let (actor, counter) = (id_actor.required()?, id_counter.required()?);
        let id = Id { counter, actor: u32::try_from(actor).map_err(|_| fault(RowFault::Id))? };
        if !spans.contain(id) {
            return Err(fault(RowFault::Id));
        }
        let operation = operations.next(counter)?;
        order.follow(id, &operation).map_err(fault)?;
        ids.push(id);
        let mut previous = id;
        for _ in 0..successors.next_count()? {
            let successor = successors.next_id()?;
            let after = successor.counter > counter && (previous == id || successor > previous);
            if !after || !spans.contain(successor) {
                return Err(fault(RowFault::Reference));
            }
            order.expect(successor);
            previous = successor;
        }
    }
    id_actor.finish()?;
    id_counter.finish()?;
    operations.finish()?;
    successors.finish()?;
    let deletions = order.finish();
    budget.take_operations(deletions.len() as u64, chunk)?;
    budget.take_inflated(operations.repeated_bytes(), chunk)?;
    ids.extend(deletions);
    check_ids(ids, spans, chunk, budget)
}

/// Checks that ids are given once and fill the changes, and that no change has too many.
fn check_ids(mut ids: Vec<Id>, spans: &Spans, chunk: Place, budget: &Budget<'_>) -> Result<(), Refusal> {
    let by_author = |id: &Id| (id.actor, id.counter);
    let fault = |row: usize| Refusal::Row { table: "operations", row: row as u64, fault: RowFault::Id, place: chunk };
    ids.sort_unstable_by_key(by_author);
    if let Some(row) = ids.windows(2).position(|pair| pair[0] == pair[1]) {
        return Err(fault(row));
    }
    let mut rest = ids.as_slice();
    for span in spans.as_slice() {
        let here = rest.partition_point(|id| by_author(id) <= (span.actor, span.last));
        let (these, others) = rest.split_at(here);
        rest = others;
        budget.check_change(these.len() as u64, chunk)?;
        // The numbers run without a gap up to the last one; they may begin later than they could.
        let complete = match (these.first(), these.last()) {
            (Some(first), Some(last)) => {
                last.counter == span.last && (last.counter - first.counter) as usize + 1 == these.len()
            }
            _ => span.last < span.first,
        };
        if !complete {
            return Err(fault(ids.len()));
        }
    }
    Ok(())
}

/// Follows the order in which a document holds its operations: by object, then by key or element, then by id.
#[derive(Default)]
struct Order<'a> {
    started: bool,
    /// Objects made so far; true for sequences.
    made: HashMap<Id, bool>,
    object: Option<Id>,
    in_sequence: bool,
    /// Marks begun in the current object and not ended.
    begun: HashSet<Id>,
    /// Elements of the current sequence.
    elements: HashSet<Id>,
    /// What the operations at hand work on, and the last of them.
    register: Option<(Key<'a>, Id)>,
    /// Successors in this register that have not had a row yet.
    expected: HashSet<Id>,
    /// Successors that never had a row in their register: deletions.
    deletions: Vec<Id>,
}

impl<'a> Order<'a> {
    fn follow(&mut self, id: Id, operation: &Operation<'a>) -> Result<(), RowFault> {
        if !self.started || operation.object != self.object {
            // Root, which is none, comes first; the others in the order of their ids.
            if self.started && operation.object <= self.object {
                return Err(RowFault::Order);
            }
            self.in_sequence = match operation.object {
                None => false,
                Some(object) => *self.made.get(&object).ok_or(RowFault::Object)?,
            };
            self.started = true;
            self.object = operation.object;
            self.elements.clear();
            self.begun.clear();
            self.leave_register();
        }
        let register = match operation.key {
            Key::Text(_) if self.in_sequence => return Err(RowFault::Key),
            Key::Head | Key::Element(_) if !self.in_sequence => return Err(RowFault::Key),
            _ if operation.insert => self.insert(id, operation.key)?,
            key => key,
        };
        let follows = match (self.register, register) {
            (Some((last, last_id)), now) if last == now => last_id < id,
            (Some((Key::Text(last), _)), Key::Text(now)) => last < now,
            // Another element begins with its insertion only.
            (_, Key::Element(element)) => element == id,
            _ => true,
        };
        if !follows {
            return Err(RowFault::Order);
        }
        if self.register.is_some_and(|(last, _)| last != register) {
            self.leave_register();
        }
        self.expected.remove(&id);
        self.register = Some((register, id));
        match operation.action {
            Action::MakeMap => drop(self.made.insert(id, false)),
            Action::MakeSequence => drop(self.made.insert(id, true)),
            Action::MarkBegin => drop(self.begun.insert(id)),
            // A mark ends behind its begin, in the same object; the ids are neighbours.
            Action::MarkEnd if !self.begun.remove(&Id { counter: id.counter.saturating_sub(1), actor: id.actor }) => {
                return Err(RowFault::Order);
            }
            // Deletions have no row in a document.
            Action::Delete => return Err(RowFault::Shape),
            _ => {}
        }
        Ok(())
    }

    /// Notes a successor of the last operation.
    fn expect(&mut self, successor: Id) {
        self.expected.insert(successor);
    }

    fn leave_register(&mut self) {
        self.register = None;
        self.deletions.extend(self.expected.drain());
    }

    fn finish(mut self) -> Vec<Id> {
        self.leave_register();
        self.deletions
    }

    fn insert(&mut self, id: Id, after: Key<'a>) -> Result<Key<'a>, RowFault> {
        if let Key::Element(after) = after
            && !self.elements.contains(&after)
        {
            return Err(RowFault::Key);
        }
        self.elements.insert(id);
        Ok(Key::Element(id))
    }
}
