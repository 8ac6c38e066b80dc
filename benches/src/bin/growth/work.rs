//! What is measured: audits as technicians write them, and clocks.

use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use comity_crdt::{Document, SyncSession, admit};
use comity_model::{Act, ActKind, ActorId, DeviceTag, HybridTime, Limits, Write};

/// Fields of an entry of an audit.
const FIELDS: [&str; 5] = ["status", "comment", "voltage", "checked-by", "checked-at"];

/// Entries that one change of a large audit writes, all fields of each.
const ENTRIES_PER_CHANGE: usize = 5;

/// Operations of one change of a large audit.
pub const OPERATIONS_PER_CHANGE: usize = ENTRIES_PER_CHANGE * FIELDS.len();

/// Devices that take turns at writing it.
const WRITERS: usize = 8;

/// The defaults, but for one: what is as repetitive as these audits is so short when it is written that it could have no
/// more than 400,000 operations; with more free memory for each message it may have the full million.
pub fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.price_free_bytes_max = limits.price_bytes_max;
    limits
}

/// Names the actor of a device.
pub fn actor(number: usize) -> ActorId {
    let mut tag = [7; 16];
    tag[..8].copy_from_slice(&(number as u64).to_be_bytes());
    ActorId::for_session(DeviceTag(tag), [0; 8])
}

/// Makes an audit of about so many operations: every register of it is written twice. Gives its chunks, too.
pub fn audit(operations: usize) -> anyhow::Result<(Document, Vec<Bytes>)> {
    let changes = (operations / OPERATIONS_PER_CHANGE).max(1);
    let entries = entries_of(operations);
    let (mut document, mut chunks) = (Document::new(), Vec::new());
    for number in 0..changes {
        let mut writes = Vec::new();
        for index in 0..ENTRIES_PER_CHANGE {
            let written = number * ENTRIES_PER_CHANGE + index;
            let (pass, entry) = (written / entries, written % entries);
            for (column, field) in FIELDS.iter().enumerate() {
                writes.push(set(entry, field, value(entry + pass, column))?);
            }
        }
        chunks.extend(edit(&mut document, number % WRITERS, number, &writes, &limits())?);
    }
    Ok((document, chunks))
}

/// How many entries such an audit has.
pub fn entries_of(operations: usize) -> usize {
    let changes = (operations / OPERATIONS_PER_CHANGE).max(1);
    (changes * ENTRIES_PER_CHANGE / 2).max(ENTRIES_PER_CHANGE)
}

fn value(number: usize, column: usize) -> comity_model::Value {
    let number = number as i64;
    match column {
        0 => ["good", "cleaned", "string_open", "dead"][number as usize % 4].into(),
        1 => format!("seen in round {number}").as_str().into(),
        2 => (number.wrapping_mul(7_919) % 50_000).into(),
        3 => ["aysel", "bruno", "chen", "dora", "emeka"][number as usize % 5].into(),
        _ => (1_795_257_600_000 + number * 61_000).into(),
    }
}

/// Makes a write of one field.
pub fn set(entry: usize, field: &str, value: comity_model::Value) -> anyhow::Result<Write> {
    Ok(Write::Set { key: format!("M{entry:06}/{field}").parse()?, value })
}

/// Makes the smallest change there is, to an entry: what one costs depends on where its key stands in the document.
pub fn edit_entry(document: &mut Document, number: usize, entry: usize) -> anyhow::Result<Vec<Bytes>> {
    let write = set(entry, "status", format!("seen {number}").as_str().into())?;
    edit(document, 0, number, &[write], &limits())
}

/// Makes the smallest change there is: one status of one of the first entries. Another one for each number.
pub fn small_edit(document: &mut Document, device: usize, number: usize) -> anyhow::Result<Vec<Bytes>> {
    edit(document, device, number, &[small_write(device, number)?], &limits())
}

/// Makes as many of the smallest changes as stand beside a snapshot at most, before the engine writes a new one.
pub fn changes_beside(snapshot: &Bytes) -> anyhow::Result<Vec<Bytes>> {
    let mut limits = limits();
    // They are made beside a document that may be full.
    limits.document_operations_max *= 2;
    limits.message_operations_max *= 2;
    let (mut document, mut chunks, mut bytes) = (load(snapshot)?, Vec::new(), 0);
    while bytes < limits.compaction_bytes_min.max(snapshot.len()) {
        let number = chunks.len();
        for chunk in edit(&mut document, number % WRITERS, number, &[small_write(9, number)?], &limits)? {
            bytes += chunk.len();
            chunks.push(chunk);
        }
    }
    Ok(chunks)
}

fn small_write(device: usize, number: usize) -> anyhow::Result<Write> {
    set(number % 3, "status", format!("seen {number} by {device}").as_str().into())
}

/// Makes one change.
pub fn edit(
    document: &mut Document,
    device: usize,
    number: usize,
    writes: &[Write],
    limits: &Limits,
) -> anyhow::Result<Vec<Bytes>> {
    let time = HybridTime { wall_ms: 1_795_257_600_000 + number as i64 * 30_000, counter: 0 };
    let act = Act { time, policy: [0; 8], kind: ActKind::Edit };
    Ok(document.edit(&actor(device), act, None, writes, limits)?.chunks)
}

/// Takes in a message, as a peer does.
pub fn take(document: &mut Document, session: &mut SyncSession, bytes: &Bytes) -> anyhow::Result<()> {
    let limits = limits();
    document.receive(session, admit(bytes, &limits)?, &limits)?;
    Ok(())
}

/// Exchanges messages between two peers until neither has anything to say.
pub fn exchange(
    a: &mut Document,
    to_b: &mut SyncSession,
    b: &mut Document,
    to_a: &mut SyncSession,
) -> anyhow::Result<()> {
    for _ in 0..20 {
        let (for_b, for_a) = (a.generate(to_b), b.generate(to_a));
        if for_a.is_none() && for_b.is_none() {
            return Ok(());
        }
        for_b.map_or(Ok(()), |bytes| take(b, to_a, &bytes))?;
        for_a.map_or(Ok(()), |bytes| take(a, to_b, &bytes))?;
    }
    anyhow::bail!("two peers talk for ever")
}

/// Writes a document as the store keeps it.
pub fn save(document: &Document) -> anyhow::Result<Bytes> {
    document.save().context("the document cannot be written")
}

/// Reads a document as the engine does.
pub fn load(snapshot: &Bytes) -> anyhow::Result<Document> {
    Ok(Document::load(Some(snapshot), [b""; 0])?)
}

/// Does something, and says how long it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// Samples of one quantity.
#[derive(Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn add(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64());
    }

    /// Gives the middle one, in seconds: one that was interrupted says nothing.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    }
}
