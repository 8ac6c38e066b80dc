//! Proof that what a profile is about really happened.

use std::collections::BTreeMap;

use comity_review::{ConflictKind, State};

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
    /// A message arrived a second time.
    Duplicated,
    /// A message was on its way for more than five seconds.
    Late,
    /// A change waited in memory for another that it depends on.
    Orphan,
    /// One direction of a device's link began to lose everything.
    OneWay,
    /// A message was lost in one direction while the other still worked.
    LostOneWay,
    /// What one end of a link wrote was not read for a while.
    Stall,
    /// A peer that reads slowly was told of several changes in one message, when at last it could take one.
    Coalesced,
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
    /// A write was refused because the disk was full.
    DiskFull,
    /// A write was refused by a store that had stopped after a failure.
    WriteRefused,
    /// A write was refused because the document is damaged on disk.
    WriteToDamaged,
    /// A read failed for a reason that may pass.
    LoadRefused,
    /// A read failed because the document is damaged on disk.
    LoadDamaged,
    /// A document became read-only, and its user was told.
    ReadOnly,
    /// A document that had been read-only was on disk again, all of it.
    WritableAgain,
    /// A person was told that an edit cannot be made now.
    EditRefused,
    /// A person was told that an edit is not saved.
    NotSaved,
    /// A person was told that a document cannot be read now.
    ReadRefused,
    /// A peer was told that this node's store has failed.
    ToldOfFailure,
    /// A store that was opened after a crash dropped a write that was cut short.
    TornTail,
    /// A store that was opened named a document of which something is lost.
    LossNamed,
    /// A change that was durable was taken from a disk, by damage or by a backup.
    DurableLoss,
    /// It came back from a peer.
    DurableCameBack,
    /// Nobody else had it.
    LostForGood,
    /// A node was backed up.
    BackedUp,
    /// A device was restored from its backup.
    DeviceRestored,
    /// The relay was restored from its backup.
    RelayRestored,
    /// Another application changed its own document.
    ForeignEdit,
    /// Another application changed a document of ours.
    ForeignEditOfOurs,
    /// A node of ours took in a change of another application's document.
    ForeignDocument,
    /// A clock jumped back.
    ClockJumpedBack,
    /// A clock jumped ahead.
    ClockJumpedAhead,
    /// A clock stood still.
    ClockFrozen,
    /// A change was made while its author's clock stood still.
    EditWhileFrozen,
    /// A change was made by somebody who saw one from more than a year ahead.
    YearsApart,
    /// A person's decision was made.
    Decision,
    /// A person decided by what they had on screen long ago.
    DecisionOnOlderHeads,
    /// A decision that was called saved is known in the end.
    DecisionKept,
    /// A conflict of this kind is listed in the end, whatever became of it.
    Conflict(ConflictKind),
    /// A conflict stands so in the end.
    Stands(State),
    /// Two nodes had equal heads of a document, and their digests of its conflicts were compared.
    DigestCompared,
    /// The conflicts that a node lists were compared, one by one, with those found anew in a document.
    ReviewCompared,
    /// A value that was written was followed to where it is in the end.
    ValueTraced,
}

/// How often each thing was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<Seen, u64>);

impl Coverage {
    pub(crate) fn note(&mut self, seen: Seen) {
        self.add_to(seen, 1);
    }

    pub(crate) fn add_to(&mut self, seen: Seen, count: u64) {
        *self.0.entry(seen).or_default() += count;
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
