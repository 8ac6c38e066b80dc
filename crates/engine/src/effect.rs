//! What the engine asks of the driver.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use comity_crdt::{DecodedChange, EditError};
use comity_model::{ChangeHash, DocumentId, Heads, LinkId, PeerId, StorageId};
use comity_wire::Message;

use crate::{Failure, Ticket, Token};

/// Something to be done. Effects of one call are in the order in which they must be carried out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Effect {
    /// Make change chunks durable, after everything asked of the same document before. Answer with
    /// [`Input::Stored`](crate::Input::Stored).
    Append {
        /// Comes back.
        ticket: Ticket,
        /// Which document.
        document: DocumentId,
        /// The chunks, all or none of them.
        chunks: Vec<Bytes>,
        /// The document's heads with them.
        heads: Heads,
    },
    /// Replace everything that was appended to a document before by one snapshot. Answer with
    /// [`Input::Stored`](crate::Input::Stored).
    Replace {
        /// Comes back.
        ticket: Ticket,
        /// Which document.
        document: DocumentId,
        /// The whole document.
        snapshot: Bytes,
        /// Its heads.
        heads: Heads,
    },
    /// Keep the sync session of a peer. Need not be durable at once; nobody waits.
    KeepSession {
        /// Which document.
        document: DocumentId,
        /// Whose.
        storage: StorageId,
        /// The session, opaque.
        session: Bytes,
    },
    /// Read a document. Answer with [`Input::Loaded`](crate::Input::Loaded).
    Load {
        /// Which.
        document: DocumentId,
    },
    /// Write a message to a link; report with [`Input::Written`](crate::Input::Written).
    Send {
        /// Which link.
        link: LinkId,
        /// What. Payloads of peers in step share their bytes.
        message: Message,
    },
    /// Close a link, after what was sent before.
    Close {
        /// Which.
        link: LinkId,
        /// Why, for the log and the peer.
        reason: CloseReason,
    },
    /// Keep bytes that were refused: they are evidence.
    Quarantine {
        /// The link by which they came.
        link: LinkId,
        /// Who sent them.
        peer: PeerId,
        /// About which document.
        document: Option<DocumentId>,
        /// Where they were refused.
        at: RefusedAt,
        /// Why they were refused.
        reason: String,
        /// The bytes, cut to the limit.
        bytes: Bytes,
        /// How many there were.
        size: usize,
    },
    /// Tell whoever listens.
    Notify(Event),
}

/// How far refused bytes got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedAt {
    /// A message of the protocol that is forged or out of place. The bytes are the message, or the beginning of its data
    /// when that is above the limit.
    Protocol,
    /// Refused by admission. The bytes are the sync message.
    Admission,
    /// Admitted, then refused by the document. The bytes are the sync message.
    Apply,
    /// Automerge panicked. The bytes are the sync message.
    Panic,
}

/// Why the engine closes a link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// A sync message was refused by admission or by the document.
    #[error("refused a sync message for {document}: {reason}")]
    RefusedBytes {
        /// About which document.
        document: DocumentId,
        /// Why.
        reason: String,
    },
    /// A frame named another sender than the peer of the connection.
    #[error("a frame claims to come from {claimed}, but this connection belongs to another peer")]
    ForgedSender {
        /// The name it claims.
        claimed: PeerId,
    },
    /// A limit was met.
    #[error("too many {what} on one connection: the limit is {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The peer may not do this.
    #[error("not allowed: {reason}")]
    Denied {
        /// Why.
        reason: String,
    },
    /// Our store is in trouble, and what the peer said was lost.
    #[error("the store failed, say it again later: {reason}")]
    Store {
        /// What is wrong.
        reason: String,
    },
    /// So much is on its way to all peers together that others had to wait, and this one reads too little of its part.
    #[error("too little was read in {} s while others had to wait; come back", after.as_secs())]
    GaveWay {
        /// It had so long for what it held.
        after: Duration,
    },
    /// A message that only belongs into the handshake.
    #[error("a {what} message is out of place after the handshake")]
    OutOfPlace {
        /// Which.
        what: &'static str,
    },
}

/// Where a change came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A local edit.
    Here,
    /// A peer.
    Link(LinkId),
}

/// Why an edit was not made. Nothing of it was applied.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefusedEdit {
    /// The rulebook says no.
    #[error("not allowed: {reason}")]
    Denied {
        /// Why.
        reason: String,
    },
    /// The document cannot take it.
    #[error(transparent)]
    Edit(Arc<EditError>),
    /// The store is in trouble; the document is read-only.
    #[error("nothing was changed: {0}")]
    Store(Failure),
    /// Too much already waits for the document to load.
    #[error("too much waits for this document to load: the limit is {limit}; try again")]
    Busy {
        /// The limit.
        limit: usize,
    },
}

