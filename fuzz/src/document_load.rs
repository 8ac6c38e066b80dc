//! Loading saved documents: any columns, with the checksum put right.

use std::io::Read;

use comity_crdt::{Document, HistoryFilter, LoadError, SyncSession, admit, admit_document};
use comity_model::{Act, ActKind, ActorId, DeviceTag, HybridTime, Limits, Write};
use flate2::read::DeflateDecoder;

use crate::choices::Choices;
use crate::frame::{chunk, leb};

/// The columns of a document are deflated when this bit of their specification is set.
const DEFLATED: u64 = 0b1000;
/// Longest column that is inflated to be damaged.
const COLUMN_BYTES_MAX: u64 = 1 << 16;
/// Rounds of talk after which two documents must be in step.
const ROUNDS_MAX: usize = 20;

/// Takes the bytes as a list of damages and a saved document: its columns are inflated, damaged, put together again
/// with the right lengths and the right checksum, and offered to the door. Asserts that Automerge does not panic on
/// what is let in, and that what can be read saves as it was loaded and reaches an empty peer whole.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut damages = Choices::new(choices.bytes());
    let file = choices.rest();
    let bytes = match Parts::read(file) {
        Some(mut parts) => {
            parts.damage(&mut damages);
            parts.write()
        }
        // Not a document: then its bytes are the content of one, as they are.
        None => chunk(0, file),
    };
    let limits = limits();
    let Ok(admitted) = admit_document(&bytes, &limits) else { return };
    match Document::import(&admitted) {
        Ok(document) => examine(document, &limits),
        Err(error) => assert!(!matches!(error, LoadError::Panicked), "admitted, yet Automerge panics on it"),
    }
}

/// Does everything with a document that a node does.
fn examine(mut document: Document, limits: &Limits) {
    let heads = document.heads().clone();
    let _ = (document.entries(None), document.entries(Some(&heads)), document.disagreements(), document.remarks());
    let _ = (document.kind(), document.title());
    assert!(document.history(&HistoryFilter::Document).len() <= document.change_count());
    if let Some(saved) = document.save() {
        let again = Document::load(Some(&saved), std::iter::empty::<&[u8]>()).expect("what was saved can be read");
        assert_eq!(*again.heads(), heads);
    }
    let actor = ActorId::for_session(DeviceTag([1; 16]), [0; 8]);
    let act = Act { time: HybridTime::default(), policy: [0; 8], kind: ActKind::Edit };
    let write = Write::Set { key: "M050/status".parse().expect("a key"), value: "dead".into() };
    let _ = document.edit(&actor, act, None, &[write], limits);
    share(document, limits);
}

/// Brings a document to a peer that has nothing. It may be refused, but not halfway.
fn share(mut here: Document, limits: &Limits) {
    let mut there = Document::new();
    let (mut to_there, mut to_here) = (SyncSession::new(), SyncSession::new());
    for _ in 0..ROUNDS_MAX {
        let (forth, back) = (here.generate(&mut to_there), there.generate(&mut to_here));
        if forth.is_none() && back.is_none() {
            assert!(here.is_broken() || here.heads() == there.heads(), "both are quiet, so both are in step");
            return;
        }
        for (bytes, receiver, session) in [(forth, &mut there, &mut to_here), (back, &mut here, &mut to_there)] {
            let Some(bytes) = bytes else { continue };
            let Ok(admitted) = admit(&bytes, limits) else { return };
            if receiver.receive(session, admitted, limits).is_err() {
                assert!(receiver.is_broken() || receiver.orphan_bytes() == 0);
                return;
            }
        }
    }
    panic!("two documents talk for ever");
}

/// A saved document, taken apart.
struct Parts<'a> {
    /// Actors and heads.
    front: &'a [u8],
    /// The columns of the changes, and those of the operations.
    tables: [Vec<(u64, Vec<u8>)>; 2],
    /// Indexes of the heads.
    back: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(file: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(file);
        if !reader.take(8)?.starts_with(&[0x85, 0x6f, 0x4a, 0x83]) || reader.take(1)? != [0] {
            return None;
        }
        let length = reader.number()?;
        let mut reader = Reader(reader.take(length)?);
        let body = reader.0;
        for _ in 0..reader.number()? {
            let length = reader.number()?;
            reader.take(length)?;
        }
        let heads = reader.number()?;
        reader.take(heads.checked_mul(32)?)?;
        let front = &body[..body.len() - reader.0.len()];
        let layouts = [reader.layout()?, reader.layout()?];
        let mut tables = [Vec::new(), Vec::new()];
        for (layout, table) in layouts.into_iter().zip(&mut tables) {
            for (spec, length) in layout {
                table.push(inflated(spec, reader.take(length)?)?);
            }
        }
        Some(Self { front, tables, back: reader.0 })
    }

    fn damage(&mut self, choices: &mut Choices<'_>) {
        while !choices.is_empty() {
            let (table, kind) = (choices.below(2), choices.byte());
            let (column, at, value) = (choices.byte(), choices.number(), choices.byte());
            let table = &mut self.tables[table];
            if table.is_empty() {
                continue;
            }
            let column = usize::from(column) % table.len();
            let bytes = &mut table[column].1;
            let at = at % bytes.len().max(1);
            match kind % 8 {
                0 => bytes.insert(at.min(bytes.len()), value),
                1 if !bytes.is_empty() => drop(bytes.remove(at)),
                2 => bytes.truncate(at),
                3 if !bytes.is_empty() => bytes[at] = bytes[at].wrapping_add(1),
                4 if !bytes.is_empty() => bytes[at] = bytes[at].wrapping_sub(1),
                5 => drop(table.remove(column)),
                6 => table[column].0 = u64::from(value),
                _ if !bytes.is_empty() => bytes[at] = value,
                _ => {}
            }
        }
    }

    fn write(&self) -> Vec<u8> {
        let mut content = self.front.to_vec();
        for table in &self.tables {
            content.extend(leb(table.len() as u64));
            for (spec, bytes) in table {
                content.extend(leb(*spec));
                content.extend(leb(bytes.len() as u64));
            }
        }
        content.extend(self.tables.iter().flatten().flat_map(|(_, bytes)| bytes));
        content.extend(self.back);
        chunk(0, &content)
    }
}

/// Inflates a column, so that damage reaches what it holds.
fn inflated(spec: u64, bytes: &[u8]) -> Option<(u64, Vec<u8>)> {
    if spec & DEFLATED == 0 {
        return Some((spec, bytes.to_vec()));
    }
    let mut plain = Vec::new();
    DeflateDecoder::new(bytes).take(COLUMN_BYTES_MAX).read_to_end(&mut plain).ok()?;
    Some((spec & !DEFLATED, plain))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (now, later) = self.0.split_at_checked(length)?;
        self.0 = later;
        Some(now)
    }

    fn number(&mut self) -> Option<usize> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.take(1)?[0];
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn layout(&mut self) -> Option<Vec<(u64, usize)>> {
        let count = self.number()?;
        if count > self.0.len() {
            return None;
        }
        (0..count).map(|_| Some((self.number()? as u64, self.number()?))).collect()
    }
}

/// Small limits, so that a run takes milliseconds and the limits themselves are met.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.inflated_bytes_max = 1 << 20;
    limits.change_operations_max = 2_000;
    limits.message_operations_max = 4_000;
    limits.chunks_max = 100;
    limits
}
