//! After a restart everybody wants the same document at once.

use anyhow::Result;
use tokio::time::Instant;

use super::{Metric, Run, Stage, check_all, crowd, document, lower, write};
use crate::bench::client::Client;

pub const METRICS: &[Metric] = &[lower("until all have it", "s", 0.5)];

const CLIENTS: usize = 200;
const CHANGES: usize = 1_000;

pub async fn run(stage: Stage) -> Result<Run> {
    let (relay, document) = (stage.start()?, document(0));
    let mut writer = Client::connect("w", &relay.url).await?;
    write(&mut writer, document, CHANGES).await?;
    let relay = stage.restart(relay)?;
    let from = Instant::now();
    let mut clients = crowd(&relay.url, document, CLIENTS).await?;
    let took = from.elapsed().as_secs_f64();
    clients.push(writer);
    check_all(&relay, document, &clients).await?;
    Ok(Run { values: vec![took], relay })
}
