//! What an opening found damaged is told until somebody has it written down, whatever happens in between (S1.8).

use std::collections::HashSet;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use comity_model::{DocumentId, Heads};
use comity_store::{Damage, Op, OpenReport, compact, salvage, set_aside, verify};

use crate::common::Random;
use crate::common::{Engine, Opened, append, copy, document, files, heads, noise, options, replace, tempdir};
use crate::power::disk::{self, Disk, Image, Keep};
use crate::power::recorder::{self, Record};

const CHILD: &[&str] = &["--exact", "acknowledged::opening_child", "--nocapture", "--test-threads=1"];
const TASK: &str = "COMITY_OPENING_TASK";
const STORE: &str = "store";

fn names(report: &OpenReport) -> Vec<DocumentId> {
    report.damaged.iter().map(|damaged| damaged.document).collect()
}

/// Gives what must come back before nothing is missing any more.
fn named(report: &OpenReport) -> Vec<Named> {
    report.damaged.iter().map(|damaged| (damaged.document, damaged.heads.clone())).collect()
}

/// A document that is lost, with the heads that it had.
type Named = (DocumentId, Option<Heads>);

fn one_and_two() -> Vec<Named> {
    vec![(document(1), Some(heads([1]))), (document(2), Some(heads([2])))]
}

fn open(engine: Engine, folder: &Path) -> (Opened, OpenReport) {
    engine.try_open(folder, options()).unwrap()
}

/// Alters a byte of a change wherever a copy of it lies.
fn damage(folder: &Path, chunk: &[u8]) {
    let mut found = 0;
    for path in files(folder) {
        let mut bytes = std::fs::read(&path).unwrap();
        let places: Vec<usize> =
            bytes.windows(32).enumerate().filter(|(_, window)| *window == &chunk[8..40]).map(|(at, _)| at).collect();
        places.iter().for_each(|at| bytes[*at] ^= 1);
        found += places.len();
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(found > 0);
}

/// Makes a store that was not closed: the snapshot of document 1 is damaged, and the last change of document 2; 3 is
/// whole.
fn make(engine: Engine, folder: &Path) {
    let store = engine.open(folder);
    for id in 1..4 {
        store.commit(&[append(id, &[noise(300, u64::from(id)), noise(300, 10 + u64::from(id))], 1)]).unwrap();
    }
    store.commit(&[replace(1, noise(9_000, 21), 1)]).unwrap();
    store.checkpoint().unwrap();
    store.commit(&[append(3, &[noise(300, 23)], 2)]).unwrap();
    store.commit(&[append(2, &[noise(300, 22)], 2)]).unwrap();
    drop(store);
    damage(&folder.join("snapshots"), &noise(9_000, 21));
    damage(&folder.join("journal"), &noise(300, 22));
}

/// Makes a store with an old mark of a proper close beside files that went on: nothing but the mark shows it.
fn make_with_an_old_mark(engine: Engine, folder: &Path) {
    let mut mark = None;
    for id in [3, 2] {
        let store = engine.open(folder);
        store.commit(&[append(id, &[noise(300, 1), noise(300, 2), noise(300, 3)], 1)]).unwrap();
        store.close().unwrap();
        mark = mark.or(Some(std::fs::read(folder.join("CLEAN")).unwrap()));
    }
    std::fs::write(folder.join("CLEAN"), mark.unwrap()).unwrap();
}

#[test]
fn a_process_that_dies_before_it_wrote_the_losses_down_leaves_them_to_the_next() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        make(*engine, folder.path());
        let (store, first) = open(*engine, folder.path());
        assert_eq!(names(&first), [document(1), document(2)], "{first:?}");
        // Killed here: a store that is dropped is not closed.
        drop(store);
        let (store, second) = open(*engine, folder.path());
        assert_eq!((&second.damaged, &second.set_aside), (&first.damaged, &first.set_aside));
        assert_eq!((&second.reason, second.journal.altered_groups), (&first.reason, 1));
        drop(store);
        let (store, third) = open(*engine, folder.path());
        assert_eq!(third.damaged, first.damaged, "as often as it takes");
        store.acknowledge().unwrap();
        store.acknowledge().unwrap();
        drop(store);
        let (_, fourth) = open(*engine, folder.path());
        assert!(!fourth.is_damaged(), "{fourth:?}");
    }
}

