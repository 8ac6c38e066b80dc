//! Damaged chunks with repaired checksums: what Automerge does with those that are admitted.

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use automerge::sync::{self, SyncDoc};
use automerge::{Automerge, ReadDoc};
use comity_model::Limits;

use super::{Choices, chunk, document, leb, message};
use crate::admit::{Admitted, admit};

/// Where the last panic of any thread happened.
static PANICKED_AT: Mutex<Option<String>> = Mutex::new(None);

#[derive(Default, Debug)]
struct Tally {
    refused: usize,
    admitted: usize,
    applied: usize,
    poisoned: usize,
    panics: BTreeMap<String, usize>,
}

/// Splits a chunk into its type and its body, inflated.
fn body(chunk: &[u8]) -> (u8, Vec<u8>) {
    let mut at = 9;
    while chunk[at] & 0x80 != 0 {
        at += 1;
    }
    (chunk[8], chunk[at + 1..].to_vec())
}

/// Damages some bytes: flips, small steps, cuts, copies.
fn mutate(bytes: &mut Vec<u8>, choices: &mut Choices) {
    for _ in 0..1 + choices.below(3) {
        let at = choices.below(bytes.len());
        match choices.below(8) {
            0 => bytes[at] ^= 1 << choices.below(8),
            1 => bytes[at] = bytes[at].wrapping_add(1),
            2 => bytes[at] = bytes[at].wrapping_sub(1),
            3 => bytes[at] = choices.below(256) as u8,
            4 => bytes[at] = choices.below(12) as u8,
            5 => bytes[at] = 0x80 - choices.below(12) as u8 - 1,
            6 => bytes.insert(at, choices.below(256) as u8),
            _ => drop(bytes.remove(at)),
        }
    }
}

fn quietly<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(run)).map_err(|_| {
        let mut place = PANICKED_AT.lock().unwrap_or_else(PoisonError::into_inner);
        place.take().unwrap_or_else(|| "elsewhere".into())
    })
}

/// Receives on a document as the crate does, and answers.
fn receive(document: &mut Automerge, admitted: Admitted) -> bool {
    let mut state = sync::State::new();
    let before = document.get_heads();
    let applied = document.receive_sync_message(&mut state, admitted.message).is_ok();
    let _ = document.generate_sync_message(&mut state);
    applied && document.get_heads() != before
}

fn attempt(base: &Automerge, bytes: &[u8], tally: &mut Tally) {
    let started = Instant::now();
    let admitted = match admit(bytes, &Limits::default()) {
        Ok(admitted) => admitted,
        Err(_) => return tally.refused += 1,
    };
    tally.admitted += 1;
    let mut document = base.clone();
    let outcome = quietly(|| {
        let applied = receive(&mut document, admitted);
        if applied && std::env::var("POISON").is_ok() {
            let saved = document.save();
            let reloaded = Automerge::load(&saved);
            return (applied, reloaded.is_err());
        }
        (applied, false)
    });
    match outcome {
        Ok((applied, poisoned)) => {
            tally.applied += usize::from(applied);
            if poisoned {
                tally.poisoned += 1;
                if let Ok(path) = std::env::var("POISON") {
                    if tally.poisoned < 6 {
                        std::fs::write(format!("{path}/p{}", tally.poisoned), bytes).unwrap();
                        std::fs::write(format!("{path}/b{}", tally.poisoned), base.save()).unwrap();
                    }
                }
            }
        }
        Err(place) => *tally.panics.entry(place).or_default() += 1,
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{bytes:02x?}");
}

#[test]
fn lab() {
    panic::set_hook(Box::new(|info| {
        let bt = std::backtrace::Backtrace::force_capture().to_string();
        let mut place = info
            .location()
            .map(|l| format!("{}:{}", l.file().rsplit("registry/src/").next().unwrap_or(l.file()), l.line()))
            .unwrap_or_default();
        // first automerge/hexane frame
        for line in bt.lines() {
            if let Some(i) = line.find("automerge-0.12.0/src/") {
                place.push_str(" <- ");
                place.push_str(&line[i + 21..]);
                break;
            }
        }
        let msg = info.payload_as_str().unwrap_or("").chars().take(18).collect::<String>();
        *PANICKED_AT.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{place} [{msg}]"));
    }));
    let rounds: u64 = std::env::var("ROUNDS").ok().and_then(|v| v.parse().ok()).unwrap_or(40);
    for (name, kind) in
        [("change on its document", 0), ("change on empty", 1), ("document on empty", 2), ("document on other", 3)]
    {
        let mut tally = Tally::default();
        for seed in 0..rounds {
            let written = document(seed * 4 + 1, 4 + (seed as usize % 20));
            let mut choices = Choices::new(seed);
            let changes = written.get_changes(&[]);
            if changes.is_empty() {
                continue;
            }
            for round in 0..200 {
                let mut deps = vec![];
                let bytes = if kind < 2 {
                    let change = &changes[choices.below(changes.len())];
                    deps = change.deps().to_vec();
                    let (kind, mut bytes) = body(change.raw_bytes());
                    mutate(&mut bytes, &mut choices);
                    message(&[chunk(kind, &bytes)])
                } else {
                    let saved = if round % 2 == 0 { written.save_nocompress() } else { written.save() };
                    let (kind, mut bytes) = body(&saved);
                    mutate(&mut bytes, &mut choices);
                    let mut m = message(&[chunk(kind, &bytes)]);
                    m[0] = 0x43;
                    m
                };
                let base = match kind {
                    0 => written.fork_at(&deps).unwrap(),
                    3 => {
                        let mut d = document(seed + 1000, 3);
                        let _ = d.merge(&mut document(seed * 4 + 1, 2));
                        d
                    }
                    _ => Automerge::new(),
                };
                let kinds = std::env::var("KINDS").unwrap_or("0123".into());
                if kinds.contains(&kind.to_string()) {
                    attempt(&base, &bytes, &mut tally);
                }
            }
        }
        let _ = panic::take_hook;
        eprintln!(
            "== {name}: refused {} admitted {} applied {} poisoned {} panics {} at {} sites",
            tally.refused,
            tally.admitted,
            tally.applied,
            tally.poisoned,
            tally.panics.values().sum::<usize>(),
            tally.panics.len()
        );
        for (p, n) in &tally.panics {
            eprintln!("   {n:5} {p}");
        }
    }
    let _ = leb(0);
}
