//! A relay: a node behind the door.

use std::net::SocketAddr;

use comity_net::Connection;
use comity_node::{Node, NodeConfig, OpenError};
use comity_store::{OpenReport, StoreError};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{Accepted, Acceptor, Drained, Health, ServeError, Server, ServerConfig, Vitals};

/// How to run a relay.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// The door. Its limits hold for the node too.
    pub server: ServerConfig,
    /// The node behind it.
    pub node: NodeConfig,
}

impl RelayConfig {
    /// The configuration of a relay at an address, with its data in a folder.
    pub fn new(listen: SocketAddr, folder: impl Into<std::path::PathBuf>) -> Self {
        Self { server: ServerConfig::new(listen), node: NodeConfig::relay(folder) }
    }
}

/// Says why a relay could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The node could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The door could not be opened.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// A relay that serves.
pub struct Relay {
    node: Node,
    address: SocketAddr,
    report: OpenReport,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Drained>,
}

impl Relay {
    /// Opens the store and begins to serve. Nothing is loaded before it is asked for, so this is quick however many
    /// documents there are.
    ///
    /// # Errors
    /// When the address is taken, a TLS file is unusable, or the store cannot be opened.
    pub async fn start(config: RelayConfig) -> Result<Self, StartError> {
        let RelayConfig { server, mut node } = config;
        node.limits = server.limits.clone();
        // The address first: a second relay on the same machine should say so, not fail on the store's lock.
        let server = Server::bind(server).await?;
        let address = server.local_addr();
        let (node, report) = Node::open(node).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let storage = node.storage().to_string();
        let watched = node.clone();
        let health = move |door| {
            let trouble = watched.trouble();
            let status = if trouble.is_some() { "failing" } else { "ok" };
            let (version, storage) = (env!("CARGO_PKG_VERSION"), storage.clone());
            let (kept, dropped) = watched.evidence_kept();
            let evidence = EvidenceCounts { kept, dropped: dropped.count };
            let losses = watched.loss_summary(LOST_NAMED_MAX);
            let lost = losses.first.iter().map(|document| document.to_string()[..6].to_owned()).collect();
            let lost_documents = losses.documents;
            RelayHealth {
                schema: HEALTH_SCHEMA,
                status,
                trouble,
                version,
                storage,
                lost,
                lost_documents,
                evidence,
                door,
            }
        };
        let door = Door(node.clone());
        let serving = tokio::spawn(server.run(door, health, async {
            // A relay that is dropped stops too.
            let _ = stopped.await;
        }));
        Ok(Self { node, address, report, stop, serving })
    }

    /// Gives the address in use, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Gives the node behind the door.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Gives what the store found when it was opened.
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// Stops accepting, tells every client when to come back, waits for the links to end, and closes the store.
    ///
    /// # Errors
    /// When the store cannot be closed cleanly. Nothing acknowledged is lost; the next start checks the store.
    pub async fn shutdown(self) -> Result<Drained, StoreError> {
        // The door may have been torn down with its runtime.
        let _ = self.stop.send(());
        let drained = self.serving.await.unwrap_or_default();
        self.node.close().await?;
        Ok(drained)
    }
}

/// The name and version of [`RelayHealth`] as JSON. `comity schema health` prints what stands in it.
const HEALTH_SCHEMA: &str = "comity.health/1";

/// Documents that lost something and are named.
const LOST_NAMED_MAX: usize = 20;

/// What was refused.
#[derive(Serialize)]
struct EvidenceCounts {
    /// Records on disk: `comity evidence list` shows them.
    kept: usize,
    /// Not kept, because it came too fast.
    dropped: u64,
}

/// What `GET /health` answers.
#[derive(Serialize)]
struct RelayHealth {
    schema: &'static str,
    /// `ok`, or `failing`: then the process should be started again.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
    version: &'static str,
    /// The relay's storage id.
    storage: String,
    /// Documents that the damaged store lost something of and that are not back yet: only the beginnings of their ids,
    /// since whoever knows a whole one may read the document.
    lost: Vec<String>,
    /// How many these are.
    lost_documents: usize,
    evidence: EvidenceCounts,
    #[serde(flatten)]
    door: Vitals,
}

impl Health for RelayHealth {
    fn is_failing(&self) -> bool {
        self.trouble.is_some()
    }
}

/// Leads from the door to the node.
#[derive(Clone)]
struct Door(Node);

impl Acceptor for Door {
    async fn accept(&self, connection: Connection, from: Accepted) {
        let end = self.0.accept(connection).await;
        tracing::debug!(address = %from.address, origin = from.origin, path = from.path, %end, "connection ended");
    }
}