#[test]
fn damage_that_is_found_before_earlier_damage_was_acknowledged_is_told_with_it() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        make(*engine, folder.path());
        let (store, first) = open(*engine, folder.path());
        store.commit(&[append(3, &[noise(300, 33)], 3)]).unwrap();
        drop(store);
        damage(&folder.path().join("journal"), &noise(300, 33));
        let (store, both) = open(*engine, folder.path());
        assert_eq!(names(&both), [document(1), document(2), document(3)], "{both:?}");
        assert_eq!(both.damaged[..2], first.damaged);
        assert!(both.set_aside.is_some_and(|aside| Some(aside) != first.set_aside), "the newest folder");
        store.acknowledge().unwrap();
        store.close().unwrap();
        assert!(store.acknowledge().is_err(), "another handle may have a report of its own by now");
        drop(store);
        assert!(!open(*engine, folder.path()).1.is_damaged());
    }
}

#[test]
fn newer_heads_in_a_damaged_journal_are_told_also_of_a_document_that_lost_something_else() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let store = engine.open(folder.path());
        store.commit(&[append(1, &[noise(300, 1)], 1), append(2, &[noise(300, 2)], 1)]).unwrap();
        store.commit(&[replace(1, noise(9_000, 21), 1)]).unwrap();
        store.checkpoint().unwrap();
        store.commit(&[append(1, &[noise(300, 22)], 2)]).unwrap();
        drop(store);
        damage(&folder.path().join("snapshots"), &noise(9_000, 21));
        damage(&folder.path().join("journal"), &noise(300, 22));
        let (store, report) = open(*engine, folder.path());
        assert_eq!(named(&report), [(document(1), Some(heads([1, 2])))], "{report:?}");
        assert_eq!(report.damaged[0].damage, [Damage::SnapshotAltered, Damage::Stale]);
        drop(store);
        assert_eq!(named(&open(*engine, folder.path()).1), [(document(1), Some(heads([1, 2])))]);
    }
}

#[test]
fn the_snapshot_of_a_group_that_the_journal_lost_is_set_aside() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let store = engine.open(folder.path());
        store.commit(&[append(3, &[noise(300, 1)], 1)]).unwrap();
        store.checkpoint().unwrap();
        store.commit(&[replace(1, noise(9_000, 21), 1), append(2, &[noise(300, 22)], 1)]).unwrap();
        drop(store);
        damage(&folder.path().join("journal"), &noise(300, 22));
        let (_store, report) = open(*engine, folder.path());
        assert_eq!(names(&report), [document(1), document(2)]);
        assert_eq!((&report.reason, report.snapshots_removed), (&None, 0), "the engine is whole");
        let [kept] = &files(&report.set_aside.unwrap().join("snapshots"))[..] else { panic!("one file is kept") };
        assert_eq!(std::fs::read(kept).unwrap(), noise(9_000, 21));
        assert!(files(&folder.path().join("snapshots")).is_empty());
    }
}

#[test]
fn openings_that_fail_push_out_no_evidence() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        make(*engine, folder.path());
        let real = folder.path().join("damaged-1");
        std::fs::create_dir(&real).unwrap();
        // No report can be written.
        let obstacle = folder.path().join("DAMAGE.tmp");
        std::fs::create_dir(&obstacle).unwrap();
        for _ in 0..10 {
            assert!(engine.try_open(folder.path(), options()).is_err());
            let listed: Vec<_> = set_aside(folder.path()).unwrap().into_iter().map(|aside| aside.folder).collect();
            assert_eq!(listed, std::slice::from_ref(&real));
        }
        std::fs::remove_dir(&obstacle).unwrap();
        let (_store, report) = open(*engine, folder.path());
        assert_eq!(named(&report), one_and_two());
        assert_eq!(set_aside(folder.path()).unwrap().len(), 2, "and nothing half done");
        assert!(report.set_aside.is_some_and(|aside| aside.join("journal").is_dir()));
    }
}

