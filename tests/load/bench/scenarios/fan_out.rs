//! One writer at a steady pace, and many readers: how long until an edit is applied at each of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Better, Metric, Run, Stage, all, check_all, crowd, document, lower, quantile, write};
use crate::bench::client::Client;

pub const METRICS_50: &[Metric] = &[
    lower("p50", "ms", 2.0),
    lower("p99", "ms", 8.0),
    lower("relay", "cores", 0.05),
    Metric { name: "relay for a delivery", unit: "µs", better: Better::Lower, reach: None },
];

pub const METRICS_200: &[Metric] = &[
    lower("p50", "ms", 5.0),
    lower("p99", "ms", 30.0),
    Metric { name: "relay", unit: "cores", better: Better::Lower, reach: None },
    Metric { name: "relay for a delivery", unit: "µs", better: Better::Lower, reach: None },
];

/// When each edit was made.
type Made = Arc<Mutex<Vec<Instant>>>;

pub async fn run(stage: Stage, readers: usize, edits_per_second: u32, edits: i64) -> Result<Run> {
    let (relay, document) = (stage.start()?, document(0));
    let mut writer = Client::connect("w", &relay.url).await?;
    write(&mut writer, document, 1).await?;
    let made: Made = Arc::default();
    let mut reading = JoinSet::new();
    for mut reader in crowd(&relay.url, document, readers).await? {
        let made = Arc::clone(&made);
        reading.spawn(async move {
            let mut delays_ms = Vec::new();
            let mut seen = 1;
            while seen < 1 + edits {
                reader.take().await?;
                let (now, now_seen) = (Instant::now(), reader.seen(document, "w", seen)?);
                let made = made.lock().unwrap_or_else(PoisonError::into_inner);
                delays_ms.extend((seen..now_seen).map(|edit| (now - made[edit as usize - 1]).as_secs_f64() * 1e3));
                seen = now_seen;
            }
            anyhow::Ok((reader, delays_ms))
        });
    }
    let (cpu, from) = (relay.cpu()?, Instant::now());
    for i in 0..edits {
        writer.take_until(from + Duration::from_secs(1) * i as u32 / edits_per_second).await?;
        made.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        writer.edit(document)?;
        writer.say(document).await?;
    }
    writer.until_answered(document).await?;
    let (mut clients, mut delays_ms) = (vec![writer], Vec::new());
    for (reader, delays) in all(reading).await? {
        clients.push(reader);
        delays_ms.extend(delays);
    }
    let (cpu, took) = ((relay.cpu()? - cpu).as_secs_f64(), from.elapsed().as_secs_f64());
    check_all(&relay, document, &clients).await?;
    delays_ms.sort_by(f64::total_cmp);
    let a_delivery_us = cpu * 1e6 / delays_ms.len() as f64;
    let values = vec![quantile(&delays_ms, 0.5)?, quantile(&delays_ms, 0.99)?, cpu / took, a_delivery_us];
    Ok(Run { values, relay })
}
