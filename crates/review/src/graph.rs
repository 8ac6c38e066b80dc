//! Who had seen what: the changes of a document and their vector clocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use comity_crdt::DecodedChange;
use comity_model::{Act, ActorId, ChangeHash};

/// A change, by its place in [`Graph`]: each stands after what it depends on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ChangeIx(u32);

/// An actor, by its place in [`Graph`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ActorIx(u32);

/// Every so many changes in a row one keeps its clock; for those between, at most so many are walked.
const CLOCK_EVERY: u32 = 16;

/// How many changes of each actor are known. Actors beyond its end have none.
type Clock = Arc<[u32]>;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) hash: ChangeHash,
    pub(crate) actor: ActorIx,
    pub(crate) act: Option<Act>,
    pub(crate) time_s: i64,
    /// Counts the changes of the actor from 1.
    seq: u32,
    /// The change that it follows, when there is no clock of its own.
    before: Option<ChangeIx>,
    clock: Option<Clock>,
    /// How many changes back the nearest clock is.
    walk: u32,
}

/// The changes of a document. The cost of adding one follows what it depends on, and not the history; the cost of a
/// question is that of walking back a few changes.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    by_hash: BTreeMap<ChangeHash, ChangeIx>,
    actors: Vec<ActorId>,
    by_actor: BTreeMap<ActorId, ActorIx>,
}

impl Graph {
    /// Adds a change; `None` when it is known, or when it comes before what it depends on.
    pub(crate) fn add(&mut self, change: &DecodedChange) -> Option<ChangeIx> {
        if self.by_hash.contains_key(&change.hash) {
            return None;
        }
        let deps = change.deps.iter().map(|dep| self.by_hash.get(dep).copied()).collect::<Option<Vec<_>>>()?;
        let ix = ChangeIx(u32::try_from(self.nodes.len()).ok()?);
        let actor = self.actor(&change.actor);
        let seq = u32::try_from(change.seq).unwrap_or(u32::MAX);
        let (before, walk) = match deps[..] {
            [] => (None, 0),
            [dep] => (Some(dep), self.node(dep).walk + 1),
            _ => (None, CLOCK_EVERY),
        };
        let mut node =
            Node { hash: change.hash, actor, act: change.act, time_s: change.time_s, seq, before, clock: None, walk };
        if walk >= CLOCK_EVERY {
            let mut clock = Vec::new();
            deps.iter().for_each(|dep| self.merge_clock(&mut clock, *dep));
            raise(&mut clock, actor, seq);
            node = Node { before: None, clock: Some(clock.into()), walk: 0, ..node };
        }
        self.nodes.push(node);
        self.by_hash.insert(change.hash, ix);
        Some(ix)
    }

    /// Whether the author of `later` had seen `earlier`, or it is the same change.
    pub(crate) fn sees(&self, later: ChangeIx, earlier: ChangeIx) -> bool {
        // What a change depends on always stands before it.
        if earlier >= later {
            return earlier == later;
        }
        let wanted = self.node(earlier);
        let mut at = later;
        loop {
            let node = self.node(at);
            if node.actor == wanted.actor {
                return node.seq >= wanted.seq;
            }
            if let Some(clock) = &node.clock {
                return known(clock, wanted.actor) >= wanted.seq;
            }
            match node.before {
                Some(before) => at = before,
                None => return false,
            }
        }
    }

    /// Whether neither author had seen the other's change.
    pub(crate) fn are_concurrent(&self, a: ChangeIx, b: ChangeIx) -> bool {
        !self.sees(a, b) && !self.sees(b, a)
    }

    pub(crate) fn node(&self, ix: ChangeIx) -> &Node {
        &self.nodes[ix.0 as usize]
    }

    pub(crate) fn actor_id(&self, ix: ActorIx) -> &ActorId {
        &self.actors[ix.0 as usize]
    }

    /// Gives the number of an actor; a new one when it was never heard of.
    pub(crate) fn actor(&mut self, actor: &ActorId) -> ActorIx {
        if let Some(known) = self.by_actor.get(actor) {
            return *known;
        }
        let ix = ActorIx(u32::try_from(self.actors.len()).expect("documents have fewer than 2^32 actors"));
        self.actors.push(actor.clone());
        self.by_actor.insert(actor.clone(), ix);
        ix
    }

    /// Gives the number of an actor that was heard of.
    pub(crate) fn known_actor(&self, actor: &ActorId) -> Option<ActorIx> {
        self.by_actor.get(actor).copied()
    }

    pub(crate) fn change(&self, hash: &ChangeHash) -> Option<ChangeIx> {
        self.by_hash.get(hash).copied()
    }

    /// Raises a clock to what a change and all before it know.
    fn merge_clock(&self, clock: &mut Vec<u32>, of: ChangeIx) {
        let mut at = Some(of);
        while let Some(ix) = at {
            let node = self.node(ix);
            raise(clock, node.actor, node.seq);
            if let Some(stored) = &node.clock {
                if clock.len() < stored.len() {
                    clock.resize(stored.len(), 0);
                }
                clock.iter_mut().zip(stored.iter()).for_each(|(ours, theirs)| *ours = (*ours).max(*theirs));
                return;
            }
            at = node.before;
        }
    }
}

fn known(clock: &[u32], actor: ActorIx) -> u32 {
    clock.get(actor.0 as usize).copied().unwrap_or(0)
}

fn raise(clock: &mut Vec<u32>, actor: ActorIx, seq: u32) {
    let at = actor.0 as usize;
    if clock.len() <= at {
        clock.resize(at + 1, 0);
    }
    clock[at] = clock[at].max(seq);
}
