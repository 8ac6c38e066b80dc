//! What can go wrong when a node is used.

use comity_engine::{Failure, RefusedEdit};
use comity_model::{EntryId, InvalidKey, InvalidValue};
use comity_store::StoreError;

use crate::OpenError;

/// Says why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// An entry id or field name is not usable.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// A value does not fit its field.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// The edit was refused.
    #[error(transparent)]
    Refused(RefusedEdit),
    /// The edit was made, but its disk failed. It is written later if the disk was only full and there is room again.
    #[error("the change is in memory only, not on disk: {0}")]
    NotSaved(Failure),
    /// There is no such entry.
    #[error("there is no entry {entry} in this document")]
    NoSuchEntry {
        /// Which.
        entry: EntryId,
    },
    /// A natural key is unique within a space only.
    #[error("a document with a natural key needs a space")]
    KeyWithoutSpace,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The document cannot be loaded.
    #[error("{0}")]
    Load(Failure),
    /// The operating system has no random bytes, or a file failed.
    #[error(transparent)]
    System(#[from] OpenError),
    /// The application's own closure says no.
    #[error("{0}")]
    Application(Box<dyn std::error::Error + Send + Sync>),
    /// The application's own closure panicked. Nothing was changed.
    #[error("the closure that was to read or edit the document panicked")]
    Panicked,
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

impl From<Failure> for NodeError {
    fn from(failure: Failure) -> Self {
        Self::Load(failure)
    }
}
