//! Damage is never silent and never a panic: what is lost is said by name, and the rest lives on (S1.8).

use std::path::Path;
use std::time::Duration;

use comity_store::{
    ChildCommand, Damage, Op, OpenReport, Options, Store, StoreError, StoredDocument, child_main_if_asked, salvage,
    verify,
};

use crate::common::{Engine, Random, append, copy, document, files, noise, options, peer, replace, tempdir};

const DOCUMENTS: u8 = 6;

/// The child that tries out a damaged engine.
#[test]
fn trying_child() {
    if std::env::var_os("COMITY_STORE_TRY_FOLDER").is_some() {
        child_main_if_asked();
    }
}

fn with_child() -> Options {
    let arguments = ["--exact", "damage::trying_child", "--nocapture"].map(Into::into).to_vec();
    let child = Some(ChildCommand { program: std::env::current_exe().unwrap(), arguments });
    Options { child, open_deadline: Duration::from_secs(5), ..options() }
}

/// Makes a small store and gives what it holds.
fn make(engine: Engine, folder: &Path, clean: bool) -> Vec<StoredDocument> {
    let store = engine.open(folder);
    for round in 0..12_u64 {
        for id in 0..DOCUMENTS {
            let seed = round * 100 + u64::from(id);
            store.commit(&[append(id, &[noise(120, seed)], seed)]).unwrap();
        }
        if round == 6 {
            store.commit(&[replace(0, noise(6_000, 77), 1_000), replace(1, noise(1_000, 78), 1_001)]).unwrap();
            store.commit(&[append(2, &[noise(9_000, 79)], 1_002)]).unwrap();
            store.commit(&[Op::PutMeta { key: "device".to_owned(), value: noise(32, 80) }]).unwrap();
            let state = Op::SyncState { document: document(3), peer: peer("p"), state: noise(64, 81) };
            store.commit(&[state]).unwrap();
            store.checkpoint().unwrap();
        }
    }
    let held = (0..DOCUMENTS).map(|id| store.load(&document(id)).unwrap().unwrap()).collect();
    if clean {
        store.close().unwrap();
    }
    held
}

/// Says whether the loss of something of a document was told.
fn told(report: &OpenReport, id: u8) -> bool {
    report.damaged.iter().any(|damaged| damaged.document == document(id))
        || report.journal.tail_bytes > 0
        || report.journal.lost_groups > 0
}

fn check(store: &dyn Store, report: &OpenReport, held: &[StoredDocument], story: &str) {
    for (id, held) in (0..DOCUMENTS).zip(held) {
        match store.load(&document(id)) {
            Ok(Some(mut found)) => {
                // Losing the state of a session is harmless.
                found.sync_states.clone_from(&held.sync_states);
                assert!(found == *held || told(report, id), "{story}: {id} changed in silence: {report:?}");
            }
            Ok(None) => assert!(told(report, id), "{story}: {id} went in silence: {report:?}"),
            Err(StoreError::DamagedDocument { .. }) => {}
            Err(error) => assert!(error.is_final(), "{story}: {error}"),
        }
    }
    match store.meta("device") {
        Ok(Some(value)) => assert_eq!(value, noise(32, 80), "{story}"),
        Ok(None) => assert!(report.is_damaged() || report.journal.tail_bytes > 0, "{story}: {report:?}"),
        Err(_) => {}
    }
}

