//! How cost grows with the readers of one document, and with the devices that come back to it at once.

use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use comity_crdt::{Document, SyncSession};
use comity_engine::{Effect, Input};
use comity_model::{DocumentId, LinkId};

use crate::heap;
use crate::relay::{Relay, document, sync};
use crate::table::{FLAT, LINEAR, Table, Unit};
use crate::work::{Samples, audit, load, save, small_edit, take, timed};

const ROUNDS: usize = 7;

/// Operations of the document.
const OPERATIONS: usize = 2_500;

/// The link of the writer; those of the readers come after it.
const WRITER: LinkId = LinkId(1);

fn reader_link(number: usize) -> LinkId {
    LinkId(number as u64 + 2)
}

/// One peer of the relay. All readers in step are alike, so that one of these can speak for all.
#[derive(Debug)]
struct Remote {
    content: Document,
    session: SyncSession,
}

impl Remote {
    fn new(snapshot: &Bytes) -> anyhow::Result<Self> {
        Ok(Self { content: load(snapshot)?, session: SyncSession::new() })
    }

    fn say(&mut self) -> anyhow::Result<Bytes> {
        self.content.generate(&mut self.session).context("a peer is silent that should speak")
    }
}

/// A relay, a writer and readers, all in step with one document.
struct Room {
    relay: Relay,
    document: DocumentId,
    writer: Remote,
    reader: Remote,
    readers: usize,
}

impl Room {
    fn new(readers: usize) -> anyhow::Result<Self> {
        let snapshot = save(&audit(OPERATIONS)?.0)?;
        let mut relay = Relay::new(snapshot.clone())?;
        let (writer, reader) = (Remote::new(&snapshot)?, Remote::new(&snapshot)?);
        relay.link_up(WRITER, false)?;
        for number in 0..readers {
            relay.link_up(reader_link(number), false)?;
        }
        let mut room = Self { relay, document: document(0), writer, reader, readers };
        let (for_writer, for_readers) = (room.writer.say()?, room.reader.say()?);
        room.relay.receive(WRITER, room.document, for_writer)?;
        room.all_say(&for_readers)?;
        room.calm_down()?;
        Ok(room)
    }

    /// Every reader sends the same.
    fn all_say(&mut self, data: &Bytes) -> anyhow::Result<()> {
        for number in 0..self.readers {
            self.relay.receive(reader_link(number), self.document, data.clone())?;
        }
        Ok(())
    }

    /// Carries messages until nobody has anything to say.
    fn calm_down(&mut self) -> anyhow::Result<()> {
        for _ in 0..20 {
            self.relay.store_all()?;
            let sent = self.relay.settle()?;
            if sent.is_empty() {
                return Ok(());
            }
            let mut for_readers = None;
            for (link, message) in sent {
                let data = message.data().context("a message without data")?.clone();
                if link == WRITER {
                    take(&mut self.writer.content, &mut self.writer.session, &data)?;
                    if let Some(answer) = self.writer.content.generate(&mut self.writer.session) {
                        self.relay.receive(WRITER, self.document, answer)?;
                    }
                } else {
                    let first = for_readers.get_or_insert_with(|| data.clone());
                    anyhow::ensure!(*first == data, "readers in step are told the same");
                }
            }
            let Some(data) = for_readers else { continue };
            take(&mut self.reader.content, &mut self.reader.session, &data)?;
            if let Some(answer) = self.reader.content.generate(&mut self.reader.session) {
                self.all_say(&answer)?;
            }
        }
        anyhow::bail!("the peers talk for ever")
    }

    /// Takes the messages of one settling to the wire, and gives the payload of the first.
    fn carry(&mut self, effects: Vec<Effect>) -> anyhow::Result<(usize, Option<Bytes>)> {
        let (mut count, mut first) = (0, None);
        for effect in effects {
            let Effect::Send { link, message } = effect else {
                self.relay.carry_out(effect)?;
                continue;
            };
            let (head, data) = message.encode_apart();
            std::hint::black_box(head);
            self.relay.handle(Input::Written { link, messages: 1, bytes: data.len() })?;
            count += 1;
            first.get_or_insert(data);
        }
        Ok((count, first))
    }
}

