//! Prints what it costs a receiver to take in one message: peak of memory above before, memory that stays, and time,
//! for messages that were honestly written and for messages made to cost much. Each runs in a process of its own.
//!
//! `cargo run -p comity-crdt --example memory_cost`

use std::path::{Path, PathBuf};
use std::time::Instant;

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, AutoCommit, Automerge, ObjType, ROOT};
use comity_crdt::{Document, SyncSession, admit};
use comity_model::Limits;

#[path = "../src/admit/tests/bytes.rs"]
mod bytes;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A way to make a message of about so many operations.
type Maker = fn(u64) -> Vec<u8>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [child, path] = arguments.as_slice()
        && child == "--receive"
    {
        return receive(Path::new(path));
    }
    println!(
        "{:<26} {:>9} {:>9} {:>9} {:>7} {:>7} {:>7} {:>7} {:>6} {:>7} {:>6}",
        "message", "bytes", "inflated", "ops", "admit", "receive", "save", "load", "stays", "ms", "B/op"
    );
    let cases: &[(&str, Maker, &[u64])] = &[
        ("pasted text, change", pasted, &[99_000]),
        ("pasted text, document", |n| saved(&pasted_document(n)), &[99_000]),
        ("table, change", table, &[99_000, 500_000]),
        ("table, document", |n| saved(&table_document(n)), &[99_000, 500_000]),
        ("inserts, change", |n| bytes::message(&[bytes::run_length_bomb(n)]), &[99_000]),
        ("inserts, document", |n| saved(&loaded(&[bytes::run_length_bomb(n)])), &[99_000]),
        ("puts of one key, change", |n| raw(&one_key(n)), &[20_000]),
        ("puts of one key, document", |n| saved(&one_key(n)), &[20_000]),
        ("maps in a list, change", |n| bytes::message(&[bytes::run_length_bomb_of(n, 0, 0xaa)]), &[99_000]),
        ("maps in a list, document", |n| saved(&loaded(&[bytes::run_length_bomb_of(n, 0, 0xaa)])), &[99_000]),
        ("long keys, change", |n| bytes::message(&[bytes::long_keys(n, 10_000)]), &[1_000]),
        ("long keys, document", |n| saved(&loaded(&[bytes::long_keys(n, 10_000)])), &[1_000]),
        ("ten lists, changes", |n| raw(&lists(n)), &[690_000, 990_000]),
        ("ten lists, document", |n| saved(&lists(n)), &[690_000, 990_000]),
        ("increments, change", |n| raw(&increments(n)), &[20_000]),
        ("increments, document", |n| saved(&increments(n)), &[20_000]),
        ("empty changes", |n| raw(&empty(n)), &[20_000, 199_000]),
        ("empty changes, document", |n| saved(&empty(n)), &[20_000, 199_000]),
        ("one long string, change", |n| raw(&long(n)), &[15_000_000]),
        ("one long string, document", |n| saved(&long(n)), &[15_000_000]),
        ("typed text, changes", typed_changes, &[5_000, 20_000]),
        ("typed text, document", typed_document, &[5_000, 20_000]),
    ];
    let wanted = arguments.first();
    for (name, make, sizes) in cases {
        for size in *sizes {
            if wanted.is_none_or(|wanted| name.contains(wanted.as_str())) {
                report(name, &make(*size))?;
            }
        }
    }
    Ok(())
}

fn report(name: &str, message: &[u8]) -> Outcome<()> {
    let path: PathBuf = std::env::temp_dir().join(format!("comity-memory-cost-{}", std::process::id()));
    std::fs::write(&path, message)?;
    let output = std::process::Command::new(std::env::current_exe()?).arg("--receive").arg(&path).output()?;
    std::fs::remove_file(&path)?;
    println!("{name:<26} {:>9} {}", message.len(), String::from_utf8_lossy(&output.stdout).trim_end());
    if !output.status.success() {
        println!("    {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("failed"));
    }
    Ok(())
}

/// The child: takes in one message and prints what that cost.
fn receive(path: &Path) -> Outcome<()> {
    let mut limits = Limits::default();
    if std::env::var_os("OPEN").is_some() {
        limits.price_free_bytes_max = u64::MAX;
        limits.price_bytes_max = u64::MAX;
        limits.message_operations_max = u64::MAX;
        limits.change_operations_max = u64::MAX;
    }
    let message = std::fs::read(path)?;
    let before = status("VmRSS:");
    let started = Instant::now();
    let mut stage = Stage::begin();
    let admitted = match admit(&message, &limits) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            print!("refused: {refusal}, {} KiB", stage.peak());
            return Ok(());
        }
    };
    let cost = admitted.cost();
    let admit_peak = stage.peak();
    let mut document = Document::new();
    let received = document.receive(&mut SyncSession::new(), admitted, &limits)?;
    let receive_peak = stage.peak();
    let took = started.elapsed();
    let stored: Vec<_> = received.chunks.clone();
    drop(received);
    let stays = status("VmRSS:").saturating_sub(before);
    let snapshot = document.save();
    let save_peak = stage.peak();
    drop(document);
    drop(stored);
    let mut stage = Stage::begin();
    let again = snapshot.map(|snapshot| Document::load(Some(&snapshot), [b""; 0]));
    let load_peak = stage.peak();
    drop(again);
    let per_operation = (receive_peak.max(save_peak) * 1024).checked_div(cost.operations).unwrap_or_default();
    print!(
        "{:>9} {:>9} {:>6}M {:>6}M {:>6}M {:>6}M {:>5}M {:>7} {:>6}",
        cost.inflated_bytes,
        cost.operations,
        admit_peak >> 10,
        receive_peak >> 10,
        save_peak >> 10,
        load_peak >> 10,
        stays >> 10,
        took.as_millis(),
        per_operation,
    );
    Ok(())
}

