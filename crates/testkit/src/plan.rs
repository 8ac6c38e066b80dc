//! A plan: what people do and what breaks, drawn from the seed before anything happens, so that single steps can be
//! taken out of a failing one.

use std::fmt;

use crate::Profile;
use crate::dice::{Dice, Purpose, Span};
use crate::profile::FaultKind;

/// Documents that the devices work on.
pub(crate) const DOCUMENTS: usize = 5;

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
    /// Says something to everybody who has it open.
    Broadcast,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Edit {
    Set { entry: u64, field: u64 },
    Delete { entry: u64 },
    Restore { entry: u64 },
    Batch { first: u64, entries: u64 },
    Remark,
}

/// What breaks, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Reset { device: usize },
    Partition { device: usize, for_us: u64 },
    CrashRelay { down_us: u64 },
    StopRelay { down_us: u64 },
    CrashDevice { device: usize, down_us: u64 },
    StopDevice { device: usize, down_us: u64 },
}

impl Plan {
    /// Draws a plan from a seed.
    pub fn draw(profile: Profile, seed: u64, operations: usize) -> Self {
        let mut dice = Dice::new(seed, Purpose::Plan);
        let devices = usize::try_from(dice.within((3, 5))).expect("at most 5");
        let mut at_us = 500_000;
        let mut steps = Vec::with_capacity(operations);
        for _ in 0..operations {
            at_us += pause(&mut dice);
            steps.push(Step { at_us, deed: work(&mut dice, devices) });
        }
        let horizon_us = at_us + 1_000_000;
        for (kind, count) in profile.conditions().faults {
            for _ in 0..dice.within(*count) {
                let at_us = fault_time(&mut dice, &steps[..operations], horizon_us);
                steps.push(Step { at_us, deed: Deed::Fault(fault(&mut dice, *kind, devices)) });
            }
        }
        steps.sort_by_key(|step| step.at_us);
        Self { profile, seed, operations, devices, steps }
    }
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

/// How long people do nothing: mostly they are busy, sometimes long enough for documents to be let go.
fn pause(dice: &mut Dice) -> u64 {
    match dice.below(100) {
        0..65 => dice.within((0, 100_000)),
        65..94 => dice.within((100_000, 1_000_000)),
        _ => dice.within((2_000_000, 5_000_000)),
    }
}

fn work(dice: &mut Dice, devices: usize) -> Deed {
    let device = dice.index(devices) + 1;
    // Everybody has favourites, so that not every device wants every document from the start.
    let document = if dice.chance(800) { (device + dice.index(3)) % DOCUMENTS } else { dice.index(DOCUMENTS) };
    let work = match dice.below(100) {
        0..80 => Work::Edit { edit: edit(dice), older: dice.chance(150) },
        80..88 => Work::Open,
        88..94 => Work::Read,
        _ => Work::Broadcast,
    };
    Deed::Work { device, document, work }
}

fn edit(dice: &mut Dice) -> Edit {
    const ENTRIES: u64 = 6;
    let entry = dice.below(ENTRIES);
    match dice.below(100) {
        0..60 => Edit::Set { entry, field: dice.below(3) },
        60..70 => Edit::Delete { entry },
        70..78 => Edit::Restore { entry },
        78..92 => Edit::Batch { first: entry, entries: dice.within((2, 12)) },
        _ => Edit::Remark,
    }
}

/// Half of all faults come right after an operation, while its consequences are on their way.
fn fault_time(dice: &mut Dice, steps: &[Step], horizon_us: u64) -> u64 {
    if steps.is_empty() || dice.chance(500) {
        return dice.within((500_000, horizon_us));
    }
    steps[dice.index(steps.len())].at_us + dice.within((0, 80_000))
}

fn fault(dice: &mut Dice, kind: FaultKind, devices: usize) -> Fault {
    const DOWN_US: Span = (10_000, 3_000_000);
    let device = dice.index(devices) + 1;
    let down_us = dice.within(DOWN_US);
    match kind {
        FaultKind::Reset => Fault::Reset { device },
        FaultKind::Partition => Fault::Partition { device, for_us: dice.within((3_000_000, 15_000_000)) },
        FaultKind::CrashRelay => Fault::CrashRelay { down_us },
        FaultKind::StopRelay => Fault::StopRelay { down_us },
        FaultKind::CrashDevice => Fault::CrashDevice { device, down_us },
        FaultKind::StopDevice => Fault::StopDevice { device, down_us },
    }
}