/// One change goes to all, and is acknowledged by all.
pub fn table(sizes: &[usize]) -> anyhow::Result<Table> {
    let columns = [
        ("readers", Unit::Count),
        ("fan out", Unit::Seconds),
        ("per delivery", Unit::Seconds),
        ("acknowledgements", Unit::Seconds),
        ("per acknowledgement", Unit::Seconds),
        ("receipt", Unit::Seconds),
        ("memory per link", Unit::Bytes),
    ];
    let mut table = Table::new("Readers of one document", &columns);
    table.note(
        "One engine, no sockets, a document of 2,500 operations, everybody in step. *Fan out*: one change is received, the \
         engine settles, every message is encoded and reported as written. *Acknowledgements*: what all readers answer is \
         received, and the engine settles. *Receipt*: the change is on disk, its writer is told.",
    );
    for size in sizes {
        let row = measure(*size)?;
        table.row(row);
    }
    for name in ["per delivery", "per acknowledgement"] {
        table.check_growth(name, FLAT, 2e-6);
    }
    table.check_growth("receipt", FLAT, 50e-6);
    table.check_growth("memory per link", FLAT, 2_000.0);
    Ok(table)
}

fn measure(readers: usize) -> anyhow::Result<Vec<f64>> {
    let empty = Room::new(0)?;
    drop(empty);
    let before = heap::in_use();
    let mut room = Room::new(readers)?;
    let per_link = heap::in_use().saturating_sub(before) as f64 / readers as f64;
    let [mut fan_out, mut acknowledged, mut receipt] = <[Samples; 3]>::default();
    for round in 0..ROUNDS {
        small_edit(&mut room.writer.content, 1, round)?;
        let news = sync(WRITER, room.document, room.writer.say()?)?;
        let start = Instant::now();
        room.relay.handle(Input::Received { link: WRITER, message: news })?;
        let effects = room.relay.handle_only(Input::Settle);
        let (count, data) = room.carry(effects)?;
        fan_out.add(start.elapsed());
        anyhow::ensure!(count == readers, "{count} messages for {readers} readers");

        take(&mut room.reader.content, &mut room.reader.session, &data.context("no news")?)?;
        let answer = room.reader.say()?;
        let messages: Result<Vec<_>, _> =
            (0..readers).map(|number| sync(reader_link(number), room.document, answer.clone())).collect();
        let start = Instant::now();
        for (number, message) in messages?.into_iter().enumerate() {
            room.relay.handle(Input::Received { link: reader_link(number), message })?;
        }
        let effects = room.relay.handle_only(Input::Settle);
        acknowledged.add(start.elapsed());
        anyhow::ensure!(effects.is_empty(), "who acknowledges is not answered");

        let (stored, time) = timed(|| room.relay.store_all().map(|()| room.relay.handle_only(Input::Settle)));
        receipt.add(time);
        let (count, data) = room.carry(stored?)?;
        anyhow::ensure!(count == 1, "the writer alone gets a receipt");
        take(&mut room.writer.content, &mut room.writer.session, &data.context("no receipt")?)?;
        room.calm_down()?;
    }
    let [fan_out, acknowledged, receipt] = [fan_out, acknowledged, receipt].map(|samples| samples.median());
    let each = readers as f64;
    Ok(vec![each, fan_out, fan_out / each, acknowledged, acknowledged / each, receipt, per_link])
}

