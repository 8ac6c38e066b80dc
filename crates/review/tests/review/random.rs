//! Random histories of a few devices that edit, decide and meet.

use comity_model::{Heads, Write};
use comity_review::{Answer, DecisionId, Note, State};
use proptest::prelude::*;

use crate::support::{Device, delete, set, sync};

/// Something that happens. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Happening {
    Set {
        device: usize,
        entry: usize,
        field: usize,
        value: usize,
    },
    SetTwo {
        device: usize,
        entry: usize,
        value: usize,
    },
    Delete {
        device: usize,
        entry: usize,
    },
    Restore {
        device: usize,
        entry: usize,
    },
    /// An edit by somebody who looks at an old page.
    SetAtOldHeads {
        device: usize,
        entry: usize,
        field: usize,
        value: usize,
    },
    Title {
        device: usize,
        value: usize,
    },
    Meet {
        a: usize,
        b: usize,
    },
    Decide {
        device: usize,
        conflict: usize,
        answer: usize,
    },
    Undo {
        device: usize,
        decision: usize,
    },
}

const ENTRIES: [&str; 4] = ["A1", "B2", "C3", "D4"];
const FIELDS: [&str; 5] = ["status", "comment", "verdict", "serial", "note"];
const VALUES: [&str; 3] = ["x", "y", "z"];

pub fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let n = || 0..64_usize;
    let one = prop_oneof![
        6 => (n(), n(), n(), n()).prop_map(|(device, entry, field, value)| Happening::Set { device, entry, field, value }),
        2 => (n(), n(), n()).prop_map(|(device, entry, value)| Happening::SetTwo { device, entry, value }),
        1 => (n(), n()).prop_map(|(device, entry)| Happening::Delete { device, entry }),
        1 => (n(), n()).prop_map(|(device, entry)| Happening::Restore { device, entry }),
        1 => (n(), n(), n(), n())
            .prop_map(|(device, entry, field, value)| Happening::SetAtOldHeads { device, entry, field, value }),
        1 => (n(), n()).prop_map(|(device, value)| Happening::Title { device, value }),
        5 => (n(), n()).prop_map(|(a, b)| Happening::Meet { a, b }),
        4 => (n(), n(), n()).prop_map(|(device, conflict, answer)| Happening::Decide { device, conflict, answer }),
        1 => (n(), n()).prop_map(|(device, decision)| Happening::Undo { device, decision }),
    ];
    proptest::collection::vec(one, 1..60)
}

/// Plays it. The devices are in whatever state it leaves them.
pub fn play(happenings: &[Happening]) -> Vec<Device> {
    let mut devices: Vec<Device> = (1..=4).map(Device::new).collect();
    let mut old: Vec<Heads> = vec![Heads::default(); devices.len()];
    for happening in happenings {
        match happening {
            Happening::Set { device, entry, field, value } => {
                pick(&mut devices, *device).edit(&[cell(*entry, *field, *value)]);
            }
            Happening::SetTwo { device, entry, value } => {
                pick(&mut devices, *device).edit(&[cell(*entry, 0, *value), cell(*entry, 1, *value)]);
            }
            Happening::Delete { device, entry } => {
                pick(&mut devices, *device).edit(&[delete(ENTRIES[entry % ENTRIES.len()])]);
            }
            Happening::Restore { device, entry } => {
                let entry = ENTRIES[entry % ENTRIES.len()].parse().unwrap();
                pick(&mut devices, *device).edit(&[Write::Restore { entry }]);
            }
            Happening::SetAtOldHeads { device, entry, field, value } => {
                let at = device % devices.len();
                let heads = std::mem::replace(&mut old[at], devices[at].document.heads().clone());
                devices[at].edit_at(&heads, &[cell(*entry, *field, *value)]);
            }
            Happening::Title { device, value } => {
                let value = VALUES[value % VALUES.len()].into();
                pick(&mut devices, *device).edit(&[Write::About { name: "title".to_owned(), value }]);
            }
            Happening::Meet { a, b } => {
                let (a, b) = (a % devices.len(), b % devices.len());
                if a != b {
                    let (first, rest) = devices.split_at_mut(a.max(b));
                    sync(&mut first[a.min(b)], &mut rest[0]);
                }
            }
            Happening::Decide { device, conflict, answer } => decide(pick(&mut devices, *device), *conflict, *answer),
            Happening::Undo { device, decision } => {
                let device = pick(&mut devices, *device);
                let known: Vec<DecisionId> = device.review.decisions().cloned().collect();
                let trial = DecisionId::new("trial").unwrap();
                let can = |id: &&DecisionId| device.review.undo(id, &Note::default(), &trial).is_ok();
                if let Some(id) = known.get(decision % known.len().max(1)).filter(can).cloned() {
                    device.undo(&id);
                }
            }
        }
    }
    devices
}

fn pick(devices: &mut [Device], number: usize) -> &mut Device {
    let at = number % devices.len();
    &mut devices[at]
}

fn cell(entry: usize, field: usize, value: usize) -> Write {
    let register = format!("{}/{}", ENTRIES[entry % ENTRIES.len()], FIELDS[field % FIELDS.len()]);
    set(&register, VALUES[value % VALUES.len()])
}

fn decide(device: &mut Device, conflict: usize, answer: usize) {
    let conflicts = device.review.conflicts(|state| state != State::Resolved || answer.is_multiple_of(7));
    if conflicts.is_empty() {
        return;
    }
    let conflict = &conflicts[conflict % conflicts.len()];
    let answers = [
        Answer::Current,
        Answer::Accept(0),
        Answer::Accept(1),
        Answer::Value("w".into()),
        Answer::Dismiss,
        Answer::Confirm,
        Answer::Reopen,
        Answer::Approve,
        Answer::Link,
    ];
    let answer = &answers[answer % answers.len()];
    let trial = DecisionId::new("trial").unwrap();
    if device.review.decide(conflict, answer, &Note::default(), &trial).is_ok() {
        device.decide(conflict, answer);
    }
}
