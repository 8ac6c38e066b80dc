//! What goes to the store and what comes back.

use std::time::Duration;

use bytes::Bytes;
use comity_crdt::Document;
use comity_model::{DocumentId, Instant, Limits, LinkId};
use comity_wire::Message;

use crate::engine::Stored;
use crate::slot::{Content, Waiting, short};
use crate::{CloseReason, Effect, Engine, Event, Failure, FailureKind, Loaded, RefusedEdit, Ticket, Token};

/// How often a document that breaks in memory is read again before it is given up. Counted for as long as somebody has
/// it open.
const RELOADS_MAX: u32 = 100;

/// How often a document whose disk was full, or that could not be read, is tried again.
const RESCUE_INTERVAL: Duration = Duration::from_secs(5);

/// Fewest changes before a document is compacted because of their number.
const COMPACTION_CHANGES_MIN: usize = 32;

impl Engine {
    /// Tells the author of an edit that changed nothing that it is saved: once what it repeats is on disk.
    pub(crate) fn saved_with_the_rest(&mut self, document: DocumentId, token: Token) {
        match self.tickets.values_mut().rev().find(|stored| stored.document == document) {
            Some(last) => last.tokens.push(token),
            None => self.notify(Event::Saved { token, document, result: Ok(()) }),
        }
    }

    /// Asks for chunks of a local edit to be made durable.
    pub(crate) fn append(&mut self, document: DocumentId, chunks: Vec<Bytes>, token: Option<Token>) {
        let Some(slot) = self.slots.get_mut(&document) else { return };
        let Content::Ready(content) = &slot.content else { return };
        let heads = content.heads().clone();
        slot.chunks += chunks.len();
        slot.change_bytes += chunks.iter().map(Bytes::len).sum::<usize>();
        slot.appended += 1;
        let up_to = slot.appended;
        let tokens = token.into_iter().collect();
        let ticket = self.ticket(Stored { document, up_to, tokens, is_replacement: false, is_rescue: false });
        self.effects.push(Effect::Append { ticket, document, chunks, heads });
    }

    /// Asks for what a peer brought to be made durable. A whole document becomes a snapshot at once.
    pub(crate) fn append_received(&mut self, document: DocumentId, mut chunks: Vec<Bytes>, whole: bool) {
        if whole && chunks.len() == 1 {
            let snapshot = chunks.pop().expect("there is one");
            self.replace(document, snapshot);
        } else {
            self.append(document, chunks, None);
        }
    }

    fn replace(&mut self, document: DocumentId, snapshot: Bytes) {
        let Some(slot) = self.slots.get_mut(&document) else { return };
        let Content::Ready(content) = &slot.content else { return };
        let heads = content.heads().clone();
        (slot.chunks, slot.change_bytes) = (0, 0);
        slot.snapshot_bytes = snapshot.len();
        slot.compacting = true;
        slot.appended += 1;
        let up_to = slot.appended;
        let ticket =
            self.ticket(Stored { document, up_to, tokens: Vec::new(), is_replacement: true, is_rescue: false });
        self.effects.push(Effect::Replace { ticket, document, snapshot, heads });
    }

