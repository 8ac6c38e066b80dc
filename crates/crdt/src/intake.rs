//! Taking in the chunks of a message, slice by slice.
//!
//! Applying an operation costs Automerge more than half a kilobyte for a moment, so never more of them are applied at once
//! than one change may hold. What a slice leaves waiting, because what it depends on comes later, is applied with it in
//! one go, so it is bounded too.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, Change, ReadDoc};
use bytes::Bytes;
use comity_model::{ChangeHash, Limits};

use crate::chunk::{self, Chunk, ChunkError, ChunkKind};
use crate::receive::ReceiveError;
use crate::{Document, convert, genesis};

/// Most changes that are applied at once. Decoded, even one without operations takes a kilobyte or two.
const SLICE_CHANGES_MAX: usize = 4_096;

/// A change that has come and is not part of the document yet.
#[derive(Clone, Debug)]
pub(crate) struct Early {
    /// As it came.
    pub(crate) bytes: Bytes,
    pub(crate) operations: u64,
}

/// What a message brought that was not known.
#[derive(Default)]
pub(crate) struct Arrived<'a> {
    /// Document chunks.
    pub(crate) documents: Vec<&'a [u8]>,
    /// The heads of those.
    pub(crate) document_heads: Vec<ChangeHash>,
    /// Single changes.
    pub(crate) changes: BTreeMap<ChangeHash, Early>,
}

/// The changes to be applied next.
#[derive(Default)]
struct Slice {
    changes: Vec<Change>,
    operations: u64,
}

impl Document {
    /// Applies the chunks of a message. On error, some of them may be applied already.
    pub(crate) fn take_in<'a>(
        &mut self,
        parts: impl Iterator<Item = &'a [u8]>,
        limits: &Limits,
    ) -> Result<Arrived<'a>, ReceiveError> {
        let mut arrived = Arrived::default();
        let mut slice = Slice::default();
        let mut singles = Vec::new();
        for part in parts {
            for chunk in chunk::split(part)? {
                match chunk.kind {
                    ChunkKind::Document => self.take_document(chunk, &mut slice, &mut arrived, limits)?,
                    ChunkKind::Change | ChunkKind::CompressedChange => singles.push(chunk),
                    ChunkKind::Bundle => return Err(ChunkError::Kind(3).into()),
                }
            }
        }
        for chunk in singles {
            let change = quietly(|| chunk.change())??;
            self.take_change(change, Some(chunk.bytes), &mut slice, &mut arrived, limits)?;
        }
        self.apply_slice(&mut slice, &arrived, limits)?;
        Ok(arrived)
    }

    fn take_document<'a>(
        &mut self,
        chunk: Chunk<'a>,
        slice: &mut Slice,
        arrived: &mut Arrived<'a>,
        limits: &Limits,
    ) -> Result<(), ReceiveError> {
        let heads = chunk.document_heads().ok_or(ChunkError::Truncated)?;
        if heads.iter().all(|hash| self.contains(hash)) {
            return Ok(());
        }
        arrived.documents.push(chunk.bytes);
        arrived.document_heads.extend(heads);
        if self.inner.is_empty() && slice.changes.is_empty() {
            self.guarded("receive", |inner| inner.load_incremental(chunk.bytes))??;
            return Ok(self.check_size(0, 0, limits)?);
        }
        // Automerge would apply all of it at once.
        let (theirs, have) = (quietly(|| Automerge::load(chunk.bytes))??, self.inner.get_heads());
        let changes = quietly(|| theirs.get_changes(&have))?;
        drop(theirs);
        for change in changes {
            self.take_change(change, None, slice, arrived, limits)?;
        }
        Ok(())
    }

    fn take_change(
        &mut self,
        mut change: Change,
        bytes: Option<&[u8]>,
        slice: &mut Slice,
        arrived: &mut Arrived<'_>,
        limits: &Limits,
    ) -> Result<(), ReceiveError> {
        let hash = convert::hash(change.hash());
        if self.contains(&hash) || self.orphans.contains_key(&hash) || arrived.changes.contains_key(&hash) {
            return Ok(());
        }
        refuse_forged_genesis(hash, change.actor_id().to_bytes())?;
        let operations = change.len() as u64;
        if slice.operations.saturating_add(operations) > limits.change_operations_max
            || slice.changes.len() >= SLICE_CHANGES_MAX
        {
            self.apply_slice(slice, arrived, limits)?;
        }
        let bytes = bytes.map_or_else(|| Bytes::copy_from_slice(&change.bytes()), Bytes::copy_from_slice);
        arrived.changes.insert(hash, Early { bytes, operations });
        slice.operations += operations;
        slice.changes.push(change);
        Ok(())
    }

    fn apply_slice(&mut self, slice: &mut Slice, arrived: &Arrived<'_>, limits: &Limits) -> Result<(), ReceiveError> {
        let Slice { changes, operations } = std::mem::take(slice);
        if changes.is_empty() {
            return Ok(());
        }
        self.check_size(operations, changes.len() as u64, limits)?;
        let applied = self.guarded("receive", |inner| inner.apply_changes(changes))?;
        self.advanced();
        applied.map_err(ReceiveError::from)?;
        self.check_waiting(arrived, limits)
    }

    /// Refuses too much that waits: it is applied in one go once what it waits for has come.
    fn check_waiting(&self, arrived: &Arrived<'_>, limits: &Limits) -> Result<(), ReceiveError> {
        let waiting = self.orphans.iter().chain(&arrived.changes).filter(|(hash, _)| !self.contains(hash));
        let (bytes, operations) = waiting.fold((0, 0), |(bytes, operations): (usize, u64), (_, early)| {
            (bytes + early.bytes.len(), operations.saturating_add(early.operations))
        });
        if bytes > limits.orphan_bytes_max {
            return Err(ReceiveError::TooManyOrphans { actual: bytes, max: limits.orphan_bytes_max });
        }
        if operations > limits.orphan_operations_max {
            return Err(ReceiveError::TooManyEarlyOperations { actual: operations, max: limits.orphan_operations_max });
        }
        Ok(())
    }

    /// Refuses more than a document may hold.
    pub(crate) fn check_size(&self, operations: u64, changes: u64, limits: &Limits) -> Result<(), TooLarge> {
        let stats = self.inner.stats();
        let parts = [
            ("operations", stats.num_ops.saturating_add(operations), limits.document_operations_max),
            ("changes", stats.num_changes.saturating_add(changes), limits.document_changes_max),
        ];
        match parts.into_iter().find(|(_, actual, max)| actual > max) {
            Some((what, actual, max)) => Err(TooLarge { what, actual, max }),
            None => Ok(()),
        }
    }
}

/// Says that a document would hold too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the document would have {actual} {what}, {max} are allowed: begin another one, or raise `document_{what}_max` \
     wherever it is"
)]
pub struct TooLarge {
    /// `operations` or `changes`.
    pub what: &'static str,
    /// How many it would have.
    pub actual: u64,
    /// The bound.
    pub max: u64,
}

/// Nobody else may write as the genesis actor: a change of theirs with its first number would keep the real one out.
pub(crate) fn refuse_forged_genesis(hash: ChangeHash, actor: &[u8]) -> Result<(), ReceiveError> {
    if actor == genesis::ACTOR && hash != genesis::HASH {
        return Err(ReceiveError::ForgedGenesis { hash });
    }
    Ok(())
}

/// Decodes under `catch_unwind`. It does not touch the document.
fn quietly<T>(decode: impl FnOnce() -> T) -> Result<T, ReceiveError> {
    catch_unwind(AssertUnwindSafe(decode)).map_err(|_| ReceiveError::Undecodable)
}
