//! The whole document, for many peers at once.
//!
//! Automerge sends the whole document to a peer that lacks more than a third of it, and writes it anew for each. When many
//! devices that were offline come back, each with changes of its own, each stands at another point, and so no message made
//! for one fits another: the parts that differ are what we say we *have*, since with each we share something else.
//!
//! So the first few get what Automerge makes for them. If there are more at the same heads, then all others share one
//! message: to them we say we have what we would say to a stranger, a Bloom filter of everything. It is the message that
//! Automerge itself would make for a peer with which nothing is shared, and right for everybody: who has more than we sends
//! what is not in the filter. It costs the peer a look at all of its changes in place of the latest, once.
//!
//! What is stored is not sent as it stands, even when it is the whole document: it may be as some peer has written it, and
//! it is not known which Automerge can read that. What our own has written, every other reads.

use std::collections::{BTreeSet, HashMap};

use automerge::sync::{BloomFilter, Capability, ChunkList, Have, Message, MessageFlags, MessageVersion, State};
use automerge::{Automerge, ChangeHash};
use bytes::Bytes;

use crate::Document;
use crate::chunk::{self, ChunkKind};

/// Peers that are sent the whole document as Automerge writes it, before others share one message.
const WRITTEN_FOR_EACH: usize = 4;

/// Whole documents sent at the present heads.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    made: usize,
    shared: Option<Shared>,
}

/// What all share who lack most of the document.
#[derive(Debug)]
struct Shared {
    bytes: Bytes,
    graph: Graph,
    hashes: BTreeSet<ChangeHash>,
    heads: Vec<ChangeHash>,
}

impl Document {
    /// Gives the message with the whole document, if there is one to share and Automerge would send the whole to this peer.
    pub(crate) fn join_crowd(&self, state: &mut State) -> Option<Bytes> {
        // Who has spoken of a change for which others wait is asked for it, each for its own.
        let shared = self.payloads.crowd.shared.as_ref().filter(|_| self.waiting.is_empty() && is_plain(state))?;
        let heads = state.their_heads.as_deref()?;
        (heads.is_empty() || shared.graph.is_mostly_above(heads)).then(|| shared.send(state))
    }

    /// Takes note of a message that Automerge has made. If it is one more with the whole document, others will share it.
    pub(crate) fn note_whole(&mut self, message: &Message) {
        let Some(Ok(chunks)) = message.changes.iter().next().map(chunk::split) else { return };
        let Some(whole) = chunks.first().filter(|chunk| chunk.kind == ChunkKind::Document) else { return };
        self.payloads.crowd.made += 1;
        if self.payloads.crowd.made >= WRITTEN_FOR_EACH && self.payloads.crowd.shared.is_none() {
            self.payloads.crowd.shared = self.quietly("share", |inner| Some(Shared::new(inner, whole.bytes)));
        }
    }
}

/// Whether nothing about a peer is out of the ordinary. In any other case Automerge is asked.
fn is_plain(state: &State) -> bool {
    let is_plain = !state.read_only && !state.peer_read_only && !state.needs_reset && state.sent_hashes.is_empty();
    let has_spoken = state.their_have.is_some() && state.their_need.is_some();
    is_plain && has_spoken && state.their_capabilities.as_ref().is_some_and(|can| can.contains(&Capability::MessageV2))
}

impl Shared {
    fn new(document: &Automerge, whole: &[u8]) -> Self {
        let graph = Graph::new(document);
        let hashes: BTreeSet<_> = graph.hashes.iter().copied().collect();
        let bloom = BloomFilter::from_hashes(hashes.iter());
        let heads = document.get_heads();
        let mut flags = MessageFlags::new();
        flags.set(MessageFlags::SUPPORTS_SYNC_RESET);
        let message = Message {
            heads: heads.clone(),
            need: Vec::new(),
            have: vec![Have { last_sync: Vec::new(), bloom }],
            changes: ChunkList::from(whole.to_vec()),
            flags: Some(flags),
            version: MessageVersion::V2,
        };
        Self { bytes: message.encode().into(), graph, hashes, heads }
    }

    /// Takes note that the message is sent to a peer, as Automerge does.
    fn send(&self, state: &mut State) -> Bytes {
        state.have_responded = true;
        state.in_flight = true;
        state.last_sent_heads.clone_from(&self.heads);
        state.sent_hashes.clone_from(&self.hashes);
        self.bytes.clone()
    }
}

/// Which change depends on which.
#[derive(Debug)]
struct Graph {
    /// Each after what it depends on.
    hashes: Vec<ChangeHash>,
    places: HashMap<ChangeHash, usize>,
    deps: Vec<Vec<usize>>,
}

impl Graph {
    fn new(document: &Automerge) -> Self {
        let changes = document.get_changes_meta(&[]);
        let hashes: Vec<ChangeHash> = changes.iter().map(|change| change.hash).collect();
        let places: HashMap<_, _> = hashes.iter().enumerate().map(|(place, hash)| (*hash, place)).collect();
        let deps =
            changes.iter().map(|change| change.deps.iter().filter_map(|hash| places.get(hash).copied()).collect());
        Self { deps: deps.collect(), hashes, places }
    }

    /// Whether somebody with these heads lacks more than a third, as Automerge judges it; false when one of them is not here.
    fn is_mostly_above(&self, heads: &[ChangeHash]) -> bool {
        let total = self.hashes.len();
        self.count_up_to(heads).is_some_and(|known| total - known > total / 3)
    }

