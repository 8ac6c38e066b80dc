//! Changes that our own store has and cannot place, because it lost others on which they depend.

use std::collections::BTreeMap;

use comity_model::{ActorId, ChangeHash};

/// The stranded changes of one document. They wait like those of a peer, but they are on disk, so nothing that
/// contradicts them may join them there: the document could not be read any more.
#[derive(Debug, Default)]
pub(crate) struct Stranded {
    by_hash: BTreeMap<ChangeHash, (ActorId, u64, usize)>,
    by_number: BTreeMap<(ActorId, u64), ChangeHash>,
    size_bytes: usize,
}

impl Stranded {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// Gives the memory that they take while they wait, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    pub(crate) fn contains(&self, hash: &ChangeHash) -> bool {
        self.by_hash.contains_key(hash)
    }

    pub(crate) fn insert(&mut self, hash: ChangeHash, actor: ActorId, seq: u64, size_bytes: usize) {
        self.by_number.insert((actor.clone(), seq), hash);
        self.by_hash.insert(hash, (actor, seq, size_bytes));
        self.size_bytes += size_bytes;
    }

    /// Notes that one does not wait any more, though it is not part of the document. It keeps its number.
    pub(crate) fn gives_up(&mut self, hash: &ChangeHash) {
        if let Some((_, _, size_bytes)) = self.by_hash.get_mut(hash) {
            self.size_bytes -= std::mem::take(size_bytes);
        }
    }

    pub(crate) fn remove(&mut self, hash: &ChangeHash) {
        if let Some((actor, seq, size_bytes)) = self.by_hash.remove(hash) {
            self.by_number.remove(&(actor, seq));
            self.size_bytes -= size_bytes;
        }
    }

    /// Tells whether a stranded change has this number, and is another.
    pub(crate) fn contradict(&self, hash: &ChangeHash, actor: &ActorId, seq: u64) -> bool {
        self.by_number.get(&(actor.clone(), seq)).is_some_and(|stranded| stranded != hash)
    }

    /// Tells whether this actor wrote one.
    pub(crate) fn has_actor(&self, actor: &ActorId) -> bool {
        self.by_number.range((actor.clone(), 0)..).next().is_some_and(|((wrote, _), _)| wrote == actor)
    }
}
