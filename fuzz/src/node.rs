//! The smallest driver of an engine: a disk that forgets, time that stands still, queues that wait to be told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use comity_access::Everyone;
use comity_crdt::{Document, LoadError};
use comity_engine::{
    CloseReason, Config, Edit, Effect, Engine, Event, Failure, FailureKind, Input, Loaded, Peer, Ticket, Token,
};
use comity_model::{
    ActKind, ActorId, ChangeHash, DeviceTag, DocumentId, Instant, Limits, LinkId, PeerId, StorageId, Timestamp, Write,
};
use comity_wire::Message;

/// Set this in the environment to see what goes into and comes out of each engine.
const TRACE: &str = "COMITY_FUZZ_TRACE";

/// A node: an engine and all that is around it.
pub struct Node {
    /// The engine.
    pub engine: Engine,
    /// What the engine calls itself.
    pub id: PeerId,
    /// Messages by link, not yet written to its socket. A link that is not here is down.
    pub unwritten: BTreeMap<LinkId, VecDeque<Message>>,
    /// Links that the engine has closed, and why, since somebody last looked.
    pub closed: Vec<(LinkId, CloseReason)>,
    /// What the engine put away as evidence.
    pub accusations: Vec<String>,
    /// Changes that the engine called saved.
    pub saved: BTreeSet<(DocumentId, ChangeHash)>,
    limits: Limits,
    run: u8,
    now: Duration,
    next_token: u64,
    edited: BTreeMap<Token, (DocumentId, ChangeHash)>,
    disk: BTreeMap<DocumentId, Loaded>,
    /// What the disk was told and has not answered. Readers see it; a crash loses it.
    queue: VecDeque<Pending>,
    /// Documents that lost a write: the store takes no more changes of them until a snapshot.
    gaps: BTreeSet<DocumentId>,
    loading: VecDeque<DocumentId>,
}

#[derive(Clone)]
struct Pending {
    ticket: Option<Ticket>,
    document: DocumentId,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Append(Vec<bytes::Bytes>),
    Replace(bytes::Bytes),
    Session(StorageId, bytes::Bytes),
}

impl Node {
    /// Starts a node on an empty disk.
    pub fn new(name: &str, limits: &Limits) -> Self {
        let id = PeerId::new(name).expect("a short name");
        Self {
            engine: Engine::new(config(&id, limits, 0)),
            id,
            unwritten: BTreeMap::new(),
            closed: Vec::new(),
            accusations: Vec::new(),
            saved: BTreeSet::new(),
            limits: limits.clone(),
            run: 0,
            now: Duration::ZERO,
            next_token: 0,
            edited: BTreeMap::new(),
            disk: BTreeMap::new(),
            queue: VecDeque::new(),
            gaps: BTreeSet::new(),
            loading: VecDeque::new(),
        }
    }

    /// Who this node is to another one, which announces its documents to it or not.
    pub fn as_peer(&self, announce: bool) -> Peer {
        let storage = StorageId::new(&format!("storage of {}", self.id)).expect("a short name");
        Peer { id: self.id.clone(), storage: Some(storage), durable: true, announce }
    }

    /// Ends the node without a word and starts it again under a new actor. What the disk has not answered is lost.
    pub fn crash(&mut self) {
        self.run = self.run.wrapping_add(1);
        self.engine = Engine::new(config(&self.id, &self.limits, self.run));
        self.unwritten.clear();
        self.closed.clear();
        self.edited.clear();
        self.queue.clear();
        self.gaps.clear();
        self.loading.clear();
    }

