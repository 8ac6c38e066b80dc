//! Rounds of SIGKILL: a child that writes, killed after some acknowledgements, and what it left.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use comity_model::DocumentId;
use comity_store::{Op, Options, Store, Writer, WriterOptions};

use crate::common::{Engine, Random, document, heads, noise, options, tempdir};

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

/// The child's work, if this process is the child: appends numbered chunks, and prints each number once it is
/// acknowledged. Ends when it is killed.
pub fn child_work_if_asked() {
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
                if writeln!(out, "ack {number}").and_then(|()| out.flush()).is_err() {
                    // Whoever would kill this process is gone.
                    std::process::exit(1);
                }
            }),
        );
    }
}

/// Runs the child and kills it after some acknowledgements; gives the greatest acknowledged number of each document.
fn run_and_kill(engine: Engine, folder: &Path, after: u64, acknowledged: &mut [Option<u64>], child: &[&str]) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(child)
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

/// Kills the child `rounds` times and compares what is there with what it said.
pub fn kill_rounds(
    engine: Engine,
    rounds: u64,
    seed: u64,
    child: &[&str],
    told: &mut dyn FnMut(u64),
) -> Result<(), String> {
    let mut random = Random(seed);
    let mut folder = tempdir().unwrap();
    let mut acknowledged = vec![None; usize::try_from(DOCUMENTS).unwrap()];
    for round in 0..rounds {
        if round % 10 == 0 {
            folder = tempdir().unwrap();
            acknowledged.fill(None);
        }
        let after = 1 + random.below(if round % 3 == 0 { 5 } else { 600 });
        run_and_kill(engine, folder.path(), after, &mut acknowledged, child);
        if round % 2 == 0 || round % 10 == 9 {
            // At other times the next child recovers by itself, from what the kill left.
            let (store, report) = engine.try_open(folder.path(), options()).unwrap();
            if report.is_damaged() {
                return Err(format!("round {round}: {report:?}"));
            }
            for (id, last) in (0..DOCUMENTS).zip(&acknowledged) {
                let found = numbers(&*store, &numbered(id)).last().copied();
                if found < *last {
                    return Err(format!("round {round}: {last:?} was acknowledged, {found:?} is there"));
                }
            }
        }
        told(round + 1);
    }
    Ok(())
}
