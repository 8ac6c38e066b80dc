//! How cost grows with the documents that one engine knows.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use comity_engine::Input;
use comity_model::{Limits, LinkId};

use crate::archive::{Archive, DEVICE};
use crate::heap;
use crate::relay::{Relay, document};
use crate::table::{FLAT, Table, Unit};
use crate::work::{Samples, audit, load, save, small_edit, take, timed};

const ROUNDS: usize = 21;

/// Links of peers that come and go have numbers from here on.
const PASSERS_BY: u64 = 1_000;

/// Operations of each document.
const OPERATIONS: usize = 100;

/// What one engine does, by the documents that it knows.
pub fn table(sizes: &[usize]) -> anyhow::Result<Table> {
    let columns = [
        ("documents", Unit::Count),
        ("in memory", Unit::Count),
        ("memory per cold one", Unit::Bytes),
        ("tick", Unit::Seconds),
        ("receive", Unit::Seconds),
        ("wake and receive", Unit::Seconds),
        ("link up", Unit::Seconds),
        ("link down", Unit::Seconds),
        ("device gone, per document", Unit::Seconds),
        ("announce, per document", Unit::Seconds),
        ("count", Unit::Seconds),
    ];
    let mut table = Table::new("Documents known to one engine", &columns);
    table.note(
        "One device has all of them open; each has 100 operations. *Receive* takes in one change for a document in memory \
         and settles, *wake and receive* for one that has to be read first. *Link up* and *link down* are of a peer with one \
         document open. *Device gone* is the end of the link that has all of them open. *Announce* is the other side: a \
         device that wants all of them gets a link to its relay. *Count* is `Engine::load`, for metrics.",
    );
    let snapshot = save(&audit(OPERATIONS)?.0)?;
    for size in sizes {
        let row = measure(*size, &snapshot)?;
        table.row(row);
    }
    for name in ["tick", "receive", "wake and receive", "link up", "link down"] {
        table.check_growth(name, FLAT, 100e-6);
    }
    for name in ["device gone, per document", "announce, per document"] {
        table.check_growth(name, FLAT, 2e-6);
    }
    table.check_growth("memory per cold one", FLAT, 1_000.0);
    table.check_growth("count", FLAT, 100e-6);
    table.check_most("in memory", (Limits::default().documents_loaded_max + 1) as f64);
    Ok(table)
}

fn measure(documents: usize, snapshot: &Bytes) -> anyhow::Result<Vec<f64>> {
    let empty = Archive::new(0, snapshot)?;
    let before = heap::in_use();
    let mut archive = Archive::new(documents, snapshot)?;
    let in_memory = archive.relay.engine.load().in_memory as f64;
    let tick = tick(&mut archive)?;
    archive.let_go()?;
    let cold = heap::in_use().saturating_sub(before) as f64 / documents as f64;
    drop(empty);

    let [receive, wake] = changes(&mut archive, documents, snapshot)?;
    let [up, down] = passers_by(&mut archive)?;
    let mut count = Samples::default();
    for _ in 0..ROUNDS {
        let (known, time) = timed(|| archive.relay.engine.load().documents);
        anyhow::ensure!(known == documents, "{known} documents are known, not {documents}");
        count.add(time);
    }
    let (gone, time) = timed(|| archive.relay.handle(Input::LinkDown { link: DEVICE }));
    gone?;
    let gone = time.as_secs_f64() / documents as f64;
    let announce = announce(documents)? / documents as f64;
    Ok(vec![documents as f64, in_memory, cold, tick, receive, wake, up, down, gone, announce, count.median()])
}

/// Ticks while as much as may be is in memory and nothing is idle.
fn tick(archive: &mut Archive) -> anyhow::Result<f64> {
    let mut samples = Samples::default();
    for _ in 0..ROUNDS {
        archive.relay.now += Duration::from_millis(10);
        let (ticked, time) = timed(|| archive.relay.handle(Input::Tick));
        ticked?;
        samples.add(time);
    }
    Ok(samples.median())
}

/// The device changes some documents, each twice: once while it is cold, once while it is in memory.
fn changes(archive: &mut Archive, documents: usize, snapshot: &Bytes) -> anyhow::Result<[f64; 2]> {
    let [mut receive, mut wake] = <[Samples; 2]>::default();
    for number in 1..documents.min(ROUNDS) {
        let (mut content, mut session) = (load(snapshot)?, archive.session.clone());
        for samples in [&mut wake, &mut receive] {
            let changes = content.change_count();
            small_edit(&mut content, 3, changes)?;
            let news = content.generate(&mut session).context("the device is silent")?;
            let (settled, time) = timed(|| {
                archive.relay.receive(DEVICE, document(number), news)?;
                archive.relay.settle()
            });
            samples.add(time);
            settled?;
            archive.relay.store_all()?;
            for (_, message) in archive.relay.settle()? {
                take(&mut content, &mut session, message.data().context("a message without data")?)?;
            }
        }
    }
    Ok([receive.median(), wake.median()])
}

/// Peers come, open one document, and go.
fn passers_by(archive: &mut Archive) -> anyhow::Result<[f64; 2]> {
    let [mut up, mut down] = <[Samples; 2]>::default();
    for link in (PASSERS_BY..).map(LinkId).take(ROUNDS) {
        let (came, time) = timed(|| archive.relay.link_up(link, false));
        came?;
        up.add(time);
        archive.open(link, 0)?;
        let (went, time) = timed(|| archive.relay.handle(Input::LinkDown { link }));
        went?;
        down.add(time);
    }
    Ok([up.median(), down.median()])
}

/// Gives how long it takes a device that wants so many documents to take note of a link on which it announces them.
fn announce(documents: usize) -> anyhow::Result<f64> {
    let mut device = Relay::new(Bytes::new())?;
    for number in 0..documents {
        device.handle(Input::Want { document: document(number) })?;
    }
    let (up, time) = timed(|| device.link_up(DEVICE, true));
    up?;
    Ok(time.as_secs_f64())
}