    /// Counts the changes that somebody with these heads has; `None` when one of them is not here.
    fn count_up_to(&self, heads: &[ChangeHash]) -> Option<usize> {
        let mut seen = vec![false; self.hashes.len()];
        let mut count = 0;
        let mut stack = heads.iter().map(|hash| self.places.get(hash).copied()).collect::<Option<Vec<_>>>()?;
        while let Some(place) = stack.pop() {
            if !std::mem::replace(&mut seen[place], true) {
                count += 1;
                stack.extend(&self.deps[place]);
            }
        }
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use automerge::sync::{State, SyncDoc};
    use comity_model::{Act, ActKind, ActorId, DeviceTag, HybridTime, Limits, Write};
    use proptest::prelude::*;

    use super::*;
    use crate::{Document, SyncSession, admit};

    /// Makes a change, and gives its chunk.
    fn edit(document: &mut Document, device: usize, number: usize) -> Vec<Bytes> {
        let actor = ActorId::for_session(DeviceTag([u8::try_from(device).unwrap(); 16]), [0; 8]);
        let act = Act { time: HybridTime::default(), policy: [0; 8], kind: ActKind::Edit };
        let key = format!("M{device:03}/status").parse().unwrap();
        let write = Write::Set { key, value: i64::try_from(number).unwrap().into() };
        document.edit(&actor, act, None, &[write], &Limits::default()).unwrap().chunks
    }

    /// A device as anybody may write it: Automerge alone.
    #[derive(Clone, Default)]
    struct Device {
        plain: Automerge,
        state: State,
    }

    impl Device {
        fn take(&mut self, chunks: &[Bytes]) {
            for chunk in chunks {
                self.plain.load_incremental(chunk).unwrap();
            }
        }
    }

    /// Carries one message each way, if there is one. Gives the bytes of ours, and whether there was any.
    fn turn(relay: &mut Document, session: &mut SyncSession, device: &mut Device) -> (Option<Bytes>, bool) {
        let ours = relay.generate(session);
        if let Some(bytes) = &ours {
            let message = Message::decode(bytes).unwrap();
            device.plain.receive_sync_message(&mut device.state, message).unwrap();
        }
        let theirs = device.plain.generate_sync_message(&mut device.state);
        let spoke = ours.is_some() || theirs.is_some();
        if let Some(message) = theirs {
            let limits = Limits::default();
            relay.receive(session, admit(&message.encode(), &limits).unwrap(), &limits).unwrap();
        }
        (ours, spoke)
    }

    /// Devices that were in step with a relay, have written offline, and come back all at once: in the order in which they
    /// speak. Gives how many different messages with most of the document there were for how many devices.
    fn reunion(early: usize, edits: &[usize], late: &[bool]) -> (usize, usize) {
        let (mut relay, limits) = (Document::new(), Limits::default());
        (0..early).for_each(|number| drop(edit(&mut relay, 200, number)));
        let snapshot = relay.save().unwrap_or_default();
        let mut devices = Vec::new();
        for (number, count) in edits.iter().enumerate() {
            let mut own = Document::load((early > 0).then_some(&*snapshot), [b""; 0]).unwrap();
            let mut device = Device { plain: Automerge::load(&snapshot).unwrap_or_default(), ..Device::default() };
            let mut session = SyncSession::new();
            while turn(&mut relay, &mut session, &mut device).1 {}
            for edited in 0..*count {
                let chunks = edit(&mut own, number, edited);
                device.take(&chunks);
            }
            devices.push((own, device, session));
        }
        for (_, device, session) in &mut devices {
            if let Some(message) = device.plain.generate_sync_message(&mut device.state) {
                relay.receive(session, admit(&message.encode(), &limits).unwrap(), &limits).unwrap();
            }
        }
        let mut whole: Vec<Bytes> = Vec::new();
        for (number, (own, device, session)) in devices.iter_mut().enumerate() {
            if late.get(number).copied().unwrap_or_default() {
                // While it is sent the others' changes, it writes another.
                device.take(&edit(own, number, 77));
            }
            let bytes = relay.generate(session);
            if let Some(bytes) = bytes {
                let message = Message::decode(&bytes).unwrap();
                let kind = |chunk: &[u8]| chunk::split(chunk).unwrap()[0].kind;
                if message.changes.iter().any(|chunk| kind(chunk) == ChunkKind::Document) {
                    whole.push(bytes.clone());
                }
                device.plain.receive_sync_message(&mut device.state, message).unwrap();
            }
        }
        for _ in 0..100 {
            let mut any = false;
            for (_, device, session) in &mut devices {
                any |= turn(&mut relay, session, device).1;
            }
            if !any {
                break;
            }
        }
        for (number, (_, device, _)) in devices.iter().enumerate() {
            assert_eq!(device.plain.get_heads(), relay.inner.get_heads(), "device {number}");
        }
        let places: BTreeSet<*const u8> = whole.iter().map(|bytes| bytes.as_ptr()).collect();
        (places.len(), whole.len())
    }

    #[test]
    fn a_crowd_shares_one_message_and_all_come_into_step() {
        let (messages, devices) = reunion(3, &[1; 20], &[]);
        assert_eq!((messages, devices), (WRITTEN_FOR_EACH + 1, 20));
        // At the limit, each has its own.
        assert_eq!(reunion(3, &[1; WRITTEN_FOR_EACH], &[]), (WRITTEN_FOR_EACH, WRITTEN_FOR_EACH));
        assert_eq!(reunion(3, &[1; WRITTEN_FOR_EACH + 2], &[]), (WRITTEN_FOR_EACH + 1, WRITTEN_FOR_EACH + 2));
    }

    #[test]
    fn who_has_written_meanwhile_is_heard() {
        reunion(3, &[1; 12], &[true; 12]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn whoever_comes_back_with_whatever_gets_into_step(
            early in 0..30_usize,
            edits in prop::collection::vec(0..4_usize, 1..16),
            late in prop::collection::vec(any::<bool>(), 16),
        ) {
            reunion(early, &edits, &late);
        }
    }
}
