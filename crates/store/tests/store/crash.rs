//! No acknowledged change is lost, whenever the process or the machine stops (S1.3, S1.8).

use std::sync::{Arc, mpsc};

use comity_store::Options;

use crate::common::{Engine, append, copy, document, files, noise, options, replace, tempdir};
use crate::kills;

const CHILD: &[&str] = &["--exact", "crash::crash_child", "--nocapture", "--test-threads=1"];

/// The child that is killed.
#[test]
fn crash_child() {
    kills::child_work_if_asked();
}

fn killed_a_hundred_times(engine: Engine) {
    kills::kill_rounds(engine, 100, 7, CHILD, &mut |_| {}).unwrap();
}

#[test]
fn a_hundred_kills_lose_nothing_on_sled() {
    killed_a_hundred_times(Engine::Sled);
}

#[cfg(feature = "redb")]
#[test]
fn a_hundred_kills_lose_nothing_on_redb() {
    killed_a_hundred_times(Engine::Redb);
}

#[test]
fn a_copy_of_the_folder_at_any_moment_holds_every_group_whole() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let options = Options { checkpoint_bytes: 16 << 10, ..options() };
        let (store, _) = engine.try_open(folder.path(), options).unwrap();
        let store = store.shared();
        let writing = Arc::clone(&store);
        let (told, progress) = mpsc::channel();
        let writer = std::thread::spawn(move || {
            for round in 1..400_u64 {
                let mut ops = vec![append(1, &[noise(100, round)], round), append(2, &[noise(100, round)], round)];
                if round % 50 == 0 {
                    ops.push(replace(3, noise(5_000, round), round));
                }
                writing.commit(&ops).unwrap();
                told.send(round).unwrap();
            }
        });
        let mut copies = Vec::new();
        for round in progress {
            if round % 40 == 1 {
                let image = tempdir().unwrap();
                copy(folder.path(), image.path());
                copies.push((round, image));
            }
        }
        writer.join().unwrap();
        for (round, image) in copies {
            // A copy takes a while and is not one moment, so it may hold an engine that is ahead of its journal; what
            // was acknowledged before it began must be there, and every document whole.
            let (store, report) = engine.try_open(image.path(), self::options()).unwrap();
            let one = store.load(&document(1)).unwrap().unwrap();
            let two = store.load(&document(2)).unwrap().unwrap();
            assert!(one.changes.len() as u64 >= round, "{report:?}");
            for (i, chunk) in one.changes.iter().enumerate() {
                assert_eq!(*chunk, noise(100, i as u64 + 1), "{report:?}");
            }
            if report.set_aside.is_none() {
                assert_eq!((one.changes.len(), &one.heads), (two.changes.len(), &two.heads), "{report:?}");
            }
        }
    }
}

#[test]
fn a_group_torn_at_any_sector_is_there_whole_or_not_at_all() {
    for engine in Engine::ALL {
        // The engine as it was before the groups: all that a power loss may leave of it.
        let before = tempdir().unwrap();
        let folder = tempdir().unwrap();
        let store = engine.open(folder.path());
        copy(folder.path(), before.path());
        for round in 1..6_u64 {
            let ops = [append(1, &[noise(400, round)], round), append(2, &[noise(400, round)], round)];
            store.commit(&ops).unwrap();
        }
        let journal = files(&folder.path().join("journal")).remove(0);
        let name = journal.file_name().unwrap();
        let whole = std::fs::read(&journal).unwrap();
        let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
        let mut most = 0;
        for cut in (512..end + 512).step_by(512) {
            let image = tempdir().unwrap();
            copy(before.path(), image.path());
            let mut torn = whole.clone();
            // What was not written yet is zeros.
            torn[cut..].fill(0);
            std::fs::write(image.path().join("journal").join(name), torn).unwrap();
            let store = engine.open(image.path());
            let one = store.load(&document(1)).unwrap().unwrap_or_default();
            let two = store.load(&document(2)).unwrap().unwrap_or_default();
            assert_eq!((&one.changes, &one.heads), (&two.changes, &two.heads), "cut at {cut}");
            assert!(one.changes.len() >= most, "cut at {cut}");
            most = one.changes.len();
            // Life goes on after the cut.
            store.commit(&[append(1, &[noise(1, 1)], 99)]).unwrap();
        }
        assert_eq!(most, 5);
    }
}

#[test]
fn engine_files_that_lost_all_since_the_checkpoint_are_made_whole_by_the_journal() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let store = engine.open(folder.path());
        store.commit(&[append(1, &[noise(100, 1)], 1), replace(2, noise(9_000, 1), 1)]).unwrap();
        store.checkpoint().unwrap();
        let old = tempdir().unwrap();
        copy(&folder.path().join(engine.name()), old.path());
        store.commit(&[append(1, &[noise(100, 2)], 2), replace(2, noise(9_000, 2), 2)]).unwrap();
        store.commit(&[replace(1, noise(50, 3), 3), append(2, &[noise(100, 3)], 3)]).unwrap();
        let image = tempdir().unwrap();
        copy(folder.path(), image.path());
        std::fs::remove_dir_all(image.path().join(engine.name())).unwrap();
        copy(old.path(), &image.path().join(engine.name()));
        let again = engine.open(image.path());
        for id in [1, 2] {
            assert_eq!(again.load(&document(id)).unwrap(), store.load(&document(id)).unwrap());
        }
    }
}
