//! One honest engine against a peer that says anything at all.

use std::time::Duration;

use bytes::Bytes;
use comity_crdt::{Document, SyncSession, admit};
use comity_engine::{CloseReason, Established, Handshake, Input, LocalPeer};
use comity_model::{
    Act, ActKind, ActorId, DeviceTag, DocumentId, HybridTime, Limits, LinkId, PeerId, StorageId, Write,
};
use comity_wire::Message;

use crate::choices::Choices;
use crate::frame::{chunk, message};
use crate::node::Node;

/// Frames taken of one input; what comes after says nothing more.
const FRAMES_MAX: usize = 100;
/// Rounds of talk after which two honest nodes must be in step.
const ROUNDS_MAX: usize = 200;
/// The stranger's documents: knowing an id is the key to a document, and these ids it knows.
const SHARED: [DocumentId; 2] = [DocumentId::from_bytes([1; 16]), DocumentId::from_bytes([2; 16])];
/// The one whose id the stranger does not know.
const PRIVATE: DocumentId = DocumentId::from_bytes([0xa7; 16]);
/// The honest peer's link; the stranger's come after it.
const HONEST: LinkId = LinkId(1);

/// Splits the bytes into frames that a stranger sends to a relay: raw ones, sync messages, chunks with repaired
/// checksums, good messages with a changed byte, its own words replayed; under any name, over as many connections as
/// it likes, whether it reads what it gets or not. Asserts that the relay's engine does not panic and stays within its
/// limits throughout; that afterwards everything on its disk can be read; and that an honest peer, linked all the
/// while, is served in its own document.
pub fn run(data: &[u8]) {
    let mut scene = Scene::new();
    let mut choices = Choices::new(data);
    for _ in 0..FRAMES_MAX {
        if choices.is_empty() {
            break;
        }
        scene.frame(&mut choices);
    }
    scene.judge();
}

struct Scene {
    relay: Node,
    honest: Node,
    honest_link: LinkId,
    stranger: Stranger,
    next_link: u64,
}

/// Who the stranger is, and what it can use for something that is nearly right.
struct Stranger {
    link: Option<LinkId>,
    id: PeerId,
    heard: Vec<Message>,
    document: Document,
    session: SyncSession,
    sequence: u8,
}

impl Scene {
    fn new() -> Self {
        let limits = limits();
        let stranger = Stranger {
            link: None,
            id: PeerId::new("mallory").expect("a short name"),
            heard: Vec::new(),
            document: Document::new(),
            session: SyncSession::new(),
            sequence: 0,
        };
        let (relay, honest) = (Node::new("relay", &limits), Node::new("tablet", &limits));
        let mut scene = Self { relay, honest, honest_link: HONEST, stranger, next_link: HONEST.0 };
        scene.link_honest();
        for (number, document) in [SHARED[0], PRIVATE].into_iter().enumerate() {
            scene.honest.edit(document, vec![set(number)]);
        }
        scene.talk();
        scene.introduce("mallory", 0);
        scene
    }

    fn frame(&mut self, choices: &mut Choices<'_>) {
        let kind = choices.byte();
        let document = SHARED[usize::from(kind >> 4 & 1)];
        let request = kind >> 5 & 1 == 1;
        match kind % 16 {
            0 => self.raw(Bytes::copy_from_slice(choices.bytes())),
            1 | 2 => self.sync(document, request, choices.bytes().to_vec()),
            3 => self.sync(document, request, message(&[chunk(kind >> 6, choices.bytes())])),
            4 | 5 => self.nearly_right(document, request, choices),
            6 => self.replay(choices),
            7 => self.write_changes(choices),
            8 => {
                let (session, count) = (format!("run {}", choices.below(6)), u64::from(choices.byte()));
                let data = Bytes::copy_from_slice(choices.bytes());
                let (sender, target) = (self.stranger.id.clone(), self.relay.id.clone());
                self.say(Message::Ephemeral { sender, target, document, session, count, data });
            }
            9 => self.listen(1 + choices.below(8)),
            10 => self.relay.handle(Input::Settle),
            11 => _ = self.relay.store_one(false),
            12 => _ = self.relay.load_one(choices.byte() == 0xff),
            13 => self.relay.wait(Duration::from_millis(100 * u64::from(choices.byte()))),
            14 => self.handshake(choices),
            _ => match choices.below(3) {
                0 => self.talk(),
                1 => self.honest.edit(document, vec![set(choices.below(4))]),
                _ => self.introduce(["mallory", "tablet", "mallory's other self"][choices.below(3)], choices.below(3)),
            },
        }
        self.hang_up();
    }