/// Measures the peak of memory from one point on.
struct Stage {
    before_kib: u64,
}

impl Stage {
    fn begin() -> Self {
        reset_peak();
        Self { before_kib: status("VmRSS:") }
    }

    /// Gives the peak above the beginning since it was last asked.
    fn peak(&mut self) -> u64 {
        let peak = status("VmHWM:").saturating_sub(self.before_kib);
        reset_peak();
        peak
    }
}

/// Lets the kernel forget the peak, which it then counts anew. Where it does not, peaks only grow.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Reads a line of the kernel's account of this process, in KiB.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or_default()
}

fn loaded(changes: &[Vec<u8>]) -> Automerge {
    Automerge::load(&changes.concat()).expect("well made")
}

fn saved(document: &Automerge) -> Vec<u8> {
    bytes::message(&[document.save()])
}

fn raw(document: &Automerge) -> Vec<u8> {
    let changes = document.get_changes(&[]).into_iter();
    bytes::message(&changes.map(|mut change| change.bytes().to_vec()).collect::<Vec<_>>())
}

fn written(write: impl FnOnce(&mut AutoCommit)) -> Automerge {
    let mut document = AutoCommit::new().with_actor(ActorId::from(vec![7; 16]));
    write(&mut document);
    document.commit();
    document.document().clone()
}

/// Words of a made-up language with about the statistics of a real one.
fn prose(letters: u64) -> String {
    let mut text = String::new();
    let mut state = 7_u64;
    while (text.len() as u64) < letters {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let rank = ((state >> 40) as f64 / f64::from(1 << 24)).powi(3) * 20_000.0;
        let mut word = 1 + rank as u64;
        while word > 0 {
            text.push(char::from(b"etaoinshrdlucmfwypvbgk"[(word % 22) as usize]));
            word /= 22;
        }
        text.push(' ');
    }
    text
}

fn typed(letters: u64) -> Automerge {
    let mut document = Automerge::new().with_actor(ActorId::from(vec![7; 16]));
    let made = document.transact(|t| t.put_object(ROOT, "text", ObjType::Text));
    let text = made.expect("a text").result;
    for (at, letter) in prose(letters).chars().take(letters as usize).enumerate() {
        let mut transaction = document.transaction();
        transaction.splice_text(&text, at, 0, letter.encode_utf8(&mut [0; 4])).expect("a letter");
        transaction.commit_with(CommitOptions::default().with_time(1_700_000_000 + at as i64 / 5));
    }
    document
}

fn typed_changes(letters: u64) -> Vec<u8> {
    raw(&typed(letters))
}

fn typed_document(letters: u64) -> Vec<u8> {
    saved(&typed(letters))
}

fn pasted_document(letters: u64) -> Automerge {
    written(|document| {
        let text = document.put_object(ROOT, "text", ObjType::Text).expect("a text");
        document.splice_text(&text, 0, 0, &prose(letters)).expect("letters");
    })
}

fn pasted(letters: u64) -> Vec<u8> {
    raw(&pasted_document(letters))
}

/// Entries of ten fields, as an import writes them: a number, a few words, flags. So many to a change.
fn table_document(fields: u64) -> Automerge {
    written(|document| {
        let values = document.put_object(ROOT, "values", ObjType::Map).expect("a map");
        for row in 0..fields / 10 {
            if row % 5_000 == 0 {
                document.commit();
            }
            for field in 0..10 {
                let key = format!("M{row:06}/field{field}");
                let put = match field {
                    0..4 => document.put(&values, key, ["good", "dead", "cracked"][(row * 7 + field) as usize % 3]),
                    4..8 => document.put(&values, key, (row * 7_919 + field) as i64 % 10_007),
                    _ => document.put(&values, key, format!("remark {}", row * 31 % 977)),
                };
                put.expect("a field");
            }
        }
    })
}

fn table(fields: u64) -> Vec<u8> {
    raw(&table_document(fields))
}

fn one_key(puts: u64) -> Automerge {
    let mut document = Automerge::new().with_actor(ActorId::from(vec![7; 16]));
    let mut transaction = document.transaction();
    for number in 0..puts {
        transaction.put(ROOT, "k", (number % 2) as i64).expect("a put");
    }
    transaction.commit();
    document
}

/// Ten changes that make a list each.
fn lists(count: u64) -> Automerge {
    let mut document = Automerge::new().with_actor(ActorId::from(vec![7; 16]));
    for number in 0..10 {
        let mut transaction = document.transaction();
        let list = transaction.put_object(ROOT, format!("list{number}"), ObjType::List).expect("a list");
        let values = vec![automerge::hydrate::Value::Scalar(automerge::ScalarValue::Null); count as usize / 10 - 1];
        transaction.splice(&list, 0, 0, values).expect("values");
        transaction.commit();
    }
    document
}

fn increments(count: u64) -> Automerge {
    written(|document| {
        document.put(ROOT, "n", automerge::ScalarValue::counter(0)).expect("a counter");
        for _ in 0..count {
            document.increment(ROOT, "n", 1).expect("an increment");
        }
    })
}

fn empty(changes: u64) -> Automerge {
    let mut document = Automerge::new().with_actor(ActorId::from(vec![7; 16]));
    for _ in 0..changes {
        document.empty_commit(CommitOptions::default().with_time(0));
    }
    document
}

fn long(letters: u64) -> Automerge {
    written(|document| document.put(ROOT, "k", "a".repeat(letters as usize)).expect("a string"))
}
