//! Receiving sync messages.
//!
//! This does what Automerge's `receive_sync_message` does, with three differences. An acknowledgement costs the same
//! whatever the history (Automerge walks all of it each time). Each chunk is looked at on its own, so that a partial
//! load is noticed and the bytes that came can be stored as they are. And changes that wait for others are bounded.

use std::collections::{BTreeMap, BTreeSet};

use automerge::sync::{Capability, Message, MessageFlags};
use automerge::{Automerge, AutomergeError, ReadDoc};
use bytes::Bytes;
use comity_model::{ActorId, ChangeHash, Heads, Limits};

use crate::chunk::ChunkError;
use crate::document::Panicked;
use crate::intake::{Intake, refuse_forged_genesis};
use crate::{Admitted, Document, SyncSession, TooLarge, convert};

/// What a message added to the document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The changes that are new, each after what it depends on.
    pub new_changes: Vec<ChangeHash>,
    /// What to store: one chunk for each new change in the same order or, when `whole`, one snapshot of the document.
    pub chunks: Vec<Bytes>,
    /// Whether `chunks` is one snapshot of the whole document. So it is when the document was empty before.
    pub whole: bool,
    /// Whether changes that had waited were forgotten: they contradict others, or are too much. Who sent them has to send
    /// them again to be told, so [`restart`](SyncSession::restart) the sessions with all peers.
    pub forgot: bool,
}

/// Says why a message cannot be received. What breaks a [bound](Self::is_bound) may come from an honest peer; all else,
/// save two changes under one number, does not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// A chunk cannot be read.
    #[error("the peer sent a damaged chunk: {0}")]
    Chunk(#[from] ChunkError),
    /// An actor wrote two different changes under one number.
    #[error("actor {actor} wrote two different changes with number {seq}: its device was copied, or it cheats")]
    Equivocation {
        /// The actor.
        actor: ActorId,
        /// The number of the change.
        seq: u64,
    },
    /// A change claims to be written by the genesis actor.
    #[error("change {hash} pretends to be the first change of the document")]
    ForgedGenesis {
        /// The change.
        hash: ChangeHash,
    },
    /// Automerge applied only a part.
    #[error("{missing} were sent but did not become part of the document: the message is damaged")]
    Partial {
        /// What did not arrive in the document.
        missing: Heads,
    },
    /// Too much waits for changes that have not come.
    #[error("changes that take {actual} bytes wait for others that were not sent, {max} are allowed")]
    TooManyOrphans {
        /// Bytes that would wait.
        actual: usize,
        /// The bound.
        max: usize,
    },
    /// The document would hold too much.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// Automerge refused.
    #[error("automerge refused the message: {detail}")]
    Automerge {
        /// What it says.
        detail: String,
    },
    /// Automerge panicked while it decoded a change.
    #[error("the peer sent a change that automerge cannot decode without a panic")]
    Undecodable,
    /// Automerge cannot write what it has read.
    #[error("the peer sent changes that automerge cannot write again, so they cannot be stored")]
    Unsavable,
    /// Automerge panicked; the document in memory is gone.
    #[error("automerge panicked on the message; the document must be loaded again from the store")]
    Panicked,
    /// Something went wrong that is perhaps not the fault of the message, with changes that had waited or with a change that
    /// was taken in the quick way, and the document in memory is gone. Load it again and receive the message once more: only
    /// then is it known whose fault it was.
    #[error(
        "what had waited, or the quick way of taking in, spoilt the document; it must be loaded again from the store"
    )]
    Waited,
    /// The document had been thrown away before.
    #[error("the document in memory was damaged and thrown away: load it again from the store")]
    Broken,
}

impl ReceiveError {
    /// Whether the message breaks no rule but a bound, as the message of an honest peer may: two devices that are offline
    /// can fill a document to the brim, each without knowing of the other.
    pub fn is_bound(&self) -> bool {
        matches!(self, Self::TooManyOrphans { .. } | Self::TooLarge(_))
    }
}

impl From<Panicked> for ReceiveError {
    fn from(_: Panicked) -> Self {
        Self::Panicked
    }
}

impl From<AutomergeError> for ReceiveError {
    fn from(error: AutomergeError) -> Self {
        match error {
            AutomergeError::DuplicateSeqNumber(seq, actor) => Self::Equivocation { actor: convert::actor(&actor), seq },
            other => Self::Automerge { detail: other.to_string() },
        }
    }
}