    /// Sends a frame as it is. A frame that is none, or that takes leave, ends the connection, as in the real driver.
    fn raw(&mut self, frame: Bytes) {
        match Message::decode(&frame, &limits()) {
            Ok(Message::Leave { .. }) | Err(_) => self.leave(),
            Ok(message) => self.say(message),
        }
    }

    fn say(&mut self, message: Message) {
        if let Some(link) = self.stranger.link {
            self.relay.handle(Input::Received { link, message });
        }
    }

    fn sync(&mut self, document: DocumentId, request: bool, data: Vec<u8>) {
        let (sender, target, data) = (self.stranger.id.clone(), self.relay.id.clone(), Bytes::from(data));
        self.say(if request {
            Message::Request { sender, target, document, data }
        } else {
            Message::Sync { sender, target, document, data }
        });
    }

    /// Sends the message that an honest peer would send now, with some bytes changed or none.
    fn nearly_right(&mut self, document: DocumentId, request: bool, choices: &mut Choices<'_>) {
        let Stranger { document: own, session, .. } = &mut self.stranger;
        let Some(good) = own.generate(session) else { return session.restart() };
        let mut bytes = good.to_vec();
        for _ in 0..choices.below(4) {
            let at = choices.number() % bytes.len();
            bytes[at] = choices.byte();
        }
        self.sync(document, request, bytes);
    }

