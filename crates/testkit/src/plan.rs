//! A plan: what people do and what breaks, drawn from the seed before anything happens, so that single steps can be
//! taken out of a failing one.

use std::fmt;

use crate::Profile;

/// Documents that the devices work on.
pub(crate) const DOCUMENTS: usize = 5;

/// Documents that belong to another application. They stand behind the others.
pub(crate) const FOREIGN_DOCUMENTS: usize = 2;

/// Everything that will be done in one run, in the order of time.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Under which conditions.
    pub profile: Profile,
    /// Of the dice.
    pub seed: u64,
    /// How many operations the plan was drawn with; says how to draw it again.
    pub operations: usize,
    /// How many devices there are besides the relay.
    pub devices: usize,
    /// How many devices there are that run another application.
    pub apps: usize,
    /// What happens.
    pub steps: Vec<Step>,
}

/// Something that happens at a given time.
#[derive(Clone, Debug)]
pub struct Step {
    pub(crate) at_us: u64,
    pub(crate) deed: Deed,
}

#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// A person works at a device.
    Work { device: usize, document: usize, work: Work },
    /// A person works with another application.
    Elsewhere { app: usize, document: usize, work: Elsewhere },
    /// Somebody who looks after a node does something.
    Care(Care),
    /// Something breaks.
    Fault(Fault),
}

/// What a person does with a document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// One change.
    Edit { edit: Edit, older: bool },
    /// Wants the document from now on.
    Open,
    /// Looks at the document.
    Read,
    /// Looks through the conflicts that are listed, and answers one after a while.
    Answer { answer: Reply, older: bool, think_us: u64 },
    /// Says something to everybody who has it open.
    Broadcast,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Edit {
    Set {
        entry: u64,
        field: u64,
        value: u64,
    },
    Delete {
        entry: u64,
    },
    Restore {
        entry: u64,
    },
    /// A new entry, of something that another may have entered under another name.
    Add {
        serial: u64,
    },
    Batch {
        first: u64,
        entries: u64,
    },
    Remark,
}

/// What a person answers to a conflict.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// What is shown stays.
    Current,
    /// A side is right.
    Accept {
        side: usize,
    },
    /// Another value.
    Value,
    Dismiss,
    Confirm,
    Link,
    Reopen,
    Approve,
    /// Undoes an earlier decision, whoever made it.
    Undo,
}

/// What a person does with another application.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Elsewhere {
    Edit(ForeignWork),
    Open,
    Say,
}

/// A change as another application makes it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ForeignWork {
    /// A map in a list in a map.
    Nest { key: u64 },
    /// Some text, in place of other text.
    Write { at: u64, delete: u64 },
    /// One more, in a counter.
    Count,
    /// A whole subtree goes.
    Remove { key: u64 },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Care {
    BackUp {
        node: usize,
    },
    /// The node goes on from its last backup; before that it crashes, or stops in order.
    Restore {
        node: usize,
        crashes: bool,
        down_us: u64,
    },
}

/// What breaks, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Reset { device: usize },
    Partition { device: usize, for_us: u64 },
    OneWay { device: usize, loses_from: usize, for_us: u64 },
    HalfOpen { device: usize, unaware: usize, for_us: u64 },
    Stall { device: usize, writer: usize, for_us: u64 },
    Crash { node: usize, down_us: u64 },
    Stop { node: usize, down_us: u64 },
    FillDisk { node: usize, for_us: u64 },
    RefuseWrite { node: usize, survives: bool, for_us: u64 },
    RefuseLoads { node: usize, for_us: u64 },
    TearWrite { node: usize, down_us: u64 },
    LoseTail { node: usize, writes: u64, down_us: u64 },
    Rot { node: usize, document: usize, percent: u64, for_us: u64 },
    JumpClock { node: usize, by_ms: i64 },
    FreezeClock { node: usize, for_us: u64 },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12.6} s  {:?}", seconds(self.at_us), self.deed)
    }
}

#[allow(clippy::cast_precision_loss, reason = "for people to read")]
pub(crate) fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// Moves a number below twice the middle to both sides of zero.
pub(crate) fn signed(number: u64, middle: u64) -> i64 {
    i64::try_from(number).expect("at most some years") - i64::try_from(middle).expect("at most some years")
}
