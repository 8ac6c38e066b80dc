//! Draws a plan from a seed.

use crate::conditions::{FaultKind, YEAR_MS};
use crate::connection::{ACCEPTED, DEVICE};
use crate::dice::{Dice, Purpose, Span};
use crate::host::RELAY;
use crate::plan::{
    Care, DOCUMENTS, Deed, Edit, Elsewhere, FOREIGN_DOCUMENTS, Fault, ForeignWork, Plan, Reply, Step, Work,
};
use crate::{Profile, plan};

/// How long a node is down.
const DOWN_US: Span = (10_000, 3_000_000);

impl Plan {
    /// Draws a plan from a seed.
    pub fn draw(profile: Profile, seed: u64, operations: usize) -> Self {
        let mut dice = Dice::new(seed, Purpose::Plan);
        let devices = usize::try_from(dice.within((3, 5))).expect("at most 5");
        let apps = usize::try_from(dice.within((1, 2))).expect("at most 2");
        let mut at_us = 500_000;
        let mut steps = Vec::with_capacity(operations);
        for _ in 0..operations {
            at_us += pause(&mut dice);
            let deed = match steps.last().and_then(|last: &Step| second_person(&mut dice, &last.deed, devices)) {
                Some(second) => second,
                None => work(&mut dice, devices, apps),
            };
            steps.push(Step { at_us, deed });
        }
        let horizon_us = at_us + 1_000_000;
        let mut draw = Draw { dice, devices, apps, horizon_us };
        let mut trouble = draw.care(profile);
        trouble.extend(draw.faults(profile, &steps));
        steps.extend(trouble);
        steps.sort_by_key(|step| step.at_us);
        Self { profile, seed, operations, devices, apps, steps }
    }
}

/// How long people do nothing: mostly they are busy, sometimes long enough for documents to be let go.
fn pause(dice: &mut Dice) -> u64 {
    match dice.below(100) {
        0..65 => dice.within((0, 100_000)),
        65..94 => dice.within((100_000, 1_000_000)),
        _ => dice.within((2_000_000, 5_000_000)),
    }
}

fn work(dice: &mut Dice, devices: usize, apps: usize) -> Deed {
    if dice.chance(120) {
        return elsewhere(dice, devices, apps);
    }
    let device = dice.index(devices) + 1;
    if dice.chance(60) {
        let document = DOCUMENTS + dice.index(FOREIGN_DOCUMENTS);
        let work = if dice.chance(700) { Work::Open } else { Work::Read };
        return Deed::Work { device, document, work };
    }
    // Everybody has favourites, so that not every device wants every document from the start.
    let document = if dice.chance(800) { (device + dice.index(3)) % DOCUMENTS } else { dice.index(DOCUMENTS) };
    let work = match dice.below(100) {
        0..68 => Work::Edit { edit: edit(dice), older: dice.chance(250) },
        68..84 => answer(dice),
        84..91 => Work::Open,
        91..95 => Work::Read,
        _ => Work::Broadcast,
    };
    Deed::Work { device, document, work }
}

/// Often two people are at the same thing: whoever works may not know yet that another is about to.
fn second_person(dice: &mut Dice, last: &Deed, devices: usize) -> Option<Deed> {
    let Deed::Work { device, document, work } = *last else { return None };
    let other = (device + dice.index(devices - 1)) % devices + 1;
    let work = match work {
        Work::Answer { .. } if dice.chance(400) => answer(dice),
        Work::Edit { edit: Edit::Set { entry, .. }, .. } if dice.chance(200) => {
            // One of those fields that have to do with each other.
            let (field, value) = (dice.below(VERDICT + 1), dice.below(6));
            Work::Edit { edit: Edit::Set { entry, field, value }, older: false }
        }
        Work::Edit { edit: edit @ Edit::Add { .. }, .. } if dice.chance(500) => Work::Edit { edit, older: false },
        _ => return None,
    };
    Some(Deed::Work { device: other, document, work })
}

/// A person who answers a conflict thinks for a while, and sometimes has looked at the document long ago.
fn answer(dice: &mut Dice) -> Work {
    let answer = match dice.below(100) {
        0..18 => Reply::Current,
        18..42 => Reply::Accept { side: dice.index(3) },
        42..54 => Reply::Value,
        54..62 => Reply::Dismiss,
        62..72 => Reply::Confirm,
        72..77 => Reply::Link,
        77..83 => Reply::Reopen,
        83..90 => Reply::Approve,
        _ => Reply::Undo,
    };
    let think_us = if dice.chance(300) { 0 } else { dice.within((10_000, 2_000_000)) };
    Work::Answer { answer, older: dice.chance(150), think_us }
}

fn elsewhere(dice: &mut Dice, devices: usize, apps: usize) -> Deed {
    let app = devices + 1 + dice.index(apps);
    let is_ours = dice.chance(200);
    let document = if is_ours { dice.index(DOCUMENTS) } else { DOCUMENTS + dice.index(FOREIGN_DOCUMENTS) };
    let work = match dice.below(100) {
        0..35 => Elsewhere::Edit(ForeignWork::Write { at: dice.below(200), delete: dice.below(8) }),
        35..60 => Elsewhere::Edit(ForeignWork::Nest { key: dice.below(3) }),
        60..70 => Elsewhere::Edit(ForeignWork::Count),
        70..78 => Elsewhere::Edit(ForeignWork::Remove { key: dice.below(3) }),
        78..92 => Elsewhere::Open,
        _ => Elsewhere::Say,
    };
    Deed::Elsewhere { app, document, work }
}

