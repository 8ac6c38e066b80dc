//! What is stored comes back, limits hold, and errors say what to do.

use bytes::Bytes;
use comity_store::{
    CHUNK_BYTES_MAX, HEADS_MAX, META_BYTES_MAX, META_KEY_BYTES_MAX, MemoryStore, Op, OpenError, Options,
    SYNC_STATE_BYTES_MAX, SYNC_STATES_MAX, Store, StoreError,
};

use crate::common::{Engine, append, document, files, heads, noise, options, peer, replace, tempdir};

/// Runs a story on every store; after each step the store may be opened again.
fn on_every_store(story: impl Fn(&dyn Store)) {
    story(&MemoryStore::new());
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        story(&*engine.open(folder.path()));
    }
}

#[test]
fn changes_come_back_in_order_with_their_heads() {
    on_every_store(|store| {
        store.commit(&[append(1, &[noise(200, 1), noise(0, 0)], 1), append(2, &[noise(5, 2)], 2)]).unwrap();
        store.commit(&[append(1, &[noise(300, 3)], 3)]).unwrap();
        let stored = store.load(&document(1)).unwrap().unwrap();
        assert_eq!(stored.changes, [noise(200, 1), noise(0, 0), noise(300, 3)]);
        assert_eq!((stored.snapshot, stored.heads), (None, heads([3])));
        assert_eq!(store.heads(&document(2)).unwrap(), Some(heads([2])));
        assert_eq!(store.documents().unwrap(), [document(1), document(2)]);
        assert_eq!(store.load(&document(3)).unwrap(), None);
        assert_eq!(store.heads(&document(3)).unwrap(), None);
        let summary = store.summary(&document(1)).unwrap().unwrap();
        assert_eq!((summary.changes, summary.change_bytes, summary.snapshot_bytes), (3, 500, None));
    });
}

#[test]
fn a_snapshot_takes_the_place_of_exactly_what_was_appended_before_it() {
    on_every_store(|store| {
        for len in [0, 100, 4_000, 4_001, 50_000] {
            store.commit(&[append(1, &[noise(10, 1)], 1)]).unwrap();
            let ops = [append(1, &[noise(10, 2)], 2), replace(1, noise(len, 9), 2), append(1, &[noise(10, 3)], 3)];
            store.commit(&ops).unwrap();
            let stored = store.load(&document(1)).unwrap().unwrap();
            assert_eq!(stored.snapshot, Some(noise(len, 9)), "{len} bytes");
            assert_eq!(stored.changes, [noise(10, 3)]);
            assert_eq!(stored.heads, heads([3]));
        }
    });
}

#[test]
fn sync_states_and_node_rows_are_kept() {
    on_every_store(|store| {
        let state = |name: &str, bytes: Bytes| Op::SyncState { document: document(1), peer: peer(name), state: bytes };
        store.commit(&[state("early", noise(3, 1))]).unwrap();
        assert_eq!(store.load(&document(1)).unwrap(), None, "a state alone makes no document");
        store.commit(&[append(1, &[noise(10, 1)], 1), state("b", noise(9_000, 2)), state("a", noise(7, 3))]).unwrap();
        // A shorter state takes the place of a longer one, also within one group.
        store.commit(&[state("b", noise(12_000, 5)), state("b", noise(5_000, 6))]).unwrap();
        let stored = store.load(&document(1)).unwrap().unwrap();
        assert_eq!(stored.sync_states, [(peer("a"), noise(7, 3)), (peer("b"), noise(5_000, 6))]);
        store.commit(&[state("b", noise(5, 4))]).unwrap();
        let stored = store.load(&document(1)).unwrap().unwrap();
        assert_eq!(stored.sync_states, [(peer("a"), noise(7, 3)), (peer("b"), noise(5, 4))]);

        let put = |key: &str, value: Bytes| Op::PutMeta { key: key.to_owned(), value };
        store.commit(&[put("device", noise(4_000, 5)), put("other", noise(1, 6))]).unwrap();
        store.commit(&[put("device", noise(8, 7)), Op::RemoveMeta { key: "other".to_owned() }]).unwrap();
        store.commit(&[Op::RemoveMeta { key: "never".to_owned() }]).unwrap();
        assert_eq!(store.meta("device").unwrap(), Some(noise(8, 7)));
        assert_eq!(store.meta("other").unwrap(), None);
        assert_eq!(store.meta_keys().unwrap(), ["device"]);
    });
}

