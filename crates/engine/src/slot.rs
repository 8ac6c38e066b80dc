//! What the engine keeps of one document.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use comity_crdt::{Admitted, Document, SyncSession};
use comity_model::{DocumentId, Heads, Limits, LinkId, StorageId};

use crate::{Edit, Failure, Token};

/// Where the content of a document is.
pub(crate) enum Content {
    /// Not in memory; the store may have it.
    Cold,
    /// The store has been asked.
    Loading,
    /// In memory.
    Ready(Box<Document>),
    /// The store failed. What was in memory stays readable; nothing may be added.
    Failed { document: Option<Box<Document>>, failure: Failure },
}

/// A sync message past admission, with the bytes it came from (they are evidence if the document refuses it).
pub(crate) struct SyncMessage {
    pub link: LinkId,
    pub is_request: bool,
    pub admitted: Admitted,
    pub bytes: Bytes,
    /// When it was put together from several: whether each was a request, and its bytes.
    pub parts: Vec<(bool, Bytes)>,
}

/// Something that waits for a document to load.
pub(crate) enum Waiting {
    Message(Box<SyncMessage>),
    Edit(Edit),
    Fetch(Token),
}

/// What the engine keeps of one peer's view of one document.
#[derive(Default)]
pub(crate) struct PeerDocument {
    /// `None` until the document is in memory for the first time, since a kept session is checked against it.
    /// Boxed: a map makes place for eleven peers at once, and most documents have one or two.
    pub session: Option<Box<SyncSession>>,
    /// Nothing is said to this peer before the append of this number is durable: the peer may have a change that is in
    /// it, and would take our heads for a receipt.
    pub hold_until: u64,
    /// It has sent changes and was told nothing since: it waits for our heads as a receipt.
    pub awaits_receipt: bool,
    /// It has spoken of changes that were not here.
    pub is_ahead: bool,
    /// The heads for which it was last told that both are in step.
    pub in_step_at: Option<Heads>,
    /// It has sent `request` or `sync`: it knows that we have the document open.
    pub has_spoken: bool,
    /// Something that it sent is not taken.
    pub is_refused: bool,
    /// It has said `doc-unavailable`, and nothing else since.
    pub lacks: bool,
}

impl PeerDocument {
    /// Whether the peer has something of a document that is empty here. It holds when the session was let go of, too.
    pub fn knows_more(&self) -> bool {
        let heads = self.session.as_ref().and_then(|session| session.peer_heads());
        self.is_ahead || heads.is_some_and(|heads| !heads.is_empty())
    }
}

pub(crate) struct Slot {
    pub content: Content,
    pub peers: BTreeMap<LinkId, PeerDocument>,
    /// Sessions of earlier connections, by the peer's storage.
    pub kept: BTreeMap<StorageId, Bytes>,
    pub waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Links that wanted to pull while the document was not in memory.
    pub pulling: BTreeSet<LinkId>,
    /// Links that wait for an append to be durable.
    pub held: BTreeSet<LinkId>,
    /// This node itself wants the document.
    pub wanted: bool,
    /// Appends and replacements asked for, and how many of them are on disk.
    pub appended: u64,
    pub durable: u64,
    /// Change chunks since the snapshot, their bytes, and those of the snapshot.
    pub chunks: usize,
    pub change_bytes: usize,
    pub snapshot_bytes: usize,
    /// What the document takes in memory, by estimate, or took when it was there last.
    pub weight_bytes: usize,
    pub compacting: bool,
    /// The document broke in memory: it is read again from the store once everything asked of it is durable.
    pub reload: bool,
    /// How often that has happened.
    pub reloads: u32,
    pub used_at: Duration,
}

impl Slot {
    pub fn new(now: Duration) -> Self {
        Self {
            content: Content::Cold,
            peers: BTreeMap::new(),
            kept: BTreeMap::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            pulling: BTreeSet::new(),
            held: BTreeSet::new(),
            wanted: false,
            appended: 0,
            durable: 0,
            chunks: 0,
            change_bytes: 0,
            snapshot_bytes: 0,
            weight_bytes: 0,
            compacting: false,
            reload: false,
            reloads: 0,
            used_at: now,
        }
    }

    /// Whether everything asked of the store is on disk.
    pub fn is_saved(&self) -> bool {
        self.appended == self.durable
    }

    /// Gives the document if it is in memory, even after its store failed.
    pub fn document(&self) -> Option<&Document> {
        match &self.content {
            Content::Ready(document) => Some(document),
            Content::Failed { document, .. } => document.as_deref(),
            Content::Cold | Content::Loading => None,
        }
    }

    /// Starts over with every peer: messages of theirs were lost, or went into a document that was thrown away. Not with
    /// those that send what is not taken, for they would send it again, without end. They begin anew on their next link.
    pub fn restart_sessions(&mut self) {
        let peers = self.peers.values_mut().filter(|peer| !peer.is_refused);
        for session in peers.filter_map(|peer| peer.session.as_mut()) {
            session.restart();
        }
    }

    /// Prepares for letting the content go: changes in it that wait for others are not in the store, and the peers that
    /// sent them would not do so again by themselves.
    pub fn let_go_of_orphans(&mut self) {
        if self.document().is_some_and(|document| document.orphan_bytes() > 0) {
            self.restart_sessions();
        }
    }

    /// Lets an input wait, unless too much waits already. `all` counts what waits in all slots; nobody has to walk them.
    pub fn wait(&mut self, waiting: Waiting, limits: &Limits, all: &mut usize) -> Result<(), Waiting> {
        let bytes = waiting.size_bytes();
        let full = self.waiting.len() >= limits.waiting_inputs_max
            || (!self.waiting.is_empty() && self.waiting_bytes.saturating_add(bytes) > limits.waiting_bytes_max);
        if full {
            return Err(waiting);
        }
        self.waiting_bytes += bytes;
        *all += 1;
        self.waiting.push_back(waiting);
        Ok(())
    }

    /// Lets a message wait before all others, for which there was room a moment ago.
    pub fn wait_first(&mut self, message: SyncMessage, all: &mut usize) {
        let waiting = Waiting::Message(Box::new(message));
        self.waiting_bytes += waiting.size_bytes();
        *all += 1;
        self.waiting.push_front(waiting);
    }

    pub fn next_waiting(&mut self, all: &mut usize) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        *all -= 1;
        self.waiting_bytes -= waiting.size_bytes();
        Some(waiting)
    }

    /// Whether the slot holds nothing that the store could not give back.
    pub fn is_forgettable(&self) -> bool {
        matches!(self.content, Content::Cold)
            && self.peers.is_empty()
            && self.waiting.is_empty()
            && !self.wanted
            && self.is_saved()
    }
}

impl Waiting {
    fn size_bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.bytes.len(),
            Self::Edit(edit) => edit.writes.len() * 64,
            Self::Fetch(_) => 0,
        }
    }
}

/// Gives the session for a peer: the kept one if it fits the document, else a new one. A kept session that names
/// changes which this node does not have (its disk lost them) would make the peers talk past each other.
pub(crate) fn open_session(document: &Document, kept: Option<&Bytes>) -> SyncSession {
    kept.and_then(|bytes| SyncSession::resume(bytes).ok())
        .filter(|session| document.covers(&session.shared_heads()))
        .unwrap_or_default()
}

/// Names a document in a log line or error.
pub(crate) fn short(document: &DocumentId) -> String {
    document.to_string().chars().take(8).collect()
}
