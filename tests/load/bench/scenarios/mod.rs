//! What relays are put through. Each scenario ends with a check that all replicas are equal, those of a client that
//! came last and knows only the relay among them.

mod catch_up;
mod closed_loop;
mod fan_out;
mod idle;
mod reunion;
mod stampede;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use comity_model::DocumentId;
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;

use super::Fatal;
use super::client::{Client, check_equal};
use super::server::Server;
use crate::process::RelayProcess;

/// A scenario.
pub struct Scenario {
    pub name: &'static str,
    /// What happens, in the words of the table.
    pub title: &'static str,
    /// What is measured, in the order in which a run gives it.
    pub metrics: &'static [Metric],
    pub run: fn(Stage) -> BoxFuture<'static, Result<Run>>,
}

/// One figure of a scenario.
pub struct Metric {
    pub name: &'static str,
    pub unit: &'static str,
    pub better: Better,
    /// What we mean to reach, on two cores.
    pub reach: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Lower,
    Higher,
}

/// What came of one run.
pub struct Run {
    /// One figure for each metric.
    pub values: Vec<f64>,
    /// The relay, still running.
    pub relay: RelayProcess,
}

/// All of them, in the order of the table.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "fan-out-50",
        title: "1 writer, 20 edits/s, 50 readers",
        metrics: fan_out::METRICS_50,
        run: |stage| Box::pin(fan_out::run(stage, 50, 20, 300)),
    },
    Scenario {
        name: "fan-out-200",
        title: "1 writer, 10 edits/s, 200 readers",
        metrics: fan_out::METRICS_200,
        run: |stage| Box::pin(fan_out::run(stage, 200, 10, 100)),
    },
    Scenario {
        name: "closed-loop",
        title: "20 documents × 2 writers, each edit waits for its answer",
        metrics: closed_loop::METRICS,
        run: |stage| Box::pin(closed_loop::run(stage, 1)),
    },
    Scenario {
        name: "in-flight-16",
        title: "20 documents × 2 writers, 16 edits in flight",
        metrics: closed_loop::METRICS_16,
        run: |stage| Box::pin(closed_loop::run(stage, 16)),
    },
    Scenario {
        name: "idle",
        title: "1,000 idle connections in step with one document",
        metrics: idle::METRICS,
        run: |stage| Box::pin(idle::run(stage)),
    },
    Scenario {
        name: "catch-up",
        title: "a fresh client fetches 500 documents of 50 changes",
        metrics: catch_up::METRICS,
        run: |stage| Box::pin(catch_up::run(stage)),
    },
    Scenario {
        name: "stampede",
        title: "200 empty clients at once after a restart, a document of 1,000 changes",
        metrics: stampede::METRICS,
        run: |stage| Box::pin(stampede::run(stage)),
    },
    Scenario {
        name: "reunion-50",
        title: "50 clients come back at once, each with one offline edit",
        metrics: reunion::METRICS_50,
        run: |stage| Box::pin(reunion::run(stage, 50)),
    },
    Scenario {
        name: "reunion-200",
        title: "200 clients come back at once, each with one offline edit",
        metrics: reunion::METRICS_200,
        run: |stage| Box::pin(reunion::run(stage, 200)),
    },
];

/// Where a run takes place.
pub struct Stage {
    scenario: &'static str,
    server: Server,
    /// Of the relay; empty at the start.
    folder: tempfile::TempDir,
    /// Where samples of what the relay does go, one file for each process.
    samples: Option<PathBuf>,
}

impl Stage {
    /// Makes one for a server, with a folder of its own.
    pub fn of(scenario: &'static str, server: Server, below: &Path, samples: Option<&Path>) -> Result<Self> {
        Ok(Self { scenario, server, folder: tempfile::tempdir_in(below)?, samples: samples.map(Path::to_owned) })
    }

    fn start(&self) -> Result<RelayProcess> {
        let started = tokio::task::block_in_place(|| self.server.start(self.folder.path()));
        let mut relay = started.map_err(|error| Fatal(format!("{error:#}")))?;
        if let Some(folder) = &self.samples {
            let file = folder.join(format!("{}-{}.perf", self.scenario, relay.pid()));
            relay.record(&file).map_err(|error| Fatal(format!("{error:#}")))?;
        }
        Ok(relay)
    }

    /// Ends a relay in good order and starts it again on what it has written.
    fn restart(&self, relay: RelayProcess) -> Result<RelayProcess> {
        tokio::task::block_in_place(|| relay.stop())?;
        self.start()
    }
}

/// Gives the id of a document. Ids are random where they are not hashes; these are the same in each run.
fn document(number: usize) -> DocumentId {
    let mut bytes = [0; 16];
    for (i, half) in bytes.chunks_mut(8).enumerate() {
        // The finalizer of SplitMix64.
        let mut bits = (2 * number as u64 + i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        half.copy_from_slice(&(bits ^ (bits >> 31)).to_be_bytes());
    }
    DocumentId::from_bytes(bytes)
}

/// Lets a client write a document that the relay does not have yet, and waits until it is answered for.
async fn write(client: &mut Client, document: DocumentId, edits: usize) -> Result<()> {
    client.open(document);
    for _ in 0..edits {
        client.edit(document)?;
    }
    client.say(document).await?;
    client.until_answered(document).await
}

/// Brings many clients in step with a document, all at once.
async fn crowd(url: &str, document: DocumentId, clients: usize) -> Result<Vec<Client>> {
    let mut arriving = JoinSet::new();
    for i in 0..clients {
        let url = url.to_owned();
        arriving.spawn(async move {
            let mut client = Client::connect(&format!("c{i}"), &url).await?;
            client.fetch(document).await?;
            anyhow::Ok(client)
        });
    }
    all(arriving).await
}

/// Waits for all of them; the first error ends the others.
async fn all<T: 'static>(mut tasks: JoinSet<Result<T>>) -> Result<Vec<T>> {
    let mut ended = Vec::with_capacity(tasks.len());
    while let Some(end) = tasks.join_next().await {
        ended.push(end??);
    }
    Ok(ended)
}

/// Checks that clients hold the same document, and the relay too.
async fn check_all(relay: &RelayProcess, document: DocumentId, clients: &[Client]) -> Result<()> {
    let mut last = Client::connect("last", &relay.url).await?;
    last.fetch(document).await?;
    for client in clients {
        check_equal(client, &last, document)?;
    }
    Ok(())
}

/// Gives the figure below which so large a part of them lies, sorted: 0.5 for the median.
pub fn quantile(sorted: &[f64], part: f64) -> Result<f64> {
    let last = sorted.len().checked_sub(1).context("nothing was measured")?;
    Ok(sorted[(last as f64 * part).round() as usize])
}

const fn lower(name: &'static str, unit: &'static str, reach: f64) -> Metric {
    Metric { name, unit, better: Better::Lower, reach: Some(reach) }
}

const fn higher(name: &'static str, unit: &'static str, reach: f64) -> Metric {
    Metric { name, unit, better: Better::Higher, reach: Some(reach) }
}

/// Longest time that a run may take; whoever needs more does not converge.
pub const DEADLINE: Duration = Duration::from_secs(60);