impl Document {
    /// Takes in a message that passed admission.
    ///
    /// # Errors
    /// When the message is damaged or hostile. The document is then as it was before or, when a part of the message
    /// had been applied, thrown away and [broken](Self::is_broken): nothing may stay in memory that is not stored.
    pub fn receive(
        &mut self,
        session: &mut SyncSession,
        admitted: Admitted,
        limits: &Limits,
    ) -> Result<Received, ReceiveError> {
        if self.is_broken() {
            return Err(ReceiveError::Broken);
        }
        let message = admitted.message;
        note_flags(session, &message);
        let acknowledgement = message.changes.is_empty();
        let before = self.heads.clone();
        let received = if acknowledgement { Received::default() } else { self.apply(&message, limits)? };
        if !acknowledgement {
            session.state.shared_heads = advanced_heads(&before, &self.heads, &session.state.shared_heads);
        }
        let starts_over = message.flags.is_some_and(|flags| flags.contains(MessageFlags::SYNC_RESET));
        self.note_peer(session, message, acknowledgement);
        if starts_over {
            // It has forgotten what it was told, or was deaf for a while.
            session.owe_receipt();
        }
        Ok(received)
    }

    /// Takes note of what the peer says of its own copy.
    fn note_peer(&mut self, session: &mut SyncSession, message: Message, acknowledgement: bool) {
        let state = &mut session.state;
        let heads = convert::heads(&message.heads);
        if heads == self.heads {
            // Everything that we could have sent is an ancestor of these heads.
            state.sent_hashes.clear();
            if acknowledgement {
                state.last_sent_heads.clone_from(&message.heads);
            }
            state.shared_heads.clone_from(&message.heads);
        } else {
            let known: Vec<_> = message.heads.iter().filter(|hash| self.has(hash)).copied().collect();
            // What it names it has; when that is all that was sent, nobody need walk the graph for it.
            let named: BTreeSet<_> = known.iter().collect();
            state.sent_hashes.retain(|hash| !named.contains(hash));
            if !state.sent_hashes.is_empty() && !known.is_empty() {
                let lacking: BTreeSet<_> =
                    self.inner.get_changes_meta(&known).iter().map(|change| change.hash).collect();
                state.sent_hashes.retain(|hash| lacking.contains(hash));
            }
            if known.len() == message.heads.len() {
                state.shared_heads.clone_from(&message.heads);
            } else {
                let all: BTreeSet<_> = state.shared_heads.iter().chain(&known).copied().collect();
                state.shared_heads = all.into_iter().collect();
            }
        }
        if message.heads.is_empty() {
            // The peer has lost everything, or never had anything.
            state.last_sent_heads.clear();
            state.sent_hashes.clear();
        }
        state.their_have = Some(message.have);
        state.their_need = Some(message.need);
        state.their_heads = Some(message.heads);
        session.peer_heads = Some(heads);
    }

    /// Applies the changes of a message. On error either nothing has happened or the document is thrown away: what was
    /// applied is not stored, so it must not stay.
    fn apply(&mut self, message: &Message, limits: &Limits) -> Result<Received, ReceiveError> {
        let before = self.heads.clone();
        let mut intake = Intake::new(limits);
        let outcome = self.apply_parts(message, &mut intake, &before, limits);
        self.advanced();
        // What had waited may have been taken out by then, and its senders would not send it again by themselves.
        if outcome.is_err() && !self.is_broken() && (self.heads != before || !self.put_back(&intake)) {
            self.discard();
        }
        if outcome.is_err() && self.is_broken() && intake.tried_others {
            return Err(ReceiveError::Waited);
        }
        if outcome.is_ok() {
            self.replay.open();
        }
        outcome
    }

