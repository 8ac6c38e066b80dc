//! Taking in changes, slice by slice, from a peer or from our own store.
//!
//! Applying an operation costs Automerge more than half a kilobyte for a moment, so never more of them are applied at once
//! than one change may hold. What comes before the changes that it depends on waits outside Automerge.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, AutomergeError, Change};
use bytes::Bytes;
use comity_model::{ChangeHash, Limits};

use crate::admit::{Cost, weigh};
use crate::chunk::{self, Chunk, ChunkError, ChunkKind};
use crate::receive::ReceiveError;
use crate::waiting::Early;
use crate::{Document, convert, genesis};

/// Most changes that are applied at once. Decoded, even one without operations takes a kilobyte or two.
const SLICE_CHANGES_MAX: usize = 4_096;

/// Inflated bytes after which no further change is applied with those before it. They stand in memory several times.
const SLICE_BYTES_MAX: usize = 4 << 20;

/// How often what waited is tried again without changes that contradict others. Each try decodes all of them; a peer that
/// sent more of those has the rest forgotten.
const TRIES_MAX: usize = 8;

/// What is being taken in.
pub(crate) struct Intake<'a> {
    limits: &'a Limits,
    slice: Slice,
    /// Document chunks that were not known.
    pub(crate) documents: Vec<&'a [u8]>,
    /// The heads of those.
    pub(crate) document_heads: Vec<ChangeHash>,
    /// Single changes that were not known and lacked nothing.
    pub(crate) changes: BTreeMap<ChangeHash, Bytes>,
    /// Changes that came too early.
    early: BTreeSet<ChangeHash>,
    early_bytes: usize,
    /// Changes that waited, and are part of the document now.
    pub(crate) released: Vec<ChangeHash>,
    /// Whether changes that had waited were forgotten.
    pub(crate) forgot: bool,
    /// Whether changes that some peer had sent before were tried: what goes wrong may be their fault.
    pub(crate) tried_others: bool,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            slice: Slice::default(),
            documents: Vec::new(),
            document_heads: Vec::new(),
            changes: BTreeMap::new(),
            early: BTreeSet::new(),
            early_bytes: 0,
            released: Vec::new(),
            forgot: false,
            tried_others: false,
        }
    }
}

/// The changes to be applied next, each after what it depends on.
#[derive(Default)]
struct Slice {
    changes: Vec<Change>,
    hashes: BTreeSet<ChangeHash>,
    cost: Cost,
}

impl Slice {
    fn has_room(&self, cost: &Cost, limits: &Limits) -> bool {
        self.changes.is_empty()
            || self.changes.len() < SLICE_CHANGES_MAX
                && self.cost.operations.saturating_add(cost.operations) <= limits.change_operations_max
                && self.cost.inflated_bytes.saturating_add(cost.inflated_bytes) <= SLICE_BYTES_MAX
    }

    fn push(&mut self, hash: ChangeHash, change: Change, cost: &Cost) {
        self.cost = self.cost.plus(cost);
        self.hashes.insert(hash);
        self.changes.push(change);
    }
}

