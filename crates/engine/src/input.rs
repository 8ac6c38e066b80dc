//! What the driver tells the engine.

use std::fmt;

use bytes::Bytes;
use comity_model::{ActKind, DocumentId, Heads, LinkId, StorageId, Write};
use comity_wire::Message;

use crate::Peer;

/// Names one thing handed to the store; comes back in [`Input::Stored`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// Names a request of the driver; comes back in the event that answers it. Chosen by the driver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub u64);

/// A local edit: one atomic change.
#[derive(Clone, Debug)]
pub struct Edit {
    /// Comes back in [`Event::Edited`](crate::Event::Edited) and [`Event::Saved`](crate::Event::Saved).
    pub token: Token,
    /// Where.
    pub document: DocumentId,
    /// What sort of act.
    pub kind: ActKind,
    /// The heads that the person had on screen; `None` for the current ones.
    pub base: Option<Heads>,
    /// What to write.
    pub writes: Vec<Write>,
}

/// What the store holds of a document.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The newest snapshot.
    pub snapshot: Option<Bytes>,
    /// Change chunks since.
    pub changes: Vec<Bytes>,
    /// Sync sessions kept for peers.
    pub sessions: Vec<(StorageId, Bytes)>,
}

/// What sort of trouble the store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// The disk has no room left.
    Full,
    /// What is on disk does not verify.
    Damaged,
    /// The disk or the store engine refused.
    Io,
}

/// Says that the store could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What sort of trouble.
    pub kind: FailureKind,
    /// In words, for a person: what, where, what to do.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input {
    /// A link is open and its handshake done.
    LinkUp {
        /// A name never used before.
        link: LinkId,
        /// Who is there.
        peer: Peer,
    },
    /// A link is gone.
    LinkDown {
        /// Which.
        link: LinkId,
    },
    /// A peer sent a message.
    Received {
        /// By which link.
        link: LinkId,
        /// The message, as `wire` decoded it.
        message: Message,
    },
    /// Messages that were handed to a link have been written to its socket.
    Written {
        /// Which link.
        link: LinkId,
        /// How many messages.
        messages: usize,
        /// How many bytes of data they carried.
        bytes: usize,
    },
    /// A person's edit.
    Edit(Edit),
    /// This node itself wants a document: it is announced on every link that announces, now and later.
    Want {
        /// Which.
        document: DocumentId,
    },
    /// Somebody wants to read a document: it is loaded, then [`Event::Fetched`](crate::Event::Fetched) comes.
    Fetch {
        /// Comes back.
        token: Token,
        /// Which document.
        document: DocumentId,
    },
    /// A short-lived message for everybody who has the document open.
    Broadcast {
        /// Which document.
        document: DocumentId,
        /// What, opaque.
        data: Bytes,
    },
    /// The store has answered an append or a replacement.
    Stored {
        /// Which.
        ticket: Ticket,
        /// Whether it is on disk.
        result: Result<(), Failure>,
    },
    /// The store has answered a load.
    Loaded {
        /// Which document.
        document: DocumentId,
        /// What it holds; `None` when it has nothing.
        result: Result<Option<Loaded>, Failure>,
    },
    /// Time has passed. Wanted at least once a second.
    Tick,
    /// Everything that has arrived so far was handed over: make the messages now.
    Settle,
    /// The node is about to stop: write down what is worth keeping.
    Stop,
}
