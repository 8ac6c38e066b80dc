//! The node: opens the store, runs the shards, keeps the links.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use comity_access::{DeviceId, Everyone, Rulebook};
use comity_engine::{Config as EngineConfig, Event, Load};
use comity_model::{DocumentId, KindName, KindSchema, Limits, LinkId, PeerId, StorageId};
use comity_net::Connection;
use comity_store::{OpenReport, SledStore, Store, StoreError, Writer, WriterOptions};
use comity_wire::Message;
use tokio::sync::{Notify, broadcast, oneshot};

use crate::evidence::Evidence;
use crate::identity::{self, Identity};
use crate::link::{self, LinkEnd, LinkInfo};
use crate::shard::{EventSink, Request, Shard, Surroundings};
use crate::status::Board;

/// Events that a slow listener may fall behind before it misses some (and is told so).
const EVENTS: usize = 4_096;

/// The folder of the store within a data folder.
pub const STORE_FOLDER: &str = "store";

/// How to open a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeConfig {
    /// Where everything is kept: device key, store, evidence. Made when it is missing.
    pub folder: PathBuf,
    /// Every bound.
    pub limits: Limits,
    /// Threads that share the documents. One is right for a device.
    pub shards: u16,
    /// Whether this node wants every document in its store kept in step with the relays it dials. A device does; a
    /// relay does not dial.
    pub wants_all: bool,
    /// Whether change events carry decoded changes.
    pub decode: bool,
    /// Schemas beside the built-in ones; one of the same name takes the built-in one's place.
    pub schemas: Vec<KindSchema>,
}

impl NodeConfig {
    /// The configuration of a device with its data in a folder.
    pub fn device(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            limits: Limits::default(),
            shards: 1,
            wants_all: true,
            decode: true,
            schemas: Vec::new(),
        }
    }

    /// The configuration of a relay with its data in a folder.
    pub fn relay(folder: impl Into<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(64));
        let shards = u16::try_from(cores).unwrap_or(1);
        Self { shards, wants_all: false, decode: false, ..Self::device(folder) }
    }
}

/// Says why a node could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The operating system refused.
    #[error("cannot {what} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The device key cannot be used.
    #[error("the device key {} cannot be used: {reason}; restore it from a copy, or move it away to start as a new device", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The operating system has no random bytes.
    #[error("no random bytes from the operating system: {reason}")]
    Random {
        /// What it said.
        reason: String,
    },
    /// The store could not be opened.
    #[error(transparent)]
    OpenStore(#[from] comity_store::OpenError),
    /// The store was opened, then failed.
    #[error(transparent)]
    Store(StoreError),
    /// A schema is not usable.
    #[error("schema {kind}: {reason}")]
    Schema {
        /// Its kind.
        kind: KindName,
        /// What is wrong.
        reason: comity_model::InvalidSchema,
    },
}

impl OpenError {
    pub(crate) fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }
}

/// Something that happened on a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NodeEvent {
    /// To a document.
    Document(Event),
    /// A link's handshake is done.
    LinkUp(LinkInfo),
    /// A link is gone.
    LinkDown(LinkInfo),
    /// The lists of the spaces have been read: what they list is wanted.
    SpacesFollowed,
}

/// A running Comity: engine, store and links, over one data folder. Cheap to clone; all clones are the same node.
///
/// Close it with [`close`](Self::close). A node that is dropped instead loses nothing that was acknowledged, but its
/// next start checks the store, as after a crash.
#[derive(Clone)]
pub struct Node {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub folder: PathBuf,
    pub limits: Limits,
    pub identity: Identity,
    pub store: Arc<dyn Store>,
    pub writer: Arc<Writer>,
    pub shards: Vec<Shard>,
    pub events: broadcast::Sender<NodeEvent>,
    pub board: Arc<Board>,
    pub spaces: Arc<RwLock<BTreeSet<DocumentId>>>,
    /// Rings when a space document has changed.
    pub space_changed: Arc<Notify>,
    pub schemas: BTreeMap<KindName, KindSchema>,
    /// Set once an append has failed.
    has_lost: Arc<AtomicBool>,
    /// Set when the node is closed: links are not dialed again.
    pub closed: AtomicBool,
    links: Mutex<BTreeMap<LinkId, LinkInfo>>,
    next_link: AtomicU64,
}

impl Node {
    /// Opens the node of a data folder. The report says what the store found, such as damage after a crash.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the folder is in use by another process, cannot be written, or holds something that is not ours.
    pub async fn open(config: NodeConfig) -> Result<(Self, OpenReport), OpenError> {
        let runtime = tokio::runtime::Handle::current();
        let opened = tokio::task::spawn_blocking(move || Inner::open(config, runtime)).await;
        let (inner, report, wants_all) = opened.expect("opening does not panic")?;
        let node = Self { inner: Arc::new(inner) };
        node.recall_relays().map_err(OpenError::Store)?;
        node.resume_spaces().await?;
        if wants_all {
            for document in node.inner.store.documents().map_err(OpenError::Store)? {
                node.want(document).await;
            }
        }
        Ok((node, report))
    }

