//! The operations of a chunk, row by row, with what can be told of each on its own.

use super::columns::Columns;
use super::reader::Reader;
use super::refusal::{ColumnFault, Place, Refusal, RowFault};
use super::runs::{BooleanCursor, Column, Cursor, DeltaCursor};

pub(super) const OBJECT_ACTOR: u64 = 0x01;
pub(super) const OBJECT_COUNTER: u64 = 0x02;
pub(super) const KEY_ACTOR: u64 = 0x11;
pub(super) const KEY_COUNTER: u64 = 0x13;
pub(super) const KEY_TEXT: u64 = 0x15;
pub(super) const INSERT: u64 = 0x34;
pub(super) const ACTION: u64 = 0x42;
pub(super) const VALUE_METADATA: u64 = 0x56;
pub(super) const VALUE: u64 = 0x57;
pub(super) const EXPAND: u64 = 0x94;
pub(super) const MARK_NAME: u64 = 0xa5;

/// An operation's id: its number and the index of its actor in the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id {
    pub(super) counter: u32,
    pub(super) actor: u32,
}

/// Where in its object an operation works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key<'a> {
    Text(&'a str),
    /// The head of a sequence.
    Head,
    Element(Id),
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    MakeMap,
    MakeSequence,
    Set,
    Delete,
    Increment,
    MarkBegin,
    MarkEnd,
}

/// One operation, without its id and its predecessors or successors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation<'a> {
    /// The object; none is the root.
    pub(super) object: Option<Id>,
    pub(super) key: Key<'a>,
    pub(super) insert: bool,
    pub(super) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    Integer,
    Other,
}

/// Gives the operations of a chunk one after the other.
pub(super) struct Operations<'a> {
    actors: u64,
    chunk: Place,
    object_actor: Cursor<'a, u64>,
    object_counter: Cursor<'a, u64>,
    key_actor: Cursor<'a, u64>,
    key_counter: DeltaCursor<'a>,
    key_text: Cursor<'a, &'a str>,
    insert: BooleanCursor<'a>,
    action: Cursor<'a, u64>,
    values: Values<'a>,
    expand: BooleanCursor<'a>,
    mark_name: Cursor<'a, &'a str>,
    /// The text key of the operation before.
    previous_key: &'a str,
    repeated_bytes: usize,
    row: u64,
}

impl<'a> Operations<'a> {
    pub(super) fn new(columns: &'a Columns<'_>, actors: u64, chunk: Place) -> Self {
        Self {
            actors,
            chunk,
            object_actor: Cursor::new(columns.get(OBJECT_ACTOR)),
            object_counter: Cursor::new(columns.get(OBJECT_COUNTER)),
            key_actor: Cursor::new(columns.get(KEY_ACTOR)),
            key_counter: DeltaCursor::new(columns.get(KEY_COUNTER)),
            key_text: Cursor::new(columns.get(KEY_TEXT)),
            insert: BooleanCursor::new(columns.get(INSERT)),
            action: Cursor::new(columns.get(ACTION)),
            values: Values::new(columns.get(VALUE_METADATA), columns.get(VALUE).reader),
            expand: BooleanCursor::new(columns.get(EXPAND)),
            mark_name: Cursor::new(columns.get(MARK_NAME)),
            previous_key: "",
            repeated_bytes: 0,
            row: 0,
        }
    }

    /// Gives the next operation, whose number is `counter`: all that it names must be older.
    pub(super) fn next(&mut self, counter: u32) -> Result<Operation<'a>, Refusal> {
        let object = self.object(counter)?;
        let key = self.key(counter)?;
        let insert = self.insert.next()?;
        let action = self.action.required()?;
        let kind = self.values.next()?;
        let expand = self.expand.next()?;
        let mark_name = self.mark_name.next()?;
        let action = match action {
            0 | 6 => Action::MakeMap,
            2 | 4 => Action::MakeSequence,
            1 => Action::Set,
            3 => Action::Delete,
            5 => Action::Increment,
            7 if mark_name.is_some() => Action::MarkBegin,
            7 => Action::MarkEnd,
            _ => return Err(self.fault(RowFault::Action)),
        };
        let in_map = matches!(key, Key::Text(_));
        let value_fits = match action {
            Action::MakeMap | Action::MakeSequence | Action::Delete | Action::MarkEnd => kind == Kind::Null,
            Action::Increment => kind == Kind::Integer,
            Action::Set | Action::MarkBegin => true,
        };
        let insert_fits = match action {
            Action::Delete | Action::Increment => !insert,
            Action::MarkBegin | Action::MarkEnd => insert,
            _ => true,
        } && (insert || key != Key::Head)
            && !(insert && in_map);
        let is_mark = matches!(action, Action::MarkBegin | Action::MarkEnd);
        let mark_fits = is_mark || (mark_name.is_none() && !expand);
        // The root is a map; other objects are what the document says, which is not known here.
        let object_fits = object.is_some() || in_map;
        if !(value_fits && insert_fits && mark_fits && object_fits) {
            return Err(self.fault(RowFault::Shape));
        }
        self.row += 1;
        Ok(Operation { object, key, insert, action })
    }

    /// Counts the bytes of keys that stand once for a run of operations. Applied, each operation has its own.
    pub(super) fn repeated_bytes(&self) -> usize {
        self.repeated_bytes
    }

    pub(super) fn finish(&self) -> Result<(), Refusal> {
        self.object_actor.finish()?;
        self.object_counter.finish()?;
        self.key_actor.finish()?;
        self.key_counter.finish()?;
        self.key_text.finish()?;
        self.insert.finish()?;
        self.action.finish()?;
        self.values.finish()?;
        self.expand.finish()?;
        self.mark_name.finish()
    }

    /// Says that something is wrong with the operation given last.
    pub(super) fn fault_of_last(&self, fault: RowFault) -> Refusal {
        Refusal::Row { table: "operations", row: self.row.saturating_sub(1), fault, place: self.chunk }
    }

    fn fault(&self, fault: RowFault) -> Refusal {
        Refusal::Row { table: "operations", row: self.row, fault, place: self.chunk }
    }

    fn object(&mut self, before: u32) -> Result<Option<Id>, Refusal> {
        match (self.object_actor.next()?, self.object_counter.next()?) {
            (None, None) => Ok(None),
            (Some(actor), Some(counter)) => match id(actor, counter, self.actors) {
                Some(id) if id.counter < before => Ok(Some(id)),
                _ => Err(self.fault(RowFault::Object)),
            },
            _ => Err(self.fault(RowFault::Object)),
        }
    }

    fn key(&mut self, before: u32) -> Result<Key<'a>, Refusal> {
        match (self.key_text.next()?, self.key_actor.next()?, self.key_counter.next()?) {
            (Some(text), None, None) => {
                // In a run it is one and the same text.
                let previous = std::mem::replace(&mut self.previous_key, text);
                if std::ptr::eq(text, previous) {
                    self.repeated_bytes = self.repeated_bytes.saturating_add(text.len());
                }
                Ok(Key::Text(text))
            }
            (None, None, Some(0)) => Ok(Key::Head),
            (None, Some(actor), Some(counter)) => {
                let id = u64::try_from(counter).ok().and_then(|counter| id(actor, counter, self.actors));
                match id {
                    Some(id) if id.counter < before => Ok(Key::Element(id)),
                    _ => Err(self.fault(RowFault::Key)),
                }
            }
            _ => Err(self.fault(RowFault::Key)),
        }
    }
}