    fn ticket(&mut self, stored: Stored) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.tickets.insert(ticket, stored);
        ticket
    }

    pub(crate) fn stored(&mut self, ticket: Ticket, mut result: Result<(), Failure>) {
        let Some(stored) = self.tickets.remove(&ticket) else { return };
        let document = stored.document;
        // A change is worth nothing on a disk that lacks what it depends on.
        if let Some(Content::Failed { failure, .. }) = self.slots.get(&document).map(|slot| &slot.content)
            && !stored.is_rescue
        {
            result = result.and(Err(failure.clone()));
        }
        for token in stored.tokens {
            self.notify(Event::Saved { token, document, result: result.clone() });
        }
        if let Err(failure) = result {
            return self.fail(document, failure);
        }
        let Some(slot) = self.slots.get_mut(&document) else { return };
        if matches!(slot.content, Content::Failed { .. }) {
            // Only a snapshot of the whole document makes good for what failed.
            return self.recover(document, stored.up_to);
        }
        slot.durable = slot.durable.max(stored.up_to);
        if stored.is_replacement {
            slot.compacting = false;
        }
        let held = std::mem::take(&mut slot.held);
        for link in held {
            if let Some(state) = self.links.get_mut(&link) {
                state.news.insert(document);
                self.busy.insert(link);
            }
        }
        if self.slots[&document].wanted {
            self.restand.insert(document);
        }
        self.reload_if_saved(document);
        self.compact_if_grown(document);
    }

    /// Writes a snapshot once the changes outgrow the last one, by bytes or by number, so that loading stays cheap and the
    /// cost of rewriting is spread over as many changes. A change costs several times as much to load by itself as within a
    /// snapshot, however short it is.
    fn compact_if_grown(&mut self, document: DocumentId) {
        let floor = self.config.limits.compaction_bytes_min;
        let Some(slot) = self.slots.get(&document) else { return };
        let Content::Ready(content) = &slot.content else { return };
        let in_snapshot = content.change_count().saturating_sub(slot.chunks);
        let has_outgrown =
            slot.change_bytes > floor.max(slot.snapshot_bytes) || slot.chunks > COMPACTION_CHANGES_MIN.max(in_snapshot);
        if has_outgrown
            && !slot.compacting
            && !slot.reload
            && let Some(snapshot) = content.save()
        {
            self.replace(document, snapshot);
        }
    }

    /// Makes a document read-only: its store failed. What is in memory can still be read.
    pub(crate) fn fail(&mut self, document: DocumentId, failure: Failure) {
        let Some(slot) = self.slots.get_mut(&document) else { return };
        if matches!(slot.content, Content::Failed { .. }) {
            return;
        }
        self.in_memory.remove(&document);
        let content = std::mem::replace(&mut slot.content, Content::Cold);
        let kept = match content {
            // What broke is empty, and says nothing of what was there.
            Content::Ready(document) if !document.is_broken() => Some(document),
            _ => None,
        };
        if failure.kind == FailureKind::Full && kept.is_some() {
            self.rescues.insert(document);
        }
        slot.content = Content::Failed { document: kept, failure: failure.clone() };
        let links: Vec<LinkId> = slot.peers.keys().copied().collect();
        self.turn_away(document, &failure);
        for link in links {
            self.report_failure(link, &failure.message);
        }
        self.notify(Event::Failed { document, failure });
    }

    /// Answers whoever waits for a document that cannot be loaded. Gives the links whose messages were dropped.
    fn turn_away(&mut self, document: DocumentId, failure: &Failure) -> Vec<LinkId> {
        let mut links = Vec::new();
        while let Some(slot) = self.slots.get_mut(&document)
            && let Some(waiting) = slot.next_waiting(&mut self.waiting)
        {
            match waiting {
                Waiting::Message(message) => links.push(message.link),
                Waiting::Edit(edit) => {
                    let result = Err(RefusedEdit::Store(failure.clone()));
                    self.notify(Event::Edited { token: edit.token, document, result });
                }
                Waiting::Fetch(token) => {
                    self.notify(Event::Fetched { token, document, result: Err(failure.clone()) });
                }
            }
        }
        links
    }

    /// Leaves a document cold after a load that failed for a passing reason, such as too many open files. Peers whose
    /// messages were lost are closed: they come back and say them again. Those who were to be told something are told
    /// later.
    fn give_up_load(&mut self, document: DocumentId, failure: Failure) {
        let Some(slot) = self.slots.get_mut(&document) else { return };
        slot.content = Content::Cold;
        if !slot.pulling.is_empty() {
            self.unread.insert(document);
        }
        for link in self.turn_away(document, &failure) {
            self.close(link, CloseReason::Store { reason: failure.message.clone() });
        }
        self.notify(Event::Failed { document, failure });
    }

    /// Tries to read documents that could not be read when a link had news of them, and to write those whose disk was
    /// full: a snapshot holds everything that the failed appends held.
    pub(crate) fn try_rescues(&mut self, now: Instant) {
        if (self.rescues.is_empty() && self.unread.is_empty()) || now.monotonic < self.rescue_at {
            return;
        }
        self.rescue_at = now.monotonic + RESCUE_INTERVAL;
        for document in std::mem::take(&mut self.unread) {
            let pulling = self.slots.get_mut(&document).map(|slot| std::mem::take(&mut slot.pulling));
            for link in pulling.unwrap_or_default() {
                if let Some(state) = self.links.get_mut(&link) {
                    state.news.insert(document);
                    self.busy.insert(link);
                }
            }
        }
        for document in self.rescues.clone() {
            let Some(slot) = self.slots.get_mut(&document) else { continue };
            let Content::Failed { document: Some(content), .. } = &slot.content else { continue };
            // One that is not whole cannot be written as a whole. It stays readable, and the next start reads it anew.
            let (Some(snapshot), heads) = (content.save(), content.heads().clone()) else { continue };
            slot.appended += 1;
            let up_to = slot.appended;
            let ticket =
                self.ticket(Stored { document, up_to, tokens: Vec::new(), is_replacement: true, is_rescue: true });
            self.effects.push(Effect::Replace { ticket, document, snapshot, heads });
        }
    }

    /// Makes a document writable again: all of it is on disk now.
    fn recover(&mut self, document: DocumentId, up_to: u64) {
        let Some(slot) = self.slots.get_mut(&document) else { return };
        let Content::Failed { document: kept, .. } = &mut slot.content else { return };
        let Some(content) = kept.take() else { return };
        let weight = content.weight_bytes();
        slot.content = Content::Ready(content);
        slot.durable = up_to;
        slot.compacting = false;
        (slot.chunks, slot.change_bytes) = (0, 0);
        self.in_memory.insert(document, slot.used_at, weight);
        self.rescues.remove(&document);
        slot.held.clear();
        // What peers sent meanwhile was not taken.
        slot.restart_sessions();
        if slot.wanted {
            self.restand.insert(document);
        }
        self.spread(document, None);
        self.notify(Event::Recovered { document });
    }

    /// Tells a peer that our store is in trouble. `doc-unavailable` would be a lie: the document exists.
    pub(crate) fn report_failure(&mut self, link: LinkId, message: &str) {
        let Some(state) = self.links.get(&link) else { return };
        let target = state.peer.id.clone();
        let sender = self.config.peer.clone();
        let message = format!("the store of {sender} failed; your changes are not saved there: {message}");
        self.say(link, Message::Error { sender: Some(sender), target: Some(target), message });
    }

    /// Asks the store for a document that is not in memory.
    pub(crate) fn start_load(&mut self, document: DocumentId) {
        let Some(slot) = self.slots.get_mut(&document) else { return };
        if matches!(slot.content, Content::Cold) {
            slot.content = Content::Loading;
            self.load_queue.push_back(document);
            self.load_next();
        }
    }

    /// Asks the store for what waits, as far as there is place among the loads.
    fn load_next(&mut self) {
        while self.loads < self.config.limits.loads_max
            && let Some(document) = self.load_queue.pop_front()
        {
            self.loads += 1;
            self.effects.push(Effect::Load { document });
        }
    }

    /// Throws away a document that broke in memory: the one in the store can be trusted.
    pub(crate) fn reload(&mut self, document: DocumentId) {
        let Some(slot) = self.slots.get_mut(&document) else { return };
        slot.reloads += 1;
        if slot.reloads > RELOADS_MAX {
            let message =
                format!("document {} breaks each time it is read; run `comity store verify`", short(&document));
            return self.fail(document, Failure { kind: FailureKind::Damaged, message });
        }
        slot.reload = true;
        self.reload_if_saved(document);
    }

    /// Throws away a document that broke over what a peer sent. However often: a peer must
    /// not be able to make the document unreadable for others.
    pub(crate) fn reload_after_peer(&mut self, document: DocumentId) {
        let Some(slot) = self.slots.get_mut(&document) else { return };
        slot.reload = true;
        self.reload_if_saved(document);
    }

    /// Reads a broken document again, once everything that was asked of it is on disk.
    pub(crate) fn reload_if_saved(&mut self, document: DocumentId) {
        let Some(slot) = self.slots.get_mut(&document) else { return };
        if slot.reload && slot.is_saved() && matches!(slot.content, Content::Ready(_)) {
            self.in_memory.remove(&document);
            slot.reload = false;
            slot.content = Content::Cold;
            slot.restart_sessions();
            let links: Vec<LinkId> = slot.peers.keys().copied().collect();
            slot.pulling.extend(links);
            self.start_load(document);
        }
    }

    pub(crate) fn loaded(&mut self, now: Instant, document: DocumentId, result: Result<Option<Loaded>, Failure>) {
        if !self.slots.get(&document).is_some_and(|slot| matches!(slot.content, Content::Loading)) {
            return;
        }
        self.loads = self.loads.saturating_sub(1);
        self.load_next();
        // Before this one comes in, so that whoever waits for it still finds it.
        self.let_go(now);
        if self.loads < self.config.limits.loads_max {
            self.busy.extend(std::mem::take(&mut self.starved));
        }
        let Some(slot) = self.slots.get_mut(&document) else { return };
        let loaded = match result {
            Ok(loaded) => loaded.unwrap_or_default(),
            Err(failure) if failure.kind == FailureKind::Io => return self.give_up_load(document, failure),
            Err(failure) => return self.fail(document, failure),
        };
        let (content, missing) = match Document::load_incomplete(loaded.snapshot.as_deref(), &loaded.changes) {
            Ok(read) => read,
            Err(error) => {
                let message = format!(
                    "document {} cannot be read from the store: {error}; run `comity store verify`",
                    short(&document)
                );
                return self.fail(document, Failure { kind: FailureKind::Damaged, message });
            }
        };
        slot.weight_bytes = content.weight_bytes();
        self.in_memory.insert(document, now.monotonic, slot.weight_bytes);
        slot.content = Content::Ready(Box::new(content));
        slot.used_at = now.monotonic;
        slot.snapshot_bytes = loaded.snapshot.as_ref().map_or(0, Bytes::len);
        slot.chunks = loaded.changes.len();
        slot.change_bytes = loaded.changes.iter().map(Bytes::len).sum();
        slot.kept.extend(loaded.sessions);
        for link in std::mem::take(&mut slot.pulling) {
            if let Some(state) = self.links.get_mut(&link) {
                state.news.insert(document);
                self.busy.insert(link);
            }
        }
        if slot.wanted {
            self.restand.insert(document);
        }
        if !missing.is_empty() {
            self.want(now, document);
            self.notify(Event::Incomplete { document, missing });
        }
        self.run_waiting(now, document);
        self.compact_if_grown(document);
        self.drop_if_empty(document);
    }

    fn run_waiting(&mut self, now: Instant, document: DocumentId) {
        while let Some(slot) = self.slots.get_mut(&document) {
            if !matches!(slot.content, Content::Ready(_)) || slot.reload {
                return;
            }
            match slot.next_waiting(&mut self.waiting) {
                Some(Waiting::Message(message)) => self.apply(now, document, *message),
                Some(Waiting::Edit(edit)) => self.edit_ready(now, edit),
                Some(Waiting::Fetch(token)) => self.notify(Event::Fetched { token, document, result: Ok(()) }),
                None => return,
            }
        }
    }
}

/// Says that too much waits for a document to load.
pub(crate) fn too_busy(document: &DocumentId, limits: &Limits) -> Failure {
    Failure {
        kind: FailureKind::Io,
        message: format!(
            "{} requests already wait for document {} to load; try again",
            limits.waiting_inputs_max,
            short(document)
        ),
    }
}
