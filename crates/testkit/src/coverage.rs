//! Proof that what a profile is about really happened.

use std::collections::BTreeMap;

/// Something that was seen to happen in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Seen {
    /// An edit was made.
    Edit,
    /// An edit was said to be saved.
    Saved,
    /// An edit was made at heads older than the present ones.
    EditOnOlderHeads,
    /// Two devices created a document of the same natural key, neither knowing of the other's.
    CreatedTwice,
    /// A document was in memory with several heads: it had been edited concurrently.
    Concurrent,
    /// A device was told that nobody has a document yet.
    Unavailable,
    /// A short-lived message arrived at a device.
    Ephemeral,
    /// A document was let go and loaded again.
    LoadedAgain,
    /// A document was compacted.
    Compacted,
    /// A link had as many messages unwritten as its limit allows.
    CreditExhausted,
    /// Two or more writes became durable in one flush.
    GroupCommit,
    /// A device was told that the relay has all changes of a document.
    SafeAtRelay,
    /// A link was reset.
    Reset,
    /// A message was lost because its link broke.
    MessageLost,
    /// A device had a new link to the relay before the relay noticed the end of the old one.
    HalfOpen,
    /// A message about a document arrived at the relay after one that had been sent later, by another device.
    Overtaken,
    /// A device was cut off.
    Partition,
    /// A document was edited on both sides of a cut.
    EditedOnBothSides,
    /// The relay crashed.
    RelayCrash,
    /// The relay stopped in order.
    RelayStop,
    /// The relay lost a change in a crash.
    RelayLostChange,
    /// The relay got back a change that it had lost.
    RelayGotBack,
    /// A device crashed.
    DeviceCrash,
    /// A device stopped in order.
    DeviceStop,
    /// A device crashed while it had appends that were not durable.
    CrashWithUnflushed,
    /// A device lost an edit that it had not called saved.
    DeviceLostEdit,
    /// A device lost an edit in a crash and got it back from a peer.
    DeviceGotBack,
}

/// How often each thing was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<Seen, u64>);

impl Coverage {
    pub(crate) fn note(&mut self, seen: Seen) {
        *self.0.entry(seen).or_default() += 1;
    }

    /// Gives how often something was seen.
    pub fn count(&self, seen: Seen) -> u64 {
        self.0.get(&seen).copied().unwrap_or(0)
    }

    /// Adds what was seen in another run.
    pub fn add(&mut self, other: &Self) {
        for (seen, count) in &other.0 {
            *self.0.entry(*seen).or_default() += count;
        }
    }

    /// Lists everything that was seen.
    pub fn iter(&self) -> impl Iterator<Item = (Seen, u64)> + '_ {
        self.0.iter().map(|(seen, count)| (*seen, *count))
    }
}