/// Makes an id of an actor of the chunk; the number 0 is nobody's.
fn id(actor: u64, counter: u64, actors: u64) -> Option<Id> {
    let counter = u32::try_from(counter).ok().filter(|counter| *counter > 0)?;
    let actor = u32::try_from(actor).ok().filter(|actor| u64::from(*actor) < actors)?;
    Some(Id { counter, actor })
}

/// A list of ids for each row: predecessors in a change, successors in a document.
pub(super) struct IdLists<'a> {
    actors: u64,
    count: Cursor<'a, u64>,
    actor: Cursor<'a, u64>,
    counter: DeltaCursor<'a>,
}

impl<'a> IdLists<'a> {
    pub(super) fn new(count: Column<'a>, actor: Column<'a>, counter: Column<'a>, actors: u64) -> Self {
        Self { actors, count: Cursor::new(count), actor: Cursor::new(actor), counter: DeltaCursor::new(counter) }
    }

    /// Gives how many ids the next row has; each must then be taken.
    pub(super) fn next_count(&mut self) -> Result<u64, Refusal> {
        self.count.required()
    }

    pub(super) fn next_id(&mut self) -> Result<Id, Refusal> {
        let actor = self.actor.required()?;
        let counter = self.counter.required()?;
        id(actor, counter.into(), self.actors).ok_or_else(|| self.actor.fault(ColumnFault::Range))
    }

    pub(super) fn finish(&self) -> Result<(), Refusal> {
        self.count.finish()?;
        self.actor.finish()?;
        self.counter.finish()
    }
}

/// The values of a table: metadata (`length << 4 | type`) row by row, and the bytes one after the other.
pub(super) struct Values<'a> {
    metadata: Cursor<'a, u64>,
    raw: Reader<'a>,
}

impl<'a> Values<'a> {
    pub(super) fn new(metadata: Column<'a>, raw: Reader<'a>) -> Self {
        Self { metadata: Cursor::new(metadata), raw }
    }

    fn next(&mut self) -> Result<Kind, Refusal> {
        let (code, mut value) = self.next_raw()?;
        let mut damaged = false;
        let kind = match code {
            0 => Kind::Null,
            1 | 2 => Kind::Other,
            3 => {
                damaged = value.unsigned("value").is_err();
                Kind::Integer
            }
            4 | 8 | 9 => {
                damaged = value.signed("value").is_err();
                if code == 4 { Kind::Integer } else { Kind::Other }
            }
            5 => {
                damaged = value.take(8, "value").is_err();
                Kind::Other
            }
            6 => {
                damaged = std::str::from_utf8(value.bytes()).is_err();
                value = value.empty();
                Kind::Other
            }
            // Bytes, and types that may come to be.
            _ => {
                value = value.empty();
                Kind::Other
            }
        };
        if damaged || !value.is_empty() { Err(self.metadata.fault(ColumnFault::Value)) } else { Ok(kind) }
    }

    /// Gives the next value undecoded: its type and its bytes.
    pub(super) fn next_raw(&mut self) -> Result<(u64, Reader<'a>), Refusal> {
        let metadata = self.metadata.required()?;
        let value = self.raw.split(metadata >> 4, "value").map_err(|_| self.metadata.fault(ColumnFault::Length))?;
        Ok((metadata & 0xf, value))
    }

    pub(super) fn finish(&self) -> Result<(), Refusal> {
        self.metadata.finish()?;
        if self.raw.is_empty() { Ok(()) } else { Err(self.metadata.fault(ColumnFault::Length)) }
    }
}