/// What a peer has said of a document on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing yet, or it is not connected.
    None,
    /// It does not have the document.
    Unavailable,
    /// Its heads are others than ours.
    Differs,
    /// Its heads are ours.
    InStep,
}

/// How a document stands with one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStanding {
    /// The link, while it is connected.
    pub link: Option<LinkId>,
    /// Its storage, if it keeps things.
    pub storage: Option<StorageId>,
    /// Changes here that it is not known to have. Over a link whose peer acknowledges only what is on its disk
    /// ([`Peer::durable`](crate::Peer::durable)): not known to be on its disk.
    pub behind: usize,
    /// What it has said.
    pub answer: Answer,
}

/// How a document stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its heads here.
    pub heads: Heads,
    /// All changes here that somebody wrote (the constant genesis does not count).
    pub changes: usize,
    /// Changes here that are not on disk yet.
    pub unsaved: bool,
    /// Peers that have it open, and peers that kept it when they were connected last.
    pub peers: Vec<PeerStanding>,
}

/// Something worth telling.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A local edit is in the document (not yet on disk), or was refused.
    Edited {
        /// Of the edit.
        token: Token,
        /// Where.
        document: DocumentId,
        /// The change; `None` when there was nothing to change.
        result: Result<Option<ChangeHash>, RefusedEdit>,
    },
    /// A local edit is on disk, or will never be.
    Saved {
        /// Of the edit.
        token: Token,
        /// Where.
        document: DocumentId,
        /// Whether it is on disk.
        result: Result<(), Failure>,
    },
    /// A document changed.
    Changed {
        /// Which.
        document: DocumentId,
        /// By whom.
        origin: Origin,
        /// Its heads before.
        before: Heads,
        /// Its heads now.
        after: Heads,
        /// The new changes, decoded, in causal order; empty unless [`Config::decode`](crate::Config::decode) asks
        /// for them.
        changes: Arc<[DecodedChange]>,
    },
    /// A document is in memory and can be read, or cannot be.
    Fetched {
        /// Of the request.
        token: Token,
        /// Which document.
        document: DocumentId,
        /// Whether it can be read.
        result: Result<(), Failure>,
    },
    /// A document stands differently than before: a peer has caught up, or it was loaded.
    Stands {
        /// Which.
        document: DocumentId,
        /// How.
        standing: Standing,
    },
    /// A document is in step with a peer: both have the same changes.
    InStep {
        /// Which.
        document: DocumentId,
        /// With whom.
        link: LinkId,
    },
    /// A peer does not have a document that this node wants. Not final: it may come later.
    Unavailable {
        /// Which.
        document: DocumentId,
        /// Who said so.
        link: LinkId,
    },
    /// A short-lived message arrived.
    Ephemeral {
        /// About which document.
        document: DocumentId,
        /// Who sent it first.
        sender: PeerId,
        /// What, opaque.
        data: Bytes,
    },
    /// A document's store failed: it can be read, but not changed. What is in memory and not on disk is lost if the
    /// node ends now.
    Failed {
        /// Which.
        document: DocumentId,
        /// What is wrong.
        failure: Failure,
    },
    /// The store lost changes on which others depend that it still has. Those are not part of the document until the lost
    /// ones come from a peer. It can be read and changed meanwhile.
    Incomplete {
        /// Which document.
        document: DocumentId,
        /// The changes that are missing.
        missing: Heads,
    },
    /// Something that a peer sent is not taken: it goes over a bound, or contradicts what is here (one actor wrote two
    /// different changes under one number). The bytes are kept as evidence; the link stays.
    NotTaken {
        /// For which document.
        document: DocumentId,
        /// Who sent it.
        link: LinkId,
        /// Why, in words.
        reason: String,
    },
    /// A failed document is on disk again, all of it, and can be changed.
    Recovered {
        /// Which.
        document: DocumentId,
    },
    /// A peer reports an error of its own.
    PeerError {
        /// Which link.
        link: LinkId,
        /// What it says, cut to a readable length.
        message: String,
    },
}

impl Event {
    /// Gives the document it is about, if it is about one.
    pub fn document(&self) -> Option<DocumentId> {
        match self {
            Self::Edited { document, .. }
            | Self::Saved { document, .. }
            | Self::Changed { document, .. }
            | Self::Fetched { document, .. }
            | Self::Stands { document, .. }
            | Self::InStep { document, .. }
            | Self::Unavailable { document, .. }
            | Self::Ephemeral { document, .. }
            | Self::Recovered { document }
            | Self::Incomplete { document, .. }
            | Self::NotTaken { document, .. }
            | Self::Failed { document, .. } => Some(*document),
            Self::PeerError { .. } => None,
        }
    }
}
