//! A fresh client asks for many documents, of a relay that has been running and of one that has just started.

use anyhow::Result;
use tokio::time::Instant;

use super::{Metric, Run, Stage, document, higher};
use crate::bench::client::{Client, check_equal};
use crate::process::RelayProcess;

pub const METRICS: &[Metric] =
    &[higher("documents", "/s", 8_000.0), higher("documents right after a restart", "/s", 4_000.0)];

const DOCUMENTS: usize = 500;
const CHANGES: usize = 50;

pub async fn run(stage: Stage) -> Result<Run> {
    let relay = stage.start()?;
    let mut writer = Client::connect("w", &relay.url).await?;
    for number in 0..DOCUMENTS {
        super::write(&mut writer, document(number), CHANGES).await?;
    }
    let warm = fetch_all(&relay, &writer).await?;
    let relay = stage.restart(relay)?;
    let cold = fetch_all(&relay, &writer).await?;
    Ok(Run { values: vec![DOCUMENTS as f64 / warm, DOCUMENTS as f64 / cold], relay })
}

/// Gives the seconds that it took.
async fn fetch_all(relay: &RelayProcess, writer: &Client) -> Result<f64> {
    let mut client = Client::connect("fresh", &relay.url).await?;
    let from = Instant::now();
    for number in 0..DOCUMENTS {
        client.open(document(number));
        client.say(document(number)).await?;
    }
    let mut missing: std::collections::BTreeSet<_> = (0..DOCUMENTS).map(document).collect();
    while !missing.is_empty() {
        if let Some(document) = client.take().await?
            && client.replica(document)?.is_in_step()
        {
            missing.remove(&document);
        }
    }
    let took = from.elapsed().as_secs_f64();
    for number in 0..DOCUMENTS {
        check_equal(&client, writer, document(number))?;
    }
    Ok(took)
}