#[test]
fn one_sync_state_above_the_limit_takes_the_place_of_the_oldest() {
    on_every_store(|store| {
        let state = |number: usize| Op::SyncState {
            document: document(1),
            peer: peer(&format!("peer {number:04}")),
            state: noise(30, number as u64),
        };
        let kept = || store.load(&document(1)).unwrap().unwrap().sync_states;
        store.commit(&[append(1, &[noise(10, 1)], 1)]).unwrap();
        store.commit(&[state(1), state(2)]).unwrap();
        store.commit(&[state(0)]).unwrap();
        store.commit(&(3..SYNC_STATES_MAX).map(state).collect::<Vec<_>>()).unwrap();
        assert_eq!(kept().len(), SYNC_STATES_MAX);
        // Written again, it is not the oldest any more; the next is.
        store.commit(&[state(1)]).unwrap();
        assert_eq!(kept().len(), SYNC_STATES_MAX);
        store.commit(&[state(SYNC_STATES_MAX)]).unwrap();
        assert_eq!(kept().len(), SYNC_STATES_MAX);
        assert!(!kept().iter().any(|(name, _)| *name == peer("peer 0002")), "the oldest went");
        store.commit(&[state(SYNC_STATES_MAX + 1), state(SYNC_STATES_MAX + 2)]).unwrap();
        let gone = ["peer 0000", "peer 0002", "peer 0003"];
        assert!(kept().len() == SYNC_STATES_MAX && !kept().iter().any(|(name, _)| gone.contains(&name.as_str())));
        assert!(kept().iter().any(|(name, _)| *name == peer("peer 0001")));
    });
}

#[test]
fn documents_with_very_many_heads_and_very_large_changes_are_kept() {
    on_every_store(|store| {
        for count in [64, 65, 500, HEADS_MAX as u64, 70] {
            let many = heads(0..count);
            let op = Op::Append { document: document(1), chunks: Vec::new(), heads: many.clone() };
            store.commit(&[op]).unwrap();
            assert_eq!(store.heads(&document(1)).unwrap(), Some(many.clone()), "{count} heads");
            assert_eq!(store.load(&document(1)).unwrap().unwrap().heads, many);
        }
        let large = noise(1_500_000, 8);
        store.commit(&[append(2, &[large.clone(), noise(4_000, 9)], 1)]).unwrap();
        assert_eq!(store.load(&document(2)).unwrap().unwrap().changes, [large, noise(4_000, 9)]);
    });
}

#[test]
fn limits_hold_at_the_limit_and_one_above_and_refuse_without_writing() {
    on_every_store(|store| {
        let meta = |key: usize, value: usize| Op::PutMeta { key: "k".repeat(key), value: Bytes::from(vec![0; value]) };
        store.commit(&[meta(META_KEY_BYTES_MAX, META_BYTES_MAX)]).unwrap();
        assert_eq!(store.meta(&"k".repeat(META_KEY_BYTES_MAX)).unwrap().unwrap().len(), META_BYTES_MAX);
        let refused = |op: Op| store.commit(&[meta(1, 1), op]).unwrap_err();
        assert!(matches!(refused(meta(1, META_BYTES_MAX + 1)), StoreError::TooLarge { .. }));
        assert!(matches!(refused(meta(META_KEY_BYTES_MAX + 1, 1)), StoreError::InvalidMetaKey { .. }));
        assert!(matches!(refused(meta(0, 1)), StoreError::InvalidMetaKey { .. }));
        assert!(matches!(refused(Op::RemoveMeta { key: "a\nb".to_owned() }), StoreError::InvalidMetaKey { .. }));
        let many = |count| Op::Append { document: document(1), chunks: Vec::new(), heads: heads(0..count) };
        assert!(matches!(refused(many(HEADS_MAX as u64 + 1)), StoreError::TooLarge { .. }));
        let chunk = |len| append(1, &[Bytes::from(vec![0; len])], 1);
        assert!(matches!(refused(chunk(CHUNK_BYTES_MAX + 1)), StoreError::TooLarge { .. }));
        let state = |len| Op::SyncState { document: document(2), peer: peer("p"), state: Bytes::from(vec![0; len]) };
        assert!(matches!(refused(state(SYNC_STATE_BYTES_MAX + 1)), StoreError::TooLarge { .. }));
        assert_eq!(store.meta("k").unwrap(), None);
        assert!(store.documents().unwrap().is_empty());
        store.commit(&[append(2, &[], 1), state(SYNC_STATE_BYTES_MAX)]).unwrap();
        assert!(!StoreError::TooLarge { what: "it", actual: 2, max: 1 }.is_final());
    });
}

