//! Making messages, when links can take them.

use std::ops::Bound;

use comity_model::{DocumentId, Instant, LinkId};
use comity_wire::Message;

use crate::slot::Content;
use crate::{CloseReason, Effect, Engine, Event};

/// What came of asking a document for its news.
enum Pulled {
    /// A message.
    Made(Message),
    /// Nothing to say now; whoever changes that marks the document again.
    Nothing,
    /// There is no place among the loads: ask again later.
    Starved,
}

impl Engine {
    /// Lets every link that has work take what it can.
    pub(crate) fn settle(&mut self, now: Instant) {
        for link in std::mem::take(&mut self.busy) {
            self.serve(now, link);
        }
        for document in std::mem::take(&mut self.restand) {
            if let Some(standing) = self.standing(&document) {
                self.notify(Event::Stands { document, standing });
            }
        }
    }

    fn serve(&mut self, now: Instant, link: LinkId) {
        let mut served = None;
        loop {
            let Some(state) = self.links.get_mut(&link) else { return };
            if !state.can_take(&self.config.limits) {
                // `written` makes it busy again.
                return;
            }
            if let Some(message) = state.outbox.pop_front() {
                self.send(link, message);
                continue;
            }
            if let Some(document) = state.due_absence(now.monotonic) {
                // It may have come meanwhile.
                if self.asked.get_mut(&(document, link)).is_some() {
                    self.say_absent(link, document);
                }
                continue;
            }
            let Some(document) = next_after(&state.news, served) else { return };
            served = Some(document);
            state.news.remove(&document);
            match self.pull(now, link, document) {
                Pulled::Made(message) => self.send(link, message),
                Pulled::Nothing => {}
                Pulled::Starved => {
                    if let Some(state) = self.links.get_mut(&link) {
                        state.news.insert(document);
                    }
                    self.starved.insert(link);
                    return;
                }
            }
        }
    }

    fn pull(&mut self, now: Instant, link: LinkId, document: DocumentId) -> Pulled {
        let Some(state) = self.links.get(&link) else { return Pulled::Nothing };
        let target = state.peer.id.clone();
        let storage = state.peer.storage.clone();
        let sender = self.config.peer.clone();
        let Some(slot) = self.slots.get_mut(&document) else { return Pulled::Nothing };
        if slot.peers.get(&link).is_none_or(|peer| peer.hold_until > slot.durable) {
            slot.held.insert(link);
            return Pulled::Nothing;
        }
        match slot.content {
            Content::Ready(_) if !slot.reload => {}
            Content::Cold if self.loads >= self.config.limits.loads_max => return Pulled::Starved,
            Content::Failed { .. } => return Pulled::Nothing,
            _ => {
                slot.pulling.insert(link);
                self.start_load(document);
                return Pulled::Nothing;
            }
        }
        self.touch(now, document);
        let slot = self.slots.get_mut(&document).expect("it was there a moment ago");
        Self::ensure_session(slot, link, storage.as_ref());
        let wanted = slot.wanted;
        let Content::Ready(content) = &mut slot.content else { return Pulled::Nothing };
        let peer = slot.peers.get_mut(&link).expect("its session was opened above");
        let knows_more = peer.knows_more();
        let session = peer.session.as_mut().expect("opened above, since the document is in memory");
        if content.is_empty() && !wanted && !knows_more {
            // The peer asked for what nobody has; it was told so.
            return Pulled::Nothing;
        }
        // `request` says that we have nothing and do not know whether the peer has it.
        let asks = content.is_empty() && !peer.has_spoken;
        let data = if peer.is_refused { content.generate_news(session) } else { content.generate(session) };
        peer.awaits_receipt &= data.is_none() && !peer.is_refused;
        match data {
            Some(data) if asks => Pulled::Made(Message::Request { sender, target, document, data }),
            Some(data) => Pulled::Made(Message::Sync { sender, target, document, data }),
            None => {
                if content.is_broken() {
                    self.reload(document);
                }
                Pulled::Nothing
            }
        }
    }

    /// Puts a short message into a link's outbox. A peer that lets the outbox fill up is closed: answers cannot be
    /// coalesced, and it does not read them.
    pub(crate) fn say(&mut self, link: LinkId, message: Message) {
        let limit = self.config.limits.link_queue_messages_max;
        let Some(state) = self.links.get_mut(&link) else { return };
        if state.outbox.len() >= limit {
            return self.close(link, CloseReason::TooMany { what: "unread answers", limit });
        }
        state.outbox.push_back(message);
        self.busy.insert(link);
    }

    fn send(&mut self, link: LinkId, message: Message) {
        if let Some(state) = self.links.get_mut(&link) {
            state.handed_over(message.data().map_or(0, bytes::Bytes::len));
            self.effects.push(Effect::Send { link, message });
        }
    }
}

/// Gives the document after the one served last, starting over at the end, so that one with a small id and much news
/// starves nobody.
fn next_after(news: &std::collections::BTreeSet<DocumentId>, served: Option<DocumentId>) -> Option<DocumentId> {
    let after = served.map_or(Bound::Unbounded, Bound::Excluded);
    news.range((after, Bound::Unbounded)).next().or_else(|| news.first()).copied()
}
