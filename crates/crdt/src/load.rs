//! Loading a document from our own store or from an admitted file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, Change, ReadDoc};
use comity_model::Heads;

use crate::admit::weigh;
use crate::chunk::{self, ChunkError, ChunkKind};
use crate::{AdmittedDocument, Document, convert};

/// Says why a document cannot be loaded. What the store holds is then damaged or incomplete.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The snapshot cannot be read.
    #[error("the snapshot of {bytes} bytes cannot be read: {detail}")]
    Snapshot {
        /// Its length.
        bytes: usize,
        /// What Automerge says.
        detail: String,
    },
    /// A stored change is damaged.
    #[error("stored change number {index} is damaged: {reason}")]
    Change {
        /// Which one, counted from 0.
        index: usize,
        /// What is wrong.
        reason: ChunkError,
    },
    /// Changes do not fit together.
    #[error("the stored changes do not fit together: {detail}")]
    Apply {
        /// What Automerge says.
        detail: String,
    },
    /// Changes are missing on which stored ones depend.
    #[error("{missing} are missing from the store, though stored changes depend on them; fetch them from a peer")]
    MissingDependencies {
        /// The missing changes.
        missing: Heads,
    },
    /// Automerge panicked.
    #[error(
        "automerge panicked while loading the document; what is stored is damaged in a way that it does not notice"
    )]
    Panicked,
}

impl Document {
    /// Loads a document from a snapshot and the changes stored since, in any order and with repetitions. Checks that
    /// nothing is missing on which a change depends.
    ///
    /// # Errors
    /// When anything is damaged or missing.
    pub fn load(
        snapshot: Option<&[u8]>,
        changes: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Self, LoadError> {
        let changes: Vec<_> = changes.into_iter().collect();
        let weights = changes.iter().map(AsRef::as_ref).chain(snapshot).map(|bytes| weigh(bytes).inflated_bytes);
        let content = weights.fold(0, usize::saturating_add);
        let load = || load(snapshot, changes);
        let mut document = catch_unwind(AssertUnwindSafe(load)).unwrap_or(Err(LoadError::Panicked))?;
        document.content_bytes = content;
        Ok(document)
    }

    /// Makes a document of an admitted file.
    ///
    /// # Errors
    /// When Automerge cannot read it, or changes are missing on which others depend.
    pub fn import(file: &AdmittedDocument) -> Result<Self, LoadError> {
        Self::load(Some(file.as_bytes()), std::iter::empty::<&[u8]>())
    }
}

fn load(snapshot: Option<&[u8]>, stored: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Document, LoadError> {
    let mut inner = match snapshot {
        Some(bytes) => {
            let wrong = |detail| LoadError::Snapshot { bytes: bytes.len(), detail };
            Automerge::load(bytes).map_err(|error| wrong(error.to_string()))?
        }
        None => Automerge::new(),
    };
    let changes = decode(stored)?;
    inner.apply_changes(changes).map_err(|error| LoadError::Apply { detail: error.to_string() })?;
    let missing = inner.get_missing_deps(&[]);
    if !missing.is_empty() {
        return Err(LoadError::MissingDependencies { missing: convert::heads(&missing) });
    }
    Ok(Document::from_inner(inner))
}

fn decode(stored: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Vec<Change>, LoadError> {
    let mut changes = Vec::new();
    for (index, bytes) in stored.into_iter().enumerate() {
        let damaged = |reason| LoadError::Change { index, reason };
        for chunk in chunk::split(bytes.as_ref()).map_err(damaged)? {
            match chunk.kind {
                ChunkKind::Change | ChunkKind::CompressedChange => changes.push(chunk.change().map_err(damaged)?),
                ChunkKind::Document => return Err(damaged(ChunkError::Kind(0))),
                ChunkKind::Bundle => return Err(damaged(ChunkError::Kind(3))),
            }
        }
    }
    Ok(changes)
}