    /// Gives this device's id.
    pub fn device(&self) -> DeviceId {
        self.inner.identity.key.id()
    }

    /// Gives what this node calls itself on the wire. New for each run.
    pub fn peer(&self) -> &PeerId {
        &self.inner.identity.peer
    }

    /// Gives what this node calls its storage. Stays.
    pub fn storage(&self) -> &StorageId {
        &self.inner.identity.storage
    }

    /// Gives the data folder.
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// Gives the bounds in force.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Gives the schemas of kinds, built-in ones included.
    pub fn schemas(&self) -> impl Iterator<Item = &KindSchema> {
        self.inner.schemas.values()
    }

    /// Subscribes to everything that happens from now on.
    pub fn events(&self) -> broadcast::Receiver<NodeEvent> {
        self.inner.events.subscribe()
    }

    /// Gives the open links.
    pub fn links(&self) -> Vec<LinkInfo> {
        self.inner.links().values().cloned().collect()
    }

    /// Serves a connection that somebody opened to this node, until it ends.
    pub async fn accept(&self, connection: Connection) -> LinkEnd {
        link::run(&self.inner, connection, false, |_| {}).await
    }

    /// Gives how much the engines hold, one row for each shard.
    pub async fn load(&self) -> Vec<Load> {
        let mut loads = Vec::new();
        for shard in &self.inner.shards {
            let (done, answer) = oneshot::channel();
            shard.request(Request::Load { done }).await;
            loads.extend(answer.await.ok());
        }
        loads
    }

    /// Says what keeps the node from doing its work, if anything does: then end the process and start it again.
    pub fn trouble(&self) -> Option<String> {
        if !self.inner.shards.iter().all(Shard::is_alive) && !self.inner.closed.load(Ordering::Acquire) {
            return Some("a thread of the node has ended".to_owned());
        }
        self.inner.writer.stopped().map(|cause| format!("the store has stopped: {cause}"))
    }

    /// Wants a document: it is kept in step with every relay that this node dials.
    pub(crate) async fn want(&self, document: DocumentId) {
        if self.inner.board.want(document) {
            self.inner.shard(&document).request(Request::Want { document }).await;
        }
    }

    /// Stops the node: what was acknowledged is on disk already; sync sessions are written down and the store is
    /// closed, so that the next start is quick. Links should be closed first.
    ///
    /// # Errors
    /// When the store cannot be closed cleanly. Nothing acknowledged is lost; the next start checks the store.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.inner.closed.store(true, Ordering::Release);
        let mut all_stopped = true;
        for shard in &self.inner.shards {
            all_stopped &= shard.stop().await;
        }
        let inner = Arc::clone(&self.inner);
        let closed = tokio::task::spawn_blocking(move || {
            inner.writer.flush()?;
            if !all_stopped || inner.has_lost.load(Ordering::Acquire) {
                // Peers may have changes of this session that are not here: it must not go on. The next start begins a
                // new one, as after a crash.
                tracing::warn!("not everything reached the disk; a new session begins with the next start");
                return inner.store.close();
            }
            match identity::close(&inner.identity, &inner.folder, &*inner.store) {
                Ok(()) => {}
                Err(OpenError::Store(error)) => return Err(error),
                Err(error) => tracing::warn!(%error, "the session was not marked as ended; a new one begins"),
            }
            inner.store.close()
        });
        closed.await.expect("closing does not panic")
    }
}

impl Drop for Inner {
    /// Lets the threads end and the store go, for a node that was not closed.
    fn drop(&mut self) {
        for shard in &self.shards {
            shard.stop_later();
        }
        // Whoever follows the spaces finds the node gone.
        self.space_changed.notify_one();
    }
}

