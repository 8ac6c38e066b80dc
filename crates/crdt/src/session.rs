//! What is known of one peer's copy of one document.

use automerge::sync::State;
use bytes::Bytes;
use comity_model::{ChangeHash, Heads};

use crate::receive::note_flags;
use crate::{Admitted, convert};

/// Says why a stored session cannot be resumed. Begin a new one: it costs a longer first message, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stored sync session cannot be read: {detail}")]
pub struct InvalidSession {
    detail: String,
}

/// The state of synchronising one document with one peer, for the life of one link.
///
/// Make it [`new`](Self::new) for a stranger, or [`resume`](Self::resume) it from what [`encode`](Self::encode) gave
/// when the last link to the same peer ended. A session must not outlive its link in any other way: what it remembers
/// of messages in flight would not be true on the next one, and the two peers would wait for each other or loop.
#[derive(Clone, Debug, Default)]
pub struct SyncSession {
    pub(crate) state: State,
    pub(crate) peer_heads: Option<Heads>,
    /// The peer believes that we share something we lack and was told so; it is not told again until it answers.
    pub(crate) reset_sent: bool,
}

impl SyncSession {
    /// Makes a session with a peer of which nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Resumes from what an earlier session with the same peer kept.
    ///
    /// # Errors
    /// When the bytes are not a stored session.
    pub fn resume(bytes: &[u8]) -> Result<Self, InvalidSession> {
        let mut state = State::decode(bytes).map_err(|error| InvalidSession { detail: error.to_string() })?;
        state.shared_heads.sort_unstable();
        state.shared_heads.dedup();
        Ok(Self { state, peer_heads: None, reset_sent: false })
    }

    /// Takes note of what the peer says of itself in a message that is not taken. To be [restarted](Self::restart)
    /// afterwards, one must know that it understands to start over.
    pub fn hear(&mut self, message: &Admitted) {
        note_flags(self, &message.message);
    }

    /// Starts over on the same link, after a message of the peer was lost on this side. A peer does not send twice what
    /// it believes has arrived, so the next message asks it to forget what it has sent.
    pub fn restart(&mut self) {
        let their_capabilities = self.state.their_capabilities.take();
        // What the peer is known to have it has still, and it may have no reason to say so again.
        let shared_heads = std::mem::take(&mut self.state.shared_heads);
        let state = State { their_capabilities, shared_heads, needs_reset: true, ..State::default() };
        *self = Self { state, ..Self::default() };
    }

    /// Lets the next message be made even if the peer seems to know our heads. Automerge says nothing to a peer that
    /// says it has what we have; but one that sent us changes waits for our heads as a receipt.
    pub fn owe_receipt(&mut self) {
        self.state.last_sent_heads.clear();
    }

    /// Writes what is worth keeping for the next link to the same peer: the heads that both have.
    pub fn encode(&self) -> Bytes {
        self.state.encode().into()
    }

    /// Gives the heads that the peer last said it has; `None` before its first message.
    pub fn peer_heads(&self) -> Option<&Heads> {
        self.peer_heads.as_ref()
    }

    /// Tells whether a change was sent to the peer, and the peer has not said since that it has it.
    pub fn has_sent(&self, hash: &ChangeHash) -> bool {
        self.state.sent_hashes.contains(&convert::their_hash(*hash))
    }

    /// Gives the heads of what both are known to have.
    pub fn shared_heads(&self) -> Heads {
        convert::heads(&self.state.shared_heads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_keeps_the_shared_heads_and_nothing_else() {
        let mut session = SyncSession::new();
        session.state.shared_heads = vec![automerge::ChangeHash([1; 32]), automerge::ChangeHash([2; 32])];
        session.state.in_flight = true;
        session.peer_heads = Some(Heads::default());
        let resumed = SyncSession::resume(&session.encode()).unwrap();
        assert_eq!(resumed.shared_heads(), session.shared_heads());
        assert_eq!(resumed.peer_heads(), None);
        assert!(!resumed.state.in_flight);
    }

    #[test]
    fn damaged_sessions_are_refused() {
        let encoded = SyncSession::new().encode();
        assert!(SyncSession::resume(&[]).is_err());
        assert!(SyncSession::resume(b"xyz").is_err());
        assert!(SyncSession::resume(&encoded[..1]).is_err());
    }
}
