//! Making sync messages.
//!
//! Automerge makes one message for one peer. A relay has many peers that stand at the same point: they have the same
//! heads, share the same heads with us and wait for the same change. What Automerge would make is a function of the
//! document and of the peer's state alone, so the message made for the first of them is kept until the document
//! changes and handed to all others whose state is equal. And a peer that has what we have is answered without asking
//! Automerge, whose cost follows the history.

use automerge::sync::{Message, State, SyncDoc};
use bytes::Bytes;

use crate::crowd::Crowd;
use crate::document::Panicked;
use crate::{Document, SyncSession, convert};

/// Messages made for peers at the document's present heads.
#[derive(Debug, Default)]
pub(crate) struct PayloadCache {
    made: Vec<Payload>,
    next: usize,
    pub(crate) crowd: Crowd,
}

#[derive(Debug)]
struct Payload {
    before: State,
    after: State,
    bytes: Option<Bytes>,
}

impl PayloadCache {
    /// Peers fall into few groups: in step, one change behind, just arrived. More groups than this are served all
    /// the same, only not from memory.
    const PAYLOADS_MAX: usize = 4;

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn find(&self, state: &State) -> Option<&Payload> {
        self.made.iter().find(|payload| payload.before == *state)
    }

    fn keep(&mut self, payload: Payload) {
        if self.made.len() < Self::PAYLOADS_MAX {
            self.made.push(payload);
        } else {
            self.made[self.next] = payload;
            self.next = (self.next + 1) % Self::PAYLOADS_MAX;
        }
    }
}

/// Most changes asked for at once; the others are asked for when these have come. Far below what a message may list.
const NEED_MAX: usize = 1_000;

/// What can be said without asking Automerge.
enum Shortcut {
    /// Nothing to send.
    Silent,
    /// The peer believes that we share something that we lack.
    Reset,
    /// Automerge must say.
    Ask,
}

impl Document {
    /// Makes the next sync message for a peer, encoded; `None` when there is nothing to say until it answers or the
    /// document changes. Peers in step get the same bytes, made once.
    pub fn generate(&mut self, session: &mut SyncSession) -> Option<Bytes> {
        if self.is_broken() {
            return None;
        }
        if !session.state.have_responded {
            // After a restore from a backup we may lack what we once shared. To claim it would keep the peer from
            // ever sending it again.
            session.state.shared_heads.retain(|hash| self.has(hash));
        }
        let shortcut = self.shortcut(&session.state);
        let is_reset = matches!(shortcut, Shortcut::Reset);
        match shortcut {
            Shortcut::Silent => return None,
            Shortcut::Reset if session.reset_sent => return None,
            Shortcut::Reset => session.reset_sent = true,
            Shortcut::Ask => {}
        }
        if let Some(payload) = self.payloads.find(&session.state) {
            session.state.clone_from(&payload.after);
            return payload.bytes.clone();
        }
        if !is_reset && let Some(bytes) = self.join_crowd(&mut session.state) {
            return Some(bytes);
        }
        let before = session.state.clone();
        let state = &mut session.state;
        let generated = self.guarded("generate", |inner| inner.generate_sync_message(state));
        let message = match generated {
            Ok(message) => message,
            Err(Panicked) => {
                session.state = before;
                return None;
            }
        };
        if let Some(message) = &message {
            self.note_whole(message);
        }
        let bytes = message.map(|message| {
            let message = if is_reset { message } else { self.with_need(message, &session.state) };
            Bytes::from(message.encode())
        });
        self.payloads.keep(Payload { before, after: session.state.clone(), bytes: bytes.clone() });
        bytes
    }

    /// As [`generate`](Self::generate), for a peer some of whose changes are not taken: nothing but changes and new heads.
    /// Both sides lack something for good, so they would go on asking each other for it.
    pub fn generate_news(&mut self, session: &mut SyncSession) -> Option<Bytes> {
        let sent = session.state.sent_hashes.len();
        let is_known = session.state.last_sent_heads == convert::their_heads(&self.heads);
        let bytes = self.generate(session)?;
        (!is_known || session.state.sent_hashes.len() > sent).then_some(bytes)
    }

    /// Asks for what lies below changes that wait: Automerge knows nothing of those, and would ask for them again.
    fn with_need(&self, mut message: Message, state: &State) -> Message {
        let Some(their_heads) = state.their_heads.as_deref().filter(|_| !self.waiting.is_empty()) else {
            return message;
        };
        let heads: Vec<_> = their_heads.iter().copied().map(convert::hash).collect();
        let need = self.waiting.missing(&heads, |hash| self.contains(hash));
        if !need.iter().all(|hash| heads.contains(hash)) {
            // As Automerge does: whoever says what it has is sent all else, and not what it needs alone.
            message.have.clear();
        }
        message.need = need.into_iter().take(NEED_MAX).map(convert::their_hash).collect();
        message
    }

    /// Answers for the commonest states, as Automerge would, in time that depends on neither history nor document.
    fn shortcut(&self, state: &State) -> Shortcut {
        let shared_before = state.their_have.as_deref().and_then(<[_]>::first).map(|have| have.last_sync.as_slice());
        if shared_before.is_some_and(|shared| !shared.iter().all(|hash| self.has(hash))) {
            return Shortcut::Reset;
        }
        let our_heads = self.heads.as_slice();
        let same = |theirs: &[automerge::ChangeHash]| {
            theirs.len() == our_heads.len() && theirs.iter().zip(our_heads).all(|(their, our)| their.0 == our.0)
        };
        if !state.have_responded || !same(&state.last_sent_heads) {
            return Shortcut::Ask;
        }
        let in_step = state.their_heads.as_deref().is_some_and(same) && state.their_need.iter().all(Vec::is_empty);
        if state.in_flight || in_step { Shortcut::Silent } else { Shortcut::Ask }
    }
}
