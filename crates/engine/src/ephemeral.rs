//! Short-lived messages: presence, cursors, typing. Never stored.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use comity_model::{DocumentId, Instant, LinkId, PeerId};
use comity_wire::Message;

use crate::{Engine, Event};

/// Remembers the last count of each (sender, session), so that a message which comes by two ways is passed on once.
pub(crate) struct Ephemerals {
    latest: BTreeMap<(PeerId, String), u64>,
    /// The oldest first, for forgetting.
    order: VecDeque<(PeerId, String)>,
    sessions_max: usize,
    /// Of our own messages.
    sent: u64,
}

impl Ephemerals {
    pub fn new(sessions_max: usize) -> Self {
        Self { latest: BTreeMap::new(), order: VecDeque::new(), sessions_max, sent: 0 }
    }

    pub fn len(&self) -> usize {
        self.latest.len()
    }

    /// Whether a message is new; remembers it.
    fn is_new(&mut self, sender: &PeerId, session: &str, count: u64) -> bool {
        let key = (sender.clone(), session.to_owned());
        if let Some(latest) = self.latest.get_mut(&key) {
            let is_new = count > *latest;
            *latest = count.max(*latest);
            return is_new;
        }
        if self.order.len() >= self.sessions_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.latest.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.latest.insert(key, count);
        true
    }
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
        if !self.ephemerals.is_new(&sender, &session, count) {
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

    #[test]
    fn a_message_that_comes_twice_is_new_once_and_the_table_stays_bounded() {
        let mut seen = Ephemerals::new(2);
        let peer = PeerId::new("tablet").unwrap();
        assert!(seen.is_new(&peer, "a", 1));
        assert!(!seen.is_new(&peer, "a", 1));
        assert!(seen.is_new(&peer, "a", 2));
        assert!(!seen.is_new(&peer, "a", 1), "an old one by a slower way");
        assert!(seen.is_new(&peer, "b", 1));
        assert_eq!(seen.len(), 2, "at the limit");
        assert!(seen.is_new(&peer, "c", 1));
        assert_eq!(seen.len(), 2, "one above: the oldest is forgotten");
    }
}
