//! A load program: real Automerge clients over real sockets against a real `comity relay` process.
//!
//! ```text
//! cargo build --release -p comity -p comity-tests
//! target/release/load fanout     1 writer, 20 edits a second, 50 readers: time from edit to applied
//! target/release/load closed     20 documents with 2 writers each: an edit, its durable answer, the next edit
//! target/release/load idle       1,000 connections in step with one document: memory of the relay
//! target/release/load soak       half an hour of restarts under 200 clients that come and go: see `soak`
//! ```
//!
//! Each run ends with a check that all replicas are equal. The relay stores on disk (`sled`, our journal in front) and
//! answers a writer only from disk.

mod client;
mod process;
mod soak;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use client::Client;
use comity_model::DocumentId;
use process::RelayProcess;
use tokio::task::JoinSet;

const READERS: usize = 50;
const EDITS: usize = 400;
const EDIT_INTERVAL: Duration = Duration::from_millis(50);
const CLOSED_DOCUMENTS: usize = 20;
const CLOSED_SECONDS: u64 = 10;
const IDLE: usize = 1_000;

#[tokio::main]
async fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("fanout") => fanout().await,
        Some("closed") => closed().await,
        Some("idle") => idle().await,
        Some("soak") => soak::run(&std::env::args().skip(2).collect::<Vec<_>>()).await,
        _ => bail!("usage: load fanout|closed|idle|soak"),
    }
}

/// One writer, fifty readers.
async fn fanout() -> Result<()> {
    let relay = RelayProcess::start()?;
    let document = DocumentId::from_bytes([1; 16]);
    let started = Instant::now();
    let mut writer = Client::connect(&relay.url, "writer", document, started).await?;
    writer.edit("start", 0).await?;
    writer.until_stored().await?;
    let mut readers = JoinSet::new();
    for i in 0..READERS {
        let mut reader = Client::connect(&relay.url, &format!("reader{i}"), document, started).await?;
        reader.until_changes(2).await?;
        readers.spawn(async move {
            reader.until_changes(2 + EDITS).await?;
            anyhow::Ok(reader)
        });
    }
    let (cpu, from) = (relay.cpu()?, Instant::now());
    let mut tick = tokio::time::interval(EDIT_INTERVAL);
    for i in 0..EDITS {
        tick.tick().await;
        writer.edit(&format!("M{i:04}"), i64::try_from(started.elapsed().as_micros())?).await?;
        writer.take_what_came().await?;
    }
    let mut latencies = Vec::new();
    let heads = {
        writer.until_stored().await?;
        writer.heads()
    };
    while let Some(reader) = readers.join_next().await {
        let reader = reader??;
        ensure!(reader.heads() == heads, "a reader ended with other heads than the writer");
        latencies.extend(reader.latencies_us);
    }
    let cores = (relay.cpu()? - cpu).as_secs_f64() / from.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize] as f64 / 1_000.0;
    println!(
        "fanout: {READERS} readers, {} deliveries, p50 {:.1} ms, p99 {:.1} ms, relay {cores:.2} cores, {:.0} µs a delivery",
        latencies.len(),
        at(0.5),
        at(0.99),
        cores * from.elapsed().as_secs_f64() * 1e6 / latencies.len() as f64
    );
    Ok(())
}

/// Twenty documents with two writers each: every edit waits for its durable answer.
async fn closed() -> Result<()> {
    let relay = RelayProcess::start()?;
    let started = Instant::now();
    let mut writers = JoinSet::new();
    let cpu = relay.cpu()?;
    for number in 0..CLOSED_DOCUMENTS {
        let document = DocumentId::from_bytes([u8::try_from(number)? + 1; 16]);
        let mut first = Client::connect(&relay.url, &format!("a{number}"), document, started).await?;
        first.edit("start", 0).await?;
        first.until_stored().await?;
        let mut second = Client::connect(&relay.url, &format!("b{number}"), document, started).await?;
        second.until_changes(2).await?;
        for (name, mut client) in [("a", first), ("b", second)] {
            writers.spawn(async move {
                let until = Instant::now() + Duration::from_secs(CLOSED_SECONDS);
                let mut edits = 0usize;
                while Instant::now() < until {
                    client.edit(&format!("{name}{:03}", edits % 100), i64::try_from(edits)?).await?;
                    client.until_stored().await?;
                    edits += 1;
                }
                anyhow::Ok((number, edits, client))
            });
        }
    }
    let mut edits = 0;
    let mut ends: Vec<Vec<Client>> = (0..CLOSED_DOCUMENTS).map(|_| Vec::new()).collect();
    while let Some(ended) = writers.join_next().await {
        let (number, made, client) = ended??;
        edits += made;
        ends[number].push(client);
    }
    let cpu = relay.cpu()? - cpu;
    for pair in &mut ends {
        let [a, b] = &mut pair[..] else { bail!("a writer is missing") };
        client::until_equal(a, b).await?;
    }
    println!(
        "closed: {CLOSED_DOCUMENTS} documents × 2 writers, {:.0} durable edits/s, relay {:.0} µs of processor an edit",
        edits as f64 / CLOSED_SECONDS as f64,
        cpu.as_secs_f64() * 1e6 / edits as f64
    );
    Ok(())
}

/// A thousand connections that have nothing to do.
async fn idle() -> Result<()> {
    let relay = RelayProcess::start()?;
    let document = DocumentId::from_bytes([1; 16]);
    let started = Instant::now();
    let mut writer = Client::connect(&relay.url, "writer", document, started).await?;
    writer.edit("start", 0).await?;
    writer.until_stored().await?;
    let before = relay.resident_bytes()?;
    let from = Instant::now();
    let mut clients = JoinSet::new();
    for i in 0..IDLE {
        let url = relay.url.clone();
        clients.spawn(async move {
            let mut client = Client::connect(&url, &format!("idle{i}"), document, started).await?;
            client.until_changes(2).await?;
            client.until_in_step().await?;
            anyhow::Ok(client)
        });
    }
    let clients: Vec<Client> = clients.join_all().await.into_iter().collect::<Result<_>>()?;
    let took = from.elapsed();
    ensure!(clients.iter().all(|client| client.heads() == writer.heads()), "a client has other heads");
    let after = relay.resident_bytes()?;
    let each = after.saturating_sub(before).checked_div(IDLE).context("no connections")?;
    println!("idle: {IDLE} connections in step after {:.2} s, {each} bytes of relay memory each", took.as_secs_f64());
    Ok(())
}