impl Document {
    /// Applies the chunks of a message and what had waited for them. On error, some of it may be applied already.
    pub(crate) fn take_in<'a>(
        &mut self,
        parts: impl Iterator<Item = &'a [u8]>,
        intake: &mut Intake<'a>,
    ) -> Result<(), ReceiveError> {
        let mut singles = Vec::new();
        for part in parts {
            for chunk in chunk::split(part)? {
                match chunk.kind {
                    ChunkKind::Document => self.take_document(chunk, intake)?,
                    ChunkKind::Change | ChunkKind::CompressedChange => singles.push(chunk),
                    ChunkKind::Bundle => return Err(ChunkError::Kind(3).into()),
                }
            }
        }
        for chunk in singles {
            let change = quietly(|| chunk.change())??;
            self.take_change(change, Some(chunk.bytes), intake)?;
        }
        self.finish_intake(intake)
    }

    fn take_document<'a>(&mut self, chunk: Chunk<'a>, intake: &mut Intake<'a>) -> Result<(), ReceiveError> {
        let heads = chunk.document_heads().ok_or(ChunkError::Truncated)?;
        if heads.iter().all(|hash| self.contains(hash)) {
            return Ok(());
        }
        intake.documents.push(chunk.bytes);
        intake.document_heads.extend(heads);
        if self.inner.is_empty() && intake.slice.changes.is_empty() && self.stranded.is_empty() {
            self.guarded("receive", |inner| inner.load_incremental(chunk.bytes))??;
            self.size.add(&weigh(chunk.bytes));
            self.size.whole_bytes = chunk.bytes.len();
            return Ok(self.check_counts(&Cost::default(), intake.limits)?);
        }
        // Automerge would apply all of it at once.
        let (theirs, have) = (quietly(|| Automerge::load(chunk.bytes))??, self.inner.get_heads());
        let changes = quietly(|| theirs.get_changes(&have))?;
        drop(theirs);
        for change in changes {
            self.take_change(change, None, intake)?;
        }
        Ok(())
    }

    /// Takes in one change: to be applied with the slice, or to wait.
    pub(crate) fn take_change(
        &mut self,
        mut change: Change,
        bytes: Option<&[u8]>,
        intake: &mut Intake<'_>,
    ) -> Result<(), ReceiveError> {
        let hash = convert::hash(change.hash());
        if self.contains(&hash) || self.waiting.contains(&hash) || intake.changes.contains_key(&hash) {
            return Ok(());
        }
        refuse_forged_genesis(hash, change.actor_id().to_bytes())?;
        let actor = convert::actor(change.actor_id());
        if self.stranded.contradict(&hash, &actor, change.seq()) {
            return Err(ReceiveError::Equivocation { actor, seq: change.seq() });
        }
        let bytes = bytes.map_or_else(|| Bytes::copy_from_slice(&change.bytes()), Bytes::copy_from_slice);
        let cost = weigh(&bytes);
        if !lacks_nothing(&self.inner, &intake.slice, &change) {
            return self.let_wait(hash, &change, bytes, cost, intake);
        }
        if !intake.slice.has_room(&cost, intake.limits) {
            self.apply_slice(intake)?;
        }
        intake.changes.insert(hash, bytes);
        intake.slice.push(hash, change, &cost);
        Ok(())
    }

    fn let_wait(
        &mut self,
        hash: ChangeHash,
        change: &Change,
        bytes: Bytes,
        cost: Cost,
        intake: &mut Intake<'_>,
    ) -> Result<(), ReceiveError> {
        let early = Early::new(bytes, cost, change.deps().iter().copied().map(convert::hash).collect());
        let (actual, max) = (intake.early_bytes + early.size_bytes(), intake.limits.orphan_bytes_max);
        if actual > max {
            return Err(ReceiveError::TooManyOrphans { actual, max });
        }
        let (inner, slice) = (&self.inner, &intake.slice);
        self.waiting.insert(hash, early, |dep| slice.hashes.contains(dep) || has(inner, dep));
        intake.early_bytes = actual;
        intake.early.insert(hash);
        Ok(())
    }

    /// Applies what has been gathered, and what had waited for it.
    pub(crate) fn finish_intake(&mut self, intake: &mut Intake<'_>) -> Result<(), ReceiveError> {
        self.apply_slice(intake)?;
        self.release(intake)?;
        if self.orphan_bytes() > intake.limits.orphan_bytes_max {
            // What came just now has more to say than what has waited, perhaps for something that never comes.
            let is_old = |hash: &&ChangeHash| !intake.early.contains(hash) && !self.stranded.contains(hash);
            let old: Vec<ChangeHash> = self.waiting.hashes().filter(is_old).copied().collect();
            for hash in old {
                self.waiting.remove(&hash);
            }
            intake.forgot = true;
        }
        Ok(())
    }

    /// Applies the slice. When it would not fit into the document, or contradicts what is here, nothing of it has happened;
    /// over any other error the document is thrown away.
    fn apply_slice(&mut self, intake: &mut Intake<'_>) -> Result<(), ReceiveError> {
        let Slice { changes, cost, .. } = std::mem::take(&mut intake.slice);
        if changes.is_empty() {
            return Ok(());
        }
        self.check_room(&cost, intake.limits)?;
        if self.replay(&changes)? {
            self.size.add(&cost);
            return Ok(());
        }
        if let Err(error) = self.guarded("receive", |inner| inner.apply_changes(changes))? {
            if !matches!(error, AutomergeError::DuplicateSeqNumber(..)) {
                // How much of it was applied is not known.
                self.discard();
            }
            return Err(error.into());
        }
        self.size.add(&cost);
        Ok(())
    }

    /// Applies what waited only for changes that are here now.
    fn release(&mut self, intake: &mut Intake<'_>) -> Result<(), ReceiveError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let inner = &self.inner;
        let came: Vec<ChangeHash> = if intake.documents.is_empty() {
            // The genesis may have come with an edit made here.
            intake.changes.keys().copied().chain([genesis::HASH]).filter(|hash| has(inner, hash)).collect()
        } else {
            self.waiting.awaited().into_iter().filter(|hash| has(inner, hash)).collect()
        };
        let mut ready = VecDeque::new();
        for hash in came {
            ready.extend(self.waiting.released(&hash, |dep| has(inner, dep)));
        }
        let mut batch = Vec::new();
        while let Some(hash) = ready.pop_front() {
            let Some(early) = self.waiting.get(&hash) else { continue };
            let (cost, bytes) = (early.cost, early.bytes.clone());
            if !self.contains(&hash) {
                if !intake.slice.has_room(&cost, intake.limits) {
                    self.apply_released(&mut batch, intake)?;
                }
                // Before it is decoded, which costs as much as it holds.
                if let Err(too_large) = self.check_room(&intake.slice.cost.plus(&cost), intake.limits) {
                    if intake.early.contains(&hash) {
                        return Err(too_large.into());
                    }
                    self.forget_branch(hash, intake);
                    continue;
                }
                let change = decode_waiting(&bytes)?;
                if !lacks_nothing(&self.inner, &intake.slice, &change) {
                    // What it waited for was forgotten.
                    self.forget_branch(hash, intake);
                    continue;
                }
                intake.slice.push(hash, change, &cost);
            }
            batch.push(hash);
            intake.tried_others |= !intake.early.contains(&hash) && !self.stranded.contains(&hash);
            let (inner, slice) = (&self.inner, &intake.slice);
            ready.extend(self.waiting.released(&hash, |dep| slice.hashes.contains(dep) || has(inner, dep)));
        }
        self.apply_released(&mut batch, intake)
    }

    /// Applies changes that waited. One that contradicts others, or is too much, must not keep out what it waited for, which
    /// may have come from somebody else: if it came earlier it is forgotten, with all that build on it.
    fn apply_released(&mut self, batch: &mut Vec<ChangeHash>, intake: &mut Intake<'_>) -> Result<(), ReceiveError> {
        let mut batch = std::mem::take(batch);
        for _ in 0..TRIES_MAX {
            let (actor, seq) = match self.apply_slice(intake) {
                Err(ReceiveError::Equivocation { actor, seq }) => (actor, seq),
                Err(error) if error.is_bound() && !batch.iter().any(|hash| intake.early.contains(hash)) => break,
                Err(error) => return Err(error),
                Ok(()) => {
                    intake.released.extend(batch);
                    return Ok(());
                }
            };
            for hash in std::mem::take(&mut batch) {
                let Some(early) = self.waiting.get(&hash) else { continue };
                if self.contains(&hash) {
                    batch.push(hash);
                    continue;
                }
                let (cost, change) = (early.cost, decode_waiting(&early.bytes)?);
                let contradicts = convert::actor(change.actor_id()) == actor && change.seq() == seq;
                if contradicts && intake.early.contains(&hash) {
                    return Err(ReceiveError::Equivocation { actor, seq });
                }
                if contradicts || !lacks_nothing(&self.inner, &intake.slice, &change) {
                    self.forget_branch(hash, intake);
                    continue;
                }
                intake.slice.push(hash, change, &cost);
                batch.push(hash);
            }
        }
        intake.slice = Slice::default();
        batch.into_iter().for_each(|hash| self.forget_branch(hash, intake));
        Ok(())
    }

    fn forget_branch(&mut self, hash: ChangeHash, intake: &mut Intake<'_>) {
        for hash in self.waiting.remove_branch(hash) {
            self.stranded.gives_up(&hash);
        }
        intake.forgot = true;
    }

    /// Takes out what waits since a message that was refused before anything of it was applied. False when more than that
    /// has happened to what waits.
    pub(crate) fn put_back(&mut self, intake: &Intake<'_>) -> bool {
        for hash in &intake.early {
            self.waiting.remove(hash);
        }
        self.waiting.are_on_the_lookout() && !intake.forgot
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
pub(crate) fn decode_waiting(bytes: &[u8]) -> Result<Change, ReceiveError> {
    let mut rest = bytes;
    let chunk = Chunk::next(&mut rest)?;
    Ok(quietly(|| chunk.change())??)
}

fn lacks_nothing(inner: &Automerge, slice: &Slice, change: &Change) -> bool {
    let is_here = |dep: &ChangeHash| slice.hashes.contains(dep) || has(inner, dep);
    change.deps().iter().copied().map(convert::hash).all(|dep| is_here(&dep))
}

/// Tells whether a change is part of the document, while other parts of it are being written.
fn has(inner: &Automerge, hash: &ChangeHash) -> bool {
    inner.get_change_meta_by_hash(&convert::their_hash(*hash)).is_some()
}

/// Decodes under `catch_unwind`. It does not touch the document.
fn quietly<T>(decode: impl FnOnce() -> T) -> Result<T, ReceiveError> {
    catch_unwind(AssertUnwindSafe(decode)).map_err(|_| ReceiveError::Undecodable)
}
