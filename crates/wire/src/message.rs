//! The messages of the protocol and what they carry.

use std::collections::BTreeMap;

use bytes::Bytes;
use comity_model::{DocumentId, Heads, PeerId, StorageId};

/// Names the only protocol version there is. A peer that lists no versions means this one.
pub const PROTOCOL_VERSION: &str = "1";

/// One message of the automerge-repo protocol: the content of one binary WebSocket message.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// The first message of whoever dialled.
    Join {
        /// Who dialled.
        sender: PeerId,
        /// Protocol versions that the sender speaks.
        versions: Vec<String>,
        /// What the sender tells about itself.
        metadata: PeerMetadata,
    },
    /// The answer to `Join`.
    Peer {
        /// Who was dialled.
        sender: PeerId,
        /// Who dialled.
        target: PeerId,
        /// The version that both will use.
        selected_version: String,
        /// What the sender tells about itself.
        metadata: PeerMetadata,
    },
    /// The sender found a fault and is about to close.
    Error {
        /// For people, at most [`Message::ERROR_BYTES_MAX`] bytes; what is longer is cut, in both directions.
        message: String,
        /// Named by JavaScript servers, not by `samod`.
        sender: Option<PeerId>,
        /// Named by JavaScript servers, not by `samod`.
        target: Option<PeerId>,
    },
    /// The first sync message about a document that the sender does not have.
    Request {
        /// Who asks.
        sender: PeerId,
        /// Who is asked.
        target: PeerId,
        /// Which document is asked for.
        document: DocumentId,
        /// An Automerge sync message, not admitted yet.
        data: Bytes,
    },
    /// A sync message about a document.
    Sync {
        /// Whose sync message this is.
        sender: PeerId,
        /// For whom it was made.
        target: PeerId,
        /// Which document it is about.
        document: DocumentId,
        /// An Automerge sync message, not admitted yet.
        data: Bytes,
    },
    /// The sender does not have the document now. Not final, and never answered with the same.
    DocUnavailable {
        /// Who was asked.
        sender: PeerId,
        /// Who asked.
        target: PeerId,
        /// Which document was asked for.
        document: DocumentId,
    },
    /// Something for whoever has the document open now; nobody stores it. Relayed with sender, session and count as
    /// they were, which is what makes it recognisable when it arrives twice.
    Ephemeral {
        /// Who said it first; need not be the peer of this link.
        sender: PeerId,
        /// To whom this copy goes.
        target: PeerId,
        /// Which document it is about.
        document: DocumentId,
        /// Random text of the sender's process, at most [`Message::SESSION_BYTES_MAX`] bytes.
        session: String,
        /// Rises with each message of a session; at most [`Message::COUNT_MAX`]. Written as an integer within u32
        /// and as float64 above it: JavaScript would read a 64-bit integer as a `BigInt`.
        count: u64,
        /// The application's bytes.
        data: Bytes,
    },
    /// The sender wishes to hear, or hear no longer, of the heads of these storages.
    RemoteSubscriptionChange {
        /// Who wishes.
        sender: PeerId,
        /// Who shall tell.
        target: PeerId,
        /// Storages to hear of.
        add: Vec<StorageId>,
        /// Storages to hear of no longer.
        remove: Vec<StorageId>,
    },
    /// Tells what heads of a document other peers' storages have reached.
    RemoteHeadsChanged {
        /// Who tells.
        sender: PeerId,
        /// Who is told.
        target: PeerId,
        /// Which document it is about.
        document: DocumentId,
        /// The heads, by storage.
        new_heads: BTreeMap<StorageId, RemoteHeads>,
    },
    /// The sender is about to disconnect.
    Leave {
        /// Who leaves.
        sender: PeerId,
    },
}

impl Message {
    /// Longest text of an [`Message::Error`], in bytes.
    pub const ERROR_BYTES_MAX: usize = 1_024;
    /// Longest session of an [`Message::Ephemeral`], in bytes. JavaScript uses about 11, Rust a UUID.
    pub const SESSION_BYTES_MAX: usize = 256;
    /// Greatest count of an [`Message::Ephemeral`]: the greatest integer that JavaScript holds exactly.
    pub const COUNT_MAX: u64 = (1 << 53) - 1;
    /// Most protocol versions in a [`Message::Join`].
    pub const VERSIONS_MAX: usize = 16;
    /// Longest name of a protocol version, in bytes.
    pub const VERSION_BYTES_MAX: usize = 32;
    /// Most keys in the map of a message, and in each map inside it that has fixed keys.
    pub const KEYS_MAX: usize = 64;

