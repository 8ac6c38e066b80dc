//! The handshake of automerge-repo: the dialer says `join`, the other side answers `peer`.

use comity_model::{PeerId, StorageId};
use comity_wire::{Abilities, Message, PeerMetadata};

use crate::Peer;

/// The only protocol version there is.
pub(crate) const VERSION: &str = "1";

/// How this node introduces itself.
#[derive(Clone, Debug)]
pub struct LocalPeer {
    /// Its name on the wire.
    pub id: PeerId,
    /// Its storage.
    pub storage: StorageId,
}

/// A handshake on one new connection. Give it each message until it is established.
#[derive(Debug)]
pub struct Handshake {
    local: LocalPeer,
    dialed: bool,
}

/// A finished handshake.
#[derive(Debug)]
pub struct Established {
    /// Who is there.
    pub peer: Peer,
    /// What to answer, if anything.
    pub reply: Option<Message>,
}

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Not the message that comes next.
    #[error("expected a {expected} message first")]
    OutOfPlace {
        /// The one that comes next.
        expected: &'static str,
    },
    /// No version in common.
    #[error("no protocol version in common: this node speaks version 1")]
    Version,
    /// The peer says that it will not talk to us.
    #[error("the peer refused: {message}")]
    Refused {
        /// What it says, cut to a readable length.
        message: String,
    },
    /// The peer has our own name.
    #[error("the peer calls itself {id}, which is this node's own name: is the node dialing itself?")]
    Itself {
        /// The name.
        id: PeerId,
    },
}

impl Handshake {
    /// Starts a handshake on a connection that this node dialed. Send the message.
    pub fn dial(local: LocalPeer) -> (Self, Message) {
        let join =
            Message::Join { sender: local.id.clone(), versions: vec![VERSION.to_owned()], metadata: metadata(&local) };
        (Self { local, dialed: true }, join)
    }

    /// Starts a handshake on a connection that somebody else dialed.
    pub fn accept(local: LocalPeer) -> Self {
        Self { local, dialed: false }
    }

    /// Takes the peer's first message.
    ///
    /// # Errors
    /// When it is not the one that comes next, or the peers cannot talk. Tell the peer with
    /// [`refusal`](Self::refusal), then close.
    pub fn receive(&self, message: Message) -> Result<Established, HandshakeError> {
        match message {
            Message::Peer { sender, selected_version, metadata, .. } if self.dialed => {
                if selected_version != VERSION {
                    return Err(HandshakeError::Version);
                }
                Ok(Established { peer: self.peer(sender, &metadata)?, reply: None })
            }
            Message::Join { sender, versions, metadata } if !self.dialed => {
                if !versions.iter().any(|version| version == VERSION) {
                    return Err(HandshakeError::Version);
                }
                let reply = Message::Peer {
                    sender: self.local.id.clone(),
                    target: sender.clone(),
                    selected_version: VERSION.to_owned(),
                    metadata: self::metadata(&self.local),
                };
                Ok(Established { peer: self.peer(sender, &metadata)?, reply: Some(reply) })
            }
            Message::Error { message, .. } => {
                Err(HandshakeError::Refused { message: message.chars().take(200).collect() })
            }
            _ => Err(HandshakeError::OutOfPlace { expected: if self.dialed { "peer" } else { "join" } }),
        }
    }

    /// Gives the message that tells the peer why the handshake failed.
    pub fn refusal(&self, error: &HandshakeError) -> Message {
        Message::Error { sender: Some(self.local.id.clone()), target: None, message: error.to_string() }
    }

    fn peer(&self, id: PeerId, metadata: &PeerMetadata) -> Result<Peer, HandshakeError> {
        if id == self.local.id {
            return Err(HandshakeError::Itself { id });
        }
        Ok(Peer {
            id,
            storage: if metadata.is_ephemeral { None } else { metadata.storage_id.clone() },
            durable: metadata.comity.as_ref().is_some_and(|abilities| abilities.durable_acks),
            announce: self.dialed,
        })
    }
}

fn metadata(local: &LocalPeer) -> PeerMetadata {
    PeerMetadata {
        storage_id: Some(local.storage.clone()),
        is_ephemeral: false,
        comity: Some(Abilities { version: 1, durable_acks: true }),
    }
}
