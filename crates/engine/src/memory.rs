//! What stays in memory: memory follows the active set, not the total.

use comity_crdt::Document;
use comity_model::{DocumentId, Instant, LinkId};

use crate::engine::Engine;
use crate::slot::Content;

impl Engine {
    pub(crate) fn tick(&mut self, now: Instant) {
        self.try_rescues(now);
        self.ask_anew();
        self.let_go(now);
        self.let_give_way(now.monotonic);
        self.recall();
        self.wake_for_absences(now.monotonic);
    }

    /// Starts over with the peers of documents for which something that waited was forgotten: whoever sent it shall send it
    /// again, and be told. Only on a tick, since a peer can bring it about with two small messages.
    fn ask_anew(&mut self) {
        for document in std::mem::take(&mut self.forgetful) {
            if let Some(slot) = self.slots.get_mut(&document) {
                slot.restart_sessions();
                self.spread(document, None);
            }
        }
    }

    /// Takes note of what a document takes now.
    pub(crate) fn weigh(&mut self, document: &DocumentId) {
        if let Some(slot) = self.slots.get_mut(document)
            && let Some(content) = slot.document()
        {
            slot.weight_bytes = content.weight_bytes();
            self.in_memory.weigh(document, slot.weight_bytes);
        }
    }

    /// Lets go of documents that nobody has used for a while, or of the longest unused ones when there are too many or they
    /// take too much memory: a document of a hundred bytes on disk may take a hundred megabytes here.
    pub(crate) fn let_go(&mut self, now: Instant) {
        let deadline = now.monotonic.checked_sub(self.config.limits.idle_after);
        let mut passed_over = None;
        while let Some(oldest) = self.in_memory.oldest_after(passed_over) {
            let (used_at, document) = oldest;
            let is_idle = deadline.is_some_and(|deadline| used_at <= deadline);
            if !is_idle && !self.is_memory_full() {
                break;
            }
            if !self.evict(document) {
                passed_over = Some(oldest);
            }
        }
    }

    /// Beside a document that is nearly as heavy as all should be, there is still place for others: else each of them
    /// would be read again for each message.
    fn is_memory_full(&self) -> bool {
        let limits = &self.config.limits;
        let beside_heaviest = self.in_memory.heaviest_bytes().saturating_add(limits.loaded_bytes_max / 4);
        self.in_memory.len() > limits.documents_loaded_max
            || self.in_memory.weight_bytes() > limits.loaded_bytes_max.max(beside_heaviest)
    }

    /// Lets go of a document's content. What its peers are known to have stays with the slot while they are connected.
    fn evict(&mut self, document: DocumentId) -> bool {
        let Some(slot) = self.slots.get_mut(&document) else { return false };
        let is_quiet = matches!(slot.content, Content::Ready(_))
            && slot.is_saved()
            && slot.waiting.is_empty()
            && slot.held.is_empty()
            && !slot.reload;
        if !is_quiet {
            return false;
        }
        self.in_memory.remove(&document);
        self.keep_sessions(document);
        let slot = self.slots.get_mut(&document).expect("it was there a moment ago");
        slot.let_go_of_orphans();
        let is_empty = slot.document().is_some_and(Document::is_empty);
        slot.content = Content::Cold;
        if slot.peers.is_empty() {
            // They are in the store, and come back with the document.
            slot.kept.clear();
        }
        if slot.is_forgettable() {
            self.slots.remove(&document);
        } else if is_empty {
            // Peers that said they have it never brought it.
            Self::forget_empty_sessions(slot);
            let links: Vec<LinkId> = slot.peers.keys().copied().collect();
            for link in links {
                self.note_asked(link, document);
            }
        }
        true
    }

    /// Lets go at once of a document that turned out to be empty: a peer that asks for a hundred thousand documents
    /// that nobody has must not fill the memory with empty ones.
    pub(crate) fn drop_if_empty(&mut self, document: DocumentId) {
        let Some(slot) = self.slots.get_mut(&document) else { return };
        let Content::Ready(content) = &slot.content else { return };
        let is_coming = slot.peers.values().any(|peer| peer.knows_more());
        let is_busy = slot.wanted || !slot.is_saved() || !slot.waiting.is_empty() || slot.reload;
        if !content.is_empty() || is_coming || is_busy {
            return;
        }
        self.in_memory.remove(&document);
        slot.content = Content::Cold;
        for link in slot.peers.keys() {
            // There is nothing to tell of it: a mark that stays would read it again, without end.
            if let Some(state) = self.links.get_mut(link) {
                state.news.remove(&document);
            }
        }
        Self::forget_empty_sessions(slot);
        if slot.is_forgettable() {
            self.slots.remove(&document);
        }
    }

    /// Writes down the sessions of a document's peers.
    fn keep_sessions(&mut self, document: DocumentId) {
        let Some(slot) = self.slots.get(&document) else { return };
        let links: Vec<LinkId> = slot.peers.keys().copied().collect();
        for link in links {
            let storage = self.links.get(&link).and_then(|state| state.peer.storage.clone());
            self.keep_session(&document, link, storage.as_ref());
        }
    }

    /// Writes down all sessions: the node is about to stop.
    pub(crate) fn stop(&mut self) {
        let documents: Vec<DocumentId> = self.slots.keys().copied().collect();
        for document in documents {
            self.keep_sessions(document);
        }
    }
}
