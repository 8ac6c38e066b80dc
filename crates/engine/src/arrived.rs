//! Messages with changes that have arrived since the last `Settle`.
//!
//! What Automerge does to apply a change follows the size of the document, and is done once for as many changes as it is
//! given. A device that writes on without waiting for answers sends many small messages in a row: they are taken in as
//! if they had come as one, and answered and stored as one. Only messages of one link are put together, so that it is
//! known whose fault it is when something is wrong with them; then each is taken in by itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use comity_crdt::{Admitted, ReceiveError, admit};
use comity_model::{DocumentId, Instant, LinkId};

use crate::Engine;
use crate::slot::{Content, Slot, SyncMessage};

/// Largest message that is put together with others: a larger one costs more to apply than to prepare for.
const MESSAGE_BYTES_MAX: usize = 16 << 10;

/// Bytes of messages after which all are applied at once.
const BYTES_MAX: usize = 1 << 20;

/// What has arrived, by document and link, in the order in which the first of each came.
#[derive(Default)]
pub(crate) struct Arrived {
    runs: Vec<(DocumentId, Vec<SyncMessage>)>,
    places: BTreeMap<(DocumentId, LinkId), usize>,
    bytes: usize,
}

impl Arrived {
    /// Tells whether something of a link waits for a document.
    pub fn has(&self, document: DocumentId, link: LinkId) -> bool {
        self.places.contains_key(&(document, link))
    }

    /// Tells whether something of any link waits for a document.
    fn has_for(&self, document: DocumentId) -> bool {
        self.places.range((document, LinkId(0))..=(document, LinkId(u64::MAX))).next().is_some()
    }

    fn push(&mut self, document: DocumentId, message: SyncMessage) {
        self.bytes += message.bytes.len();
        let place = *self.places.entry((document, message.link)).or_insert(self.runs.len());
        match self.runs.get_mut(place) {
            Some((_, run)) => run.push(message),
            None => self.runs.push((document, vec![message])),
        }
    }
}

impl Engine {
    /// Takes in a message for a document in memory: at once when it brings nothing, else with what else arrives.
    pub(crate) fn arrive(&mut self, now: Instant, document: DocumentId, message: SyncMessage) {
        let link = message.link;
        if !message.admitted.has_changes() && !self.arrived.has(document, link) {
            // What it asks for or speaks of may have come with others.
            let is_here = |heads| self.document(&document).is_some_and(|content| content.covers(heads));
            if self.arrived.has_for(document) && (message.is_request || !is_here(&message.admitted.heads())) {
                self.apply_arrived(now);
            }
            return self.deliver(now, document, message);
        }
        let is_refused = self.links.get(&link).is_some_and(|state| state.refused.contains(&document));
        if message.bytes.len() > MESSAGE_BYTES_MAX || is_refused {
            self.apply_arrived(now);
            return self.deliver(now, document, message);
        }
        self.arrived.push(document, message);
        if self.arrived.bytes > BYTES_MAX {
            self.apply_arrived(now);
        }
    }

    /// Applies what has arrived.
    pub(crate) fn apply_arrived(&mut self, now: Instant) {
        for (document, run) in std::mem::take(&mut self.arrived).runs {
            if !run.first().is_some_and(|message| self.links.contains_key(&message.link)) {
                continue;
            }
            // It may have been forgotten since.
            self.touch(now, document);
            let is_ready = |slot: &Slot| matches!(slot.content, Content::Ready(_)) && !slot.reload;
            // It may have broken over what came before. What waits is counted one by one.
            let messages = if self.slots.get(&document).is_some_and(is_ready) { put_together(run) } else { run };
            for message in messages {
                self.deliver(now, document, message);
            }
        }
    }

    /// Takes in by itself each of the messages that were put together: something is wrong with one of them.
    pub(crate) fn take_apart(
        &mut self,
        now: Instant,
        document: DocumentId,
        link: LinkId,
        parts: Vec<(bool, Bytes)>,
        error: &ReceiveError,
    ) {
        let Some(slot) = self.slots.get_mut(&document) else { return };
        let is_broken = matches!(&slot.content, Content::Ready(content) if content.is_broken());
        let limits = &self.config.limits;
        let again = |(is_request, bytes): (bool, Bytes)| -> Option<SyncMessage> {
            // It was admitted before.
            let admitted = admit(&bytes, limits).ok()?;
            Some(SyncMessage { link, is_request, admitted, bytes, parts: Vec::new() })
        };
        let messages: Vec<SyncMessage> = parts.into_iter().filter_map(again).collect();
        if is_broken {
            messages.into_iter().rev().for_each(|message| slot.wait_first(message, &mut self.waiting));
            return match error {
                ReceiveError::Waited => self.reload_after_peer(document),
                _ => self.broken_by(link, document),
            };
        }
        for message in messages {
            self.deliver(now, document, message);
        }
    }
}

/// Makes one message of all that a link sent for a document.
fn put_together(run: Vec<SyncMessage>) -> Vec<SyncMessage> {
    let [_, .., last] = &run[..] else { return run };
    if run.iter().any(|message| message.admitted.heads().is_empty()) {
        // "I have nothing" is true of the moment at which it was said: what had been sent to that peer is gone.
        return run;
    }
    let (link, is_request, bytes) = (last.link, last.is_request, last.bytes.clone());
    let parts = run.iter().map(|message| (message.is_request, message.bytes.clone())).collect();
    let admitted = Admitted::joined(run.into_iter().map(|message| message.admitted));
    admitted.map(|admitted| SyncMessage { link, is_request, admitted, bytes, parts }).into_iter().collect()
}
