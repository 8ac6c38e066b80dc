//! Loading a document from our own store or from an admitted file.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, Change, ReadDoc};
use bytes::Bytes;
use comity_model::Heads;

use crate::admit::weigh;
use crate::chunk::{self, ChunkError, ChunkKind};
use crate::intake::has;
use crate::size::Size;
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
        let changes: Vec<_> = changes.into_iter().collect();
        let mut size = Size::default();
        for bytes in changes.iter().map(AsRef::as_ref).chain(snapshot) {
            size.add(&weigh(bytes));
            size.whole_bytes += bytes.len();
        }
        let load = || load(snapshot, changes);
        let (mut document, missing) = catch_unwind(AssertUnwindSafe(load)).unwrap_or(Err(LoadError::Panicked))?;
        document.size = size;
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

fn load(
    snapshot: Option<&[u8]>,
    stored: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> Result<(Document, Heads), LoadError> {
    let mut inner = match snapshot {
        Some(bytes) => {
            let wrong = |detail| LoadError::Snapshot { bytes: bytes.len(), detail };
            Automerge::load(bytes).map_err(|error| wrong(error.to_string()))?
        }
        None => Automerge::new(),
    };
    let changes = decode(stored)?;
    let (complete, stranded) = part(&inner, changes);
    inner.apply_changes(complete).map_err(|error| LoadError::Apply { detail: error.to_string() })?;
    let missing = inner.get_missing_deps(&[]);
    if !missing.is_empty() {
        return Err(LoadError::MissingDependencies { missing: convert::heads(&missing) });
    }
    let mut document = Document::from_inner(inner);
    let missing = document.strand(stranded);
    Ok((document, missing))
}

/// Parts changes into those that lack nothing, in any order, and those that do.
fn part(inner: &Automerge, changes: Vec<Change>) -> (Vec<Change>, Vec<Change>) {
    let mut dependents: BTreeMap<automerge::ChangeHash, Vec<automerge::ChangeHash>> = BTreeMap::new();
    let here: BTreeSet<_> = changes.iter().map(Change::hash).collect();
    let is_known = |hash: &automerge::ChangeHash| here.contains(hash) || inner.get_change_meta_by_hash(hash).is_some();
    let mut lost = Vec::new();
    for change in &changes {
        for dep in change.deps() {
            if here.contains(dep) {
                dependents.entry(*dep).or_default().push(change.hash());
            } else if !is_known(dep) {
                lost.push(change.hash());
            }
        }
    }
    let mut stranded = BTreeSet::new();
    while let Some(hash) = lost.pop() {
        if stranded.insert(hash) {
            lost.extend(dependents.get(&hash).into_iter().flatten());
        }
    }
    changes.into_iter().partition(|change| !stranded.contains(&change.hash()))
}

impl Document {
    /// Lets stored changes wait for what is missing, and gives that.
    fn strand(&mut self, changes: Vec<Change>) -> Heads {
        let mut hashes = Vec::new();
        for mut change in changes {
            let hash = convert::hash(change.hash());
            let deps = change.deps().iter().copied().map(convert::hash).collect();
            let bytes = Bytes::copy_from_slice(&change.bytes());
            self.stranded.insert(hash, convert::actor(change.actor_id()));
            hashes.push(hash);
            let inner = &self.inner;
            self.waiting.insert(hash, bytes, deps, |dep| has(inner, dep));
        }
        self.stranded_bytes = self.waiting.size_bytes();
        self.waiting.missing(&hashes, |hash| self.contains(hash)).into_iter().collect()
    }
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
