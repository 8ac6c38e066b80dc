//! Which documents the peers have open, and who has asked for what is not here. Both are bounded.

use std::time::Duration;

use comity_model::{DocumentId, LinkId};
use comity_wire::Message;

use crate::slot::{Content, Slot};
use crate::{CloseReason, Engine};

/// Documents that are looked at to find one that may be forgotten. More of the oldest are busy only when a peer asks
/// much faster than it reads.
const CANDIDATES_MAX: usize = 64;

/// Documents that are spoken of again on each tick, over a link on which more are open than its peer remembers.
const RECALLED_PER_TICK: usize = 32;

impl Engine {
    /// Notes that a peer speaks of a document. False when it speaks of too many; the link is closed then.
    pub(crate) fn open(&mut self, link: LinkId, document: DocumentId) -> bool {
        let limit = self.config.limits.documents_per_link_max;
        let Some(state) = self.links.get_mut(&link) else { return false };
        if !state.open.contains(&document) && state.open.len() >= limit {
            let Some(oldest) = self.forgettable(link) else {
                self.close(link, CloseReason::TooMany { what: "documents", limit });
                return false;
            };
            self.forget(link, oldest);
        }
        if let Some(state) = self.links.get_mut(&link) {
            state.open.touch(document);
        }
        true
    }

    /// Finds the document that a peer has not spoken of for longest, among those where nobody waits for anything. A peer
    /// that has more of them speaks of each again from time to time.
    fn forgettable(&self, link: LinkId) -> Option<DocumentId> {
        let state = self.links.get(&link).filter(|state| !state.peer.announce)?;
        let is_quiet = |document: &DocumentId| {
            let slot = self.slots.get(document);
            let waits = |slot: &Slot| {
                slot.held.contains(&link)
                    || slot.pulling.contains(&link)
                    || !slot.waiting.is_empty()
                    || slot.peers.get(&link).is_some_and(|peer| peer.awaits_receipt || peer.is_ahead)
            };
            let comes = self.arrived.has(*document, link);
            !state.news.contains(document) && !comes && !slot.is_some_and(waits)
        };
        state.open.iter().take(CANDIDATES_MAX).find(is_quiet)
    }

    /// Forgets that a peer has a document open. When it speaks of it again, all begins anew.
    pub(crate) fn forget(&mut self, link: LinkId, document: DocumentId) {
        let Some(state) = self.links.get_mut(&link) else { return };
        state.open.remove(&document);
        state.news.remove(&document);
        let storage = state.peer.storage.clone();
        self.asked.remove(&(document, link));
        self.keep_session(&document, link, storage.as_ref());
        let Some(slot) = self.slots.get_mut(&document) else { return };
        slot.peers.remove(&link);
        slot.held.remove(&link);
        slot.pulling.remove(&link);
        if slot.is_forgettable() {
            self.slots.remove(&document);
        } else {
            self.drop_if_empty(document);
        }
    }

    /// Speaks again of the documents not spoken of for longest, where the other side may have forgotten that they are
    /// open here and would say nothing of news.
    pub(crate) fn recall(&mut self) {
        let limit = self.config.limits.documents_per_link_max;
        for (link, state) in self.links.iter_mut() {
            if !state.peer.announce || state.open.len() <= limit {
                continue;
            }
            let oldest: Vec<DocumentId> = state.open.iter().take(RECALLED_PER_TICK).collect();
            for document in oldest {
                state.open.touch(document);
                state.news.insert(document);
                let peer = self.slots.get_mut(&document).and_then(|slot| slot.peers.get_mut(link));
                if let Some(session) = peer.and_then(|peer| peer.session.as_mut()) {
                    session.owe_receipt();
                }
            }
            self.busy.insert(*link);
        }
    }

    /// Remembers who has asked for a document that is not here: it gets the document when it comes. When too many have
    /// asked, whoever asked for most is forgotten with what it asked for first. True when it was not known yet.
    pub(crate) fn note_asked(&mut self, link: LinkId, document: DocumentId) -> bool {
        let is_absent = self.slots.get(&document).is_some_and(|slot| !slot.wanted);
        if !is_absent || self.asked.get_mut(&(document, link)).is_some() {
            return false;
        }
        match self.asked.insert(link, (document, link), ()) {
            // It hears that nobody has the document, and is not remembered: its place is nobody else's.
            Some(given_up) if given_up == (document, link) => return false,
            Some((document, link)) => self.forget(link, document),
            None => {}
        }
        true
    }

    /// Tells a peer that the document it asked for is not here.
    pub(crate) fn say_absent(&mut self, link: LinkId, document: DocumentId) {
        let Some(state) = self.links.get(&link) else { return };
        let (sender, target) = (self.config.peer.clone(), state.peer.id.clone());
        self.say(link, Message::DocUnavailable { sender, target, document });
    }

    /// Wakes the links that are to be told that something is not here.
    pub(crate) fn wake_for_absences(&mut self, now: Duration) {
        let due = self.links.iter().filter(|(_, state)| state.has_due_absence(now));
        self.busy.extend(due.map(|(link, _)| *link));
    }

    /// Takes note that a document is here now.
    pub(crate) fn note_present(&mut self, document: DocumentId) {
        if self.asked.len() == 0 {
            return;
        }
        let Some(slot) = self.slots.get(&document) else { return };
        for link in slot.peers.keys() {
            self.asked.remove(&(document, *link));
        }
    }

    /// Forgets the sessions with peers that asked for a document which nobody has: there is nothing in them.
    pub(crate) fn forget_empty_sessions(slot: &mut Slot) {
        if matches!(slot.content, Content::Cold) {
            for peer in slot.peers.values_mut() {
                peer.session = None;
                peer.in_step_at = None;
            }
        }
    }
}