impl Inner {
    fn open(config: NodeConfig, runtime: tokio::runtime::Handle) -> Result<(Self, OpenReport, bool), OpenError> {
        let NodeConfig { folder, limits, shards, wants_all, decode, schemas } = config;
        // Before anything runs that would have to be stopped again.
        let schemas = merge_schemas(schemas)?;
        std::fs::create_dir_all(&folder).map_err(|error| OpenError::io("make", &folder, error))?;
        let (store, report) = SledStore::open(&folder.join(STORE_FOLDER), comity_store::Options::default())?;
        let store: Arc<dyn Store> = Arc::new(store);
        let key = identity::device_key(&folder.join("device.key"))?;
        let identity = identity::open(key, &folder, &*store, report.is_damaged())?;
        let writer = Writer::start(Arc::clone(&store), WriterOptions::default()).map_err(OpenError::Store)?;
        let writer = Arc::new(writer);
        let evidence_folder = folder.join("evidence");
        let evidence = Evidence::open(&evidence_folder, limits.evidence_max)
            .map_err(|error| OpenError::io("make", &evidence_folder, error))?;
        let evidence = Arc::new(evidence);
        let (events, _) = broadcast::channel(EVENTS);
        let board = Arc::new(Board::default());
        let spaces = Arc::new(RwLock::new(BTreeSet::new()));
        let space_changed = Arc::new(Notify::new());
        let sink = event_sink(&events, &board, &spaces, &space_changed);
        let started = Instant::now();
        let has_lost = Arc::new(AtomicBool::new(false));
        let mut running: Vec<Shard> = Vec::new();
        for index in 0..shards.max(1) {
            let engine = EngineConfig {
                peer: identity.peer.clone(),
                actor: identity.actor.clone(),
                session: identity.run.clone(),
                policy: [0; 8],
                limits: limits.clone(),
                decode,
                rulebook: Box::new(Everyone) as Box<dyn Rulebook>,
            };
            let surroundings = Surroundings {
                store: Arc::clone(&store),
                writer: Arc::clone(&writer),
                evidence: Arc::clone(&evidence),
                events: Arc::clone(&sink),
                runtime: runtime.clone(),
                has_lost: Arc::clone(&has_lost),
                started,
                index,
            };
            match Shard::start(format!("comity-shard-{index}"), engine, surroundings) {
                Ok(shard) => running.push(shard),
                Err(error) => {
                    running.iter().for_each(Shard::stop_later);
                    return Err(OpenError::io("start a thread for", &folder, error));
                }
            }
        }
        let inner = Self {
            folder,
            limits,
            identity,
            store,
            writer,
            shards: running,
            events,
            board,
            spaces,
            space_changed,
            schemas,
            has_lost,
            closed: AtomicBool::new(false),
            links: Mutex::default(),
            next_link: AtomicU64::new(1),
        };
        Ok((inner, report, wants_all))
    }

    /// Gives the shard that owns a document. Ids are random or hashes, so their first bytes spread evenly.
    pub fn shard(&self, document: &DocumentId) -> &Shard {
        let bytes = document.as_bytes();
        let number = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        &self.shards[number % self.shards.len()]
    }

    pub fn shard_for_message(&self, message: &Message) -> &Shard {
        message.document().map_or(&self.shards[0], |document| self.shard(&document))
    }

    pub fn next_link(&self) -> LinkId {
        LinkId(self.next_link.fetch_add(1, Ordering::Relaxed))
    }

    /// Notes an open link, unless its peer has too many.
    pub fn register(&self, info: &LinkInfo, per_peer_max: usize) -> bool {
        let mut links = self.links();
        if links.values().filter(|other| other.peer.id == info.peer.id).count() >= per_peer_max {
            return false;
        }
        links.insert(info.link, info.clone());
        drop(links);
        if info.dialed {
            self.board.uplink(info.link, true);
        }
        self.tell(NodeEvent::LinkUp(info.clone()));
        true
    }

    pub fn unregister(&self, link: LinkId) {
        for shard in &self.shards {
            shard.link_down(link);
        }
        let info = self.links().remove(&link);
        if let Some(info) = info {
            self.board.uplink(link, false);
            self.tell(NodeEvent::LinkDown(info));
        }
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<LinkId, LinkInfo>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn tell(&self, event: NodeEvent) {
        // Nobody listens: nothing to tell.
        let _ = self.events.send(event);
    }
}

/// Makes what the shards report their events to.
fn event_sink(
    events: &broadcast::Sender<NodeEvent>,
    board: &Arc<Board>,
    spaces: &Arc<RwLock<BTreeSet<DocumentId>>>,
    space_changed: &Arc<Notify>,
) -> EventSink {
    let (events, board) = (events.clone(), Arc::clone(board));
    let (spaces, space_changed) = (Arc::clone(spaces), Arc::clone(space_changed));
    Arc::new(move |event| {
        match &event {
            Event::Stands { document, standing } => board.note(*document, standing.clone()),
            Event::Changed { document, .. }
                if spaces.read().unwrap_or_else(PoisonError::into_inner).contains(document) =>
            {
                board.space_changed();
                space_changed.notify_one();
            }
            _ => {}
        }
        // Nobody listens: nothing to tell.
        let _ = events.send(NodeEvent::Document(event));
    })
}

fn merge_schemas(own: Vec<KindSchema>) -> Result<BTreeMap<KindName, KindSchema>, OpenError> {
    let mut schemas = BTreeMap::new();
    for schema in KindSchema::built_in().into_iter().chain(own) {
        schema.check().map_err(|reason| OpenError::Schema { kind: schema.name.clone(), reason })?;
        schemas.insert(schema.name.clone(), schema);
    }
    Ok(schemas)
}
