//! A hundred seeds of each fault profile, every promise checked, every fault proven to have happened.

use std::collections::BTreeSet;

use comity_review::{ConflictKind, State};
use comity_testkit::{Coverage, Plan, Profile, Sabotage, Seen, Violation, carry_out, run, run_twice, shrink};

const SEEDS: u64 = 100;
const OPERATIONS: usize = 60;

/// Seeds within which a planted bug must show itself.
const SABOTAGE_SEEDS: u64 = 200;

/// Runs the seeds of a profile, every tenth twice, and checks that what the profile is about was seen.
fn soak(profile: Profile, wanted: &[(Seen, u64)]) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in 1..=SEEDS {
        let result = if seed % 10 == 0 { run_twice } else { run }(profile, seed, OPERATIONS);
        match result {
            Ok(report) => coverage.add(&report.coverage),
            Err(failure) => panic!("{failure}"),
        }
    }
    for (seen, least) in EVERYDAY.iter().chain(wanted) {
        let count = coverage.count(*seen);
        assert!(count >= *least, "{seen:?} was seen {count} times in {SEEDS} seeds; {least} are wanted: {coverage:?}");
    }
    coverage
}

// What people do happens under every profile.
const EVERYDAY: &[(Seen, u64)] = &[
    (Seen::Edit, 3_000),
    (Seen::EditOnOlderHeads, 200),
    (Seen::CreatedTwice, 300),
    (Seen::Concurrent, 1_000),
    (Seen::Unavailable, 20),
    (Seen::Ephemeral, 50),
    (Seen::LoadedAgain, 1_000),
    (Seen::Compacted, 500),
    (Seen::GroupCommit, 300),
    (Seen::SafeAtRelay, 1_000),
    // Another application's documents.
    (Seen::ForeignEdit, 300),
    (Seen::ForeignDocument, 300),
    // Backup and restore.
    (Seen::BackedUp, 50),
    (Seen::DeviceRestored, 30),
    (Seen::RelayRestored, 10),
    (Seen::DurableLoss, 100),
    (Seen::DurableCameBack, 50),
    // People decide, at the same time too, and everybody sees the same (S1.5, S1.7).
    (Seen::Decision, 150),
    (Seen::DecisionOnOlderHeads, 8),
    (Seen::DecisionKept, 150),
    (Seen::Conflict(ConflictKind::ConcurrentUpdate), 300),
    (Seen::Conflict(ConflictKind::FieldGroup), 20),
    (Seen::Conflict(ConflictKind::DeleteAgainstUpdate), 20),
    (Seen::Conflict(ConflictKind::Duplicate), 20),
    (Seen::Conflict(ConflictKind::Invariant), 50),
    (Seen::Conflict(ConflictKind::StaleDecision), 5),
    (Seen::Conflict(ConflictKind::ImplicitResolution), 1),
    (Seen::Conflict(ConflictKind::ResolutionConflict), 1),
    (Seen::Stands(State::Open), 300),
    (Seen::Stands(State::Reopened), 10),
    (Seen::Stands(State::NeedsSecondReviewer), 1),
    (Seen::Stands(State::Agreed), 50),
    (Seen::Stands(State::Resolved), 80),
    (Seen::Stands(State::Dismissed), 5),
    (Seen::DigestCompared, 5_000),
    (Seen::ReviewCompared, 2_000),
    (Seen::ValueTraced, 5_000),
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
    let coverage = soak(
        Profile::Calm,
        &[
            (Seen::Overtaken, 100),
            (Seen::ForeignEditOfOurs, 5),
            // Where news is quick, most conflicts are decided, by two people at once now and then.
            (Seen::Decision, 500),
            (Seen::Conflict(ConflictKind::ResolutionConflict), 20),
            (Seen::Stands(State::Reopened), 30),
        ],
    );
    assert_eq!(coverage.count(Seen::Reset), 0, "no link breaks when all is calm, unless a node stops");
    assert_eq!(coverage.count(Seen::Edit), coverage.count(Seen::Saved), "every edit is saved when all is calm");
    assert_eq!(coverage.count(Seen::ReadOnly), 0, "no disk fails when all is calm");
}

#[test]
fn link_reset() {
    soak(Profile::LinkReset, &[(Seen::Reset, 1_000), (Seen::MessageLost, 300), (Seen::HalfOpen, 50)]);
}

#[test]
fn duplicate() {
    soak(Profile::Duplicate, &[(Seen::Duplicated, 1_000)]);
}

