//! A shard: one thread that owns one engine and with it a share of the documents.
//!
//! Everything that happens to a document happens here, in order. The thread takes all that has arrived, hands it to
//! the engine, lets it settle once, and carries out the effects.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use comity_crdt::Document;
use comity_engine::{
    Config as EngineConfig, Edit, Effect, Engine, Event, Failure, FailureKind, Input, Loaded, Peer, RefusedEdit,
    Standing, Token,
};
use comity_model::{ChangeHash, DocumentId, Instant, LinkId, Timestamp};
use comity_net::{Goodbye, code};
use comity_store::{Op, Store, StoreError, StoredDocument, Writer};
use comity_wire::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::evidence::Evidence;
use crate::link::LinkQueue;

/// Inputs taken before the engine settles: enough to coalesce a burst, few enough to answer soon.
const BATCH_MAX: usize = 1_024;

/// Frames of links, and requests of the application, that may wait for a shard; then their senders wait.
const QUEUE: usize = 1_024;

/// Data of frames that may wait for a shard, in KiB. A frame above it may wait when no other does.
const QUEUE_KIB: u32 = 64 * 1_024;

/// Longest wait for the store to read a document: a broken disk may hang.
const LOAD_DEADLINE: Duration = Duration::from_secs(60);

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
pub(crate) struct Surroundings {
    pub store: Arc<dyn Store>,
    pub writer: Arc<Writer>,
    pub evidence: Arc<Evidence>,
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
            let worker = Worker {
                engine: Engine::new(config),
                surroundings,
                reports,
                queues: HashMap::new(),
                visits: HashMap::new(),
                prepared: HashMap::new(),
                edits: HashMap::new(),
                saved: Vec::new(),
                next_token: 0,
                events: VecDeque::new(),
                nobody: Document::new(),
            };
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

struct Worker {
    engine: Engine,
    surroundings: Surroundings,
    reports: mpsc::UnboundedSender<Report>,
    queues: HashMap<LinkId, Arc<LinkQueue>>,
    visits: HashMap<Token, Visit>,
    prepared: HashMap<Token, (Prepare, oneshot::Sender<EditOutcome>)>,
    edits: HashMap<Token, (Option<ChangeHash>, oneshot::Sender<EditOutcome>)>,
    /// Edits that are on disk, or never will be. Their authors hear of it after the engine has settled: whoever asks
    /// for the standing next finds the edit counted.
    saved: Vec<(oneshot::Sender<EditOutcome>, EditOutcome)>,
    next_token: u64,
    /// Events not told yet. They are told after all effects of a call, since telling may lead to the next call.
    events: VecDeque<Event>,
    /// What a visitor sees of a document that does not exist here.
    nobody: Document,
}

impl Worker {
    async fn run(
        mut self,
        mut reports: mpsc::UnboundedReceiver<Report>,
        mut requests: mpsc::Receiver<Request>,
        mut frames: mpsc::Receiver<Waiting>,
    ) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let mut stop = None;
            tokio::select! {
                biased;
                // First, or a shard that always has work would never let go of idle documents.
                _ = tick.tick() => self.handle(Input::Tick),
                Some(report) = reports.recv() => stop = self.report(report),
                Some(request) = requests.recv() => self.request(request),
                Some(frame) = frames.recv() => self.frame(frame),
            }
            for _ in 0..BATCH_MAX {
                if stop.is_some() {
                    break;
                }
                if let Ok(report) = reports.try_recv() {
                    stop = self.report(report);
                } else if let Ok(request) = requests.try_recv() {
                    self.request(request);
                } else if let Ok(frame) = frames.try_recv() {
                    self.frame(frame);
                } else {
                    break;
                }
            }
            self.handle(Input::Settle);
            for (done, outcome) in self.saved.drain(..) {
                // The asker may have gone away: the edit is saved all the same.
                let _ = done.send(outcome);
            }
            if let Some(done) = stop {
                self.handle(Input::Stop);
                for queue in self.queues.values() {
                    queue.end(Goodbye::new(code::GOING_AWAY, "the node is stopping"));
                }
                // Nobody waits if the node was dropped.
                let _ = done.send(());
                return;
            }
        }
    }

    fn report(&mut self, report: Report) -> Option<oneshot::Sender<()>> {
        match report {
            Report::LinkUp { link, peer, queue } => {
                self.queues.insert(link, queue);
                self.handle(Input::LinkUp { link, peer });
            }
            Report::LinkDown { link } => {
                self.queues.remove(&link);
                self.handle(Input::LinkDown { link });
            }
            Report::Written { link, messages, bytes } => self.handle(Input::Written { link, messages, bytes }),
            Report::Engine(input) => self.handle(input),
            Report::Stop { done } => return Some(done),
        }
        None
    }

    fn frame(&mut self, frame: Waiting) {
        let Waiting { link, message, _room } = frame;
        self.handle(Input::Received { link, message });
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Visit { document, visit } => {
                let token = self.token();
                self.visits.insert(token, visit);
                self.handle(Input::Fetch { token, document });
            }
            Request::Edit { document, prepare, done } => {
                let token = self.token();
                self.prepared.insert(token, (prepare, done));
                self.handle(Input::Fetch { token, document });
            }
            Request::Want { document } => self.handle(Input::Want { document }),
            Request::Broadcast { document, data } => self.handle(Input::Broadcast { document, data }),
            Request::Load { done } => {
                // Nobody waits any more: nothing to tell.
                let _ = done.send(self.engine.load());
            }
        }
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    /// Hands over an input, and those that come of telling its events: a loop, since thousands of edits may have waited
    /// for one load.
    fn handle(&mut self, input: Input) {
        let mut next = Some(input);
        loop {
            if let Some(input) = next.take() {
                let now = self.now();
                for effect in self.engine.handle(now, input) {
                    self.carry_out(effect);
                }
            }
            let Some(event) = self.events.pop_front() else { return };
            next = self.notify(event);
        }
    }

    fn now(&self) -> Instant {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        Instant {
            monotonic: self.surroundings.started.elapsed(),
            wall: Timestamp::from_unix_ms(i64::try_from(wall).unwrap_or(i64::MAX)),
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Append { ticket, document, chunks, heads } => {
                self.submit(Op::Append { document, chunks, heads }, Some(ticket));
            }
            Effect::Replace { ticket, document, snapshot, heads } => {
                self.submit(Op::Replace { document, snapshot, heads }, Some(ticket));
            }
            Effect::KeepSession { document, storage, session } => {
                self.submit(Op::SyncState { document, peer: storage, state: session }, None);
            }
            Effect::Load { document } => self.load(document),
            Effect::Send { link, message } => {
                if let Some(queue) = self.queues.get(&link) {
                    let data_bytes = message.data().map_or(0, bytes::Bytes::len);
                    queue.post(self.surroundings.index, data_bytes, message.encode());
                }
            }
            Effect::Close { link, reason } => {
                tracing::warn!(%link, %reason, "closing");
                if let Some(queue) = self.queues.get(&link) {
                    queue.close(&reason);
                }
            }
            Effect::Quarantine { peer, document, reason, bytes } => {
                tracing::warn!(%peer, %document, %reason, bytes = bytes.len(), "quarantined");
                let evidence = Arc::clone(&self.surroundings.evidence);
                let Some(place) = evidence.place() else { return };
                self.surroundings.runtime.spawn_blocking(move || {
                    evidence.keep(&peer, &document, &reason, &bytes);
                    drop(place);
                });
            }
            Effect::Notify(event) => self.events.push_back(event),
            other => tracing::error!(?other, "an effect that this driver does not know"),
        }
    }

    fn submit(&self, op: Op, ticket: Option<comity_engine::Ticket>) {
        let reports = self.reports.clone();
        let has_lost = Arc::clone(&self.surroundings.has_lost);
        let answer = move |result: Result<(), StoreError>| match (ticket, result) {
            (Some(ticket), result) => {
                if result.is_err() {
                    has_lost.store(true, Ordering::Release);
                }
                let result = result.map_err(|error| failure(&error));
                // A stopped shard needs no answer.
                let _ = reports.send(Report::Engine(Input::Stored { ticket, result }));
            }
            (None, Err(error)) => tracing::warn!(%error, "a sync session was not kept"),
            (None, Ok(())) => {}
        };
        self.surroundings.writer.submit(vec![op], Box::new(answer));
    }

    fn load(&self, document: DocumentId) {
        let store = Arc::clone(&self.surroundings.store);
        let reports = self.reports.clone();
        self.surroundings.runtime.spawn(async move {
            let read = tokio::task::spawn_blocking(move || store.load(&document));
            let result = match tokio::time::timeout(LOAD_DEADLINE, read).await {
                Ok(Ok(read)) => read.map_err(|error| failure(&error)).map(|stored| stored.map(loaded)),
                // It panicked, or the runtime is going away.
                Ok(Err(error)) => Err(Failure { kind: FailureKind::Io, message: error.to_string() }),
                Err(_) => {
                    let seconds = LOAD_DEADLINE.as_secs();
                    let message = format!("the store did not read document {document} within {seconds} s");
                    Err(Failure { kind: FailureKind::Io, message })
                }
            };
            // A stopped shard needs no answer.
            let _ = reports.send(Report::Engine(Input::Loaded { document, result }));
        });
    }

    fn notify(&mut self, event: Event) -> Option<Input> {
        match event {
            Event::Fetched { token, document, result } => return self.fetched(token, document, result),
            Event::Edited { token, result, .. } => {
                if let Some((_, done)) = self.edits.remove(&token) {
                    match result {
                        Ok(hash) => {
                            self.edits.insert(token, (hash, done));
                        }
                        // The asker may have gone away: the edit was refused all the same.
                        Err(refused) => drop(done.send(Err(EditFailure::Refused(refused)))),
                    }
                }
            }
            Event::Saved { token, result, .. } => {
                if let Some((hash, done)) = self.edits.remove(&token) {
                    self.saved.push((done, result.map(|()| hash).map_err(EditFailure::NotSaved)));
                }
            }
            event => (self.surroundings.events)(event),
        }
        None
    }

    fn fetched(&mut self, token: Token, document: DocumentId, result: Result<(), Failure>) -> Option<Input> {
        if let Some(visit) = self.visits.remove(&token) {
            let content = self.engine.document(&document).unwrap_or(&self.nobody);
            let standing = self.engine.standing(&document).unwrap_or_default();
            visit(result.map(|()| (content, standing)));
        } else if let Some((prepare, done)) = self.prepared.remove(&token) {
            if let Err(failure) = result {
                // The asker may have gone away.
                let _ = done.send(Err(EditFailure::Refused(RefusedEdit::Store(failure))));
                return None;
            }
            let content = self.engine.document(&document).unwrap_or(&self.nobody);
            if let Some(mut edit) = prepare(content) {
                edit.token = token;
                self.edits.insert(token, (None, done));
                return Some(Input::Edit(edit));
            }
        }
        None
    }
}

fn loaded(stored: StoredDocument) -> Loaded {
    Loaded { snapshot: stored.snapshot, changes: stored.changes, sessions: stored.sync_states }
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
