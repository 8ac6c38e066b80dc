//! How cost grows with the heads of one document: the changes that nobody has seen together yet.

use anyhow::Context;
use bytes::Bytes;
use comity_crdt::{Document, SyncSession};

use crate::table::{LINEAR, Table, Unit};
use crate::work::{Samples, audit, exchange, load, save, small_edit, take, timed};

const ROUNDS: usize = 7;

/// What is shorter says nothing.
const FLOOR_S: f64 = 200e-6;

/// One document that many have changed at once.
pub fn table(sizes: &[usize]) -> anyhow::Result<Table> {
    let columns = [
        ("heads", Unit::Count),
        ("receive", Unit::Seconds),
        ("make", Unit::Seconds),
        ("acknowledged late", Unit::Seconds),
        ("acknowledged", Unit::Seconds),
    ];
    let mut table = Table::new("Heads of one document", &columns);
    table.note(
        "So many devices have made a change each without knowing of the others. *Receive* takes in one more such change, \
         *make* is the message about it for a reader who has all others. *Acknowledged late* takes in that reader's answer \
         after yet another change has come, *acknowledged* after nothing has. Each message lists all heads, so the cost of \
         one may be proportional to them.",
    );
    for size in sizes {
        table.row(measure(*size)?);
    }
    for name in ["receive", "make", "acknowledged late", "acknowledged"] {
        table.check_growth(name, LINEAR, FLOOR_S);
    }
    Ok(table)
}

/// A device that has the document as it was before all changed it, and what the relay knows of it.
struct Devices {
    snapshot: Bytes,
    here: SyncSession,
    there: SyncSession,
    made: usize,
}

impl Devices {
    fn new() -> anyhow::Result<Self> {
        let snapshot = save(&audit(100)?.0)?;
        let (mut here, mut there) = (SyncSession::new(), SyncSession::new());
        exchange(&mut load(&snapshot)?, &mut here, &mut load(&snapshot)?, &mut there)?;
        Ok(Self { snapshot, here, there, made: 0 })
    }

    /// Another device makes a change.
    fn change(&mut self) -> anyhow::Result<(Document, Vec<Bytes>)> {
        self.made += 1;
        let mut content = load(&self.snapshot)?;
        let chunks = small_edit(&mut content, 100 + self.made, self.made)?;
        Ok((content, chunks))
    }

    /// Another device makes a change and sends it. Gives how long it took to take it in.
    fn send(&mut self, relay: &mut Document) -> anyhow::Result<std::time::Duration> {
        for _ in 0..20 {
            let (mut content, _) = self.change()?;
            let message = content.generate(&mut self.there.clone()).context("a device is silent")?;
            let (mut session, before) = (self.here.clone(), relay.heads().clone());
            let (taken, time) = timed(|| take(relay, &mut session, &message));
            taken?;
            // One in a hundred is not sent at first, because it looks as if the other side had it.
            if *relay.heads() != before {
                return Ok(time);
            }
        }
        anyhow::bail!("no device sends what it has made")
    }
}

fn measure(heads: usize) -> anyhow::Result<Vec<f64>> {
    let mut devices = Devices::new()?;
    let mut chunks = Vec::new();
    for _ in 0..heads {
        chunks.extend(devices.change()?.1);
    }
    let mut relay = Document::load(Some(&devices.snapshot), &chunks)?;
    anyhow::ensure!(relay.heads().as_slice().len() == heads, "each change is a head");
    let mut reader = load(&save(&relay)?)?;
    let (mut to_reader, mut from_reader) = (SyncSession::new(), SyncSession::new());
    exchange(&mut relay, &mut to_reader, &mut reader, &mut from_reader)?;

    let [mut receive, mut make, mut late, mut in_time] = <[Samples; 4]>::default();
    for _ in 0..ROUNDS {
        for (samples, is_late) in [(&mut late, true), (&mut in_time, false)] {
            receive.add(devices.send(&mut relay)?);
            let (message, time) = timed(|| relay.generate(&mut to_reader));
            make.add(time);
            take(&mut reader, &mut from_reader, &message.context("no news for a reader")?)?;
            let answer = reader.generate(&mut from_reader).context("a reader is silent")?;
            if is_late {
                receive.add(devices.send(&mut relay)?);
            }
            let (taken, time) = timed(|| take(&mut relay, &mut to_reader, &answer));
            taken?;
            samples.add(time);
            exchange(&mut relay, &mut to_reader, &mut reader, &mut from_reader)?;
        }
    }
    Ok(vec![heads as f64, receive.median(), make.median(), late.median(), in_time.median()])
}
