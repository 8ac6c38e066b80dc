//! The node: opens the store, runs the shards, keeps the links.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use comity_access::DeviceId;
use comity_engine::{Event, Load};
use comity_model::{DocumentId, KindName, KindSchema, Limits, LinkId, PeerId, StorageId};
use comity_net::{Connection, Network};
use comity_store::{OpenReport, Store, StoreError, Writer};
use comity_wire::Message;
use tokio::sync::{Notify, broadcast, oneshot};

use crate::config::{NodeConfig, OpenError, Role};
use crate::evidence::{Dropped, Keeper};
use crate::identity::{self, Identity};
use crate::link::{self, LinkEnd, LinkInfo};
use crate::losses::{self, Loss, Losses};
use crate::places::{self, OpenLink};
use crate::shard::{Request, Shard};
use crate::status::Board;

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
    /// A document that had lost something on this disk is in step with a peer again.
    Returned(Loss),
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
    pub role: Role,
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
    pub evidence: Arc<Keeper>,
    pub losses: Arc<Losses>,
    /// Set once an append has failed.
    pub has_lost: Arc<AtomicBool>,
    /// Set when the node is closed: links are not dialed again.
    pub closed: AtomicBool,
    pub links: Mutex<BTreeMap<LinkId, OpenLink>>,
    pub next_link: AtomicU64,
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
        let bell = Arc::clone(&node.inner.losses.bell);
        tokio::spawn(losses::follow(Arc::downgrade(&node.inner), bell));
        // What was lost is asked for by name: the store may not even list it any more.
        for loss in node.losses() {
            node.want(loss.document).await;
        }
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
        self.inner.links().values().map(|open| open.info.clone()).collect()
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

    /// Gives how many records of evidence are kept, and what was refused and not kept because it came too fast.
    pub fn evidence_kept(&self) -> (usize, Dropped) {
        self.inner.evidence.counts()
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
            inner.losses.write_now(&*inner.store);
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
        // Whoever follows the spaces and the losses finds the node gone.
        self.space_changed.notify_one();
        self.losses.bell.notify_one();
    }
}

impl Inner {
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

    /// Notes an open link, unless its peer has too many. Gives what rings when it has to give way to another.
    pub fn register(&self, info: &LinkInfo, network: Option<Network>) -> Option<Arc<Notify>> {
        let mut links = self.links();
        let gives_way = places::find(&mut links, &info.peer.id, network, self.limits.connections_per_identity_max)?;
        let open = OpenLink { info: info.clone(), network, gives_way: Arc::clone(&gives_way), is_leaving: false };
        links.insert(info.link, open);
        drop(links);
        if info.dialed {
            self.board.uplink(info.link, true);
        }
        self.tell(NodeEvent::LinkUp(info.clone()));
        Some(gives_way)
    }

    pub fn unregister(&self, link: LinkId) {
        for shard in &self.shards {
            shard.link_down(link);
        }
        let open = self.links().remove(&link);
        if let Some(open) = open {
            self.board.uplink(link, false);
            self.tell(NodeEvent::LinkDown(open.info));
        }
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<LinkId, OpenLink>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn tell(&self, event: NodeEvent) {
        // Nobody listens: nothing to tell.
        let _ = self.events.send(event);
    }
}