    /// Hands an input to the engine and does what it answers. Asserts that it stays within its limits.
    pub fn handle(&mut self, input: Input) {
        let wall = Timestamp::from_unix_ms(1_795_262_400_000 + self.now.as_millis() as i64);
        let is_traced = std::env::var_os(TRACE).is_some();
        if is_traced {
            eprintln!("{} < {input:?}", self.id);
        }
        for effect in self.engine.handle(Instant { monotonic: self.now, wall }, input) {
            if is_traced {
                eprintln!("{}   > {effect:?}", self.id);
            }
            self.carry_out(effect);
        }
        let load = self.engine.load();
        let documents = load.documents.max(1);
        assert!(load.outbox_messages_max <= self.limits.link_queue_messages_max, "{load:?}");
        assert!(load.waiting <= self.limits.waiting_inputs_max * documents, "{load:?}");
        assert!(load.ephemeral_sessions <= self.limits.ephemeral_sessions_max, "{load:?}");
        assert!(load.links == self.unwritten.len(), "{load:?}");
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Append { ticket, document, chunks, .. } => {
                self.queue.push_back(Pending { ticket: Some(ticket), document, content: Content::Append(chunks) });
            }
            Effect::Replace { ticket, document, snapshot, .. } => {
                self.queue.push_back(Pending { ticket: Some(ticket), document, content: Content::Replace(snapshot) });
            }
            Effect::KeepSession { document, storage, session } => {
                self.queue.push_back(Pending { ticket: None, document, content: Content::Session(storage, session) });
            }
            Effect::Load { document } => self.loading.push_back(document),
            Effect::Send { link, message } => {
                let queue = self.unwritten.get_mut(&link).expect("the engine sends only over links that are up");
                queue.push_back(message);
                assert!(queue.len() <= self.limits.link_queue_messages_max, "a slow reader is given no more");
            }
            Effect::Close { link, reason } => {
                self.unwritten.remove(&link);
                self.closed.push((link, reason));
            }
            Effect::Quarantine { bytes, reason, .. } => {
                assert!(bytes.len() <= self.limits.evidence_bytes_max);
                self.accusations.push(reason);
            }
            Effect::Notify(event) => self.notice(event),
            other => panic!("an effect that the driver does not know: {other:?}"),
        }
    }

    fn notice(&mut self, event: Event) {
        match event {
            Event::Edited { token, document, result: Ok(Some(hash)) } => {
                self.edited.insert(token, (document, hash));
            }
            Event::Saved { token, result: Ok(()), .. } => self.saved.extend(self.edited.remove(&token)),
            _ => {}
        }
    }

    /// Opens a link.
    pub fn link_up(&mut self, link: LinkId, peer: Peer) {
        self.unwritten.insert(link, VecDeque::new());
        self.handle(Input::LinkUp { link, peer });
    }

    /// Takes a link down. It need not be up.
    pub fn link_down(&mut self, link: LinkId) {
        if self.unwritten.remove(&link).is_some() {
            self.handle(Input::LinkDown { link });
        }
    }

    /// Writes the next message of a link, as the peer reads it.
    pub fn write(&mut self, link: LinkId) -> Option<Message> {
        let message = self.unwritten.get_mut(&link)?.pop_front()?;
        let bytes = message.data().map_or(0, bytes::Bytes::len);
        self.handle(Input::Written { link, messages: 1, bytes });
        let read = Message::decode(&message.encode(), &Limits::default());
        Some(read.expect("what an engine sends can be read"))
    }

    /// Makes one change.
    pub fn edit(&mut self, document: DocumentId, writes: Vec<Write>) {
        self.next_token += 1;
        let token = Token(self.next_token);
        self.handle(Input::Edit(Edit { token, document, kind: ActKind::Edit, base: None, writes }));
    }

    /// Lets the disk answer the oldest write: it is there, or the disk is full. False when there is none.
    pub fn store_one(&mut self, is_full: bool) -> bool {
        let Some(write) = self.queue.pop_front() else { return false };
        let Some(ticket) = write.ticket else {
            apply(&mut self.disk, write);
            return true;
        };
        let document = write.document;
        let replaces = matches!(write.content, Content::Replace(_));
        let result = if is_full || (self.gaps.contains(&document) && !replaces) {
            self.gaps.insert(document);
            Err(Failure { kind: FailureKind::Full, message: "the disk is full".to_owned() })
        } else {
            if replaces {
                self.gaps.remove(&document);
            }
            apply(&mut self.disk, write);
            Ok(())
        };
        self.handle(Input::Stored { ticket, result });
        true
    }

    /// Lets the store answer the oldest load: with what it has, or, for a passing reason, with nothing. False when
    /// there is none.
    pub fn load_one(&mut self, fails: bool) -> bool {
        let Some(document) = self.loading.pop_front() else { return false };
        let result = if fails {
            Err(Failure { kind: FailureKind::Io, message: "too many open files".to_owned() })
        } else {
            let mut seen = self.disk.clone();
            self.queue
                .iter()
                .filter(|write| write.document == document)
                .for_each(|write| apply(&mut seen, write.clone()));
            Ok(seen.remove(&document))
        };
        self.handle(Input::Loaded { document, result });
        true
    }

    /// Lets the store answer all that was asked of it. True when there was something.
    pub fn answer_all(&mut self) -> bool {
        let mut answered = false;
        while self.store_one(false) || self.load_one(false) {
            answered = true;
        }
        answered
    }

    /// Lets time pass, and ticks.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
        self.handle(Input::Tick);
    }

    /// Reads a document, loading it if need be.
    pub fn read(&mut self, document: DocumentId) -> &Document {
        self.handle(Input::Fetch { token: Token(0), document });
        self.answer_all();
        self.engine.document(&document).expect("a document that was asked for is in memory once the store has answered")
    }

    /// Reads a document from the disk, as it would be after a crash.
    pub fn on_disk(&self, document: &DocumentId) -> Result<Document, LoadError> {
        match self.disk.get(document) {
            Some(stored) => Document::load(stored.snapshot.as_deref(), &stored.changes),
            None => Ok(Document::new()),
        }
    }
}

fn config(id: &PeerId, limits: &Limits, run: u8) -> Config {
    let tag = DeviceTag([id.as_str().as_bytes()[0]; 16]);
    Config {
        peer: id.clone(),
        actor: ActorId::for_session(tag, [run; 8]),
        session: format!("run {run}"),
        policy: [0; 8],
        limits: limits.clone(),
        decode: true,
        rulebook: Box::new(Everyone),
    }
}

fn apply(disk: &mut BTreeMap<DocumentId, Loaded>, write: Pending) {
    let stored = disk.entry(write.document).or_default();
    match write.content {
        Content::Append(chunks) => stored.changes.extend(chunks),
        Content::Replace(snapshot) => {
            stored.changes.clear();
            stored.snapshot = Some(snapshot);
        }
        Content::Session(storage, session) => {
            stored.sessions.retain(|(known, _)| *known != storage);
            stored.sessions.push((storage, session));
        }
    }
}
