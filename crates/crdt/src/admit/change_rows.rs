//! The operations of a change chunk: what they say of each other, and what can be told of older ones.

use super::refusal::{Refusal, RowFault};
use super::rows::{Action, Id, IdLists, Key, Operation, Operations};

/// Checks the operations of one change.
pub(super) struct ChangeRows<'a> {
    rows: Operations<'a>,
    predecessors: IdLists<'a>,
    /// Number of the first operation.
    first: u32,
    /// Author first, then the others.
    actors: Vec<&'a [u8]>,
    /// Which actors are named by an operation.
    named: Vec<bool>,
    /// Whether there is anything older that operations can work on.
    has_past: bool,
    /// The operations so far.
    own: Vec<Operation<'a>>,
}

/// What an id in a change stands for.
enum Named<'o, 'a> {
    /// An operation of an older change, which only the document knows.
    Older,
    /// An operation of this change.
    Own(&'o Operation<'a>),
    /// Nothing.
    Nothing,
}

impl<'a> ChangeRows<'a> {
    pub(super) fn new(
        rows: Operations<'a>,
        predecessors: IdLists<'a>,
        first: u32,
        actors: Vec<&'a [u8]>,
        has_past: bool,
    ) -> Self {
        let mut named = vec![false; actors.len()];
        // The author is there in any case.
        if let Some(author) = named.first_mut() {
            *author = true;
        }
        Self { rows, predecessors, first, actors, named, has_past, own: Vec::new() }
    }

    /// Checks them all and gives the bytes of keys that stand once for a run of operations.
    pub(super) fn check(mut self, count: u64) -> Result<usize, Refusal> {
        let first = self.first;
        for counter in (first..).take(usize::try_from(count).unwrap_or(usize::MAX)) {
            let operation = self.rows.next(counter)?;
            self.check_target(&operation)?;
            self.check_predecessors(counter, &operation)?;
            self.check_mark(Some(&operation))?;
            self.own.push(operation);
        }
        self.check_mark(None)?;
        self.rows.finish()?;
        self.predecessors.finish()?;
        // Automerge lists the actors that are named, and no others; those it does not know it cannot look up.
        if !self.named.iter().all(|named| *named) {
            return Err(self.fault(RowFault::Actors));
        }
        Ok(self.rows.repeated_bytes())
    }

    fn fault(&self, fault: RowFault) -> Refusal {
        self.rows.fault_of_last(fault)
    }

    fn look_up(&mut self, id: Id) -> Named<'_, 'a> {
        if let Some(named) = self.named.get_mut(id.actor as usize) {
            *named = true;
        }
        match id.counter.checked_sub(self.first) {
            Some(index) if id.actor == 0 => self.own.get(index as usize).map_or(Named::Nothing, Named::Own),
            // What this change builds upon has smaller numbers, all of it.
            Some(_) => Named::Nothing,
            None if self.has_past => Named::Older,
            None => Named::Nothing,
        }
    }

    /// Checks that object and element, if they are made in this change, are what the operation takes them for.
    fn check_target(&mut self, operation: &Operation<'a>) -> Result<(), Refusal> {
        let wanted = if matches!(operation.key, Key::Text(_)) { Action::MakeMap } else { Action::MakeSequence };
        let object_fits = match operation.object.map(|object| self.look_up(object)) {
            None | Some(Named::Older) => true,
            Some(Named::Own(maker)) => maker.action == wanted,
            Some(Named::Nothing) => false,
        };
        if !object_fits {
            return Err(self.fault(RowFault::Object));
        }
        let Key::Element(element) = operation.key else {
            return Ok(());
        };
        let key_fits = match self.look_up(element) {
            Named::Older => true,
            Named::Own(inserter) => inserter.insert && inserter.object == operation.object,
            Named::Nothing => false,
        };
        if key_fits { Ok(()) } else { Err(self.fault(RowFault::Key)) }
    }

    /// Checks that predecessors ascend and, if they are of this change, work on the same register.
    fn check_predecessors(&mut self, counter: u32, operation: &Operation<'a>) -> Result<(), Refusal> {
        let count = self.predecessors.next_count()?;
        let wants_some = matches!(operation.action, Action::Delete | Action::Increment);
        if (operation.insert && count > 0) || (wants_some && count == 0) {
            return Err(self.fault(RowFault::Reference));
        }
        let mut previous: Option<Id> = None;
        for _ in 0..count {
            let id = self.predecessors.next_id()?;
            let fits = match self.look_up(id) {
                Named::Older => true,
                Named::Own(older) => older.action != Action::Delete && register(older, id) == register(operation, id),
                Named::Nothing => false,
            };
            let order = |id: Id| (id.counter, self.actors.get(id.actor as usize));
            let ascends = previous.is_none_or(|previous| order(previous) < order(id));
            if !fits || !ascends || id.counter >= counter {
                return Err(self.fault(RowFault::Reference));
            }
            previous = Some(id);
        }
        Ok(())
    }

    /// Checks that the two ends of a mark are written one right after the other, in one object.
    fn check_mark(&self, next: Option<&Operation<'a>>) -> Result<(), Refusal> {
        let begun = self.own.last().filter(|last| last.action == Action::MarkBegin).map(|last| last.object);
        let ends = next.filter(|next| next.action == Action::MarkEnd).map(|next| next.object);
        if begun == ends { Ok(()) } else { Err(self.fault(RowFault::Shape)) }
    }
}

/// Gives the register that an operation works on; `id` is its own id if it is an insertion.
fn register<'a>(operation: &Operation<'a>, id: Id) -> (Option<Id>, Key<'a>) {
    (operation.object, if operation.insert { Key::Element(id) } else { operation.key })
}
