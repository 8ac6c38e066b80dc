//! Damaged chunks with repaired checksums: what is left of Automerge's panics behind admission.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::time::{Duration, Instant};

use automerge::sync::{self, SyncDoc};
use automerge::transaction::Transactable;
use automerge::{Automerge, ROOT};
use comity_model::{Heads, Limits};

use super::{Choices, chunk, document, message};
use crate::admit::{Admitted, admit};
use crate::{Document, SyncSession};

/// Where Automerge 0.12.0 still panics on admitted bytes. Each needs a document to be told from a good change: a
/// sequence number that does not follow, an actor, an object or an element that the document does not have, a
/// predecessor that worked on something else. Applying runs under `catch_unwind` for these.
const KNOWN: &[&str] = &[
    "change_graph.rs:569",
    "op_set2/change/batch.rs:136",
    "op_set2/change/batch.rs:146",
    "op_set2/change/batch.rs:147",
    "op_set2/change/batch.rs:920",
    "op_set2/change/batch.rs:949",
    "op_set2/change/batch.rs:1121",
    "op_set2/change/collector.rs:299",
    "op_set2/change/collector.rs:753",
];

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PANICKED_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Notes where expected panics happen, in place of printing them.
fn listen_to_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                return usual(info);
            }
            let place = info.location().map(|location| format!("{}:{}", location.file(), location.line()));
            PANICKED_AT.set(place.unwrap_or_default());
        }));
    });
}

fn quietly<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    QUIET.set(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    outcome.map_err(|_| {
        let place = PANICKED_AT.take();
        place.split_once("automerge-0.12.0/src/").map_or(place.clone(), |(_, inside)| inside.to_owned())
    })
}

#[derive(Default, Debug)]
struct Tally {
    refused: usize,
    admitted: usize,
    applied: usize,
    /// Documents that can no longer be loaded once they are saved.
    poisoned: usize,
    panics: BTreeMap<String, usize>,
}

/// Gives type and content of a chunk that is not compressed.
fn body(chunk: &[u8]) -> (u8, Vec<u8>) {
    let length = chunk[9..].iter().position(|byte| byte & 0x80 == 0).unwrap();
    (chunk[8], chunk[10 + length..].to_vec())
}

/// Damages a few bytes: flips, steps, small and large numbers, insertions, removals.
fn damage(bytes: &mut Vec<u8>, choices: &mut Choices) {
    for _ in 0..1 + choices.below(3) {
        let at = choices.below(bytes.len());
        match choices.below(8) {
            0 => bytes[at] ^= 1 << choices.below(8),
            1 => bytes[at] = bytes[at].wrapping_add(1),
            2 => bytes[at] = bytes[at].wrapping_sub(1),
            3 => bytes[at] = choices.below(256) as u8,
            4 => bytes[at] = choices.below(12) as u8,
            5 => bytes[at] = 0x7f - choices.below(12) as u8,
            6 => bytes.insert(at, choices.below(256) as u8),
            _ => drop(bytes.remove(at)),
        }
    }
}

/// Receives on a document, answers, and saves.
fn receive(mut document: Automerge, admitted: Admitted) -> (bool, bool) {
    let mut state = sync::State::new();
    let before = document.get_heads();
    let applied = document.receive_sync_message(&mut state, admitted.message).is_ok();
    let _ = document.generate_sync_message(&mut state);
    if !applied || document.get_heads() == before {
        return (false, false);
    }
    (true, Automerge::load(&document.save()).is_err())
}

fn attempt(base: Automerge, bytes: &[u8], tally: &mut Tally) {
    let started = Instant::now();
    let Ok(admitted) = admit(bytes, &Limits::default()) else {
        tally.refused += 1;
        return;
    };
    tally.admitted += 1;
    match quietly(|| receive(base, admitted)) {
        Ok((applied, poisoned)) => {
            tally.applied += usize::from(applied);
            tally.poisoned += usize::from(poisoned);
        }
        Err(place) => *tally.panics.entry(place).or_default() += 1,
    }
    // A debug build on a busy machine; what hangs takes minutes.
    assert!(started.elapsed() < Duration::from_secs(20), "slow: {bytes:02x?}");
}