    /// Sends back what the relay said, as if it were the stranger's, with a byte changed or not.
    fn replay(&mut self, choices: &mut Choices<'_>) {
        if self.stranger.heard.is_empty() {
            return;
        }
        let heard = &self.stranger.heard[choices.below(self.stranger.heard.len())];
        let (Some(document), Some(data)) = (heard.document(), heard.data()) else { return };
        let mut bytes = data.to_vec();
        let at = choices.number();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = choices.byte();
        }
        self.sync(document, false, bytes);
    }

    /// Lets the stranger edit its own copy.
    fn write_changes(&mut self, choices: &mut Choices<'_>) {
        let stranger = &mut self.stranger;
        let actor = ActorId::for_session(DeviceTag([9; 16]), [choices.byte() % 2; 8]);
        let act = Act { time: HybridTime::default(), policy: [0; 8], kind: ActKind::Edit };
        stranger.sequence = stranger.sequence.wrapping_add(1);
        let writes = [set(choices.below(4)), set(usize::from(stranger.sequence))];
        // What cannot be written any more is not.
        let _ = stranger.document.edit(&actor, act, None, &writes, &limits());
    }

    /// Reads what the relay has to say, and learns from it.
    fn listen(&mut self, count: usize) {
        for _ in 0..count {
            let Some(message) = self.stranger.link.and_then(|link| self.relay.write(link)) else { return };
            if let Some(data) = message.data()
                && let Ok(admitted) = admit(data, &limits())
            {
                let Stranger { document, session, .. } = &mut self.stranger;
                let _ = document.receive(session, admitted, &limits());
                if document.is_broken() {
                    *document = Document::new();
                    *session = SyncSession::new();
                }
            }
            self.stranger.heard.push(message);
        }
    }

    /// Connects again and lets the bytes speak from the first frame on.
    fn handshake(&mut self, choices: &mut Choices<'_>) {
        self.leave();
        let storage = StorageId::new("storage of relay").expect("a short name");
        let handshake = Handshake::accept(LocalPeer { id: self.relay.id.clone(), storage });
        let frame = Bytes::copy_from_slice(choices.bytes());
        let Ok(message) = Message::decode(&frame, &limits()) else { return };
        match handshake.receive(message) {
            Ok(Established { peer, .. }) => {
                self.next_link += 1;
                self.stranger.link = Some(LinkId(self.next_link));
                self.stranger.id = peer.id.clone();
                self.relay.link_up(LinkId(self.next_link), peer);
            }
            Err(error) => assert!(!handshake.refusal(&error).encode().is_empty()),
        }
    }

    /// Connects again under a name and with a storage, perhaps another's.
    fn introduce(&mut self, name: &str, storage: usize) {
        self.leave();
        self.next_link += 1;
        let mut peer = self.honest.as_peer(false);
        peer.id = PeerId::new(name).expect("a short name");
        if storage != 1 {
            peer.storage = (storage == 2).then(|| StorageId::new("mine").expect("a short name"));
        }
        self.stranger.link = Some(LinkId(self.next_link));
        self.stranger.id = peer.id.clone();
        self.relay.link_up(LinkId(self.next_link), peer);
    }

    fn leave(&mut self) {
        if let Some(link) = self.stranger.link.take() {
            self.relay.link_down(link);
        }
    }

    /// Takes down what was closed. The honest peer comes back; the stranger is given a new connection too.
    fn hang_up(&mut self) {
        for (link, reason) in std::mem::take(&mut self.relay.closed) {
            if Some(link) == self.stranger.link {
                self.stranger.link = None;
                self.introduce("mallory", 0);
            } else if link == self.honest_link {
                self.check_honest(&reason);
            }
        }
        for (_, reason) in std::mem::take(&mut self.honest.closed) {
            self.check_honest(&reason);
        }
    }

    /// What the stranger does in a document that it shares may cost the honest peer its connection, once two devices
    /// wrote under one name; it never makes the honest peer look like a liar in general.
    fn check_honest(&mut self, reason: &CloseReason) {
        let allowed = match reason {
            CloseReason::RefusedBytes { document, .. } => *document != PRIVATE,
            CloseReason::TooMany { .. } | CloseReason::Store { .. } => true,
            _ => false,
        };
        assert!(allowed, "between honest peers: {reason}");
        self.link_honest();
    }

    fn link_honest(&mut self) {
        self.relay.link_down(self.honest_link);
        self.honest.link_down(self.honest_link);
        self.next_link += 1;
        self.honest_link = LinkId(self.next_link);
        let (to_relay, to_honest) = (self.relay.as_peer(true), self.honest.as_peer(false));
        self.honest.link_up(self.honest_link, to_relay);
        self.relay.link_up(self.honest_link, to_honest);
    }

    /// Lets relay and honest peer talk until they have nothing to say, or for long enough.
    fn talk(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut busy = false;
            for node in [&mut self.relay, &mut self.honest] {
                node.handle(Input::Settle);
                busy |= node.answer_all();
                node.handle(Input::Settle);
            }
            let link = self.honest_link;
            while let Some(message) = self.honest.write(link) {
                busy = true;
                self.relay.handle(Input::Received { link, message });
                self.hang_up();
            }
            while let Some(message) = self.relay.write(link) {
                busy = true;
                self.honest.handle(Input::Received { link, message });
                self.hang_up();
            }
            if !busy {
                return;
            }
        }
    }

    fn judge(&mut self) {
        // The stranger stays and does not read.
        self.honest.edit(PRIVATE, vec![set(7)]);
        self.talk();
        let heads = self.honest.read(PRIVATE).heads().clone();
        assert_eq!(*self.relay.read(PRIVATE).heads(), heads, "the honest peer is served");
        assert_eq!(self.honest.saved.iter().filter(|(document, _)| *document == PRIVATE).count(), 2);
        let standing = self.honest.engine.standing(&PRIVATE).expect("it was just read");
        assert!(standing.peers.iter().filter(|peer| peer.link.is_some()).all(|peer| peer.behind == 0));
        for document in SHARED {
            self.relay.on_disk(&document).expect("what the relay took can be read again");
        }
    }
}

fn set(number: usize) -> Write {
    Write::Set { key: format!("M{number}/status").parse().expect("a short name"), value: "dead".into() }
}

/// Bounds so small that they are met.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.inflated_bytes_max = 1 << 20;
    limits.change_operations_max = 2_000;
    limits.message_operations_max = 4_000;
    limits.bloom_entries_max = 1_000;
    limits.orphan_bytes_max = 2_000;
    limits.documents_per_link_max = 3;
    limits.link_queue_messages_max = 8;
    limits.documents_loaded_max = 2;
    limits.loads_max = 1;
    limits.waiting_inputs_max = 4;
    limits.sessions_per_document_max = 2;
    limits.ephemeral_sessions_max = 4;
    limits.ephemeral_burst = 4;
    limits.compaction_bytes_min = 2_000;
    limits.evidence_bytes_max = 100;
    limits.idle_after = Duration::from_secs(2);
    limits
}