#[test]
fn a_report_that_cannot_be_removed_does_not_stop_the_store() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        make(*engine, folder.path());
        let (store, _) = open(*engine, folder.path());
        let report = folder.path().join("DAMAGE");
        let text = std::fs::read(&report).unwrap();
        std::fs::remove_file(&report).unwrap();
        std::fs::create_dir(&report).unwrap();
        assert!(store.acknowledge().is_err());
        store.commit(&[append(3, &[noise(300, 33)], 3)]).unwrap();
        store.close().unwrap();
        drop(store);
        std::fs::remove_dir(&report).unwrap();
        std::fs::write(&report, text).unwrap();
        assert_eq!(named(&open(*engine, folder.path()).1), one_and_two(), "told again");
    }
}

#[test]
fn what_was_salvaged_tells_what_was_lost_on_the_way_and_before() {
    for engine in Engine::ALL {
        for is_repaired in [false, true] {
            let (folder, into) = (tempdir().unwrap(), tempdir().unwrap());
            make(*engine, folder.path());
            if is_repaired {
                let (store, _) = open(*engine, folder.path());
                store.close().unwrap();
            }
            let salvaged = salvage(folder.path(), into.path(), &options(), &mut |_| {}).unwrap();
            assert_eq!(salvaged.damaged.len(), 2, "repaired: {is_repaired}: {salvaged:?}");
            let (store, report) = open(*engine, into.path());
            assert!(report.clean && report.damaged == salvaged.damaged, "{report:?}");
            assert_eq!((named(&report), report.set_aside), (one_and_two(), None), "repaired: {is_repaired}");
            store.acknowledge().unwrap();
            drop(store);
            assert!(!open(*engine, into.path()).1.is_damaged());
        }
    }
}

#[test]
fn verify_tells_of_a_report_that_nobody_acknowledged() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        make(*engine, folder.path());
        let (store, first) = open(*engine, folder.path());
        store.close().unwrap();
        drop(store);
        let verified = verify(folder.path(), &options(), &mut |_| {}).unwrap();
        assert!(!verified.is_damaged(), "what is there is sound: {verified:?}");
        assert_eq!(verified.unacknowledged.map(|report| report.damaged), Some(first.damaged));
        open(*engine, folder.path()).0.acknowledge().unwrap();
        assert_eq!(verify(folder.path(), &options(), &mut |_| {}).unwrap().unacknowledged, None);
    }
}

#[test]
fn a_proper_close_is_no_acknowledgement() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        make(*engine, folder.path());
        let (store, first) = open(*engine, folder.path());
        store.close().unwrap();
        drop(store);
        let (_, second) = open(*engine, folder.path());
        assert!(second.clean && second.damaged == first.damaged, "{second:?}");
    }
}

#[test]
fn a_store_that_is_only_compacted_keeps_its_report() {
    let folder = tempdir().unwrap();
    make(Engine::Sled, folder.path());
    let compacted = compact(folder.path(), options(), &mut |_| {}).unwrap();
    assert_eq!(names(&compacted.opened), [document(1), document(2)]);
    let (_, report) = open(Engine::Sled, folder.path());
    assert_eq!(names(&report), [document(1), document(2)], "the caller may not have got that far");
}

#[test]
fn damage_that_only_the_mark_of_a_proper_close_shows_is_told_again_too() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        make_with_an_old_mark(*engine, folder.path());
        let (store, first) = open(*engine, folder.path());
        assert_eq!((first.catalogue_rows_lost, first.set_aside.is_some()), (1, true), "{first:?}");
        drop(store);
        assert_eq!(open(*engine, folder.path()).1.catalogue_rows_lost, 1);
    }
}

#[test]
fn a_copy_of_the_folder_names_what_was_lost_wherever_it_lies() {
    let folder = tempdir().unwrap();
    make(Engine::Sled, folder.path());
    drop(open(Engine::Sled, folder.path()));
    let elsewhere = tempdir().unwrap();
    copy(folder.path(), elsewhere.path());
    let (_, report) = open(Engine::Sled, elsewhere.path());
    assert_eq!(names(&report), [document(1), document(2)]);
    assert!(report.set_aside.is_some_and(|aside| aside.starts_with(elsewhere.path()) && aside.is_dir()));
}