/// How many documents are damaged, and how often each.
fn rounds() -> (u64, usize) {
    let documents = std::env::var("COMITY_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(24);
    (documents, 100)
}

fn report(name: &str, tally: &Tally) {
    println!("{name}: {tally:?}");
    for place in tally.panics.keys() {
        assert!(KNOWN.contains(&place.as_str()), "{name}: a new place panics: {place}");
    }
    assert!(tally.refused > 0 && tally.admitted > 0, "{name}");
}

#[test]
fn damaged_changes_panic_only_where_a_document_is_needed_to_know() {
    listen_to_panics();
    let (documents, times) = rounds();
    let (mut on_its_past, mut on_empty) = (Tally::default(), Tally::default());
    for seed in 0..documents {
        let written = document(seed * 4 + 1, 4 + seed as usize % 20);
        let changes = written.get_changes(&[]);
        let mut choices = Choices::new(seed);
        for _ in 0..times {
            let Some(change) = changes.get(choices.below(changes.len())) else { continue };
            let (kind, mut bytes) = body(change.raw_bytes());
            damage(&mut bytes, &mut choices);
            let bytes = message(&[chunk(kind, &bytes)]);
            attempt(written.fork_at(change.deps()).unwrap(), &bytes, &mut on_its_past);
            attempt(Automerge::new(), &bytes, &mut on_empty);
        }
    }
    report("changes on what they build upon", &on_its_past);
    report("changes on an empty document", &on_empty);
    assert!(on_empty.panics.is_empty(), "an admitted change on nothing holds all that it names");
}

#[test]
fn damaged_documents_do_not_panic() {
    listen_to_panics();
    let (documents, times) = rounds();
    let (mut on_empty, mut on_other) = (Tally::default(), Tally::default());
    for seed in 0..documents {
        let written = document(seed * 4 + 1, 4 + seed as usize % 20);
        let mut other = document(seed * 4 + 1, 2);
        // Where both have the same actor the merge fails, and the document stays what it was.
        let _ = other.merge(&mut document(seed + 1_000, 3));
        let mut choices = Choices::new(seed);
        for round in 0..times {
            let saved = if round % 2 == 0 { written.save_nocompress() } else { written.save() };
            let (kind, mut bytes) = body(&saved);
            damage(&mut bytes, &mut choices);
            let bytes = message(&[chunk(kind, &bytes)]);
            attempt(Automerge::new(), &bytes, &mut on_empty);
            attempt(other.clone(), &bytes, &mut on_other);
        }
    }
    report("documents on an empty document", &on_empty);
    report("documents on another document", &on_other);
    assert!(on_empty.panics.is_empty());
}

/// What has come of receiving a message.
#[derive(PartialEq, Debug)]
struct Outcome {
    answer: String,
    heads: Heads,
    is_broken: bool,
    saved: Vec<u8>,
    shown: String,
}

/// Receives on a document as it was saved, as on one that has taken in a message before or on one that has not. Gives
/// how many changes were written in place of being applied, too.
fn receive_on(base: &[u8], bytes: &[u8], may_write: bool) -> (Outcome, usize) {
    let limits = Limits::default();
    let mut document = Document::load(Some(base), [b""; 0]).unwrap();
    if may_write {
        document.replay.open();
    }
    let admitted = admit(bytes, &limits).unwrap();
    let answer = quietly(|| document.receive(&mut SyncSession::new(), admitted, &limits)).expect("panics are caught");
    let shown = format!("{:?}", document.inner.current_state());
    let (heads, is_broken) = (document.heads().clone(), document.is_broken());
    let outcome = Outcome { answer: format!("{answer:?}"), heads, is_broken, saved: document.inner.save(), shown };
    (outcome, document.replay.written)
}

/// Writes to some registers of a map, some of them new; more than once to one of them, and removes one.
fn write_registers(document: &mut Automerge, choices: &mut Choices) {
    let mut transaction = document.transaction();
    for number in 0..2 + choices.below(4) {
        let key = format!("r{}", choices.below(4));
        match choices.below(5) {
            0 => drop(transaction.delete(ROOT, key)),
            1 => drop(transaction.put(ROOT, key, "a word or two")),
            _ => drop(transaction.put(ROOT, key, choices.below(1_000) as i64 - number as i64)),
        }
    }
    transaction.put(ROOT, "r0", choices.below(usize::MAX) as u64).unwrap();
    transaction.commit();
}

#[test]
fn damaged_changes_come_to_the_same_written_or_applied() {
    listen_to_panics();
    let (documents, times) = rounds();
    let (mut admitted, mut written, mut taken) = (0, 0, 0);
    for seed in 0..documents {
        let mut choices = Choices::new(seed);
        let mut author = document(seed * 4 + 1, 4 + seed as usize % 20);
        (0..2).for_each(|_| write_registers(&mut author, &mut choices));
        let base = author.save();
        write_registers(&mut author, &mut choices);
        let (kind, undamaged) = body(author.get_last_local_change().unwrap().raw_bytes());
        for round in 0..times {
            let mut bytes = undamaged.clone();
            if round > 0 {
                damage(&mut bytes, &mut choices);
            }
            let bytes = message(&[chunk(kind, &bytes)]);
            if admit(&bytes, &Limits::default()).is_err() {
                continue;
            }
            admitted += 1;
            let ((one, count), (other, none)) = (receive_on(&base, &bytes, true), receive_on(&base, &bytes, false));
            assert_eq!(one, other, "{bytes:02x?}");
            assert_eq!(none, 0);
            written += count;
            taken += usize::from(one.answer.starts_with("Ok"));
        }
    }
    println!("{admitted} admitted, {taken} taken in, {written} of them written");
    // Besides those without damage.
    assert!(written as u64 > 2 * documents && taken > written, "{written} of {admitted}");
}
