//! The measured faults of sled 0.34.7, and what the store makes of each, on every engine.
//!
//! | fault | shown in |
//! |---|---|
//! | `flush` does not survive a power loss; `conf` is never flushed | `power_loss` |
//! | one writer deadlocks when much is unflushed | `engine/sled.rs`, and an hour of `cargo xtask soak store one-writer` |
//! | values over 8 KB become files that are never flushed and leak | here |
//! | a damaged tail is lost in silence, bit flips panic or hang | `faults`; the hang here |
//! | scans are not snapshots | here |
//! | a full disk makes every later call fail or hang | `full_disk`; the deadline in `guarded.rs` |
//! | space never shrinks | `basics`, files that grew too large |
//! | dropping is asynchronous; two processes on one folder | here; `basics` |

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use comity_store::{ChildCommand, Op, Options};

use crate::common::{Engine, append, document, files, noise, options, peer, replace, tempdir};

#[test]
fn nothing_is_large_enough_to_become_a_file_of_the_engine() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let store = engine.open(folder.path());
        for round in 0..4 {
            let state = Op::SyncState { document: document(1), peer: peer("p"), state: noise(200_000, round) };
            let put = Op::PutMeta { key: "k".repeat(128), value: noise(4_000, round) };
            store.commit(&[append(1, &[noise(300_000, round)], round), state, put]).unwrap();
            store.commit(&[replace(2, noise(4_000, round), round), replace(3, noise(50_000, round), round)]).unwrap();
            store.checkpoint().unwrap();
        }
        // sled keeps such files in `blobs`, and there are no others but these.
        let known = |name: &str| ["db", "conf", "rows.redb"].contains(&name) || name.starts_with("snap.");
        for path in files(&folder.path().join(engine.name())) {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(known(name), "{} left {}", engine.name(), path.display());
        }
    }
}

#[test]
fn an_engine_that_hangs_when_it_is_tried_is_set_aside_and_nothing_is_lost() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let store = engine.open(folder.path());
        store.commit(&[append(1, &[noise(100, 1)], 1), replace(2, noise(9_000, 2), 2)]).unwrap();
        store.checkpoint().unwrap();
        store.commit(&[append(1, &[noise(100, 3)], 3)]).unwrap();
        drop(store);
        // In the place of the child that tries the engine: one that never ends.
        let child = Some(ChildCommand { program: "sleep".into(), arguments: vec!["600".into()] });
        let options = Options { child, open_deadline: Duration::from_millis(500), ..options() };
        let start = Instant::now();
        let (store, report) = engine.try_open(folder.path(), options).unwrap();
        assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
        assert!(report.reason.as_ref().is_some_and(|reason| reason.contains("within")), "{report:?}");
        assert!(report.set_aside.is_some() && report.damaged.is_empty(), "{report:?}");
        assert_eq!(store.load(&document(1)).unwrap().unwrap().changes, [noise(100, 1), noise(100, 3)]);
        assert_eq!(store.load(&document(2)).unwrap().unwrap().snapshot, Some(noise(9_000, 2)));
    }
}

#[test]
fn a_document_that_is_replaced_while_it_is_read_is_seen_before_or_after() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        // Checkpoints all the time, so that rows move under the reader.
        let (store, _) = engine.try_open(folder.path(), Options { checkpoint_bytes: 20_000, ..options() }).unwrap();
        let group = |number: u64| {
            let snapshot = noise(if number.is_multiple_of(2) { 3_000 } else { 9_000 }, number);
            let chunks: Vec<_> = (0..20).map(|part| noise(300, number * 100 + part)).collect();
            [replace(1, snapshot, number), append(1, &chunks, number)]
        };
        store.commit(&group(0)).unwrap();
        let (shared, ended) = (store.shared(), Arc::new(AtomicBool::new(false)));
        let reader = {
            let (store, ended) = (Arc::clone(&shared), Arc::clone(&ended));
            std::thread::spawn(move || {
                let mut seen = std::collections::BTreeSet::new();
                while !ended.load(Ordering::Acquire) {
                    let found = store.load(&document(1)).unwrap().unwrap();
                    let number = u64::from_be_bytes(found.heads.as_slice()[0].0[..8].try_into().unwrap());
                    let [Op::Replace { snapshot, .. }, Op::Append { chunks, .. }] = group(number) else {
                        panic!("a group is a snapshot and chunks")
                    };
                    assert!(found.snapshot == Some(snapshot) && found.changes == chunks, "half of {number}");
                    seen.insert(number);
                }
                seen.len()
            })
        };
        for number in 1..300 {
            shared.commit(&group(number)).unwrap();
        }
        ended.store(true, Ordering::Release);
        let seen = reader.join().unwrap();
        assert!(seen > 1, "the reader saw {seen} states: nothing was shown");
    }
}

#[test]
fn a_folder_can_be_opened_again_at_once_after_a_handle_is_dropped() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        for round in 0..30 {
            // Opening waits for what a dropped handle still does, but not for long.
            let store = engine.open(folder.path());
            store.commit(&[append(1, &[noise(100, round)], round)]).unwrap();
            if round % 3 == 0 {
                store.close().unwrap();
            }
        }
        assert_eq!(engine.open(folder.path()).load(&document(1)).unwrap().unwrap().changes.len(), 30);
    }
}
