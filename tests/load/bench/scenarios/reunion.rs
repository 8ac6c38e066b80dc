//! Clients that were offline together come back together, each with an edit that nobody else has.

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Metric, Run, Stage, all, check_all, crowd, document, lower, write};
use crate::bench::client::Client;

pub const METRICS_50: &[Metric] = &[lower("until all have all", "s", 0.5)];
pub const METRICS_200: &[Metric] = &[lower("until all have all", "s", 2.0)];

pub async fn run(stage: Stage, count: usize) -> Result<Run> {
    let (relay, document) = (stage.start()?, document(0));
    let mut writer = Client::connect("w", &relay.url).await?;
    write(&mut writer, document, 1).await?;
    let mut clients = crowd(&relay.url, document, count).await?;
    for client in &mut clients {
        client.disconnect();
        client.edit(document)?;
    }
    let from = Instant::now();
    let mut returning = JoinSet::new();
    for mut client in clients {
        let url = relay.url.clone();
        returning.spawn(async move {
            client.reconnect(&url).await?;
            client.say(document).await?;
            let mut have = 0;
            while have < count {
                client.take().await?;
                while have < count && client.seen(document, &format!("c{have}"), 0)? > 0 {
                    have += 1;
                }
            }
            anyhow::Ok(client)
        });
    }
    let clients = all(returning).await?;
    let took = from.elapsed().as_secs_f64();
    check_all(&relay, document, &clients).await?;
    Ok(Run { values: vec![took], relay })
}
