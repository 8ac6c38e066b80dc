//! Making messages, when links can take them.

use std::ops::Bound;

use comity_model::{DocumentId, Instant, LinkId};
use comity_wire::Message;

use crate::in_flight::share_bytes;
use crate::slot::Content;
use crate::{CloseReason, Effect, Engine, Event};

/// Documents of one link that may be too large for a crowd before the others have to wait, too: each settling looks at them
/// anew.
const PASSED_OVER_MAX: usize = 64;

/// What came of asking a document for its news.
enum Pulled {
    /// A message.
    Made(Message),
    /// Nothing to say now; whoever changes that marks the document again.
    Nothing,
    /// There is no place among the loads: ask again later.
    Starved,
    /// There is a crowd, and what would be made may be more than a share.
    TooLarge,
}

impl Engine {
    /// Lets every link that has work take what it can.
    pub(crate) fn settle(&mut self, now: Instant) {
        for link in std::mem::take(&mut self.busy) {
            self.serve(now, link, false);
        }
        while !self.in_flight.is_full(&self.config.limits)
            && let Some(link) = self.in_flight.next()
        {
            self.serve(now, link, true);
        }
        for document in std::mem::take(&mut self.restand) {
            if let Some(standing) = self.standing(&document) {
                self.notify(Event::Stands { document, standing });
            }
        }
    }

    /// Lets a link take what it can. What is too much for a crowd waits, with the link.
    fn serve(&mut self, now: Instant, link: LinkId, is_its_turn: bool) {
        let mut passed_over = Vec::new();
        let must_wait = self.serve_until(now, link, is_its_turn, &mut passed_over);
        let Some(state) = self.links.get_mut(&link) else { return };
        if must_wait || !passed_over.is_empty() {
            state.news.extend(passed_over);
            self.in_flight.wait(link);
        }
    }

    /// Serves a link until it has nothing more to be sent, or may not go on. True when it has to wait for others.
    fn serve_until(
        &mut self,
        now: Instant,
        link: LinkId,
        is_its_turn: bool,
        passed_over: &mut Vec<DocumentId>,
    ) -> bool {
        let mut served = None;
        loop {
            let limits = &self.config.limits;
            let is_crowd = self.in_flight.is_full(limits) || (!is_its_turn && self.in_flight.has_queue());
            let share_bytes = is_crowd.then(|| share_bytes(&self.links, limits));
            let Some(state) = self.links.get_mut(&link) else { return false };
            if !state.can_take(limits) {
                // `written` makes it busy again.
                return false;
            }
            if share_bytes.is_some_and(|share| state.in_flight_bytes() >= share) {
                return state.has_work() || state.has_due_absence(now.monotonic);
            }
            if let Some(message) = state.outbox.pop_front() {
                self.send(now, link, message);
                continue;
            }
            if let Some(document) = state.due_absence(now.monotonic) {
                // It may have come meanwhile.
                if self.asked.get_mut(&(document, link)).is_some() {
                    self.say_absent(link, document);
                }
                continue;
            }
            let Some(document) = next_after(&state.news, served) else { return false };
            served = Some(document);
            state.news.remove(&document);
            match self.pull(now, link, document, share_bytes) {
                Pulled::Made(message) => self.send(now, link, message),
                Pulled::Nothing => {}
                Pulled::TooLarge => {
                    passed_over.push(document);
                    if passed_over.len() >= PASSED_OVER_MAX {
                        return true;
                    }
                }
                Pulled::Starved => {
                    if let Some(state) = self.links.get_mut(&link) {
                        state.news.insert(document);
                    }
                    self.starved.insert(link);
                    return false;
                }
            }
        }
    }

    /// Makes the next message about a document; in a crowd only when the document is not larger than a share.
    fn pull(&mut self, now: Instant, link: LinkId, document: DocumentId, share_bytes: Option<usize>) -> Pulled {
        let Some(state) = self.links.get(&link) else { return Pulled::Nothing };
        let target = state.peer.id.clone();
        let storage = state.peer.storage.clone();
        let sender = self.config.peer.clone();
        let Some(slot) = self.slots.get_mut(&document) else { return Pulled::Nothing };
        if slot.peers.get(&link).is_none_or(|peer| peer.hold_until > slot.durable) {
            slot.held.insert(link);
            return Pulled::Nothing;
        }
        if share_bytes.is_some_and(|share| slot.weight_bytes > share) {
            return Pulled::TooLarge;
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

    fn send(&mut self, now: Instant, link: LinkId, message: Message) {
        if self.links.contains_key(&link) {
            self.handed_over(now, link, message.data().map_or(0, bytes::Bytes::len));
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
