//! Documents such as people write, and a relay's copy of one between those who have it open.
//!
//! Nothing here looks at a clock or asks for randomness: the same calls make the same bytes.

use bytes::Bytes;
use comity_crdt::{Document, Edited, SyncSession, admit};
use comity_model::{Act, ActKind, ActorId, DeviceTag, HybridTime, Limits, Value, Write};

/// Rows of a document that is edited here and there: the machines of a line.
const ENTRIES: u32 = 242;
/// How many rows on the next edit is. A prime, so that every row gets its turn.
const STRIDE: u64 = 7_919;
/// Fields of a row.
const FIELDS: [&str; 10] =
    ["name", "status", "line", "place", "maker", "model", "serial", "checked", "hours", "temperature"];
/// Number of the first edit in a room, greater than any before.
const FIRST_EDIT: u32 = 1_000_000;
/// When the first edit was made; each further one a second later.
const FIRST_EDIT_MS: i64 = 1_795_257_600_000;

/// A document as it was saved: rows of fields.
#[derive(Clone)]
pub struct Sheet {
    /// What the store keeps.
    pub snapshot: Bytes,
    rows: u32,
}

impl Sheet {
    /// Makes a sheet of so many single edits, each a change of one operation: a field set here, another there.
    pub fn history(changes: u32) -> Self {
        let mut document = Document::new();
        for number in 0..changes {
            edit(&mut document, ENTRIES, number);
        }
        Self::save(&document, ENTRIES)
    }

    /// Makes a sheet of so many operations, typed in row by row: ten fields a row, each row one change.
    pub fn table(operations: u32) -> Self {
        let mut document = Document::new();
        let rows = operations / u32::try_from(FIELDS.len()).expect("there are ten");
        for row in 0..rows {
            let set = |(number, field): (u32, &&str)| write(row, field, value(row, number));
            let writes: Vec<Write> = (0..).zip(&FIELDS).map(set).collect();
            commit(&mut document, row, &writes);
        }
        Self::save(&document, rows)
    }

    fn save(document: &Document, rows: u32) -> Self {
        Self { snapshot: document.save().expect("a whole document can be saved"), rows }
    }

    /// Loads the document.
    pub fn load(&self) -> Document {
        Document::load(Some(&self.snapshot), [b""; 0]).expect("what was saved can be loaded")
    }

    /// Edits one field as one change, which one depending on the number. Gives the change.
    pub fn edit(&self, document: &mut Document, number: u32) -> Edited {
        edit(document, self.rows, number)
    }
}

fn edit(document: &mut Document, rows: u32, number: u32) -> Edited {
    // All over the document: what a change costs depends on where in it the change falls.
    let row = u64::from(number) * STRIDE % u64::from(rows);
    let row = u32::try_from(row).expect("there are not so many rows");
    commit(document, number, &[write(row, FIELDS[1], Value::Int(i64::from(number)))])
}

fn write(row: u32, field: &str, value: Value) -> Write {
    let key = format!("R{row:05}/{field}");
    Write::Set { key: key.parse().expect("an entry, a slash and a field are a key"), value }
}

/// Gives words in some fields and numbers in others, neither all equal nor all different.
fn value(row: u32, field: u32) -> Value {
    let mixed = (row * 31 + field).wrapping_mul(2_654_435_761) >> 16;
    if field.is_multiple_of(2) { format!("item {}", mixed % 1_000).as_str().into() } else { Value::Int(mixed.into()) }
}

fn commit(document: &mut Document, number: u32, writes: &[Write]) -> Edited {
    let actor = ActorId::for_session(DeviceTag([1; 16]), [0; 8]);
    let time = HybridTime { wall_ms: FIRST_EDIT_MS + i64::from(number) * 1_000, counter: 0 };
    let act = Act { time, policy: [0; 8], kind: ActKind::Edit };
    let edited = document.edit(&actor, act, None, writes, &Limits::default()).expect("the edit is within the limits");
    assert!(edited.hash.is_some(), "edit {number} changes something");
    edited
}

/// A relay's copy of a document, with one who writes and one who reads. All are in step when it is made.
pub struct Room {
    /// What the relay has.
    pub document: Document,
    /// Who writes.
    pub writer: Peer,
    /// Who reads.
    pub reader: Peer,
    sheet: Sheet,
    edits: u32,
}

/// One who has the document open.
pub struct Peer {
    /// What the peer has.
    pub document: Document,
    /// What the peer knows of the relay's copy.
    pub session: SyncSession,
    /// What the relay knows of the peer's copy.
    pub at_relay: SyncSession,
}

