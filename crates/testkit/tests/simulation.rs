//! A hundred seeds of each fault profile, every promise checked, every fault proven to have happened.

use std::collections::BTreeSet;

use comity_testkit::{Coverage, Plan, Profile, Sabotage, Seen, Violation, carry_out, run, run_twice, shrink};

const SEEDS: u64 = 100;
const OPERATIONS: usize = 60;

/// Seeds within which a planted bug must show itself.
const SABOTAGE_SEEDS: u64 = 200;

/// Runs the seeds of a profile, every tenth twice, and tells what was seen in all of them.
fn soak(profile: Profile) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in 1..=SEEDS {
        let result = if seed % 10 == 0 { run_twice } else { run }(profile, seed, OPERATIONS);
        match result {
            Ok(report) => coverage.add(&report.coverage),
            Err(failure) => panic!("{failure}"),
        }
    }
    coverage
}

fn assert_seen(coverage: &Coverage, wanted: &[(Seen, u64)]) {
    for (seen, least) in wanted {
        let count = coverage.count(*seen);
        assert!(count >= *least, "{seen:?} was seen {count} times in {SEEDS} seeds; {least} are wanted: {coverage:?}");
    }
}

// What people do happens under every profile.
const EVERYDAY: &[(Seen, u64)] = &[
    (Seen::Edit, 4_000),
    (Seen::EditOnOlderHeads, 200),
    (Seen::CreatedTwice, 300),
    (Seen::Concurrent, 1_000),
    (Seen::Unavailable, 20),
    (Seen::Ephemeral, 50),
    (Seen::LoadedAgain, 1_000),
    (Seen::Compacted, 500),
    (Seen::GroupCommit, 300),
    (Seen::SafeAtRelay, 1_000),
];

#[test]
fn committed_seeds_hold() {
    for line in include_str!("../seeds.txt").lines() {
        let words: Vec<&str> = line.split('#').next().unwrap_or("").split_whitespace().collect();
        let &[profile, seed] = words.as_slice() else {
            assert!(words.is_empty(), "not a seed: {line:?}");
            continue;
        };
        if let Err(failure) = run(profile.parse().unwrap(), seed.parse().unwrap(), OPERATIONS) {
            panic!("{failure}");
        }
    }
}

#[test]
fn calm() {
    let coverage = soak(Profile::Calm);
    assert_seen(&coverage, EVERYDAY);
    assert_seen(&coverage, &[(Seen::CreditExhausted, 5), (Seen::Overtaken, 100)]);
    assert_eq!(coverage.count(Seen::MessageLost), 0, "nothing goes wrong when all is calm");
    assert_eq!(coverage.count(Seen::Edit), coverage.count(Seen::Saved), "every edit is saved when all is calm");
}

#[test]
fn link_reset() {
    let coverage = soak(Profile::LinkReset);
    assert_seen(&coverage, EVERYDAY);
    assert_seen(&coverage, &[(Seen::Reset, 1_000), (Seen::MessageLost, 300), (Seen::HalfOpen, 50)]);
}

#[test]
fn reorder() {
    let coverage = soak(Profile::Reorder);
    assert_seen(&coverage, EVERYDAY);
    assert_seen(&coverage, &[(Seen::Overtaken, 1_500)]);
}

#[test]
fn partition() {
    let coverage = soak(Profile::Partition);
    assert_seen(&coverage, EVERYDAY);
    assert_seen(&coverage, &[(Seen::Partition, 150), (Seen::EditedOnBothSides, 100)]);
}

#[test]
fn relay_restart() {
    let coverage = soak(Profile::RelayRestart);
    assert_seen(&coverage, EVERYDAY);
    assert_seen(
        &coverage,
        &[
            (Seen::RelayCrash, 200),
            (Seen::RelayStop, 40),
            (Seen::RelayLostChange, 40),
            // S1.8: what the relay lost comes back from the devices.
            (Seen::RelayGotBack, 40),
        ],
    );
}

#[test]
fn device_crash() {
    let coverage = soak(Profile::DeviceCrash);
    assert_seen(&coverage, EVERYDAY);
    assert_seen(
        &coverage,
        &[
            (Seen::DeviceCrash, 300),
            (Seen::DeviceStop, 40),
            (Seen::CrashWithUnflushed, 25),
            (Seen::DeviceLostEdit, 10),
            (Seen::DeviceGotBack, 10),
        ],
    );
}

/// Plants a bug in the driver and counts the seeds until an oracle sees it.
fn seeds_until_caught(sabotage: Sabotage, profile: Profile) -> Option<(u64, Violation)> {
    (1..=SABOTAGE_SEEDS).find_map(|seed| {
        let failure = carry_out(&Plan::draw(profile, seed, OPERATIONS), Some(sabotage)).err()?;
        Some((seed, *failure.violation))
    })
}

#[test]
fn every_planted_bug_is_caught() {
    let planted = [
        (Sabotage::DropStored, Profile::Calm),
        (Sabotage::StoredBeforeDurable, Profile::RelayRestart),
        (Sabotage::StoredBeforeDurable, Profile::DeviceCrash),
        (Sabotage::ForgetWants, Profile::DeviceCrash),
        (Sabotage::ReuseActor, Profile::DeviceCrash),
        (Sabotage::LoseFrame, Profile::Calm),
        (Sabotage::HalfAppend, Profile::Calm),
        (Sabotage::LoadWithoutLast, Profile::Calm),
        (Sabotage::ForgetWritten, Profile::Calm),
        (Sabotage::ForgetLinkDown, Profile::LinkReset),
        (Sabotage::LoseJournal, Profile::DeviceCrash),
        (Sabotage::LoseJournal, Profile::RelayRestart),
    ];
    let names: BTreeSet<String> = planted.iter().map(|(sabotage, _)| format!("{sabotage:?}")).collect();
    assert_eq!(names.len(), Sabotage::ALL.len(), "every planted bug has its row");
    for (sabotage, profile) in planted {
        match seeds_until_caught(sabotage, profile) {
            Some((seed, violation)) => println!("{sabotage:?} under {profile}: caught by seed {seed}: {violation}"),
            None => panic!("{sabotage:?} under {profile} is not caught within {SABOTAGE_SEEDS} seeds"),
        }
    }
}

#[test]
fn a_failing_plan_shrinks_to_the_steps_that_matter() {
    let plan = Plan::draw(Profile::RelayRestart, 1, OPERATIONS);
    let (small, failure) = shrink(&plan, Some(Sabotage::StoredBeforeDurable)).expect("the planted bug shows itself");
    assert!(small.steps.len() <= 5, "{} of {} steps are left", small.steps.len(), plan.steps.len());
    assert!(
        failure.to_string().ends_with("cargo xtask soak --profile relay-restart --seed 1 --operations 60"),
        "{failure}"
    );
}
