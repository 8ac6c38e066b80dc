//! Short-lived messages: presence, cursors, typing. Never stored.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use comity_model::{DocumentId, Instant, LinkId, PeerId};
use comity_wire::Message;

use crate::fair::FairTable;
use crate::{Engine, Event};

/// Messages of one session that are remembered. What comes by two ways comes twice within fewer messages.
const REMEMBERED_MAX: usize = 64;

/// Remembers the latest messages of each (sender, session), so that one which comes by two ways is passed on once.
///
/// A message is known by its count *and* its content. Who passes on somebody else's messages can say any count, so the
/// count alone would let it silence the sender: with a forged one ahead of the true one, or with one so high that all
/// later ones look old.
pub(crate) struct Ephemerals {
    seen: FairTable<(PeerId, String), VecDeque<(u64, u64)>>,
    /// Of our own messages.
    sent: u64,
}

impl Ephemerals {
    pub fn new(sessions_max: usize) -> Self {
        Self { seen: FairTable::new(sessions_max), sent: 0 }
    }

    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Forgets the sessions that a link was the first to bring.
    pub fn forget_link(&mut self, link: LinkId) {
        self.seen.forget_link(link);
    }

    /// Whether a message is new; remembers it.
    fn is_new(&mut self, link: LinkId, sender: &PeerId, session: &str, count: u64, content: u64) -> bool {
        let key = (sender.clone(), session.to_owned());
        if let Some(seen) = self.seen.get_mut(&key) {
            if seen.contains(&(count, content)) {
                return false;
            }
            if seen.len() >= REMEMBERED_MAX {
                seen.pop_front();
            }
            seen.push_back((count, content));
            return true;
        }
        self.seen.insert(link, key, VecDeque::from([(count, content)]));
        true
    }
}

/// Gives a short name of a message's content: document and data.
fn digest(document: DocumentId, data: &Bytes) -> u64 {
    // Its keys are constant, so that the same inputs give the same effects.
    let mut hasher = DefaultHasher::new();
    (document, data).hash(&mut hasher);
    hasher.finish()
}

impl Engine {
    #[allow(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(crate) fn ephemeral(
        &mut self,
        now: Instant,
        link: LinkId,
        document: DocumentId,
        sender: PeerId,
        session: String,
        count: u64,
        data: Bytes,
    ) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let is_open = state.open.contains(&document);
        if !is_open
            || data.is_empty()
            || sender == self.config.peer
            || !state.may_send_ephemeral(&self.config.limits, now.monotonic)
        {
            return;
        }
        if !self.ephemerals.is_new(link, &sender, &session, count, digest(document, &data)) {
            return;
        }
        self.forward(document, Some(link), &sender, &session, count, &data);
        self.notify(Event::Ephemeral { document, sender, data });
    }

    /// Sends a message of our own to everybody who has the document open.
    pub(crate) fn broadcast(&mut self, document: DocumentId, data: Bytes) {
        if data.is_empty() {
            // The JavaScript client cannot send an empty one on, and there is nothing in it.
            return;
        }
        self.ephemerals.sent += 1;
        let (sender, session) = (self.config.peer.clone(), self.config.session.clone());
        self.forward(document, None, &sender, &session, self.ephemerals.sent, &data);
    }

    fn forward(
        &mut self,
        document: DocumentId,
        except: Option<LinkId>,
        sender: &PeerId,
        session: &str,
        count: u64,
        data: &Bytes,
    ) {
        let Some(slot) = self.slots.get(&document) else { return };
        let links: Vec<LinkId> = slot.peers.keys().copied().filter(|link| Some(*link) != except).collect();
        for link in links {
            let Some(state) = self.links.get_mut(&link) else { continue };
            // A slow reader loses ephemerals, not its connection: they are worth nothing late.
            if state.peer.id == *sender || state.outbox.len() >= self.config.limits.link_queue_messages_max / 2 {
                continue;
            }
            state.outbox.push_back(Message::Ephemeral {
                sender: sender.clone(),
                target: state.peer.id.clone(),
                document,
                session: session.to_owned(),
                count,
                data: data.clone(),
            });
            self.busy.insert(link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId(1);

    #[test]
    fn a_message_that_comes_twice_is_new_once_and_the_table_stays_bounded() {
        let mut seen = Ephemerals::new(2);
        let peer = PeerId::new("tablet").unwrap();
        assert!(seen.is_new(LINK, &peer, "a", 1, 7));
        assert!(!seen.is_new(LINK, &peer, "a", 1, 7));
        assert!(seen.is_new(LINK, &peer, "a", 2, 7));
        assert!(!seen.is_new(LINK, &peer, "a", 1, 7), "an old one by a slower way");
        assert!(seen.is_new(LINK, &peer, "b", 1, 7));
        assert_eq!(seen.len(), 2, "at the limit");
        assert!(seen.is_new(LINK, &peer, "c", 1, 7));
        assert_eq!(seen.len(), 2, "one above: the oldest is forgotten");
    }

    #[test]
    fn so_many_messages_of_a_session_are_remembered() {
        let mut seen = Ephemerals::new(2);
        let peer = PeerId::new("tablet").unwrap();
        for count in 0..REMEMBERED_MAX as u64 {
            assert!(seen.is_new(LINK, &peer, "a", count, 7));
        }
        assert!(!seen.is_new(LINK, &peer, "a", 0, 7), "at the limit");
        assert!(seen.is_new(LINK, &peer, "a", u64::MAX, 7));
        assert!(seen.is_new(LINK, &peer, "a", 0, 7), "one above: the oldest is forgotten");
    }
}
