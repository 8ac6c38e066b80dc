//! Changes that came before what they depend on.
//!
//! They wait here and not inside Automerge, which would apply all that become ready in one go, whatever that costs, and
//! goes through all of them at each change. Here they cost their bytes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use comity_model::ChangeHash;

use crate::admit::Cost;

/// What a waiting change takes besides its bytes and dependencies: its places in the tables.
const OVERHEAD_BYTES: usize = 256;

/// One change that waits.
#[derive(Debug)]
pub(crate) struct Early {
    /// As it came.
    pub(crate) bytes: Bytes,
    /// What it will cost to apply.
    pub(crate) cost: Cost,
    deps: Vec<ChangeHash>,
    /// Which dependency it looks out for.
    next: usize,
}

impl Early {
    pub(crate) fn new(bytes: Bytes, cost: Cost, deps: Vec<ChangeHash>) -> Self {
        Self { bytes, cost, deps, next: 0 }
    }

    /// Gives the memory that it takes, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes.len() + size_of_val(self.deps.as_slice()) + OVERHEAD_BYTES
    }

    /// Finds a dependency that is not here, beginning with the one it last looked out for, so that each is looked up
    /// twice at most while they come one by one.
    fn look_out(&mut self, is_here: &impl Fn(&ChangeHash) -> bool) -> Option<ChangeHash> {
        let count = self.deps.len();
        let missing = (self.next..count).chain(0..self.next).find(|index| !is_here(&self.deps[*index]))?;
        self.next = missing;
        Some(self.deps[missing])
    }
}

