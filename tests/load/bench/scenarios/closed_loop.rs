//! Twenty documents with two writers each, who write on as soon as the relay has answered for earlier edits.

use std::time::Duration;

use anyhow::{Context, Result};
use comity_model::DocumentId;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Better, Metric, Run, Stage, all, check_all, document, higher, lower, write};
use crate::bench::client::Client;

pub const METRICS: &[Metric] = &[higher("edits", "/s", 4_000.0), lower("relay for an edit", "µs", 250.0)];

pub const METRICS_16: &[Metric] = &[
    higher("edits", "/s", 8_000.0),
    Metric { name: "relay for an edit", unit: "µs", better: Better::Lower, reach: None },
];

const DOCUMENTS: usize = 20;
const LASTS: Duration = Duration::from_secs(8);

pub async fn run(stage: Stage, in_flight: usize) -> Result<Run> {
    let relay = stage.start()?;
    let mut pairs = Vec::new();
    for number in 0..DOCUMENTS {
        let mut first = Client::connect(&name("a", number), &relay.url).await?;
        write(&mut first, document(number), 1).await?;
        let mut second = Client::connect(&name("b", number), &relay.url).await?;
        second.fetch(document(number)).await?;
        pairs.push((number, first, second));
    }
    let (cpu, from) = (relay.cpu()?, Instant::now());
    let mut writing = JoinSet::new();
    for (number, first, second) in pairs {
        for (letter, client) in [("a", first), ("b", second)] {
            writing.spawn(write_on(number, letter, client, in_flight, from + LASTS));
        }
    }
    let mut ends = all(writing).await?;
    let (cpu, took) = ((relay.cpu()? - cpu).as_secs_f64(), from.elapsed().as_secs_f64());
    let edits: i64 = ends.iter().map(|end| end.edits).sum();
    // Each has all its own answers; now it hears of what the other wrote last.
    ends.sort_by_key(|end| (end.number, end.letter));
    let mut ends = ends.into_iter();
    while let (Some(mut a), Some(mut b)) = (ends.next(), ends.next()) {
        let (number, document) = (a.number, document(a.number));
        until_newest(&mut a.client, document, &name("b", number), b.edits).await?;
        // The first edit was made before the clock ran.
        until_newest(&mut b.client, document, &name("a", number), a.edits + 1).await?;
        check_all(&relay, document, &[a.client, b.client]).await?;
    }
    Ok(Run { values: vec![edits as f64 / took, cpu * 1e6 / edits as f64], relay })
}

struct End {
    number: usize,
    letter: &'static str,
    client: Client,
    edits: i64,
}

/// What the servers call a writer.
fn name(letter: &str, number: usize) -> String {
    format!("{letter}{number}")
}

async fn write_on(
    number: usize,
    letter: &'static str,
    mut client: Client,
    in_flight: usize,
    end: Instant,
) -> Result<End> {
    let document = document(number);
    let mut edits = 0;
    while Instant::now() < end {
        while client.unanswered(document)? < in_flight {
            client.edit(document)?;
            client.say(document).await?;
            edits += 1;
        }
        client.take().await?;
    }
    client.until_answered(document).await.context("the last edits are not answered for")?;
    Ok(End { number, letter, client, edits })
}

async fn until_newest(client: &mut Client, document: DocumentId, writer: &str, number: i64) -> Result<()> {
    while client.newest(document, writer)? < number {
        client.take().await?;
    }
    Ok(())
}