/// The child that opens a damaged store, writes down what it hears, and acknowledges it.
#[test]
fn opening_child() {
    let Ok(task) = std::env::var(TASK) else { return };
    let (engine, root) = task.split_once(' ').unwrap();
    let engine = *Engine::ALL.iter().find(|known| known.name() == engine).unwrap();
    let (store, report) = open(engine, &Path::new(root).join(STORE));
    assert!(report.is_damaged());
    store.commit(&[Op::PutMeta { key: "lost".to_owned(), value: noise(32, 1) }]).unwrap();
    println!("step: written down");
    store.acknowledge().unwrap();
    println!("step: acknowledged");
    drop(store);
}

/// Tells whether the child said something in the first records.
fn said(records: &[Record], what: &str) -> bool {
    records.iter().any(|record| matches!(record, Record::Said { text } if text.contains(what)))
}

/// Gives what an opening must tell: the documents with their heads, and the rows of the list of documents that are lost.
type Told = (Vec<Named>, u64);

/// Opens what a crash left, and compares with what the child had got to.
fn check(engine: Engine, image: &Image, lost: &Told, done: &[Record]) -> Result<(), String> {
    let root = tempdir().unwrap();
    disk::write(image, root.path());
    let (store, report) = open(engine, &root.path().join(STORE));
    let is_whole = store.load(&document(3)).is_ok_and(|three| three.is_some_and(|three| three.changes.len() == 3));
    let is_written_down = store.meta("lost").is_ok_and(|row| row.is_some());
    let wrong = match (named(&report), report.catalogue_rows_lost) {
        _ if !is_whole => "the whole document is harmed",
        told if told == *lost && !said(done, "step: acknowledged") => return Ok(()),
        _ if !report.is_damaged() && is_written_down && said(done, "step: written down") => return Ok(()),
        _ if !report.is_damaged() => "the losses are hidden",
        _ => "the losses are not those that were",
    };
    Err(format!("{wrong}: {report:?}"))
}

/// Cuts a repair at every change of a file.
fn cut_everywhere(engine: Engine, make: fn(Engine, &Path), lost: &Told) {
    let root = tempdir().unwrap();
    make(engine, &root.path().join(STORE));
    let mut disk = Disk::of(root.path(), |_| false);
    let task = format!("{} {}", engine.name(), root.path().display());
    let records = recorder::record(root.path(), CHILD, &[(TASK, OsStr::new(&task))]);
    assert!(said(&records, "step: acknowledged"));
    let (mut random, mut seen, mut bad) = (Random(5), HashSet::new(), Vec::new());
    for index in 0..=records.len() {
        let done = &records[..index];
        // What of some changes of names is there is a matter of chance: more of it where there are some.
        let is_renamed = matches!(done.last(), Some(Record::Rename { .. }));
        let torn = std::iter::repeat_n(Keep::Torn, if is_renamed { 20 } else { 1 });
        for keep in [Keep::Nothing, Keep::Everything].into_iter().chain(torn) {
            let image = disk.after_power_loss(keep, None, &mut random);
            let mut hasher = DefaultHasher::new();
            (&image, said(done, "step: written down"), said(done, "step: acknowledged")).hash(&mut hasher);
            if seen.insert(hasher.finish())
                && let Err(what) = check(engine, &image, lost, done)
            {
                bad.push(format!("{keep:?} after {index} of {}: {what}", records.len()));
            }
        }
        records.get(index).into_iter().for_each(|record| disk.play(record));
    }
    println!("{}: {} records, {} images opened, {} bad", engine.name(), records.len(), seen.len(), bad.len());
    assert!(bad.is_empty(), "{:#?}", &bad[..bad.len().min(5)]);
}

#[test]
fn a_crash_or_power_loss_at_any_moment_of_a_repair_hides_no_loss() {
    for engine in Engine::ALL {
        cut_everywhere(*engine, make, &(one_and_two(), 0));
    }
}

#[test]
fn a_crash_or_power_loss_at_any_moment_does_not_hide_that_files_were_changed_while_the_store_was_closed() {
    for engine in Engine::ALL {
        cut_everywhere(*engine, make_with_an_old_mark, &(Vec::new(), 1));
    }
}
