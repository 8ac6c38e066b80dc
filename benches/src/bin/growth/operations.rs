//! How cost grows with the operations of one document.

use anyhow::Context;
use bytes::Bytes;
use comity_crdt::{Document, SyncSession};

use crate::heap;
use crate::table::{FLAT, LINEAR, Table, Unit};
use crate::work::{Samples, audit, changes_beside, edit_entry, entries_of, exchange, load, save, take, timed};

/// From here on, what takes as long as the document is long is measured a few times only.
const LARGE: usize = 100_000;
const ROUNDS: usize = 21;

/// How long the whole of a document that is full may take, whatever is done with it: a shard does nothing else meanwhile.
const MOST_S: f64 = 5.0;

/// What is shorter says nothing: of the whole document, and of one change.
const FLOOR_S: f64 = 200e-6;
const ONE_FLOOR_S: f64 = 50e-6;

/// One document, measured.
pub fn table(sizes: &[usize]) -> anyhow::Result<Table> {
    let columns = [
        ("operations", Unit::Count),
        ("changes", Unit::Count),
        ("stored", Unit::Bytes),
        ("in memory", Unit::Bytes),
        ("estimate", Unit::Bytes),
        ("open", Unit::Seconds),
        ("open with changes", Unit::Seconds),
        ("write", Unit::Seconds),
        ("evict", Unit::Seconds),
        ("make whole", Unit::Seconds),
        ("take whole", Unit::Seconds),
        ("edit", Unit::Seconds),
        ("receive", Unit::Seconds),
        ("make", Unit::Seconds),
        ("acknowledged", Unit::Seconds),
        ("return", Unit::Seconds),
    ];
    let mut table = Table::new("Operations in one document", &columns);
    table.note(
        "Audits that eight devices write in changes of 25 operations. *Stored* is the snapshot, *in memory* what it takes \
         once read and *estimate* what the engine thinks it takes. *Open* reads it, *open with changes* with as many single \
         changes beside the snapshot as there ever are. *Write* makes the snapshot (with reading it back), *evict* lets it go. *Make whole* is the message for a peer that has nothing, *take whole* what \
         that peer does with it (admission included). Then one more change of one operation, to entries all over the document in turn (Automerge walks \
         over all that stands before the key when it takes one in): *edit* writes it here, \
         *receive* takes it in, *make* is the message for a reader who lacks only that, *acknowledged* takes in the answer \
         and finds that nothing is left to say. *Return* is all that is done for a peer that comes back on a new link one \
         change behind. `price_free_bytes_max` is 512 MiB here: with the default of 96 MiB, audits as repetitive as these \
         are full at 400,000 operations.",
    );
    for size in sizes {
        let row = measure(*size)?;
        table.row(row);
    }
    for name in ["stored", "in memory", "estimate", "changes"] {
        table.check_growth(name, LINEAR, 10_000.0);
    }
    for name in ["open", "open with changes", "write", "evict", "make whole", "take whole"] {
        table.check_growth(name, LINEAR, FLOOR_S);
    }
    for name in ["edit", "receive", "make", "acknowledged", "return"] {
        table.check_growth(name, FLAT, ONE_FLOOR_S);
    }
    for name in ["open", "open with changes", "write", "make whole", "take whole"] {
        table.check_most(name, MOST_S);
    }
    table.check_most("evict", 0.5);
    table.check_most("in memory", 512e6);
    Ok(table)
}

fn measure(size: usize) -> anyhow::Result<Vec<f64>> {
    let (mut writer, _) = audit(size)?;
    let operations = writer.operation_count() as f64;
    let changes = writer.change_count() as f64;
    let snapshot = save(&writer)?;
    let whole = measure_whole(size, &snapshot)?;
    let mut relay = load(&snapshot)?;
    let one = measure_one(&mut writer, &mut relay, &snapshot, entries_of(size))?;
    let mut row = vec![operations, changes, snapshot.len() as f64];
    row.extend(whole);
    row.extend(one);
    Ok(row)
}