/// All come back at once, each with a change of its own.
pub fn reunion(sizes: &[usize]) -> anyhow::Result<Table> {
    let columns = [
        ("links", Unit::Count),
        ("receive", Unit::Seconds),
        ("receive, per change", Unit::Seconds),
        ("settle", Unit::Seconds),
        ("settle, per link", Unit::Seconds),
        ("per link and change", Unit::Seconds),
        ("messages", Unit::Count),
        ("sent", Unit::Bytes),
        ("heads stored", Unit::Bytes),
        ("peak memory", Unit::Bytes),
    ];
    let mut table = Table::new("Reunion: every link brings a change before the engine settles once", &columns);
    table.note(
        "As many changes as links have to reach as many links, so the work is their product, and what is to be flat is \
         *per link and change*. *Receive* takes in all changes, and settles a first time; each marks every link, so one of \
         them may cost as much as there are links. *Settle* makes all messages, once the changes are on disk. *Heads \
         stored* go to the store beside the changes. *Peak memory* is what it takes above the calm before. A document may \
         have 5,000 actors.",
    );
    for size in sizes {
        table.row(measure_reunions(*size)?);
    }
    table.check_growth("receive, per change", LINEAR, 100e-6);
    table.check_growth("settle, per link", LINEAR, 100e-6);
    table.check_growth("per link and change", FLAT, 1e-6);
    table.check_growth("sent", 2.0 * LINEAR, 10_000.0);
    table.check_growth("messages", LINEAR, 1.0);
    Ok(table)
}

/// Takes the middle one of several small reunions, by the time that settling takes: one that was interrupted says nothing.
fn measure_reunions(links: usize) -> anyhow::Result<Vec<f64>> {
    let rounds = if links <= 100 { 3 } else { 1 };
    let mut rows = (0..rounds).map(|_| measure_reunion(links)).collect::<Result<Vec<_>, _>>()?;
    rows.sort_by(|a, b| a[3].total_cmp(&b[3]));
    Ok(rows.swap_remove(rounds / 2))
}

fn measure_reunion(links: usize) -> anyhow::Result<Vec<f64>> {
    let mut room = Room::new(links)?;
    let snapshot = save(&room.reader.content)?;
    let mut brought = Vec::new();
    for number in 0..links {
        let mut remote = Remote { content: load(&snapshot)?, session: room.reader.session.clone() };
        small_edit(&mut remote.content, 100 + number, number)?;
        brought.push(sync(reader_link(number), room.document, remote.say()?)?);
    }
    let before = heap::in_use();
    heap::forget_peak();
    room.relay.head_bytes = 0;
    let start = Instant::now();
    for (number, message) in brought.into_iter().enumerate() {
        room.relay.handle(Input::Received { link: reader_link(number), message })?;
    }
    // What has arrived is applied. The writer alone is told at once.
    let effects = room.relay.handle_only(Input::Settle);
    let receive = start.elapsed();
    let mut sent = Sent::default();
    sent.take(&mut room.relay, effects)?;
    // Those who brought something hear of the others once it is on disk. So many bytes are on their way at once, no more.
    let (settled, settle) = timed(|| {
        room.relay.store_all()?;
        let mut before = None;
        while before != Some(sent.messages) {
            before = Some(sent.messages);
            let effects = room.relay.handle_only(Input::Settle);
            sent.take(&mut room.relay, effects)?;
        }
        anyhow::Ok(())
    });
    settled?;
    let Sent { messages, bytes: sent } = sent;
    anyhow::ensure!(messages as usize == links + 1, "{messages} messages for {links} links and a writer");
    let peak = heap::peak().saturating_sub(before) as f64;
    Ok(row_of_reunion(links as f64, receive, settle, [messages, sent, room.relay.head_bytes as f64, peak]))
}

/// What was sent, and is written.
#[derive(Default)]
struct Sent {
    messages: f64,
    bytes: f64,
}

impl Sent {
    fn take(&mut self, relay: &mut Relay, effects: Vec<Effect>) -> anyhow::Result<()> {
        let mut written = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send { link, message } => {
                    let bytes = message.data().map_or(0, Bytes::len);
                    self.messages += 1.0;
                    self.bytes += bytes as f64;
                    written.push((link, bytes));
                }
                other => relay.carry_out(other)?,
            }
        }
        written.into_iter().try_for_each(|(link, bytes)| relay.handle(Input::Written { link, messages: 1, bytes }))
    }
}

fn row_of_reunion(links: f64, receive: Duration, settle: Duration, rest: [f64; 4]) -> Vec<f64> {
    let (receive, settle) = (receive.as_secs_f64(), settle.as_secs_f64());
    let each = (receive + settle) / (links * links);
    let mut row = vec![links, receive, receive / links, settle, settle / links, each];
    row.extend(rest);
    row
}