#[test]
fn everything_is_there_after_closing_and_after_not_closing() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let ops = |round: u64| {
            [
                append(1, &[noise(200, round), noise(9_000, round)], round),
                append(2, &[noise(20, round)], round),
                replace(3, noise(10_000, round), round),
                Op::SyncState { document: document(1), peer: peer("p"), state: noise(64, round) },
                Op::PutMeta { key: "round".to_owned(), value: noise(16, round) },
            ]
        };
        let oracle = MemoryStore::new();
        for round in 0..8 {
            let (store, report) = engine.try_open(folder.path(), options()).unwrap();
            assert_eq!((report.created, report.clean), (round == 0, round == 0 || round % 2 == 1), "{report:?}");
            assert!(!report.is_damaged(), "{report:?}");
            assert_eq!(report.journal.groups, u64::from(round > 0 && round % 2 == 0));
            for id in 1..4 {
                assert_eq!(store.load(&document(id)).unwrap(), oracle.load(&document(id)).unwrap());
            }
            assert_eq!(store.meta("round").unwrap(), oracle.meta("round").unwrap());
            store.commit(&ops(round)).unwrap();
            oracle.commit(&ops(round)).unwrap();
            if round % 2 == 0 {
                store.close().unwrap();
                store.close().unwrap();
                assert!(matches!(store.load(&document(1)), Err(StoreError::Closed)));
                assert!(matches!(store.commit(&ops(round)), Err(StoreError::Closed)));
            }
        }
    }
}

#[test]
fn below_the_floor_of_free_space_reading_works_and_writing_says_full() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let store = engine.open(folder.path());
        store.commit(&[append(1, &[noise(10, 1)], 1)]).unwrap();
        store.close().unwrap();
        drop(store);
        let (store, _) = engine.try_open(folder.path(), Options { free_bytes_floor: u64::MAX, ..options() }).unwrap();
        let error = store.commit(&[append(1, &[noise(10, 2)], 2)]).unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }) && !error.is_final(), "{error}");
        assert_eq!(store.load(&document(1)).unwrap().unwrap().changes.len(), 1);
        store.close().unwrap();
        drop(store);
        engine.open(folder.path()).commit(&[append(1, &[noise(10, 2)], 2)]).unwrap();
    }
}

#[test]
fn a_second_handle_on_a_folder_is_told_who_has_it() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let _store = engine.open(folder.path());
        let options = Options { lock_patience: std::time::Duration::ZERO, ..options() };
        let Err(error) = engine.try_open(folder.path(), options) else { panic!("two handles on one folder") };
        let text = error.to_string();
        assert!(matches!(error, OpenError::InUse { .. }));
        assert!(text.contains(&std::process::id().to_string()) && text.contains(folder.path().to_str().unwrap()));
    }
}

/// The child that has the store of another process open, until its input ends.
#[test]
fn holding_child() {
    let Some(folder) = std::env::var_os("COMITY_HELD_FOLDER") else { return };
    let name = std::env::var("COMITY_HELD_ENGINE").unwrap();
    let engine = *Engine::ALL.iter().find(|engine| engine.name() == name).unwrap();
    let _store = engine.open(std::path::Path::new(&folder));
    println!("\nopen");
    std::io::read_to_string(std::io::stdin()).unwrap();
}

#[test]
fn a_second_process_on_a_folder_is_told_which_process_has_it() {
    use std::io::BufRead;
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "basics::holding_child", "--nocapture", "--test-threads=1"])
            .env("COMITY_HELD_FOLDER", folder.path())
            .env("COMITY_HELD_ENGINE", engine.name())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "open"));
        let hurried = Options { lock_patience: std::time::Duration::ZERO, ..options() };
        let Err(error) = engine.try_open(folder.path(), hurried) else { panic!("two processes on one folder") };
        let text = error.to_string();
        assert!(matches!(error, OpenError::InUse { .. }), "{text}");
        assert!(text.contains(&child.id().to_string()) && text.contains(folder.path().to_str().unwrap()), "{text}");
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        engine.open(folder.path());
    }
}

