//! The thread of a shard.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use comity_crdt::Document;
use comity_engine::{
    Config as EngineConfig, Effect, Engine, Event, Failure, FailureKind, Input, Loaded, RefusedAt, RefusedEdit, Token,
};
use comity_model::{ChangeHash, DocumentId, Instant, LinkId};
use comity_net::{Goodbye, code};
use comity_store::{Op, StoreError, StoredDocument};
use tokio::sync::{mpsc, oneshot};

use super::{EditFailure, EditOutcome, Prepare, Report, Request, Surroundings, Visit, Waiting, failure};
use crate::clock;
use crate::evidence::{Kind, Refused};
use crate::queue::LinkQueue;

/// Inputs taken before the engine settles: enough to coalesce a burst, few enough to answer soon.
const BATCH_MAX: usize = 1_024;

/// Longest wait for the store to read a document: a broken disk may hang.
const LOAD_DEADLINE: Duration = Duration::from_secs(60);

/// Owns an engine and everything that waits for it.
pub(super) struct Worker {
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
    pub fn new(config: EngineConfig, surroundings: Surroundings, reports: mpsc::UnboundedSender<Report>) -> Self {
        Self {
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
        }
    }

    pub async fn run(
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
        Instant { monotonic: self.surroundings.started.elapsed(), wall: clock::now() }
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
                    queue.post(self.surroundings.index, &message);
                }
            }
            Effect::Close { link, reason } => {
                tracing::warn!(%link, %reason, "closing");
                if let Some(queue) = self.queues.get(&link) {
                    queue.close(&reason);
                }
            }
            Effect::Quarantine { link, peer, document, at, reason, bytes, size } => {
                tracing::warn!(%peer, ?document, %reason, bytes = size, "refused: see `comity evidence list`");
                let address = self.queues.get(&link).map(|queue| queue.remote.clone());
                let (kind, peer, size) = (kind(at), Some(peer), size as u64);
                self.surroundings.evidence.submit(Refused { kind, reason, document, peer, address, size, bytes });
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

/// Puts the engine's word for where bytes were refused into that of the evidence.
fn kind(at: RefusedAt) -> Kind {
    match at {
        RefusedAt::Protocol => Kind::Protocol,
        RefusedAt::Admission => Kind::Admission,
        RefusedAt::Panic => Kind::Panic,
        // What the engine may add is refused on the way into a document.
        _ => Kind::Apply,
    }
}
