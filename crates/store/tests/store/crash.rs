//! No acknowledged change is lost, whenever the process or the machine stops (S1.3, S1.8).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use comity_model::DocumentId;
use comity_store::{Op, Options, Store, Writer, WriterOptions};

use crate::common::{Engine, Random, append, copy, document, files, heads, noise, options, replace, tempdir};

const DOCUMENTS: u64 = 4;

fn numbered(number: u64) -> DocumentId {
    document(u8::try_from(number % DOCUMENTS).unwrap())
}

/// Reads the numbers that a document holds, and checks that none is missing.
fn numbers(store: &dyn Store, document: &DocumentId) -> Vec<u64> {
    let Some(stored) = store.load(document).unwrap() else { return Vec::new() };
    let first = |bytes: &Bytes| u64::from_be_bytes(bytes[..8].try_into().unwrap());
    let mut numbers: Vec<u64> = match &stored.snapshot {
        // A snapshot holds the count of its numbers; the rest is padding.
        Some(snapshot) => (0..first(snapshot)).map(|i| i * DOCUMENTS + document.as_bytes()[0] as u64).collect(),
        None => Vec::new(),
    };
    numbers.extend(stored.changes.iter().map(first));
    for (i, number) in numbers.iter().enumerate() {
        assert_eq!(*number, i as u64 * DOCUMENTS + u64::from(document.as_bytes()[0]), "a hole in {document}");
    }
    assert_eq!(stored.heads, heads(numbers.last().copied()), "the heads of {document} belong to its changes");
    numbers
}

/// The child: appends numbered chunks, and prints each number once it is acknowledged. Ends when it is killed.
#[test]
fn crash_child() {
    let Some(folder) = std::env::var_os("COMITY_CRASH_FOLDER") else { return };
    let name = std::env::var("COMITY_CRASH_ENGINE").unwrap();
    let engine = *Engine::ALL.iter().find(|engine| engine.name() == name).unwrap();
    let options = Options { checkpoint_bytes: 64 << 10, rewrite_bytes_min: 4 << 20, ..options() };
    let (store, report) = engine.try_open(Path::new(&folder), options).unwrap();
    assert!(!report.is_damaged(), "{report:?}");
    let store = store.shared();
    let mut next: Vec<u64> =
        (0..DOCUMENTS).map(|id| numbers(&*store, &numbered(id)).last().map_or(id, |last| last + DOCUMENTS)).collect();
    let writer = Writer::start(store, WriterOptions::default()).unwrap();
    let mut random = Random(next.iter().sum());
    for turn in 0_u64.. {
        let id = usize::try_from(turn % DOCUMENTS).unwrap();
        let number = next[id];
        next[id] += DOCUMENTS;
        let mut chunk = noise(8 + usize::try_from(random.below(400)).unwrap(), number).to_vec();
        chunk[..8].copy_from_slice(&number.to_be_bytes());
        let mut ops =
            vec![Op::Append { document: numbered(number), chunks: vec![chunk.into()], heads: heads([number]) }];
        if random.below(40) == 0 {
            let mut snapshot = noise(usize::try_from(8 + random.below(9_000)).unwrap(), number).to_vec();
            snapshot[..8].copy_from_slice(&(number / DOCUMENTS + 1).to_be_bytes());
            ops.push(Op::Replace { document: numbered(number), snapshot: snapshot.into(), heads: heads([number]) });
        }
        writer.submit(
            ops,
            Box::new(move |result| {
                result.unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "ack {number}").unwrap();
                out.flush().unwrap();
            }),
        );
    }
}

/// Runs the child and kills it after some acknowledgements; gives the greatest acknowledged number of each document.
fn run_and_kill(engine: Engine, folder: &Path, after: u64, acknowledged: &mut [Option<u64>]) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::crash_child", "--nocapture", "--test-threads=1"])
        .env("COMITY_CRASH_FOLDER", folder)
        .env("COMITY_CRASH_ENGINE", engine.name())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let mut count = 0;
    for line in out.lines() {
        // Everything that reached the pipe before the kill was acknowledged: read on to the end.
        if let Some(number) = line.unwrap().split("ack ").nth(1).and_then(|number| number.parse::<u64>().ok()) {
            let last = &mut acknowledged[usize::try_from(number % DOCUMENTS).unwrap()];
            *last = (*last).max(Some(number));
            count += 1;
            if count == after {
                child.kill().unwrap();
            }
        }
    }
    child.wait().unwrap();
    assert!(count >= after, "the child ended by itself after {count} of {after}");
}

fn killed_fifty_times(engine: Engine) {
    let mut random = Random(7);
    let mut folder = tempdir().unwrap();
    let mut acknowledged = vec![None; usize::try_from(DOCUMENTS).unwrap()];
    for round in 0..50 {
        if round % 10 == 0 {
            folder = tempdir().unwrap();
            acknowledged.fill(None);
        }
        let after = 1 + random.below(if round % 3 == 0 { 5 } else { 600 });
        run_and_kill(engine, folder.path(), after, &mut acknowledged);
        if round % 2 == 0 {
            // Every other time the next child recovers by itself, from what the kill left.
            let (store, report) = engine.try_open(folder.path(), options()).unwrap();
            assert!(!report.is_damaged(), "round {round}: {report:?}");
            for (id, last) in (0..DOCUMENTS).zip(&acknowledged) {
                let found = numbers(&*store, &numbered(id)).last().copied();
                assert!(found >= *last, "round {round}: {last:?} was acknowledged, {found:?} is there");
            }
        }
    }
    let (store, _) = engine.try_open(folder.path(), options()).unwrap();
    for (id, last) in (0..DOCUMENTS).zip(&acknowledged) {
        assert!(numbers(&*store, &numbered(id)).last().copied() >= *last);
    }
}

#[test]
fn fifty_kills_lose_nothing_on_sled() {
    killed_fifty_times(Engine::Sled);
}

#[cfg(feature = "redb")]
#[test]
fn fifty_kills_lose_nothing_on_redb() {
    killed_fifty_times(Engine::Redb);
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
fn a_journal_cut_at_any_byte_gives_whole_groups_and_no_part_of_one() {
    for engine in Engine::ALL {
        // The engine as it was before the groups: all that a power loss may leave of it.
        let before = tempdir().unwrap();
        let folder = tempdir().unwrap();
        let store = engine.open(folder.path());
        copy(folder.path(), before.path());
        for round in 1..6_u64 {
            let ops = [append(1, &[noise(40, round)], round), append(2, &[noise(40, round)], round)];
            store.commit(&ops).unwrap();
        }
        let journal = files(&folder.path().join("journal")).remove(0);
        let name = journal.file_name().unwrap();
        let whole = std::fs::read(&journal).unwrap();
        let mut most = 0;
        let stride = if engine.name() == "sled" { 41 } else { 17 };
        for cut in (32..=whole.len()).step_by(stride).chain([whole.len()]) {
            let image = tempdir().unwrap();
            copy(before.path(), image.path());
            std::fs::write(image.path().join("journal").join(name), &whole[..cut]).unwrap();
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
