//! Damage is never silent and never a panic: what is lost is said by name, and the rest lives on (S1.8).

use std::path::Path;
use std::time::Duration;

use comity_store::{
    ChildCommand, Damage, Op, Options, StoreError, StoredDocument, child_main_if_asked, salvage, verify,
};

use crate::common::{Engine, append, copy, document, files, heads, noise, options, peer, replace, tempdir};

pub const DOCUMENTS: u8 = 6;

/// The child that tries out a damaged engine.
#[test]
fn trying_child() {
    if std::env::var_os("COMITY_STORE_TRY_FOLDER").is_some() {
        child_main_if_asked();
    }
}

pub fn with_child() -> Options {
    let arguments = ["--exact", "damage::trying_child", "--nocapture"].map(Into::into).to_vec();
    let child = Some(ChildCommand { program: std::env::current_exe().unwrap(), arguments });
    Options { child, open_deadline: Duration::from_secs(5), ..options() }
}

/// Makes a small store and gives what it holds.
pub fn make(engine: Engine, folder: &Path, clean: bool) -> Vec<StoredDocument> {
    // Opened again once: sled writes more kinds of files then.
    engine.open(folder).close().unwrap();
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
            store.acknowledge().unwrap();
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
            let mut told = 0;
            let report = verify(folder.path(), &with_child(), &mut |progress| told = progress.documents).unwrap();
            assert!(told == u64::from(DOCUMENTS), "{told} were told");
            assert!(!report.is_damaged(), "{report:?}");
            assert_eq!((report.clean, report.engine.as_str()), (clean, engine.name()));
            let snapshot = files(&folder.path().join("snapshots")).remove(0);
            let mut bytes = std::fs::read(&snapshot).unwrap();
            bytes[100] ^= 1;
            std::fs::write(&snapshot, &bytes).unwrap();
            let report = verify(folder.path(), &with_child(), &mut |_| {}).unwrap();
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
        let mut told = 0;
        let report = salvage(folder.path(), into.path(), &options(), &mut |progress| told = progress.bytes).unwrap();
        assert!(told > 10_000, "{told} bytes were told");
        assert_eq!(report.documents, u64::from(DOCUMENTS));
        let store = engine.open(into.path());
        for (id, held) in (0..DOCUMENTS).zip(&held) {
            let damaged = report.damaged.iter().any(|damaged| damaged.document == document(id));
            assert!(damaged || store.load(&document(id)).unwrap().unwrap() == *held, "{report:?}");
        }
        assert!(report.damaged.is_empty(), "all rows lie behind the damage: {report:?}");
        let again = salvage(folder.path(), into.path(), &options(), &mut |_| {});
        assert!(again.is_err(), "a folder that is not empty is never written into");
    }
}

#[test]
fn documents_of_the_last_group_with_a_flipped_bit_are_named_with_the_heads_to_ask_for() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let store = engine.open(folder.path());
        store.commit(&[append(1, &[noise(100, 1)], 1), append(2, &[noise(100, 1)], 1)]).unwrap();
        store.checkpoint().unwrap();
        // Acknowledged, and nowhere but in the journal.
        store.commit(&[append(1, &[noise(700, 2)], 2)]).unwrap();
        drop(store);
        let journal = files(&folder.path().join("journal")).remove(0);
        let mut bytes = std::fs::read(&journal).unwrap();
        let chunk = noise(700, 2);
        let at = bytes.windows(16).position(|window| *window == chunk[100..116]).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&journal, bytes).unwrap();
        let named = |damaged: &[comity_store::DamagedDocument]| {
            let [one] = damaged else { panic!("one document is named: {damaged:?}") };
            assert_eq!((one.document, &one.heads), (document(1), &Some(heads([2]))));
            assert_eq!(one.damage, [Damage::Stale]);
        };
        let report = verify(folder.path(), &with_child(), &mut |_| {}).unwrap();
        assert!(report.is_damaged() && report.journal.altered_groups == 1, "{report:?}");
        named(&report.damaged);
        let (store, report) = engine.try_open(folder.path(), options()).unwrap();
        assert!(report.is_damaged() && report.journal.altered_groups == 1, "{report:?}");
        named(&report.damaged);
        let kept = report.set_aside.unwrap().join("journal").join(journal.file_name().unwrap());
        assert!(kept.is_file(), "the altered journal is kept");
        assert_eq!(store.load(&document(1)).unwrap().unwrap().changes, [noise(100, 1)]);
    }
}

/// Alters a byte of what lies in the only copy of some bytes.
fn alter(folder: &Path, bytes: &[u8]) {
    let place = |file: &[u8]| file.windows(16).position(|window| *window == bytes[100..116]);
    let [(path, file, at)] = &mut files(folder)
        .into_iter()
        .filter_map(|path| {
            let file = std::fs::read(&path).unwrap();
            place(&file).map(|at| (path, file, at))
        })
        .collect::<Vec<_>>()[..]
    else {
        panic!("one file holds it")
    };
    file[*at] ^= 1;
    std::fs::write(path, file).unwrap();
}

#[test]
fn a_document_that_a_rebuild_only_tidied_is_named_when_the_journal_lost_its_last_change() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let store = engine.open(folder.path());
        store.commit(&[append(3, &[noise(300, 1)], 1), replace(1, noise(9_000, 2), 1)]).unwrap();
        store.checkpoint().unwrap();
        // The first change is gone, and its bytes still lie in the engine's files.
        store.commit(&[replace(3, noise(9_000, 3), 2)]).unwrap();
        store.checkpoint().unwrap();
        store.commit(&[append(3, &[noise(300, 4)], 3)]).unwrap();
        drop(store);
        alter(&folder.path().join("journal"), &noise(300, 4));
        alter(&folder.path().join("snapshots"), &noise(9_000, 2));
        let (store, report) = engine.try_open(folder.path(), options()).unwrap();
        let named: Vec<_> = report.damaged.iter().map(|damaged| (damaged.document, &damaged.heads)).collect();
        assert_eq!(named, [(document(1), &Some(heads([1]))), (document(3), &Some(heads([3])))], "{report:?}");
        assert_eq!(store.load(&document(3)).unwrap().unwrap().snapshot, Some(noise(9_000, 3)));
    }
}