fn flip_bits(engine: Engine, clean: bool, flips_per_file: u64) {
    let whole = tempdir().unwrap();
    let held = make(engine, whole.path(), clean);
    let mut random = Random(u64::from(clean) + 5);
    for path in files(whole.path()) {
        let relative = path.strip_prefix(whole.path()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        // Engine files begin with long runs of zeros that nobody reads: aim at what is written.
        let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        for _ in 0..flips_per_file.min(written.len() as u64) {
            let at = written[usize::try_from(random.below(written.len() as u64)).unwrap()];
            let bit = random.below(8);
            let story = format!("{} {}: byte {at} bit {bit}", engine.name(), relative.display());
            let image = tempdir().unwrap();
            copy(whole.path(), image.path());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            std::fs::write(image.path().join(relative), flipped).unwrap();
            match engine.try_open(image.path(), with_child()) {
                Ok((store, report)) => check(&*store, &report, &held, &story),
                Err(error) => panic!("{story}: {error}"),
            }
        }
    }
}

#[test]
fn a_bit_flipped_in_any_file_of_a_closed_store_is_never_silent() {
    for engine in Engine::ALL {
        flip_bits(*engine, true, 12);
    }
}

#[test]
fn a_bit_flipped_in_any_file_of_a_crashed_store_is_never_silent() {
    for engine in Engine::ALL {
        flip_bits(*engine, false, 12);
    }
}

#[test]
fn a_store_whose_engine_files_vanish_says_which_documents_went_and_goes_on() {
    for engine in Engine::ALL {
        for clean in [true, false] {
            let folder = tempdir().unwrap();
            let held = make(*engine, folder.path(), clean);
            std::fs::remove_dir_all(folder.path().join(engine.name())).unwrap();
            let (store, report) = engine.try_open(folder.path(), options()).unwrap();
            // The large snapshot is a file of its own, and lives; with all changes since in the journal nothing of that
            // document is lost.
            let zero = store.load(&document(0)).unwrap().unwrap();
            assert_eq!(zero.snapshot, held[0].snapshot);
            assert_eq!(zero == held[0], !clean);
            assert_eq!(report.damaged.len(), usize::from(DOCUMENTS) - usize::from(!clean), "{report:?}");
            store.commit(&[append(5, &[noise(1, 1)], 1)]).unwrap();
            store.close().unwrap();
            drop(store);
            let store = engine.open(folder.path());
            assert!(store.load(&document(5)).unwrap().is_some());
        }
    }
}

#[test]
fn engine_files_that_come_back_older_are_found_out_by_name() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let store = engine.open(folder.path());
        let ids: Vec<u8> = (0..4).collect();
        ids.iter().for_each(|id| store.commit(&[append(*id, &[noise(50, 1)], 1)]).unwrap());
        store.close().unwrap();
        drop(store);
        let old = tempdir().unwrap();
        copy(&folder.path().join(engine.name()), old.path());
        let store = engine.open(folder.path());
        store.commit(&[append(2, &[noise(50, 2)], 2), append(9, &[noise(50, 2)], 2)]).unwrap();
        store.close().unwrap();
        drop(store);
        std::fs::remove_dir_all(folder.path().join(engine.name())).unwrap();
        copy(old.path(), &folder.path().join(engine.name()));
        // The mark of a proper close is there, so the first opening believes it; reading does not.
        let store = engine.open(folder.path());
        assert!(store.load(&document(1)).is_ok());
        for id in [2, 9] {
            let error = store.load(&document(id)).unwrap_err();
            assert!(matches!(error, StoreError::DamagedDocument { .. }), "{error}");
            let refused = store.commit(&[append(id, &[noise(1, 1)], 3)]).unwrap_err();
            assert!(!refused.is_final(), "{refused}");
        }
        store.commit(&[append(1, &[noise(50, 3)], 3)]).unwrap();
        store.close().unwrap();
        drop(store);
        // Closing did not mark it clean: the next opening verifies, sets aside and rebuilds.
        let (store, report) = engine.try_open(folder.path(), options()).unwrap();
        let damage: Vec<_> = report.damaged.iter().map(|damaged| (damaged.document, damaged.damage.clone())).collect();
        assert_eq!(damage, [(document(2), vec![Damage::Stale]), (document(9), vec![Damage::Gone])], "{report:?}");
        assert!(report.set_aside.is_some_and(|folder| folder.join(engine.name()).is_dir()));
        assert_eq!(store.load(&document(2)).unwrap().unwrap().changes, [noise(50, 1)]);
        assert_eq!(store.load(&document(1)).unwrap().unwrap().changes.len(), 2);
        assert_eq!(store.documents().unwrap().len(), 4);
    }
}

#[test]
fn verify_names_what_is_damaged_and_changes_nothing() {
    for engine in Engine::ALL {
        for clean in [true, false] {
            let folder = tempdir().unwrap();
            let held = make(*engine, folder.path(), clean);
            let report = verify(folder.path(), &with_child()).unwrap();
            assert!(!report.is_damaged(), "{report:?}");
            assert_eq!((report.clean, report.engine.as_str()), (clean, engine.name()));
            let snapshot = files(&folder.path().join("snapshots")).remove(0);
            let mut bytes = std::fs::read(&snapshot).unwrap();
            bytes[100] ^= 1;
            std::fs::write(&snapshot, &bytes).unwrap();
            let report = verify(folder.path(), &with_child()).unwrap();
            let waits = report.waiting_for_replay > 0;
            assert!(waits || report.damaged.iter().any(|damaged| damaged.document == document(0)), "{report:?}");
            bytes[100] ^= 1;
            std::fs::write(&snapshot, &bytes).unwrap();
            let store = engine.open(folder.path());
            assert_eq!(store.load(&document(0)).unwrap().unwrap(), held[0]);
        }
    }
}

#[test]
fn salvage_reads_a_store_whose_engine_is_torn_in_two() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let held = make(*engine, folder.path(), false);
        for path in files(&folder.path().join(engine.name())) {
            let mut bytes = std::fs::read(&path).unwrap();
            let torn = 200.min(bytes.len() / 2);
            bytes[..torn].fill(0xAA);
            std::fs::write(&path, bytes).unwrap();
        }
        let into = tempdir().unwrap();
        let report = salvage(folder.path(), into.path(), &options()).unwrap();
        assert_eq!(report.documents, u64::from(DOCUMENTS));
        let store = engine.open(into.path());
        for (id, held) in (0..DOCUMENTS).zip(&held) {
            let damaged = report.damaged.iter().any(|damaged| damaged.document == document(id));
            assert!(damaged || store.load(&document(id)).unwrap().unwrap() == *held, "{report:?}");
        }
        assert!(report.damaged.is_empty(), "all rows lie behind the damage: {report:?}");
        let again = salvage(folder.path(), into.path(), &options());
        assert!(again.is_err(), "a folder that is not empty is never written into");
    }
}