#[test]
fn reorder() {
    soak(Profile::Reorder, &[(Seen::Overtaken, 1_500), (Seen::Orphan, 1)]);
}

#[test]
fn long_delay() {
    soak(Profile::LongDelay, &[(Seen::Late, 1_000), (Seen::Overtaken, 1_000)]);
}

#[test]
fn partition() {
    soak(Profile::Partition, &[(Seen::Partition, 150), (Seen::EditedOnBothSides, 80)]);
}

#[test]
fn one_way() {
    soak(
        Profile::OneWay,
        &[(Seen::OneWay, 200), (Seen::LostOneWay, 300), (Seen::HalfOpen, 100), (Seen::MessageLost, 300)],
    );
}

#[test]
fn slow_reader() {
    soak(Profile::SlowReader, &[(Seen::Stall, 200), (Seen::CreditExhausted, 300), (Seen::Coalesced, 40)]);
}

#[test]
fn relay_restart() {
    soak(
        Profile::RelayRestart,
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
    soak(
        Profile::DeviceCrash,
        &[
            (Seen::DeviceCrash, 300),
            (Seen::DeviceStop, 40),
            (Seen::CrashWithUnflushed, 25),
            (Seen::DeviceLostEdit, 10),
            (Seen::DeviceGotBack, 10),
        ],
    );
}

#[test]
fn disk() {
    soak(
        Profile::Disk,
        &[
            // Full: S1.3, the user is told and nothing is dropped.
            (Seen::DiskFull, 100),
            (Seen::WritableAgain, 50),
            // Refused.
            (Seen::WriteRefused, 20),
            (Seen::LoadRefused, 50),
            (Seen::EditRefused, 20),
            (Seen::NotSaved, 20),
            (Seen::ReadOnly, 100),
            (Seen::ToldOfFailure, 50),
            // Torn.
            (Seen::TornTail, 3),
            // Lost.
            (Seen::WriteToDamaged, 3),
            (Seen::LoadDamaged, 5),
            (Seen::LossNamed, 50),
            (Seen::DurableCameBack, 100),
            (Seen::LostForGood, 1),
        ],
    );
}

#[test]
fn clock() {
    soak(
        Profile::Clock,
        &[
            (Seen::ClockJumpedBack, 100),
            (Seen::ClockJumpedAhead, 100),
            (Seen::ClockFrozen, 150),
            (Seen::EditWhileFrozen, 30),
            (Seen::YearsApart, 300),
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
        (Sabotage::DropReceipt, Profile::Calm),
        (Sabotage::StoredBeforeDurable, Profile::RelayRestart),
        (Sabotage::StoredBeforeDurable, Profile::DeviceCrash),
        (Sabotage::ForgetWants, Profile::DeviceCrash),
        (Sabotage::ForgetAfterReconnect, Profile::LinkReset),
        (Sabotage::ReuseActor, Profile::DeviceCrash),
        (Sabotage::ReuseActorAfterRestore, Profile::Calm),
        (Sabotage::LoseFrame, Profile::Calm),
        (Sabotage::HalfAppend, Profile::Calm),
        (Sabotage::LoadWithoutLast, Profile::Calm),
        (Sabotage::AnswerBeforeLoaded, Profile::Calm),
        (Sabotage::ForgetWritten, Profile::Calm),
        (Sabotage::ForgetLinkDown, Profile::LinkReset),
        (Sabotage::LoseJournal, Profile::DeviceCrash),
        (Sabotage::LoseJournal, Profile::RelayRestart),
        (Sabotage::KeepTornTail, Profile::Disk),
        (Sabotage::HideRefusal, Profile::Disk),
        (Sabotage::ForgetTicks, Profile::Disk),
        (Sabotage::RepeatEphemeral, Profile::Calm),
        (Sabotage::SkipChange, Profile::Calm),
        (Sabotage::ChangeTwice, Profile::Calm),
        (Sabotage::ChangesBackwards, Profile::Calm),
        (Sabotage::DigestOfArrivals, Profile::Calm),
        (Sabotage::KeepReview, Profile::DeviceCrash),
        (Sabotage::OtherPolicy, Profile::Calm),
        (Sabotage::HideConflict, Profile::Calm),
        (Sabotage::AnswerWithoutRecord, Profile::Calm),
        (Sabotage::AnswerUnforced, Profile::Calm),
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
