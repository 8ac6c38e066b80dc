//! A power loss at any moment loses nothing that was acknowledged, (S1.3, S1.8). The engine may come out of it broken; then it
//! is built anew from the journal, and said so, with nothing lost.

use crate::common::{Engine, Random};
use crate::power::disk::{Image, Lies};
use crate::power::workload::Oracle;
use crate::power::{Recording, child_work_if_asked, lose_power};

const CHILD: &[&str] = &["--exact", "power_loss::power_child", "--nocapture", "--test-threads=1"];
const ROUNDS: u64 = 100;

/// The child whose changes of files are recorded.
#[test]
fn power_child() {
    child_work_if_asked();
}

fn a_hundred_power_losses(engine: Engine) {
    let tally = lose_power(engine, ROUNDS, 1, CHILD, &mut |_| {});
    println!("{}: {} power losses, {} rebuilt, {} bad", engine.name(), tally.rounds, tally.rebuilt, tally.bad.len());
    assert!(tally.bad.is_empty(), "{:#?}", tally.bad);
    assert_eq!(tally.rounds, ROUNDS);
}

#[test]
fn a_hundred_power_losses_lose_nothing_on_sled() {
    a_hundred_power_losses(Engine::Sled);
}

#[cfg(feature = "redb")]
#[test]
fn a_hundred_power_losses_lose_nothing_on_redb() {
    a_hundred_power_losses(Engine::Redb);
}

#[test]
fn a_disk_that_lies_about_flushes_is_caught_by_these_rounds() {
    // Planted faults: were one of these flushes missing in the store, this is how it would show.
    let plants: [(&str, Lies); 5] = [
        ("the journal is never flushed", |path| path.starts_with("store/journal/") && !path.ends_with('/')),
        ("folders are never flushed", |path| path.ends_with('/')),
        ("snapshots are never flushed", |path| path.contains("/snapshots/") && !path.ends_with('/')),
        ("the catalogue is never flushed", |path| path.starts_with("store/catalogue")),
        ("the engine's files are never flushed", |path| {
            ["store/sled", "store/redb"].iter().any(|engine| path.starts_with(engine)) && !path.ends_with('/')
        }),
    ];
    for engine in Engine::ALL {
        let recording = Recording::make(*engine, &Image::new(), 1, 60, CHILD);
        let mut honest = Vec::new();
        for seed in 0..ROUNDS / 10 {
            recording.cut(10, |_| false, &mut Random(seed), &mut Oracle::default(), &mut |_, survived| {
                honest.extend(survived.err());
            });
        }
        assert!(honest.is_empty(), "without a fault nothing is caught: {honest:#?}");
        for (what, lies) in plants {
            let (mut oracle, mut rounds, mut caught) = (Oracle::default(), 0, None);
            for seed in 0..ROUNDS / 10 {
                recording.cut(10, lies, &mut Random(seed), &mut oracle, &mut |_, survived| {
                    rounds += 1;
                    caught = caught.take().or(survived.err().map(|how| (rounds, how)));
                });
                if caught.is_some() {
                    break;
                }
            }
            let (round, how) = caught.unwrap_or_else(|| panic!("{}: {what}: not caught", engine.name()));
            println!(
                "{}: {what}: caught in round {round}: {}",
                engine.name(),
                how.chars().take(120).collect::<String>()
            );
        }
    }
}

#[test]
fn forty_batches_cut_before_inside_and_after_each_write_lose_nothing() {
    for engine in Engine::ALL {
        let recording = Recording::make(*engine, &Image::new(), 1, 40, CHILD);
        let done = recording.cut_everywhere(&mut Random(3), &mut Oracle::default());
        println!(
            "{}: {} writes, {} images ({} differ), {} rebuilt, {} bad",
            engine.name(),
            done.writes,
            done.images,
            done.opened,
            done.rebuilt,
            done.bad.len()
        );
        assert!(done.bad.is_empty(), "{:#?}", done.bad);
    }
}