#[test]
fn a_folder_of_something_else_is_refused() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        std::fs::write(folder.path().join("letter.txt"), "dear").unwrap();
        let refused = engine.try_open(folder.path(), options()).err();
        assert!(matches!(refused, Some(OpenError::NotAStore { .. })), "{refused:?}");
        assert_eq!(std::fs::read(folder.path().join("letter.txt")).unwrap(), b"dear");
    }
}

#[cfg(feature = "redb")]
#[test]
fn a_store_of_another_engine_is_refused_by_name() {
    let folder = tempdir().unwrap();
    Engine::Redb.open(folder.path()).close().unwrap();
    let Err(error) = Engine::Sled.try_open(folder.path(), options()) else { panic!("opened redb as sled") };
    assert!(error.to_string().contains("redb") && error.to_string().contains("sled"), "{error}");
    Engine::Redb.open(folder.path());
}

#[test]
fn a_creation_that_was_cut_short_is_done_again() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        engine.open(folder.path()).close().unwrap();
        for gone in ["FORMAT", "FORMAT.copy", "CLEAN"] {
            std::fs::remove_file(folder.path().join(gone)).unwrap();
        }
        let (_, report) = engine.try_open(folder.path(), options()).unwrap();
        assert!(report.created);
    }
}

#[test]
fn snapshot_files_that_nothing_refers_to_are_removed() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let snapshots = folder.path().join("snapshots");
        let store = engine.open(folder.path());
        for round in 0..5 {
            store.commit(&[replace(1, noise(10_000, round), round)]).unwrap();
        }
        assert_eq!(files(&snapshots).len(), 5, "old snapshots stay until the engine is durable");
        store.checkpoint().unwrap();
        assert_eq!(files(&snapshots).len(), 1);
        store.commit(&[replace(1, noise(10_000, 9), 9)]).unwrap();
        drop(store);
        std::fs::write(snapshots.join("cut-short.tmp"), "half").unwrap();
        let store = engine.open(folder.path());
        assert_eq!(files(&snapshots).len(), 1);
        assert_eq!(store.load(&document(1)).unwrap().unwrap().snapshot, Some(noise(10_000, 9)));
    }
}

#[test]
fn engine_files_that_grew_too_large_are_written_anew() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        // A checkpoint after every group, so that the engine gets what is covered right afterwards.
        let options = Options { rewrite_bytes_min: 1 << 20, checkpoint_bytes: 1, ..options() };
        let (store, _) = engine.try_open(folder.path(), options).unwrap();
        let put = Op::PutMeta { key: "k".to_owned(), value: noise(5, 5) };
        store.commit(&[append(2, &[noise(100, 7)], 7), put]).unwrap();
        for round in 0..40 {
            store.commit(&[append(1, &[noise(40_000, round)], round)]).unwrap();
            store.commit(&[replace(1, noise(3_000, round), round)]).unwrap();
        }
        let stats = store.stats().unwrap();
        if engine.name() == "sled" {
            assert!(stats.rewrites > 0, "{stats:?}");
        }
        let (before, after) = store.compact().unwrap();
        assert!(after <= before.max(4 << 20), "{before} to {after}");
        let check = |store: &dyn Store| {
            assert_eq!(store.load(&document(1)).unwrap().unwrap().snapshot, Some(noise(3_000, 39)));
            assert_eq!(store.load(&document(2)).unwrap().unwrap().changes, [noise(100, 7)]);
            assert_eq!(store.meta("k").unwrap(), Some(noise(5, 5)));
        };
        check(&*store);
        store.commit(&[append(1, &[noise(1, 1)], 1)]).unwrap();
        drop(store);
        check(&*engine.open(folder.path()));
    }
}

#[test]
fn a_cache_of_nothing_is_taken_as_the_least_that_the_engine_works_with() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let open = || engine.try_open(folder.path(), Options { cache_bytes: 0, ..options() }).unwrap().0;
        let store = open();
        // Twice the least cache, so that rows are read again from the files.
        for id in 0..20 {
            store.commit(&[append(id, &[noise(100_000, u64::from(id))], 1)]).unwrap();
        }
        store.checkpoint().unwrap();
        let holds = |store: &dyn Store| {
            (0..20).for_each(|id| {
                assert_eq!(store.load(&document(id)).unwrap().unwrap().changes, [noise(100_000, u64::from(id))]);
            });
        };
        holds(&*store);
        drop(store);
        holds(&*open());
    }
}
