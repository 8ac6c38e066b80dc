//! Taking in the chunks of a message, slice by slice.
//!
//! Applying an operation costs Automerge more than half a kilobyte for a moment, so never more of them are applied at once
//! than one change may hold. What comes before the changes that it depends on waits outside Automerge.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, AutomergeError, Change};
use bytes::Bytes;
use comity_model::{ChangeHash, Limits};

use crate::chunk::{self, Chunk, ChunkError, ChunkKind};
use crate::receive::ReceiveError;
use crate::{Document, convert, genesis};

/// Most changes that are applied at once. Decoded, even one without operations takes a kilobyte or two.
const SLICE_CHANGES_MAX: usize = 4_096;

/// What a message brought that was not known.
#[derive(Default)]
pub(crate) struct Arrived<'a> {
    /// Document chunks.
    pub(crate) documents: Vec<&'a [u8]>,
    /// The heads of those.
    pub(crate) document_heads: Vec<ChangeHash>,
    /// Single changes that could be applied at once.
    pub(crate) changes: BTreeMap<ChangeHash, Bytes>,
    /// Changes that came too early, from this message.
    pub(crate) early: BTreeSet<ChangeHash>,
    /// Changes that had waited before or since, and could be applied now.
    pub(crate) released: Vec<ChangeHash>,
    /// Whether changes that had waited were forgotten: they contradict others that are here.
    pub(crate) forgot: bool,
}

/// The changes to be applied next, each after what it depends on.
#[derive(Default)]
struct Slice {
    changes: Vec<Change>,
    hashes: BTreeSet<ChangeHash>,
    operations: u64,
}

impl Slice {
    fn has_room(&self, operations: u64, limits: &Limits) -> bool {
        self.changes.len() < SLICE_CHANGES_MAX
            && self.operations.saturating_add(operations) <= limits.change_operations_max
    }

    fn push(&mut self, hash: ChangeHash, change: Change) {
        self.operations += change.len() as u64;
        self.hashes.insert(hash);
        self.changes.push(change);
    }
}

