//! Who may read and write what.

use comity_model::{DocumentId, PeerId, StorageId};

/// Whoever wants to read or write.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Who<'a> {
    /// The person at this device.
    Here,
    /// A peer at the other end of a link.
    Peer {
        /// What it calls itself.
        id: &'a PeerId,
        /// What it calls its storage.
        storage: Option<&'a StorageId>,
    },
}

/// An answer to "may they?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They may.
    Allowed,
    /// They may not, and why, in words for them.
    Denied {
        /// Short, for a person.
        reason: String,
    },
}

/// Answers whether somebody may read or write a document. Asked for every document that a peer opens, for every
/// message that brings changes, and for every local edit.
pub trait Rulebook: Send {
    /// May they see the document?
    fn may_read(&self, who: &Who<'_>, document: &DocumentId) -> Verdict;

    /// May they change the document?
    fn may_write(&self, who: &Who<'_>, document: &DocumentId) -> Verdict;
}

/// Lets everyone read and write what they can name: knowing a document's id is the key to it, as in automerge-repo.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everyone;

impl Rulebook for Everyone {
    fn may_read(&self, _: &Who<'_>, _: &DocumentId) -> Verdict {
        Verdict::Allowed
    }

    fn may_write(&self, _: &Who<'_>, _: &DocumentId) -> Verdict {
        Verdict::Allowed
    }
}