impl Room {
    /// Makes a room around a document.
    pub fn new(sheet: &Sheet) -> Self {
        let (writer, reader) = (Peer::new(sheet.load()), Peer::new(sheet.load()));
        let mut room = Self { document: sheet.load(), writer, reader, sheet: sheet.clone(), edits: 0 };
        room.settle();
        room
    }

    /// Lets the writer edit a field, and gives its sync message, which is not delivered yet.
    pub fn written(&mut self) -> Bytes {
        self.edit();
        self.writer.document.generate(&mut self.writer.session).expect("there is a change to tell of")
    }

    /// Lets the writer edit a field and keep it to itself for now.
    pub fn edit(&mut self) {
        self.sheet.edit(&mut self.writer.document, FIRST_EDIT + self.edits);
        self.edits += 1;
    }

    /// Counts the edits since the room was made.
    pub fn edits(&self) -> u32 {
        self.edits
    }

    /// Lets the relay admit and receive a message of the writer.
    pub fn deliver(&mut self, message: &[u8]) {
        receive(&mut self.document, &mut self.writer.at_relay, message);
    }

    /// Exchanges messages until nobody has anything to say.
    pub fn settle(&mut self) {
        let peers = [&mut self.writer, &mut self.reader];
        for peer in peers {
            peer.settle(&mut self.document);
        }
    }
}

impl Peer {
    fn new(document: Document) -> Self {
        Self { document, session: SyncSession::new(), at_relay: SyncSession::new() }
    }

    fn settle(&mut self, relay: &mut Document) {
        loop {
            let news = relay.generate(&mut self.at_relay);
            let answer = self.document.generate(&mut self.session);
            if news.is_none() && answer.is_none() {
                return;
            }
            if let Some(message) = news {
                receive(&mut self.document, &mut self.session, &message);
            }
            if let Some(message) = answer {
                receive(relay, &mut self.at_relay, &message);
            }
        }
    }
}

/// Gives what a relay knows of a peer that has nothing and asks for the document.
pub fn newcomer(relay: &mut Document) -> SyncSession {
    let mut at_relay = SyncSession::new();
    let request = Document::new().generate(&mut SyncSession::new()).expect("a newcomer asks");
    receive(relay, &mut at_relay, &request);
    at_relay
}

/// Admits and receives a message.
pub fn receive(document: &mut Document, session: &mut SyncSession, message: &[u8]) {
    let limits = Limits::default();
    let admitted = admit(message, &limits).expect("an honest message is admitted");
    document.receive(session, admitted, &limits).expect("an honest message is received");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_have_the_size_that_was_asked_for_and_come_out_the_same_each_time() {
        let (first, second) = (Sheet::history(100), Sheet::history(100));
        assert_eq!(first.load().written_count(), 100);
        assert_eq!(first.snapshot, second.snapshot);
        let table = Sheet::table(200).load();
        assert_eq!((table.written_count(), table.entries(None).len()), (20, 20));
        assert!((200..210).contains(&table.operation_count()), "{}", table.operation_count());
    }

    #[test]
    fn edits_fall_on_rows_that_are_there_and_on_another_one_each_time() {
        let sheet = Sheet::table(200);
        let mut document = sheet.load();
        let before = document.entries(None);
        for number in 0..20 {
            sheet.edit(&mut document, 1_000 + number);
        }
        let after = document.entries(None);
        assert_eq!(after.len(), 20);
        assert!(after.iter().all(|(id, entry)| before.get(id).is_some_and(|old| old != entry)));
    }

    #[test]
    fn a_change_passes_through_a_room() {
        let mut room = Room::new(&Sheet::history(10));
        let message = room.written();
        room.deliver(&message);
        assert_ne!(room.reader.document.heads(), room.document.heads());
        room.settle();
        for peer in [&room.writer, &room.reader] {
            assert_eq!(peer.document.heads(), room.document.heads());
            assert_eq!(peer.at_relay.peer_heads(), Some(room.document.heads()));
        }
        assert_eq!(room.document.written_count(), 11);
    }

    #[test]
    fn a_newcomer_gets_the_whole_document_in_one_message() {
        let mut relay = Sheet::table(200).load();
        let mut at_relay = newcomer(&mut relay);
        let message = relay.generate(&mut at_relay).expect("the relay answers");
        let mut document = Document::new();
        receive(&mut document, &mut SyncSession::new(), &message);
        assert_eq!(document.heads(), relay.heads());
    }
}
