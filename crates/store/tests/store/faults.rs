//! Bits flipped and files cut, in every file of a store: never silent, never a panic, never a hang, the rest saved, the
//! damaged files kept (S1.8).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use comity_model::DocumentId;
use comity_store::{OpenReport, Store, StoreError, StoredDocument};

use crate::common::{Engine, Random, copy, document, files, noise, tempdir};
use crate::damage::{DOCUMENTS, make, with_child};

/// Faults of each kind in each file.
const FAULTS_PER_FILE: u64 = 100;
/// No opening may take longer: the deadline of the child that tries the engine, the one of the engine itself, and the
/// rebuild.
const OPEN_MAX: Duration = Duration::from_secs(30);

/// What a fault did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Nothing is lost, and nothing had to be done.
    Harmless,
    /// Nothing is lost; the store was repaired or says that it was damaged.
    Repaired,
    /// Something is lost, and said by name.
    Named,
    /// The folder is refused with an error that says why.
    Refused,
}

/// Does harm to the bytes of a file, and says what.
type Fault = fn(&mut Vec<u8>, &mut Random) -> String;
type Table = BTreeMap<&'static str, BTreeMap<Outcome, u64>>;

/// Names what kind of file this is, of any engine.
fn kind(path: &Path) -> &'static str {
    let text = path.to_str().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    match name {
        _ if text.starts_with("journal/") => "journal segment",
        _ if text.starts_with("snapshots/") => "snapshot",
        _ if name.starts_with("snap.") => "sled snap.*",
        _ if text.contains("/blobs/") => "sled blob",
        "db" => "sled db",
        "conf" => "sled conf",
        _ if text.starts_with("redb/") => "redb file",
        "catalogue" => "catalogue",
        "FORMAT" | "FORMAT.copy" => "FORMAT and its copy",
        "CLEAN" => "CLEAN",
        "LOCK" => "LOCK",
        other => panic!("a file without a kind: {other}"),
    }
}

/// Opens a damaged copy and compares what it gives with what was stored.
fn judge(engine: Engine, image: &Path, held: &[StoredDocument], story: &str) -> Outcome {
    let start = Instant::now();
    let opened = engine.try_open(image, with_child());
    assert!(start.elapsed() < OPEN_MAX, "{story}: took {:?}", start.elapsed());
    let (store, report) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            assert!(error.to_string().contains(image.to_str().unwrap()), "{story}: {error}");
            return Outcome::Refused;
        }
    };
    let mut lost = Vec::new();
    for (id, held) in (0..DOCUMENTS).zip(held) {
        match store.load(&document(id)) {
            Ok(Some(mut found)) => {
                // Losing the state of a session is harmless.
                found.sync_states.clone_from(&held.sync_states);
                // So are heads that are said to be unknown: loading the document tells them.
                if found.heads.as_slice().is_empty() && is_named(&report, document(id)) {
                    found.heads.clone_from(&held.heads);
                }
                lost.extend((found != *held).then_some((id, "changed")));
            }
            Ok(None) => lost.push((id, "went")),
            // Named at the call; the next opening rebuilds.
            Err(StoreError::DamagedDocument { .. }) => return named_when_read(engine, &*store, image, story),
            Err(error) => panic!("{story}: {error}"),
        }
    }
    let device = store.meta("device");
    if matches!(device, Err(StoreError::DamagedMeta { .. })) {
        return named_when_read(engine, &*store, image, story);
    }
    if device.unwrap() != Some(noise(32, 80)) {
        lost.push((u8::MAX, "node-level row"));
    }
    if report.is_damaged() {
        let evidence = report.set_aside.as_ref().unwrap_or_else(|| panic!("{story}: nothing kept: {report:?}"));
        assert!(evidence.is_dir(), "{story}");
    }
    if let (Some(evidence), true) = (&report.set_aside, story.contains("snapshots/")) {
        assert!(evidence.join("snapshots").is_dir(), "{story}: the altered snapshot is not kept");
    }
    for (id, how) in &lost {
        assert!(is_told(&report, *id), "{story}: {id} {how} in silence: {report:?}");
    }
    match (lost.is_empty(), report.is_damaged()) {
        (false, _) => Outcome::Named,
        (true, true) => Outcome::Repaired,
        (true, false) => Outcome::Harmless,
    }
}

