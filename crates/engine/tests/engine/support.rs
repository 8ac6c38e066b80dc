//! An engine with the smallest driver there is: a disk in a map, and time that stands still until told.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use comity_access::Everyone;
use comity_engine::{
    CloseReason, Config, Edit, Effect, Engine, Event, Failure, FailureKind, Input, Loaded, Peer, Ticket, Token,
};
use comity_model::{
    ActKind, ActorId, DeviceTag, DocumentId, Heads, Instant, Limits, LinkId, PeerId, StorageId, Timestamp, Write,
};
use comity_wire::Message;

pub const LINK: LinkId = LinkId(1);

pub fn document(number: u8) -> DocumentId {
    DocumentId::from_bytes([number; 16])
}

pub fn set(key: &str, value: &str) -> Write {
    Write::Set { key: key.parse().unwrap(), value: value.into() }
}

pub struct Node {
    pub engine: Engine,
    pub peer: PeerId,
    pub disk: BTreeMap<DocumentId, Loaded>,
    /// What was asked of the store and not answered.
    pub unanswered: VecDeque<Effect>,
    /// Whether the store answers at once.
    pub stores: bool,
    /// Whether loads are answered at once.
    pub loads: bool,
    pub loading: VecDeque<DocumentId>,
    pub sent: VecDeque<(LinkId, Message)>,
    pub events: Vec<Event>,
    pub closed: Vec<(LinkId, CloseReason)>,
    pub quarantined: usize,
    pub now: Duration,
    tokens: u64,
    answered: usize,
}

impl Node {
    pub fn new(name: &str) -> Self {
        Self::with_limits(name, Limits::default())
    }

    pub fn with_limits(name: &str, limits: Limits) -> Self {
        let peer = PeerId::new(name).unwrap();
        let config = Config {
            peer: peer.clone(),
            actor: ActorId::for_session(DeviceTag([name.as_bytes()[0]; 16]), [0; 8]),
            session: "run".to_owned(),
            policy: [0; 8],
            limits,
            decode: true,
            rulebook: Box::new(Everyone),
        };
        Self {
            engine: Engine::new(config),
            peer,
            disk: BTreeMap::new(),
            unanswered: VecDeque::new(),
            stores: true,
            loads: true,
            loading: VecDeque::new(),
            sent: VecDeque::new(),
            events: Vec::new(),
            closed: Vec::new(),
            quarantined: 0,
            now: Duration::ZERO,
            tokens: 0,
            answered: 0,
        }
    }

    /// Who this node is to another one, which announces to it or not.
    pub fn as_peer(&self, announce: bool) -> Peer {
        let storage = StorageId::new(&format!("{}-storage", self.peer)).unwrap();
        Peer { id: self.peer.clone(), storage: Some(storage), durable: true, announce }
    }