/// The changes of one document that wait for others.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    changes: BTreeMap<ChangeHash, Early>,
    /// By a change that is missing: those that look out for it. Each looks out for one at a time.
    lookouts: BTreeMap<ChangeHash, BTreeSet<ChangeHash>>,
    size_bytes: usize,
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(crate) fn contains(&self, hash: &ChangeHash) -> bool {
        self.changes.contains_key(hash)
    }

    /// Gives the memory that all of it takes, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    pub(crate) fn get(&self, hash: &ChangeHash) -> Option<&Early> {
        self.changes.get(hash)
    }

    /// Lists what waits.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = &ChangeHash> {
        self.changes.keys()
    }

    /// Takes in a change, unless all that it depends on is here.
    pub(crate) fn insert(&mut self, hash: ChangeHash, early: Early, is_here: impl Fn(&ChangeHash) -> bool) {
        self.size_bytes += early.size_bytes();
        if let Some(before) = self.changes.insert(hash, early) {
            self.size_bytes -= before.size_bytes();
        }
        self.look_out_anew([hash], &is_here);
    }

    /// Takes a change out.
    pub(crate) fn remove(&mut self, hash: &ChangeHash) -> Option<Bytes> {
        let early = self.changes.remove(hash)?;
        self.size_bytes -= early.size_bytes();
        if let Some(missing) = early.deps.get(early.next)
            && let Some(lookouts) = self.lookouts.get_mut(missing)
        {
            lookouts.remove(hash);
            if lookouts.is_empty() {
                self.lookouts.remove(missing);
            }
        }
        Some(early.bytes)
    }

    /// Lists the changes for which `arrived` was the last that was missing. They stay here until they are removed.
    pub(crate) fn released(&mut self, arrived: &ChangeHash, is_here: impl Fn(&ChangeHash) -> bool) -> Vec<ChangeHash> {
        let lookouts = self.lookouts.remove(arrived).unwrap_or_default();
        self.look_out_anew(lookouts, &is_here)
    }

    /// Whether every change looks out for another: none has been released and not removed.
    pub(crate) fn are_on_the_lookout(&self) -> bool {
        self.lookouts.values().map(BTreeSet::len).sum::<usize>() == self.changes.len()
    }

    /// Lists the changes that some change here looks out for.
    pub(crate) fn awaited(&self) -> Vec<ChangeHash> {
        self.lookouts.keys().copied().collect()
    }

    /// Notes for which change each of these looks out now, and lists those that lack nothing.
    fn look_out_anew(
        &mut self,
        hashes: impl IntoIterator<Item = ChangeHash>,
        is_here: &impl Fn(&ChangeHash) -> bool,
    ) -> Vec<ChangeHash> {
        let mut ready = Vec::new();
        for hash in hashes {
            let Some(early) = self.changes.get_mut(&hash) else { continue };
            match early.look_out(is_here) {
                Some(missing) => {
                    self.lookouts.entry(missing).or_default().insert(hash);
                }
                None => ready.push(hash),
            }
        }
        ready
    }

    /// Lists what is missing to reach these heads: what they and the waiting changes below them depend on and is
    /// neither here nor waits.
    pub(crate) fn missing(&self, heads: &[ChangeHash], is_here: impl Fn(&ChangeHash) -> bool) -> BTreeSet<ChangeHash> {
        let (mut missing, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut stack = heads.to_vec();
        while let Some(hash) = stack.pop() {
            if !seen.insert(hash) || is_here(&hash) {
                continue;
            }
            match self.changes.get(&hash) {
                Some(early) => stack.extend(&early.deps),
                None => drop(missing.insert(hash)),
            }
        }
        missing
    }

    /// Takes a change out with all that wait for it, and lists them.
    pub(crate) fn remove_branch(&mut self, hash: ChangeHash) -> Vec<ChangeHash> {
        let mut branch = vec![hash];
        let mut removed = Vec::new();
        while let Some(hash) = branch.pop() {
            self.remove(&hash);
            // Only those that look out for it: one that looks out for another is found when that one comes.
            branch.extend(self.lookouts.get(&hash).into_iter().flatten());
            removed.push(hash);
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash(number: usize) -> ChangeHash {
        ChangeHash([u8::try_from(number).unwrap(); 32])
    }

    fn early(deps: Vec<ChangeHash>) -> Early {
        Early::new(Bytes::new(), Cost::default(), deps)
    }

    /// Ten changes, each on some before it.
    fn graph() -> impl Strategy<Value = (Vec<Vec<usize>>, Vec<usize>)> {
        let deps = (0..10_usize).map(|number| prop::collection::vec(0..number.max(1), 0..4)).collect::<Vec<_>>();
        (deps, Just((0..10).collect::<Vec<_>>()).prop_shuffle())
    }

    proptest! {
        #[test]
        fn each_is_released_when_the_last_it_depends_on_comes((deps, order) in graph()) {
            let deps_of = |number: usize| -> Vec<ChangeHash> {
                deps[number].iter().filter(|dep| **dep < number).map(|dep| hash(*dep)).collect()
            };
            let (mut here, mut waiting) = (BTreeSet::new(), Waiting::default());
            for (step, number) in order.iter().enumerate() {
                let mut fresh = vec![hash(*number)];
                if deps_of(*number).iter().all(|dep| here.contains(dep)) {
                    here.insert(hash(*number));
                } else {
                    waiting.insert(hash(*number), early(deps_of(*number)), |dep| here.contains(dep));
                    fresh.clear();
                }
                while let Some(arrived) = fresh.pop() {
                    for released in waiting.released(&arrived, |dep| here.contains(dep)) {
                        prop_assert!(waiting.remove(&released).is_some());
                        here.insert(released);
                        fresh.push(released);
                    }
                }
                let came: BTreeSet<usize> = order[..=step].iter().copied().collect();
                let mut complete = BTreeSet::new();
                for number in 0..10 {
                    if came.contains(&number) && deps_of(number).iter().all(|dep| complete.contains(dep)) {
                        complete.insert(hash(number));
                    }
                }
                prop_assert_eq!(&here, &complete);
                prop_assert_eq!(waiting.size_bytes() == 0, waiting.is_empty());
            }
            prop_assert!(waiting.is_empty() && waiting.awaited().is_empty());
        }
    }

    #[test]
    fn what_is_missing_lies_below_what_waits() {
        let mut waiting = Waiting::default();
        waiting.insert(hash(2), early(vec![hash(1), hash(0)]), |dep| *dep == hash(0));
        waiting.insert(hash(3), early(vec![hash(2)]), |_| false);
        assert_eq!(waiting.missing(&[hash(3), hash(9)], |dep| *dep == hash(0)), [hash(1), hash(9)].into());
        waiting.remove_branch(hash(2));
        assert!(waiting.is_empty() && waiting.size_bytes() == 0);
    }
}