    /// Gives the protocol's name of this type of message, for logs and counters.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Join { .. } => "join",
            Self::Peer { .. } => "peer",
            Self::Error { .. } => "error",
            Self::Request { .. } => "request",
            Self::Sync { .. } => "sync",
            Self::DocUnavailable { .. } => "doc-unavailable",
            Self::Ephemeral { .. } => "ephemeral",
            Self::RemoteSubscriptionChange { .. } => "remote-subscription-change",
            Self::RemoteHeadsChanged { .. } => "remote-heads-changed",
            Self::Leave { .. } => "leave",
        }
    }

    /// Gives who the message says it is from. Only an error may leave it out. It is a claim: compare it with the
    /// peer of the connection.
    pub const fn sender(&self) -> Option<&PeerId> {
        match self {
            Self::Error { sender, .. } => sender.as_ref(),
            Self::Join { sender, .. }
            | Self::Peer { sender, .. }
            | Self::Request { sender, .. }
            | Self::Sync { sender, .. }
            | Self::DocUnavailable { sender, .. }
            | Self::Ephemeral { sender, .. }
            | Self::RemoteSubscriptionChange { sender, .. }
            | Self::RemoteHeadsChanged { sender, .. }
            | Self::Leave { sender } => Some(sender),
        }
    }

    /// Gives whom the message is for, where it says so.
    pub const fn target(&self) -> Option<&PeerId> {
        match self {
            Self::Join { .. } | Self::Leave { .. } => None,
            Self::Error { target, .. } => target.as_ref(),
            Self::Peer { target, .. }
            | Self::Request { target, .. }
            | Self::Sync { target, .. }
            | Self::DocUnavailable { target, .. }
            | Self::Ephemeral { target, .. }
            | Self::RemoteSubscriptionChange { target, .. }
            | Self::RemoteHeadsChanged { target, .. } => Some(target),
        }
    }

    /// Gives the document that the message is about, if any.
    pub const fn document(&self) -> Option<DocumentId> {
        match self {
            Self::Request { document, .. }
            | Self::Sync { document, .. }
            | Self::DocUnavailable { document, .. }
            | Self::Ephemeral { document, .. }
            | Self::RemoteHeadsChanged { document, .. } => Some(*document),
            Self::Join { .. }
            | Self::Peer { .. }
            | Self::Error { .. }
            | Self::RemoteSubscriptionChange { .. }
            | Self::Leave { .. } => None,
        }
    }

    /// Gives the data that the message carries, if any.
    pub const fn data(&self) -> Option<&Bytes> {
        match self {
            Self::Request { data, .. } | Self::Sync { data, .. } | Self::Ephemeral { data, .. } => Some(data),
            _ => None,
        }
    }
}

/// What a peer tells about itself when a link begins.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PeerMetadata {
    /// Names the peer's storage, so that sync states can be kept across connections.
    pub storage_id: Option<StorageId>,
    /// Whether nothing should be kept about the peer after the link ends.
    pub is_ephemeral: bool,
    /// What the peer can do beyond the plain protocol; none for any other implementation.
    pub comity: Option<Abilities>,
}

/// What a Comity peer can do beyond the plain protocol. Travels under the one key `comity`, where other
/// implementations skip it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Version of Comity's additions.
    pub version: u32,
    /// Whether the peer advertises heads to whoever sent a change only once they are on its disk.
    pub durable_acks: bool,
}

impl Abilities {
    /// The version of Comity's additions that this crate speaks.
    pub const VERSION: u32 = 1;
}

/// The heads that a storage has reached, as gossip tells it.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct RemoteHeads {
    /// The heads.
    pub heads: Heads,
    /// When they were first told of, by that teller's clock: milliseconds since 1970, finite, not negative. As
    /// float64, because JavaScript numbers are.
    pub timestamp_ms: f64,
}