/// A properly closed store is believed; damage is named by whoever reads it, and the next opening rebuilds.
fn named_when_read(engine: Engine, store: &dyn Store, image: &Path, story: &str) -> Outcome {
    store.close().unwrap();
    let again = tempdir().unwrap();
    copy(image, again.path());
    let (_, report) = engine.try_open(again.path(), with_child()).unwrap();
    assert!(report.is_damaged() && report.set_aside.is_some(), "{story}: {report:?}");
    Outcome::Named
}

fn is_named(report: &OpenReport, document: DocumentId) -> bool {
    report.damaged.iter().any(|damaged| damaged.document == document)
}

/// Says whether the loss of something was told: by name, or as groups of the journal that nobody can read.
fn is_told(report: &OpenReport, id: u8) -> bool {
    let journal = &report.journal;
    let named = if id == u8::MAX { report.meta_rows_lost > 0 } else { is_named(report, document(id)) };
    named || journal.is_damaged()
}

fn on_every_file(engine: Engine, clean: bool, faults: u64, fault: Fault) -> Table {
    let whole = tempdir().unwrap();
    let held = make(engine, whole.path(), clean);
    let mut random = Random(u64::from(clean) + 5);
    let mut table = Table::new();
    for path in files(whole.path()) {
        let relative = path.strip_prefix(whole.path()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for _ in 0..faults {
            if bytes.is_empty() {
                break;
            }
            let image = tempdir().unwrap();
            copy(whole.path(), image.path());
            let mut damaged = bytes.clone();
            let what = fault(&mut damaged, &mut random);
            std::fs::write(image.path().join(relative), damaged).unwrap();
            let story = format!("{} {}: {what}", engine.name(), relative.display());
            let outcome = judge(engine, image.path(), &held, &story);
            *table.entry(kind(relative)).or_default().entry(outcome).or_default() += 1;
        }
    }
    table
}

#[allow(clippy::ptr_arg, reason = "one of the faults, which take the same")]
fn flip_a_bit(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    // Files begin and end with long runs of zeros that nobody reads: aim at what is written, mostly.
    let mut at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
    if random.below(10) > 0 {
        let (before, after) = bytes.split_at(at);
        at = after.iter().chain(before).position(|byte| *byte != 0).map_or(at, |step| (at + step) % bytes.len());
    }
    let bit = random.below(8);
    bytes[at] ^= 1 << bit;
    format!("byte {at} bit {bit}")
}

fn cut(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1) as u64;
    // Half of the cuts where something is written, half anywhere.
    let below = if random.below(2) == 0 { written.max(1) } else { bytes.len() as u64 };
    bytes.truncate(usize::try_from(random.below(below)).unwrap());
    format!("cut to {} bytes", bytes.len())
}

fn tell(engine: Engine, clean: bool, what: &str, table: &Table) {
    for (kind, outcomes) in table {
        let state = if clean { "closed" } else { "crashed" };
        println!("{} {state}: {what} {kind}: {outcomes:?}", engine.name());
    }
}

fn faults(engine: Engine, clean: bool) {
    // Half of the faults of each kind on a closed store, half on one that was not.
    let table = on_every_file(engine, clean, FAULTS_PER_FILE / 2, flip_a_bit);
    tell(engine, clean, "bit flips in", &table);
    // No single fault may make the whole store unreadable.
    assert!(table.values().all(|outcomes| !outcomes.contains_key(&Outcome::Refused)), "{table:?}");
    let table = on_every_file(engine, clean, FAULTS_PER_FILE / 2, cut);
    tell(engine, clean, "cuts of", &table);
    assert!(table.values().all(|outcomes| !outcomes.contains_key(&Outcome::Refused)), "{table:?}");
}

#[test]
fn faults_in_every_file_of_a_closed_sled_store_are_never_silent() {
    faults(Engine::Sled, true);
}

#[test]
fn faults_in_every_file_of_a_crashed_sled_store_are_never_silent() {
    faults(Engine::Sled, false);
}

#[cfg(feature = "redb")]
#[test]
fn faults_in_every_file_of_a_closed_redb_store_are_never_silent() {
    faults(Engine::Redb, true);
}

#[cfg(feature = "redb")]
#[test]
fn faults_in_every_file_of_a_crashed_redb_store_are_never_silent() {
    faults(Engine::Redb, false);
}
