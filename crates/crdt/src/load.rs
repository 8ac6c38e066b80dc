//! Loading a document from our own store or from an admitted file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, ReadDoc};
use comity_model::Heads;

use crate::admit::{unlimited, weigh};
use crate::chunk::{self, ChunkError, ChunkKind};
use crate::intake::{Intake, decode_waiting};
use crate::size::Size;
use crate::{AdmittedDocument, Document, ReceiveError, convert};

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
        let (document, missing) = Self::load_incomplete(snapshot, changes)?;
        if missing.is_empty() { Ok(document) } else { Err(LoadError::MissingDependencies { missing }) }
    }

    /// As [`load`](Self::load), for a store that lost something. Changes that depend on what is missing wait for it, and
    /// are part of the document once it comes from a peer. Gives what is missing, too.
    ///
    /// # Errors
    /// When anything is damaged.
    pub fn load_incomplete(
        snapshot: Option<&[u8]>,
        changes: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<(Self, Heads), LoadError> {
        let load = || load(snapshot, changes);
        let mut document = catch_unwind(AssertUnwindSafe(load)).unwrap_or(Err(LoadError::Panicked))?;
        document.advanced();
        let missing = document.strand();
        Ok((document, missing))
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
    let mut inner = Automerge::new();
    if let Some(bytes) = snapshot {
        let wrong = |detail| LoadError::Snapshot { bytes: bytes.len(), detail };
        inner = Automerge::load(bytes).map_err(|error| wrong(error.to_string()))?;
        let missing = inner.get_missing_deps(&[]);
        if !missing.is_empty() {
            return Err(LoadError::MissingDependencies { missing: convert::heads(&missing) });
        }
    }
    let mut document = Document::from_inner(inner);
    document.size = snapshot.map_or_else(Size::default, |bytes| Size::of(weigh(bytes), bytes.len()));
    let limits = unlimited();
    let mut intake = Intake::new(&limits);
    for (index, bytes) in stored.into_iter().enumerate() {
        let damaged = |reason| LoadError::Change { index, reason };
        for chunk in chunk::split(bytes.as_ref()).map_err(damaged)? {
            let change = match chunk.kind {
                ChunkKind::Change | ChunkKind::CompressedChange => chunk.change().map_err(damaged)?,
                ChunkKind::Document => return Err(damaged(ChunkError::Kind(0))),
                ChunkKind::Bundle => return Err(damaged(ChunkError::Kind(3))),
            };
            document.take_change(change, Some(chunk.bytes), &mut intake)?;
        }
    }
    document.finish_intake(&mut intake)?;
    for hash in &intake.released {
        document.waiting.remove(hash);
    }
    Ok(document)
}

impl Document {
    /// Notes that what waits is in the store, and gives what it waits for.
    fn strand(&mut self) -> Heads {
        let hashes: Vec<_> = self.waiting.hashes().copied().collect();
        for hash in &hashes {
            let Some(early) = self.waiting.get(hash) else { continue };
            let Ok(change) = decode_waiting(&early.bytes) else { continue };
            let actor = convert::actor(change.actor_id());
            self.stranded.insert(*hash, actor, change.seq(), early.size_bytes());
        }
        self.waiting.missing(&hashes, |hash| self.contains(hash)).into_iter().collect()
    }
}

impl From<ReceiveError> for LoadError {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Panicked | ReceiveError::Undecodable => Self::Panicked,
            other => Self::Apply { detail: other.to_string() },
        }
    }
}
