//! Comity devices in the process of the test.

use std::path::Path;

use comity_model::{DocumentId, Heads, Value};
use comity_net::Url;
use comity_node::{DialOptions, Document, Node, NodeConfig, SyncState, Uplink, View};
use tempfile::TempDir;

use crate::{PATIENCE, within};

/// A device: a node on a folder of its own, online or not.
pub struct Device {
    /// The node.
    pub node: Node,
    folder: TempDir,
    uplink: Option<Uplink>,
}

impl Device {
    /// Makes a device that is offline.
    pub async fn offline() -> Self {
        Self::on(tempfile::tempdir().expect("a temporary folder")).await
    }

    /// Makes a device on a folder that may hold something, offline.
    pub async fn on(folder: TempDir) -> Self {
        let node = open(folder.path()).await;
        Self { node, folder, uplink: None }
    }

    /// Makes a device and connects it.
    pub async fn online(url: &str) -> Self {
        let mut device = Self::offline().await;
        device.connect(url).await;
        device
    }

    /// Goes online and waits until the relay is there.
    pub async fn connect(&mut self, url: &str) {
        let url: Url = url.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
        let uplink = self.node.connect(url, DialOptions::default());
        within("the device's handshake", uplink.online()).await;
        self.uplink = Some(uplink);
    }

    /// Goes offline.
    pub async fn disconnect(&mut self) {
        if let Some(uplink) = self.uplink.take() {
            within("the device hangs up", uplink.stop()).await;
        }
    }

    /// Closes the node and opens it again, offline.
    pub async fn restart(mut self) -> Self {
        self.disconnect().await;
        within("the node's end", self.node.close()).await.expect("the store closes");
        let Self { node, folder, .. } = self;
        drop(node);
        let node = open(folder.path()).await;
        Self { node, folder, uplink: None }
    }

    /// Gives a document, by the text of its id, and waits until something of it is here.
    pub async fn fetch(&self, document: &str) -> Document {
        let document = self.document(document);
        let came = document.available(PATIENCE).await.expect("the document loads");
        assert!(came, "{} did not come to the device in time", document.id());
        document
    }

    /// Gives a document, by the text of its id.
    pub fn document(&self, document: &str) -> Document {
        let id: DocumentId = document.parse().unwrap_or_else(|error| panic!("{document}: {error}"));
        self.node.document(id)
    }

    /// Waits until the device and the relay have the same.
    pub async fn synced(&self) {
        if let Ok(synced) = tokio::time::timeout(PATIENCE, self.node.synced()).await {
            return synced.expect("the store reads");
        }
        let state = self.node.sync_state().await.expect("the store reads");
        let mut standings = Vec::new();
        for id in self.node.wanted() {
            standings.push((id, self.node.document(id).standing().await.expect("the document loads")));
        }
        panic!("the device is {state} after {} s: {standings:#?}", PATIENCE.as_secs());
    }

    /// Gives how many changes are pending.
    pub async fn pending(&self) -> usize {
        match self.node.sync_state().await.expect("the store reads") {
            SyncState::Offline { pending } | SyncState::Syncing { pending } => pending,
            _ => 0,
        }
    }
}

async fn open(folder: &Path) -> Node {
    let (node, _) = within("the node opens", Node::open(NodeConfig::device(folder))).await.expect("the node opens");
    node
}

/// Waits until a document of a device is as asked for.
pub async fn wait(document: &Document, what: &str, holds: impl Fn(&View<'_>) -> bool + Clone + Send + 'static) {
    let mut changes = document.subscribe();
    let wait = async {
        loop {
            let holds = holds.clone();
            if document.read(move |view| holds(view)).await.expect("the document loads") {
                return;
            }
            changes.next().await.expect("the node runs");
        }
    };
    within(what, wait).await;
}

/// Waits until a register's shown value is this.
pub async fn wait_for(document: &Document, register: &str, value: impl Into<Value>) {
    let (key, value) = (register.parse::<comity_model::RegisterKey>().expect("a register key"), value.into());
    let what = format!("the device sees {register} = {value}");
    wait(document, &what, move |view| {
        let register = view.register(&key);
        register.as_ref().and_then(|register| register.winner()).is_some_and(|version| version.value == value)
    })
    .await;
}

/// Waits until a document has these heads.
pub async fn wait_heads(document: &Document, heads: &[String]) {
    let wanted: Heads = heads.iter().map(|head| head.parse().expect("a head in hex")).collect();
    wait(document, &format!("the device reaches {heads:?}"), move |view| view.heads() == wanted).await;
}

/// Gives the heads of a document, as sorted hex.
pub async fn heads(document: &Document) -> Vec<String> {
    let heads = document.read(|view| view.heads()).await.expect("the document loads");
    heads.as_slice().iter().map(ToString::to_string).collect()
}

/// Gives the shown value of a register.
pub async fn value(document: &Document, register: &str) -> Option<Value> {
    let key: comity_model::RegisterKey = register.parse().expect("a register key");
    let read = document.read(move |view| view.register(&key).and_then(|found| Some(found.winner()?.value.clone())));
    read.await.expect("the document loads")
}
