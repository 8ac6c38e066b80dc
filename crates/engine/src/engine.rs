//! The engine: one value, one entry point.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use comity_access::Rulebook;
use comity_crdt::{Document, SyncSession};
use comity_model::{ActorId, ChangeHash, DocumentId, Heads, HybridClock, Instant, Limits, LinkId, PeerId};

use crate::arrived::Arrived;
use crate::ephemeral::Ephemerals;
use crate::fair::FairTable;
use crate::in_flight::InFlight;
use crate::in_memory::InMemory;
use crate::link::Link;
use crate::slot::{Content, Slot, Waiting, open_session};
use crate::{Answer, Effect, Event, Input, Origin, Peer, PeerStanding, Standing, Ticket, Token};

/// What an engine is told once.
pub struct Config {
    /// What this node calls itself on the wire.
    pub peer: PeerId,
    /// Who writes local edits. Must never have been used by another run whose end is not known to be on disk.
    pub actor: ActorId,
    /// Names this run in ephemeral messages.
    pub session: String,
    /// The policy in force, as it is noted in each change.
    pub policy: [u8; 8],
    /// Every bound.
    pub limits: Limits,
    /// Whether [`Event::Changed`] carries decoded changes. Costs time for each change; a relay has no use for them.
    pub decode: bool,
    /// Who may read and write what.
    pub rulebook: Box<dyn Rulebook>,
}

/// Documents and links, without IO.
///
/// # How to drive it
/// Call [`handle`](Self::handle) with everything that happens, on one thread, and carry out the effects of each call
/// in order before the next call's. After all inputs that have arrived so far were handed over, call it with
/// [`Input::Settle`]: only then are changes of peers applied and sync messages made, so that a burst of changes is taken
/// in at once and answered once. `now` never goes back in its monotonic part.
/// Each [`Effect::Append`] and [`Effect::Replace`] is answered by one [`Input::Stored`],
/// each [`Effect::Load`] by one [`Input::Loaded`], each [`Effect::Send`] is covered by [`Input::Written`] or by
/// [`Input::LinkDown`], which also follows each [`Effect::Close`] once nothing more is queued for the link. Appends of one
/// document must reach the disk in the order given, and before a later load of it.
///
/// A load gives what was appended before; an append that fails makes its document read-only: until there is room, when the
/// disk was full (it is tried again every few seconds), and for good after any other failure, or when the document had
/// [lost something](Event::Incomplete) before.
///
/// Reading goes through the getters: [`document`](Self::document) after an [`Event::Fetched`].
///
/// Same inputs, same effects: there is no other source of behaviour.
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) clock: HybridClock,
    pub(crate) links: BTreeMap<LinkId, Link>,
    pub(crate) slots: BTreeMap<DocumentId, Slot>,
    /// Inputs that wait for documents to load, over all slots.
    pub(crate) waiting: usize,
    /// Changes that have come since the last settling.
    pub(crate) arrived: Arrived,
    /// Links that may have something to be sent.
    pub(crate) busy: BTreeSet<LinkId>,
    /// What all links have on their way, and who waits for that to become less.
    pub(crate) in_flight: InFlight,
    /// Links that wait for a place among the loads.
    pub(crate) starved: BTreeSet<LinkId>,
    pub(crate) loads: usize,
    /// Documents that wait for a place among the loads.
    pub(crate) load_queue: VecDeque<DocumentId>,
    /// Documents in memory that can be changed.
    pub(crate) in_memory: InMemory,
    pub(crate) tickets: BTreeMap<Ticket, Stored>,
    pub(crate) next_ticket: u64,
    pub(crate) ephemerals: Ephemerals,
    /// Who has asked for documents that are not here.
    pub(crate) asked: FairTable<(DocumentId, LinkId), ()>,
    /// Documents in memory whose disk was full, documents that could not be read when a link had news of them, and when
    /// both are tried again.
    pub(crate) rescues: BTreeSet<DocumentId>,
    pub(crate) unread: BTreeSet<DocumentId>,
    pub(crate) rescue_at: Duration,
    /// Documents for which changes that had waited were forgotten: on the next tick, their peers are asked anew.
    pub(crate) forgetful: BTreeSet<DocumentId>,
    /// Documents whose standing may have changed since it was last told.
    pub(crate) restand: BTreeSet<DocumentId>,
    pub(crate) effects: Vec<Effect>,
}

/// What an outstanding ticket is for.
pub(crate) struct Stored {
    pub document: DocumentId,
    /// The document is durable up to this append once the ticket is answered.
    pub up_to: u64,
    /// Edits that are saved with it.
    pub tokens: Vec<Token>,
    pub is_replacement: bool,
    /// A replacement that makes good for appends that failed.
    pub is_rescue: bool,
}