    fn apply_parts<'a>(
        &mut self,
        message: &'a Message,
        intake: &mut Intake<'a>,
        before: &Heads,
        limits: &Limits,
    ) -> Result<Received, ReceiveError> {
        self.take_in(message.changes.iter(), intake)?;
        self.advanced();
        let settled = self.settle(intake)?;
        self.verify_rewritable(settled.keys())?;
        if self.heads != *before {
            self.check_breadth(limits)?;
        }
        let received = self.received(before, settled, &intake.documents)?;
        Ok(Received { forgot: intake.forgot, ..received })
    }

    /// Verifies that everything that came is applied or waits, because Automerge calls a partial load a success.
    /// Gives the bytes of what is applied now and was not before.
    fn settle(&mut self, intake: &mut Intake<'_>) -> Result<BTreeMap<ChangeHash, Bytes>, ReceiveError> {
        let must_be_here = intake.document_heads.iter().chain(intake.changes.keys()).chain(&intake.released);
        let missing: Vec<ChangeHash> = must_be_here.filter(|hash| !self.contains(hash)).copied().collect();
        if !missing.is_empty() {
            return Err(ReceiveError::Partial { missing: Heads::new(missing) });
        }
        let mut applied = std::mem::take(&mut intake.changes);
        for hash in &intake.released {
            if let Some(bytes) = self.waiting.remove(hash) {
                applied.insert(*hash, bytes);
            }
        }
        for hash in applied.keys() {
            self.stranded.remove(hash);
        }
        Ok(applied)
    }

    /// Verifies that Automerge still holds new changes as they came, and can read them in a whole document. A few forged
    /// changes are applied without an error, yet come out with another hash, or are not taken back: such a document cannot be
    /// saved, nor sent to anybody else.
    fn verify_rewritable<'a>(&self, new: impl Iterator<Item = &'a ChangeHash>) -> Result<(), ReceiveError> {
        for hash in new {
            let theirs = convert::their_hash(*hash);
            let is_same = |inner: &Automerge| inner.get_change_by_hash(&theirs).is_some_and(|c| c.hash() == theirs);
            if !self.quietly("verify", |inner| is_same(inner) && has_followed(inner, &theirs)) {
                return Err(ReceiveError::Unsavable);
            }
        }
        Ok(())
    }

    /// Lists what is new since `before` and finds the chunks to store for it.
    fn received(
        &self,
        before: &Heads,
        mut arrived: BTreeMap<ChangeHash, Bytes>,
        documents: &[&[u8]],
    ) -> Result<Received, ReceiveError> {
        let before_theirs = convert::their_heads(before);
        let mut new_changes = Vec::new();
        if *before != self.heads {
            for change in self.inner.get_changes_meta(&before_theirs) {
                let hash = convert::hash(change.hash);
                refuse_forged_genesis(hash, change.actor.to_bytes())?;
                new_changes.push(hash);
            }
        }
        if before.is_empty() && new_changes.len() > 1 && self.is_whole() {
            let snapshot = match documents {
                // The document as it came has just been read.
                [document] if arrived.is_empty() => Bytes::copy_from_slice(document),
                _ => self.save().ok_or(ReceiveError::Unsavable)?,
            };
            return Ok(Received { new_changes, chunks: vec![snapshot], whole: true, forgot: false });
        }
        if new_changes.iter().any(|hash| !arrived.contains_key(hash)) {
            // They came inside a document chunk.
            let encode = |inner: &Automerge| {
                let changes = inner.get_changes(&before_theirs).into_iter();
                changes.map(|mut change| (convert::hash(change.hash()), change.bytes().to_vec().into())).collect()
            };
            let encoded: BTreeMap<ChangeHash, Bytes> = self.quietly("encode", encode);
            for (hash, bytes) in encoded {
                arrived.entry(hash).or_insert(bytes);
            }
        }
        let chunks: Option<Vec<_>> = new_changes.iter().map(|hash| arrived.remove(hash)).collect();
        Ok(Received { new_changes, chunks: chunks.ok_or(ReceiveError::Unsavable)?, whole: false, forgot: false })
    }
}

/// Tells whether a change has greater numbers than those it depends on. A document in which one has not is never read.
fn has_followed(inner: &Automerge, hash: &automerge::ChangeHash) -> bool {
    let Some(change) = inner.get_change_meta_by_hash(hash) else { return false };
    let precedes = |dep| inner.get_change_meta_by_hash(dep).is_some_and(|dep| dep.max_op < change.start_op);
    change.deps.iter().all(precedes)
}

pub(crate) fn note_flags(session: &mut SyncSession, message: &Message) {
    session.reset_sent = false;
    let state = &mut session.state;
    state.in_flight = false;
    let Some(flags) = message.flags else { return };
    let mut capabilities = vec![Capability::MessageV2];
    if flags.contains(MessageFlags::SUPPORTS_SYNC_RESET) {
        capabilities.push(Capability::SyncReset);
    }
    state.their_capabilities = Some(capabilities);
    if flags.contains(MessageFlags::SYNC_RESET) {
        state.sent_hashes.clear();
    }
    state.peer_read_only = flags.contains(MessageFlags::READ_ONLY);
}

/// Gives what both have after a message brought changes: the heads that it brought, and those shared before that are
/// heads still.
fn advanced_heads(before: &Heads, now: &Heads, shared: &[automerge::ChangeHash]) -> Vec<automerge::ChangeHash> {
    // There may be thousands, when many devices were offline at once.
    let shared = convert::heads(shared);
    let is_shared = |hash: &ChangeHash| !before.contains(hash) || shared.contains(hash);
    now.as_slice().iter().filter(|hash| is_shared(hash)).copied().map(convert::their_hash).collect()
}