impl Document {
    /// Applies the chunks of a message and what had waited for them. On error, some of it may be applied already.
    pub(crate) fn take_in<'a>(
        &mut self,
        parts: impl Iterator<Item = &'a [u8]>,
        arrived: &mut Arrived<'a>,
        limits: &Limits,
    ) -> Result<(), ReceiveError> {
        let mut slice = Slice::default();
        let mut singles = Vec::new();
        for part in parts {
            for chunk in chunk::split(part)? {
                match chunk.kind {
                    ChunkKind::Document => self.take_document(chunk, &mut slice, arrived, limits)?,
                    ChunkKind::Change | ChunkKind::CompressedChange => singles.push(chunk),
                    ChunkKind::Bundle => return Err(ChunkError::Kind(3).into()),
                }
            }
        }
        for chunk in singles {
            let change = quietly(|| chunk.change())??;
            self.take_change(change, Some(chunk.bytes), &mut slice, arrived, limits)?;
        }
        self.apply_slice(&mut slice, limits)?;
        self.release(arrived, limits)?;
        // What waits because the store lost something does not count.
        let actual = self.waiting.size_bytes().saturating_sub(self.stranded_bytes);
        let max = limits.orphan_bytes_max;
        if actual > max && !arrived.early.is_empty() {
            return Err(ReceiveError::TooManyOrphans { actual, max });
        }
        Ok(())
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
            return Ok(self.check_counts(0, 0, limits)?);
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
        if self.contains(&hash) || self.waiting.contains(&hash) || arrived.changes.contains_key(&hash) {
            return Ok(());
        }
        refuse_forged_genesis(hash, change.actor_id().to_bytes())?;
        let bytes = bytes.map_or_else(|| Bytes::copy_from_slice(&change.bytes()), Bytes::copy_from_slice);
        let deps: Vec<ChangeHash> = change.deps().iter().copied().map(convert::hash).collect();
        if !deps.iter().all(|dep| slice.hashes.contains(dep) || self.contains(dep)) {
            let inner = &self.inner;
            self.waiting.insert(hash, bytes, deps, |dep| slice.hashes.contains(dep) || has(inner, dep));
            arrived.early.insert(hash);
            return Ok(());
        }
        if !slice.has_room(change.len() as u64, limits) {
            self.apply_slice(slice, limits)?;
        }
        arrived.changes.insert(hash, bytes);
        slice.push(hash, change);
        Ok(())
    }

    fn apply_slice(&mut self, slice: &mut Slice, limits: &Limits) -> Result<(), ReceiveError> {
        let Slice { changes, operations, .. } = std::mem::take(slice);
        if changes.is_empty() {
            return Ok(());
        }
        self.check_counts(operations, changes.len() as u64, limits)?;
        self.apply_changes(changes)
    }

    /// Gives Automerge changes that lack nothing. When one contradicts what is here, nothing has happened; over any
    /// other error the document is thrown away.
    fn apply_changes(&mut self, changes: Vec<Change>) -> Result<(), ReceiveError> {
        let applied = self.guarded("receive", |inner| inner.apply_changes(changes))?;
        let Err(error) = applied else { return Ok(()) };
        if !matches!(error, AutomergeError::DuplicateSeqNumber(..)) {
            // How much of it was applied is not known.
            self.discard();
        }
        Err(error.into())
    }

    /// Applies what waited only for changes that are here now.
    fn release(&mut self, arrived: &mut Arrived<'_>, limits: &Limits) -> Result<(), ReceiveError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let inner = &self.inner;
        let came: Vec<ChangeHash> = if arrived.documents.is_empty() {
            // The genesis may have come with an edit made here.
            arrived.changes.keys().copied().chain([genesis::HASH]).filter(|hash| has(inner, hash)).collect()
        } else {
            self.waiting.awaited().into_iter().filter(|hash| has(inner, hash)).collect()
        };
        let mut ready = VecDeque::new();
        for hash in came {
            ready.extend(self.waiting.released(&hash, |dep| has(inner, dep)));
        }
        let mut slice = Slice::default();
        while let Some(hash) = ready.pop_front() {
            let Some(bytes) = self.waiting.bytes(&hash) else { continue };
            let change = decode_waiting(bytes)?;
            let is_here = |dep: &automerge::ChangeHash| slice.hashes.contains(&convert::hash(*dep)) || self.has(dep);
            if !change.deps().iter().all(is_here) {
                // What it waited for was forgotten.
                self.waiting.remove_branch(hash);
                continue;
            }
            if !slice.has_room(change.len() as u64, limits) {
                self.apply_released(&mut slice, arrived, limits)?;
            }
            slice.push(hash, change);
            arrived.released.push(hash);
            let inner = &self.inner;
            ready.extend(self.waiting.released(&hash, |dep| slice.hashes.contains(dep) || has(inner, dep)));
        }
        self.apply_released(&mut slice, arrived, limits)
    }

    /// Applies changes that waited. One that contradicts others must not keep out what it waited for, which may have come
    /// from somebody else: if it came earlier it is forgotten, with all that build on it.
    fn apply_released(
        &mut self,
        slice: &mut Slice,
        arrived: &mut Arrived<'_>,
        limits: &Limits,
    ) -> Result<(), ReceiveError> {
        let hashes = slice.changes.iter().map(|change| convert::hash(change.hash())).collect::<Vec<_>>();
        match self.apply_slice(slice, limits) {
            Err(ReceiveError::Equivocation { .. }) => {}
            other => return other,
        }
        for hash in hashes {
            let Some(bytes) = self.waiting.bytes(&hash) else { continue };
            let change = decode_waiting(bytes)?;
            let lacks_nothing = change.deps().iter().all(|dep| self.has(dep));
            let applied = if lacks_nothing { self.apply_changes(vec![change]) } else { Ok(()) };
            match applied {
                Err(error @ ReceiveError::Equivocation { .. }) if arrived.early.contains(&hash) => return Err(error),
                Err(ReceiveError::Equivocation { .. }) => {}
                Err(error) => return Err(error),
                Ok(()) if lacks_nothing => continue,
                Ok(()) => {}
            }
            self.waiting.remove_branch(hash);
            arrived.forgot = true;
        }
        Ok(())
    }

    /// Makes what waits as it was before a message that was refused before anything of it was applied.
    pub(crate) fn put_back(&mut self, arrived: &Arrived<'_>) {
        for hash in &arrived.early {
            self.waiting.remove(hash);
        }
        let inner = &self.inner;
        self.waiting.look_out_anew(arrived.released.iter().copied(), &|dep| has(inner, dep));
    }
}

/// Nobody else may write as the genesis actor: a change of theirs with its first number would keep the real one out.
pub(crate) fn refuse_forged_genesis(hash: ChangeHash, actor: &[u8]) -> Result<(), ReceiveError> {
    if actor == genesis::ACTOR && hash != genesis::HASH {
        return Err(ReceiveError::ForgedGenesis { hash });
    }
    Ok(())
}

/// Decodes a change that was decoded when it came.
fn decode_waiting(bytes: &[u8]) -> Result<Change, ReceiveError> {
    let mut rest = bytes;
    let chunk = Chunk::next(&mut rest)?;
    Ok(quietly(|| chunk.change())??)
}

/// Tells whether a change is part of the document, while other parts of it are being written.
pub(crate) fn has(inner: &Automerge, hash: &ChangeHash) -> bool {
    inner.get_change_meta_by_hash(&convert::their_hash(*hash)).is_some()
}

/// Decodes under `catch_unwind`. It does not touch the document.
fn quietly<T>(decode: impl FnOnce() -> T) -> Result<T, ReceiveError> {
    catch_unwind(AssertUnwindSafe(decode)).map_err(|_| ReceiveError::Undecodable)
}