impl Engine {
    /// Makes an engine that knows nothing.
    pub fn new(config: Config) -> Self {
        Self {
            ephemerals: Ephemerals::new(config.limits.ephemeral_sessions_max),
            asked: FairTable::new(config.limits.asked_max),
            config,
            clock: HybridClock::default(),
            links: BTreeMap::new(),
            slots: BTreeMap::new(),
            waiting: 0,
            arrived: Arrived::default(),
            busy: BTreeSet::new(),
            in_flight: InFlight::default(),
            starved: BTreeSet::new(),
            loads: 0,
            load_queue: VecDeque::new(),
            in_memory: InMemory::default(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
            rescues: BTreeSet::new(),
            unread: BTreeSet::new(),
            rescue_at: Duration::ZERO,
            forgetful: BTreeSet::new(),
            restand: BTreeSet::new(),
            effects: Vec::new(),
        }
    }

    /// Takes note of something that happened and says what is to be done.
    pub fn handle(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        // What came before comes first.
        if !matches!(input, Input::Received { .. } | Input::Written { .. }) {
            self.apply_arrived(now);
        }
        match input {
            Input::LinkUp { link, peer } => self.link_up(now, link, peer),
            Input::LinkDown { link } => {
                self.forget_link(link);
                self.in_flight.ended(link, &self.config.limits, now.monotonic);
            }
            Input::Received { link, message } => self.received(now, link, message),
            Input::Written { link, messages, bytes } => self.written(now, link, messages, bytes),
            Input::Edit(edit) => self.edit(now, edit),
            Input::Want { document } => self.want(now, document),
            Input::Fetch { token, document } => self.fetch(now, token, document),
            Input::Broadcast { document, data } => self.broadcast(document, data),
            Input::Stored { ticket, result } => self.stored(ticket, result),
            Input::Loaded { document, result } => self.loaded(now, document, result),
            Input::Tick => self.tick(now),
            Input::Settle => self.settle(now),
            Input::Stop => self.stop(),
        }
        std::mem::take(&mut self.effects)
    }

    /// Gives a document that is in memory.
    pub fn document(&self, document: &DocumentId) -> Option<&Document> {
        self.slots.get(document)?.document()
    }

    /// Gives how a document stands, if it is in memory.
    pub fn standing(&self, document: &DocumentId) -> Option<Standing> {
        let slot = self.slots.get(document)?;
        let content = slot.document()?;
        let behind = |heads: &Heads| content.written_since(heads);
        let mut peers = Vec::new();
        for (link, peer) in &slot.peers {
            let storage = self.links.get(link).and_then(|link| link.peer.storage.clone());
            // Before the session is opened, what an earlier one kept still holds.
            let kept = storage.as_ref().and_then(|storage| slot.kept.get(storage));
            let shared = match (&peer.session, kept) {
                (Some(session), _) => session.shared_heads(),
                (None, kept) => open_session(content, kept).shared_heads(),
            };
            let answer = match peer.session.as_ref().and_then(|session| session.peer_heads()) {
                _ if peer.lacks => Answer::Unavailable,
                None => Answer::None,
                Some(heads) if heads == content.heads() => Answer::InStep,
                Some(_) => Answer::Differs,
            };
            peers.push(PeerStanding { link: Some(*link), storage, behind: behind(&shared), answer });
        }
        for (storage, bytes) in &slot.kept {
            let is_connected = peers.iter().any(|peer| peer.storage.as_ref() == Some(storage));
            let Ok(session) = SyncSession::resume(bytes) else { continue };
            if !is_connected {
                let behind = behind(&session.shared_heads());
                peers.push(PeerStanding { link: None, storage: Some(storage.clone()), behind, answer: Answer::None });
            }
        }
        Some(Standing {
            heads: content.heads().clone(),
            changes: content.written_count(),
            unsaved: !slot.is_saved(),
            peers,
        })
    }

    fn link_up(&mut self, now: Instant, link: LinkId, peer: Peer) {
        let mut state = Link::new(peer, &self.config.limits, now.monotonic);
        if state.peer.announce {
            for (document, slot) in self.slots.iter_mut().filter(|(_, slot)| slot.wanted) {
                slot.peers.entry(link).or_default();
                state.open.touch(*document);
                state.news.insert(*document);
            }
        }
        self.links.insert(link, state);
        self.busy.insert(link);
    }

    /// Forgets a link, except for what is still on its way to it.
    pub(crate) fn forget_link(&mut self, link: LinkId) {
        let Some(state) = self.links.remove(&link) else { return };
        self.busy.remove(&link);
        self.in_flight.closed(link, state.in_flight_bytes());
        self.starved.remove(&link);
        self.ephemerals.forget_link(link);
        self.asked.forget_link(link);
        for document in state.open.iter() {
            self.keep_session(&document, link, state.peer.storage.as_ref());
            let Some(slot) = self.slots.get_mut(&document) else { continue };
            slot.peers.remove(&link);
            slot.held.remove(&link);
            slot.pulling.remove(&link);
            if slot.is_forgettable() {
                self.slots.remove(&document);
            }
        }
    }

    /// Writes down what a peer is known to have, when that has changed.
    pub(crate) fn keep_session(
        &mut self,
        document: &DocumentId,
        link: LinkId,
        storage: Option<&comity_model::StorageId>,
    ) {
        let (Some(slot), Some(storage)) = (self.slots.get_mut(document), storage) else { return };
        let Some(session) = slot.peers.get(&link).and_then(|peer| peer.session.as_ref()) else { return };
        if session.shared_heads().is_empty() {
            return;
        }
        let bytes = session.encode();
        let has_place =
            slot.kept.contains_key(storage) || slot.kept.len() < self.config.limits.sessions_per_document_max;
        if has_place && slot.kept.get(storage) != Some(&bytes) {
            slot.kept.insert(storage.clone(), bytes.clone());
            self.effects.push(Effect::KeepSession { document: *document, storage: storage.clone(), session: bytes });
        }
    }

    pub(crate) fn want(&mut self, now: Instant, document: DocumentId) {
        let slot = self.slots.entry(document).or_insert_with(|| Slot::new(now.monotonic));
        if slot.wanted {
            return;
        }
        slot.wanted = true;
        for (link, state) in self.links.iter_mut().filter(|(_, state)| state.peer.announce) {
            slot.peers.entry(*link).or_default();
            state.open.touch(document);
            state.news.insert(document);
            self.busy.insert(*link);
        }
    }

    fn fetch(&mut self, now: Instant, token: Token, document: DocumentId) {
        self.touch(now, document);
        let limits = &self.config.limits;
        let Some(slot) = self.slots.get_mut(&document) else { return };
        match &slot.content {
            Content::Ready(_) | Content::Failed { document: Some(_), .. } => {
                self.notify(Event::Fetched { token, document, result: Ok(()) });
            }
            Content::Failed { document: None, failure } => {
                let result = Err(failure.clone());
                self.notify(Event::Fetched { token, document, result });
            }
            Content::Cold | Content::Loading => {
                if slot.wait(Waiting::Fetch(token), limits, &mut self.waiting).is_ok() {
                    self.start_load(document);
                } else {
                    let result = Err(crate::storing::too_busy(&document, limits));
                    self.notify(Event::Fetched { token, document, result });
                }
            }
        }
    }

    /// Marks a document as used now, making its slot if there is none.
    pub(crate) fn touch(&mut self, now: Instant, document: DocumentId) {
        let slot = self.slots.entry(document).or_insert_with(|| Slot::new(now.monotonic));
        slot.used_at = now.monotonic;
        self.in_memory.touch(&document, now.monotonic);
    }

    /// Marks a document as having news for every peer that has it open, save one.
    pub(crate) fn spread(&mut self, document: DocumentId, except: Option<LinkId>) {
        let Some(slot) = self.slots.get(&document) else { return };
        for link in slot.peers.keys().filter(|link| Some(**link) != except) {
            if let Some(state) = self.links.get_mut(link) {
                state.news.insert(document);
                self.busy.insert(*link);
            }
        }
    }

    /// Opens the sync session of a peer, if it is not open.
    pub(crate) fn ensure_session(slot: &mut Slot, link: LinkId, storage: Option<&comity_model::StorageId>) {
        let Content::Ready(document) = &slot.content else { return };
        let peer = slot.peers.entry(link).or_default();
        if peer.session.is_none() {
            let kept = storage.and_then(|storage| slot.kept.get(storage));
            peer.session = Some(Box::new(open_session(document, kept)));
        }
    }

    /// Tells listeners that a document changed.
    pub(crate) fn announce_change(
        &mut self,
        now: Instant,
        document: DocumentId,
        origin: Origin,
        before: Heads,
        new: &[ChangeHash],
    ) {
        let Some(content) = self.slots.get(&document).and_then(Slot::document) else { return };
        let changes = if self.config.decode { content.decode_changes(new) } else { Vec::new() };
        for act in changes.iter().filter_map(|change| change.act) {
            self.clock.observe(act.time, now.wall);
        }
        let after = content.heads().clone();
        self.notify(Event::Changed { document, origin, before, after, changes: Arc::from(changes) });
        // A relay has no use for the standing of what it only passes on, and it costs a look at every peer.
        if self.slots.get(&document).is_some_and(|slot| slot.wanted) {
            self.restand.insert(document);
        }
    }

    pub(crate) fn notify(&mut self, event: Event) {
        self.effects.push(Effect::Notify(event));
    }
}