    pub fn handle(&mut self, input: Input) {
        let wall = Timestamp::from_unix_ms(1_000_000 + i64::try_from(self.now.as_millis()).unwrap());
        let effects = self.engine.handle(Instant { monotonic: self.now, wall }, input);
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Append { .. } | Effect::Replace { .. } => {
                self.unanswered.push_back(effect);
                if self.stores {
                    self.store_all();
                }
            }
            Effect::KeepSession { document, storage, session } => {
                let sessions = &mut self.disk.entry(document).or_default().sessions;
                sessions.retain(|(known, _)| *known != storage);
                sessions.push((storage, session));
            }
            Effect::Load { document } => {
                self.loading.push_back(document);
                if self.loads {
                    self.load_all();
                }
            }
            Effect::Send { link, message } => self.sent.push_back((link, message)),
            Effect::Close { link, reason } => self.closed.push((link, reason)),
            Effect::Quarantine { .. } => self.quarantined += 1,
            Effect::Notify(event) => self.events.push(event),
            other => panic!("an effect that the tests do not know: {other:?}"),
        }
    }

    pub fn load_all(&mut self) {
        while let Some(document) = self.loading.pop_front() {
            self.answered += 1;
            let result = Ok(self.disk.get(&document).cloned());
            self.handle(Input::Loaded { document, result });
        }
    }

    /// Makes everything durable that was asked for, and says so.
    pub fn store_all(&mut self) {
        while let Some(effect) = self.unanswered.pop_front() {
            self.answered += 1;
            let ticket = self.write(effect);
            self.handle(Input::Stored { ticket, result: Ok(()) });
        }
    }

    /// Answers everything that was asked for with a failure.
    pub fn fail_all(&mut self, kind: FailureKind) {
        while let Some(effect) = self.unanswered.pop_front() {
            let (Effect::Append { ticket, .. } | Effect::Replace { ticket, .. }) = effect else { unreachable!() };
            let failure = Failure { kind, message: "no".to_owned() };
            self.handle(Input::Stored { ticket, result: Err(failure) });
        }
    }

    fn write(&mut self, effect: Effect) -> Ticket {
        match effect {
            Effect::Append { ticket, document, chunks, .. } => {
                self.disk.entry(document).or_default().changes.extend(chunks);
                ticket
            }
            Effect::Replace { ticket, document, snapshot, .. } => {
                let stored = self.disk.entry(document).or_default();
                stored.changes.clear();
                stored.snapshot = Some(snapshot);
                ticket
            }
            other => panic!("nothing to store: {other:?}"),
        }
    }

    pub fn edit(&mut self, number: u8, writes: &[Write]) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        let edit = Edit { token, document: document(number), kind: ActKind::Edit, base: None, writes: writes.to_vec() };
        self.handle(Input::Edit(edit));
        token
    }

    /// Lets the engine settle, again after what it loaded or stored meanwhile.
    pub fn settle(&mut self) {
        loop {
            let answered = self.answered;
            self.handle(Input::Settle);
            if self.answered == answered {
                return;
            }
        }
    }

    /// Lets time pass and ticks once.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
        self.handle(Input::Tick);
        self.settle();
    }

    pub fn heads(&mut self, number: u8) -> Heads {
        self.handle(Input::Fetch { token: Token(u64::MAX), document: document(number) });
        self.engine.document(&document(number)).map(|content| content.heads().clone()).unwrap_or_default()
    }

    pub fn was_saved(&self, token: Token) -> Option<bool> {
        self.events.iter().find_map(|event| match event {
            Event::Saved { token: saved, result, .. } if *saved == token => Some(result.is_ok()),
            _ => None,
        })
    }

    pub fn receive(&mut self, link: LinkId, message: Message) {
        self.handle(Input::Received { link, message });
    }
}

/// Links a device to a relay, by a link of this number on both sides.
pub fn link(device: &mut Node, relay: &mut Node, number: u64) {
    let (to_relay, to_device) = (relay.as_peer(true), device.as_peer(false));
    device.handle(Input::LinkUp { link: LinkId(number), peer: to_relay });
    relay.handle(Input::LinkUp { link: LinkId(number), peer: to_device });
}

/// Gives a relay and a tablet, linked by link 1, that have document 1 in step.
pub fn two_in_step() -> (Node, Node) {
    let (mut relay, mut tablet) = (Node::new("relay"), Node::new("tablet"));
    link(&mut tablet, &mut relay, 1);
    tablet.edit(1, &[set("M050/status", "dead")]);
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    (relay, tablet)
}

/// Gives a relay, a tablet and a desktop, linked by links 1 and 2, that have document 1 in step.
pub fn three_in_step() -> (Node, Node, Node) {
    let ((mut relay, mut tablet), mut desktop) = (two_in_step(), Node::new("desktop"));
    link(&mut desktop, &mut relay, 2);
    desktop.handle(Input::Want { document: document(1) });
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);
    (relay, tablet, desktop)
}

/// Takes the link down on both sides.
pub fn unlink(device: &mut Node, relay: &mut Node, number: u64) {
    device.handle(Input::LinkDown { link: LinkId(number) });
    relay.handle(Input::LinkDown { link: LinkId(number) });
    device.sent.retain(|(link, _)| *link != LinkId(number));
    relay.sent.retain(|(link, _)| *link != LinkId(number));
}

/// Carries messages until nobody has anything to say. Panics when that does not end.
pub fn exchange(relay: &mut Node, devices: &mut [(u64, &mut Node)]) {
    for _ in 0..200 {
        relay.settle();
        let mut quiet = relay.sent.is_empty();
        while let Some((link, message)) = relay.sent.pop_front() {
            relay.handle(Input::Written { link, messages: 1, bytes: message.data().map_or(0, bytes::Bytes::len) });
            for (number, device) in devices.iter_mut() {
                if LinkId(*number) == link {
                    device.receive(link, message.clone());
                }
            }
        }
        for (number, device) in devices.iter_mut() {
            device.settle();
            quiet &= device.sent.is_empty();
            while let Some((link, message)) = device.sent.pop_front() {
                device.handle(Input::Written { link, messages: 1, bytes: message.data().map_or(0, bytes::Bytes::len) });
                if link == LinkId(*number) {
                    relay.receive(link, message);
                }
            }
        }
        if quiet {
            return;
        }
    }
    panic!("the peers talk for ever");
}
