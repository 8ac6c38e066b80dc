//! A shard: one thread that owns one engine and with it a share of the documents.
//!
//! Everything that happens to a document happens here, in order. The thread takes all that has arrived, hands it to
//! the engine, lets it settle once, and carries out the effects.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use comity_crdt::Document;
use comity_engine::{Config as EngineConfig, Edit, Event, Failure, FailureKind, Input, Peer, RefusedEdit, Standing};
use comity_model::{ChangeHash, DocumentId, LinkId};
use comity_store::{Store, StoreError, Writer};
use comity_wire::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use self::worker::Worker;
use crate::evidence::Keeper;
use crate::queue::LinkQueue;

mod worker;

/// Frames of links, and requests of the application, that may wait for a shard; then their senders wait.
const QUEUE: usize = 1_024;

/// Data of frames that may wait for a shard, in KiB. A frame above it may wait when no other does.
const QUEUE_KIB: u32 = 64 * 1_024;

/// A read of a document on its own thread.
type Visit = Box<dyn FnOnce(Result<(&Document, Standing), Failure>) + Send>;

/// Prepares an edit with the document at hand; `None` when there is nothing to be done after all.
pub(crate) type Prepare = Box<dyn FnOnce(&Document) -> Option<Edit> + Send>;

/// How an edit ended.
pub(crate) type EditOutcome = Result<Option<ChangeHash>, EditFailure>;

/// Why an edit did not end well.
pub(crate) enum EditFailure {
    /// Nothing was changed.
    Refused(RefusedEdit),
    /// It was made, but is not on disk.
    NotSaved(Failure),
}

/// What the rest of the node asks of a shard. Bounded: the asker waits.
pub(crate) enum Request {
    Visit { document: DocumentId, visit: Visit },
    Edit { document: DocumentId, prepare: Prepare, done: oneshot::Sender<EditOutcome> },
    Want { document: DocumentId },
    Broadcast { document: DocumentId, data: bytes::Bytes },
    Load { done: oneshot::Sender<comity_engine::Load> },
}

/// What other parts report to a shard. Each is an answer to something that was bounded when it was asked.
enum Report {
    LinkUp { link: LinkId, peer: Peer, queue: Arc<LinkQueue> },
    LinkDown { link: LinkId },
    Written { link: LinkId, messages: usize, bytes: usize },
    Engine(Input),
    Stop { done: oneshot::Sender<()> },
}

/// Where a shard's events go.
pub(crate) type EventSink = Arc<dyn Fn(Event) + Send + Sync>;

/// A handle on a shard.
#[derive(Clone)]
pub(crate) struct Shard {
    reports: mpsc::UnboundedSender<Report>,
    requests: mpsc::Sender<Request>,
    frames: mpsc::Sender<Waiting>,
    /// What is left of [`QUEUE_KIB`].
    room: Arc<Semaphore>,
}

/// A frame that waits for a shard, and the room it takes meanwhile.
struct Waiting {
    link: LinkId,
    message: Message,
    _room: OwnedSemaphorePermit,
}

/// What a shard needs from the node.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub store: Arc<dyn Store>,
    pub writer: Arc<Writer>,
    pub evidence: Arc<Keeper>,
    pub events: EventSink,
    /// Where blocking reads of the store run.
    pub runtime: tokio::runtime::Handle,
    /// Set once an append has failed: changes of this session may be elsewhere and not on this disk.
    pub has_lost: Arc<AtomicBool>,
    /// When the node started.
    pub started: std::time::Instant,
    /// The place of this shard among the shards.
    pub index: u16,
}

impl Shard {
    /// Starts the thread.
    pub fn start(name: String, config: EngineConfig, surroundings: Surroundings) -> std::io::Result<Self> {
        let (reports, report_queue) = mpsc::unbounded_channel();
        let (requests, request_queue) = mpsc::channel(QUEUE);
        let (frames, frame_queue) = mpsc::channel(QUEUE);
        let room = Arc::new(Semaphore::new(QUEUE_KIB as usize));
        let shard = Self { reports: reports.clone(), requests, frames, room };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        thread::Builder::new().name(name).spawn(move || {
            let worker = Worker::new(config, surroundings, reports);
            let run = AssertUnwindSafe(|| runtime.block_on(worker.run(report_queue, request_queue, frame_queue)));
            if catch_unwind(run).is_err() {
                tracing::error!("a shard panicked; its documents are out of reach until the process starts again");
            }
        })?;
        Ok(shard)
    }

    /// Whether the thread runs.
    pub fn is_alive(&self) -> bool {
        !self.requests.is_closed()
    }

    /// Hands over a message of a link; waits while the shard is behind. False when the shard has stopped.
    pub async fn frame(&self, link: LinkId, message: Message) -> bool {
        let kib = message.data().map_or(0, |data| data.len() / 1_024);
        let kib = u32::try_from(kib).unwrap_or(QUEUE_KIB).min(QUEUE_KIB);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(kib).await else { return false };
        self.frames.send(Waiting { link, message, _room: room }).await.is_ok()
    }

    /// Asks for something; waits while the shard is behind. False when the shard has stopped.
    pub async fn request(&self, request: Request) -> bool {
        self.requests.send(request).await.is_ok()
    }

    pub fn link_up(&self, link: LinkId, peer: Peer, queue: Arc<LinkQueue>) {
        self.report(Report::LinkUp { link, peer, queue });
    }

    pub fn link_down(&self, link: LinkId) {
        self.report(Report::LinkDown { link });
    }

    pub fn written(&self, link: LinkId, messages: usize, bytes: usize) {
        self.report(Report::Written { link, messages, bytes });
    }

    /// Stops the thread after what has arrived; resolves when everything asked of the store has been submitted. False
    /// when the thread was gone already.
    pub async fn stop(&self) -> bool {
        let (done, stopped) = oneshot::channel();
        self.report(Report::Stop { done });
        stopped.await.is_ok()
    }

    /// Like [`stop`](Self::stop), for a node that is dropped: nobody waits.
    pub fn stop_later(&self) {
        let (done, _) = oneshot::channel();
        self.report(Report::Stop { done });
    }

    fn report(&self, report: Report) {
        // A stopped shard needs no reports.
        let _ = self.reports.send(report);
    }
}

/// Puts a store's error into the engine's words.
pub(crate) fn failure(error: &StoreError) -> Failure {
    let kind = match error {
        StoreError::Full { .. } => FailureKind::Full,
        StoreError::DamagedDocument { .. } | StoreError::DamagedMeta { .. } => FailureKind::Damaged,
        _ => FailureKind::Io,
    };
    Failure { kind, message: error.to_string() }
}

#[cfg(test)]
mod tests;