/// Measures what concerns the whole document.
fn measure_whole(size: usize, snapshot: &Bytes) -> anyhow::Result<[f64; 8]> {
    let rounds = if size < LARGE { 9 } else { 5 };
    let (mut in_memory, mut estimate) = (0.0, 0.0);
    let changes = changes_beside(snapshot)?;
    let [mut open, mut open_all, mut write, mut evict, mut make, mut take_whole] = <[Samples; 6]>::default();
    for _ in 0..rounds {
        let before = heap::in_use();
        let (document, time) = timed(|| load(snapshot));
        open.add(time);
        let mut document = document?;
        in_memory = heap::in_use().saturating_sub(before) as f64;
        estimate = document.weight_bytes() as f64;
        let (with_changes, time) = timed(|| Document::load(Some(snapshot), &changes));
        open_all.add(time);
        drop(with_changes?);
        let (saved, time) = timed(|| save(&document));
        saved?;
        write.add(time);

        let (mut peer, mut to_peer, mut to_here) = (Document::new(), SyncSession::new(), SyncSession::new());
        let asked = peer.generate(&mut to_here).context("a stranger is silent")?;
        take(&mut document, &mut to_peer, &asked)?;
        let (message, time) = timed(|| document.generate(&mut to_peer));
        make.add(time);
        let message = message.context("nothing for a stranger")?;
        let (taken, time) = timed(|| take(&mut peer, &mut to_here, &message));
        taken?;
        take_whole.add(time);
        anyhow::ensure!(peer.heads() == document.heads(), "a stranger has everything after one message");
        drop(peer);
        let ((), time) = timed(|| drop(document));
        evict.add(time);
    }
    let times = [open, open_all, write, evict, make, take_whole].map(|samples| samples.median());
    let [open, open_all, write, evict, make, take_whole] = times;
    Ok([in_memory, estimate, open, open_all, write, evict, make, take_whole])
}

/// Measures what one more change costs: to entries all over the document.
fn measure_one(
    writer: &mut Document,
    relay: &mut Document,
    snapshot: &Bytes,
    entries: usize,
) -> anyhow::Result<[f64; 5]> {
    let [mut edit, mut receive, mut make, mut acknowledged, mut back] = <[Samples; 5]>::default();
    let (mut to_writer, mut to_relay) = (SyncSession::new(), SyncSession::new());
    exchange(relay, &mut to_writer, writer, &mut to_relay)?;
    let mut reader = load(snapshot)?;
    let (mut to_reader, mut from_reader) = (SyncSession::new(), SyncSession::new());
    exchange(relay, &mut to_reader, &mut reader, &mut from_reader)?;
    for round in 0..ROUNDS {
        let kept = [to_reader.encode(), from_reader.encode()];
        let (edited, time) = timed(|| edit_entry(writer, round, round * entries / ROUNDS));
        edited?;
        edit.add(time);
        let news = writer.generate(&mut to_relay).context("the writer is silent")?;
        let (taken, time) = timed(|| take(relay, &mut to_writer, &news));
        taken?;
        receive.add(time);
        // Every third time the reader was away.
        if round % 3 == 2 {
            to_reader = SyncSession::resume(&kept[0])?;
            from_reader = SyncSession::resume(&kept[1])?;
            back.add(comes_back(relay, &mut to_reader, &mut reader, &mut from_reader)?);
        } else {
            let (message, time) = timed(|| relay.generate(&mut to_reader));
            make.add(time);
            let message = message.context("no news for a reader")?;
            take(&mut reader, &mut from_reader, &message)?;
            let answer = reader.generate(&mut from_reader).context("a reader is silent")?;
            let (taken, time) = timed(|| take(relay, &mut to_reader, &answer).map(|()| relay.generate(&mut to_reader)));
            anyhow::ensure!(taken?.is_none(), "nothing is left to say");
            acknowledged.add(time);
        }
        exchange(relay, &mut to_writer, writer, &mut to_relay)?;
        anyhow::ensure!(reader.heads() == writer.heads(), "the reader has everything");
    }
    Ok([edit.median(), receive.median(), make.median(), acknowledged.median(), back.median()])
}

/// Brings a peer up to date that comes back on a new link, and gives the time that the relay spent on it.
fn comes_back(
    relay: &mut Document,
    to_reader: &mut SyncSession,
    reader: &mut Document,
    from_reader: &mut SyncSession,
) -> anyhow::Result<std::time::Duration> {
    let mut spent = std::time::Duration::ZERO;
    for _ in 0..20 {
        let (for_reader, time) = timed(|| relay.generate(to_reader));
        spent += time;
        let for_relay = reader.generate(from_reader);
        if for_reader.is_none() && for_relay.is_none() {
            return Ok(spent);
        }
        if let Some(bytes) = for_reader {
            take(reader, from_reader, &bytes)?;
        }
        if let Some(bytes) = for_relay {
            let (taken, time) = timed(|| take(relay, to_reader, &bytes));
            taken?;
            spent += time;
        }
    }
    anyhow::bail!("a peer that came back talks for ever")
}
