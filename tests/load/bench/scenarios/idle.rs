//! A thousand connections that have nothing to do: what each costs, and how long until all have found that out.

use anyhow::Result;
use tokio::time::Instant;

use super::{Metric, Run, Stage, check_all, crowd, document, lower, write};
use crate::bench::client::Client;

pub const METRICS: &[Metric] = &[lower("memory of a connection", "KB", 15.0), lower("until all are in step", "s", 1.0)];

const CONNECTIONS: usize = 1_000;

pub async fn run(stage: Stage) -> Result<Run> {
    let (relay, document) = (stage.start()?, document(0));
    let mut writer = Client::connect("w", &relay.url).await?;
    write(&mut writer, document, 1).await?;
    let (before, from) = (relay.resident_bytes()?, Instant::now());
    let clients = crowd(&relay.url, document, CONNECTIONS).await?;
    let took = from.elapsed().as_secs_f64();
    let each = relay.resident_bytes()?.saturating_sub(before) as f64 / CONNECTIONS as f64;
    check_all(&relay, document, &clients).await?;
    Ok(Run { values: vec![each / 1e3, took], relay })
}