fn edit(dice: &mut Dice) -> Edit {
    const ENTRIES: u64 = 6;
    // Some entries and fields are what everybody works on.
    let entry = if dice.chance(400) { 0 } else { dice.below(ENTRIES) };
    let field = if dice.chance(300) { VERDICT } else { dice.below(5) };
    match dice.below(100) {
        0..60 => Edit::Set { entry, field, value: dice.below(6) },
        60..70 => Edit::Delete { entry },
        70..78 => Edit::Restore { entry },
        78..87 => Edit::Batch { first: entry, entries: dice.within((2, 12)) },
        87..95 => Edit::Add { serial: dice.below(2) },
        _ => Edit::Remark,
    }
}

/// The field whose decisions need a second reviewer, by its place among the fields.
const VERDICT: u64 = 2;

struct Draw {
    dice: Dice,
    devices: usize,
    apps: usize,
    horizon_us: u64,
}

impl Draw {
    /// Backups and restores: of a device in every other run, of the relay in every third.
    fn care(&mut self, profile: Profile) -> Vec<Step> {
        let mut steps = Vec::new();
        let device = self.dice.index(self.devices) + 1;
        for (node, chance) in [(device, 500), (RELAY, 330)] {
            if !self.dice.chance(chance) {
                continue;
            }
            let backed_up_us = self.dice.within((500_000, self.horizon_us));
            let restored_us = self.dice.within((backed_up_us, self.horizon_us));
            let crashes = self.dice.chance(500) && profile != Profile::Calm;
            let down_us = self.dice.within(DOWN_US);
            steps.push(Step { at_us: backed_up_us, deed: Deed::Care(Care::BackUp { node }) });
            steps.push(Step { at_us: restored_us, deed: Deed::Care(Care::Restore { node, crashes, down_us }) });
        }
        steps
    }

    fn faults(&mut self, profile: Profile, work: &[Step]) -> Vec<Step> {
        let mut steps = Vec::new();
        for (kind, count) in profile.conditions().faults {
            for _ in 0..self.dice.within(*count) {
                let at_us = self.fault_time(work);
                steps.push(Step { at_us, deed: Deed::Fault(self.fault(*kind)) });
            }
        }
        steps
    }

    /// Half of all faults come right after an operation, while its consequences are on their way.
    fn fault_time(&mut self, work: &[Step]) -> u64 {
        if work.is_empty() || self.dice.chance(500) {
            return self.dice.within((500_000, self.horizon_us));
        }
        work[self.dice.index(work.len())].at_us + self.dice.within((0, 80_000))
    }

    fn fault(&mut self, kind: FaultKind) -> Fault {
        let dice = &mut self.dice;
        let linked = dice.index(self.devices + self.apps) + 1;
        let device = dice.index(self.devices) + 1;
        let node = if dice.chance(350) { RELAY } else { device };
        let end = if dice.chance(500) { DEVICE } else { ACCEPTED };
        let down_us = dice.within(DOWN_US);
        let for_us = dice.within((1_000_000, 8_000_000));
        match kind {
            FaultKind::Reset => Fault::Reset { device: linked },
            FaultKind::Partition => Fault::Partition { device: linked, for_us: dice.within((3_000_000, 15_000_000)) },
            FaultKind::OneWay => Fault::OneWay { device: linked, loses_from: end, for_us },
            FaultKind::HalfOpen => {
                Fault::HalfOpen { device: linked, unaware: end, for_us: dice.within((3_000_000, 15_000_000)) }
            }
            // Mostly the device is the one that does not read.
            FaultKind::Stall => {
                let writer = if dice.chance(800) { ACCEPTED } else { DEVICE };
                Fault::Stall { device: linked, writer, for_us: dice.within((3_000_000, 12_000_000)) }
            }
            FaultKind::CrashRelay => Fault::Crash { node: RELAY, down_us },
            FaultKind::StopRelay => Fault::Stop { node: RELAY, down_us },
            FaultKind::CrashDevice => Fault::Crash { node: device, down_us },
            FaultKind::StopDevice => Fault::Stop { node: device, down_us },
            FaultKind::FillDisk => Fault::FillDisk { node, for_us },
            FaultKind::RefuseWrite => Fault::RefuseWrite { node, survives: dice.chance(500), for_us },
            FaultKind::RefuseLoads => Fault::RefuseLoads { node, for_us },
            FaultKind::TearWrite => Fault::TearWrite { node, down_us },
            FaultKind::LoseTail => Fault::LoseTail { node, writes: dice.within((1, 30)), down_us },
            FaultKind::Rot => {
                let document = dice.index(DOCUMENTS + FOREIGN_DOCUMENTS);
                let percent = if dice.chance(500) { 0 } else { dice.below(100) };
                Fault::Rot { node, document, percent, for_us }
            }
            FaultKind::JumpClock => Fault::JumpClock { node, by_ms: jump_ms(dice) },
            FaultKind::FreezeClock => Fault::FreezeClock { node, for_us },
        }
    }
}

/// How far a clock jumps: by seconds, by days, or by years, back or ahead.
fn jump_ms(dice: &mut Dice) -> i64 {
    let far = match dice.below(3) {
        0 => 30_000,
        1 => 4 * 86_400_000,
        _ => 10 * YEAR_MS,
    };
    plan::signed(dice.below(2 * far), far)
}
