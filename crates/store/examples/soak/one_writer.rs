//! Batches from one writer, one after the other, watched for hangs.
//!
//! sled 0.34.7 deadlocks against itself when one writer leaves much unflushed: with 256 KiB it took 21 s. The store
//! never leaves more than 64 KiB, and this run is there to show that none comes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use comity_store::{MemoryStore, Op, Options, Store};

use crate::Arguments;
use crate::common::{Random, append, document, noise, peer, replace};

const DOCUMENTS: u64 = 200;
/// A batch that takes longer is counted: on a busy disk one flush may. One that takes [`HANG`] ends the run.
const SLOW: Duration = Duration::from_secs(5);
const HANG: Duration = Duration::from_secs(60);
const REPORT_EVERY: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Watch {
    batches: AtomicU64,
    bytes: AtomicU64,
    slowest_micros: AtomicU64,
    slow: AtomicU64,
    done: AtomicBool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let length = Duration::from_secs(60 * arguments.number("minutes", 60)?);
    let (engine, seed) = (arguments.engine()?, arguments.number("seed", 1)?);
    let place = match arguments.text("folder") {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let place = place.map_err(|error| format!("no folder to work in: {error}"))?;
    let (store, _) = engine.try_open(place.path(), Options::default()).map_err(|error| error.to_string())?;
    let (shared, oracle, watch) = (store.shared(), MemoryStore::new(), Watch::default());
    println!("one writer on {}, {} min, in {}", engine.name(), length.as_secs() / 60, place.path().display());
    let start = Instant::now();
    let written = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let written = write(&*shared, &oracle, &watch, seed, || start.elapsed() < length);
            watch.done.store(true, Ordering::Release);
            written
        });
        watch_over(&watch, &*shared, start);
        writing.join().map_err(|_| "the writer panicked".to_owned())?
    });
    written?;
    store.close().map_err(|error| error.to_string())?;
    drop((shared, store));
    let (store, report) = engine.try_open(place.path(), Options::default()).map_err(|error| error.to_string())?;
    if report.is_damaged() || !report.clean {
        return Err(format!("not clean after closing: {report:?}"));
    }
    compare(&*store, &oracle)?;
    println!("closed, opened again, compared with the oracle: equal");
    Ok(())
}

fn write(
    store: &dyn Store,
    oracle: &MemoryStore,
    watch: &Watch,
    seed: u64,
    more: impl Fn() -> bool,
) -> Result<(), String> {
    let mut random = Random(seed);
    while more() {
        let ops = batch(&mut random);
        let bytes: usize = ops.iter().map(op_bytes).sum();
        let start = Instant::now();
        store.commit(&ops).map_err(|error| error.to_string())?;
        let took = start.elapsed();
        oracle.commit(&ops).map_err(|error| error.to_string())?;
        watch.slowest_micros.fetch_max(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::AcqRel);
        watch.slow.fetch_add(u64::from(took > SLOW), Ordering::AcqRel);
        watch.bytes.fetch_add(bytes as u64, Ordering::AcqRel);
        watch.batches.fetch_add(1, Ordering::AcqRel);
    }
    Ok(())
}

/// One to twelve ops on any of the documents: small changes mostly, as typing gives; large ones and snapshots at times.
fn batch(random: &mut Random) -> Vec<Op> {
    let mut ops = Vec::new();
    for _ in 0..=random.below(12) {
        let id = u8::try_from(random.below(DOCUMENTS)).expect("fewer than 256 documents");
        let seed = random.next();
        let small = 20 + usize::try_from(random.below(600)).expect("a small number");
        ops.push(match random.below(100) {
            0..90 => append(id, &[noise(small, seed)], seed),
            90..93 => append(id, &[noise(small * 20, seed)], seed),
            93..97 => replace(id, noise(small * 30, seed), seed),
            97 => replace(id, noise(small, seed), seed),
            98 => Op::SyncState { document: document(id), peer: peer("peer"), state: noise(small, seed) },
            _ => Op::PutMeta { key: format!("key {}", id % 8), value: noise(small, seed) },
        });
    }
    ops
}

fn op_bytes(op: &Op) -> usize {
    match op {
        Op::Append { chunks, .. } => chunks.iter().map(|chunk| chunk.len()).sum(),
        Op::Replace { snapshot, .. } => snapshot.len(),
        Op::SyncState { state, .. } => state.len(),
        Op::PutMeta { value, .. } => value.len(),
        Op::RemoveMeta { .. } => 0,
    }
}

/// Tells how far the run is; ends the process when nothing moves for [`HANG`]: a hung engine cannot be closed.
fn watch_over(watch: &Watch, store: &dyn Store, start: Instant) {
    let (mut seen, mut moved, mut told) = (0, Instant::now(), Instant::now());
    while !watch.done.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(200));
        let batches = watch.batches.load(Ordering::Acquire);
        if batches != seen {
            (seen, moved) = (batches, Instant::now());
        }
        if moved.elapsed() > HANG {
            println!("HANG: no batch for {} s after {batches} batches", HANG.as_secs());
            std::process::exit(1);
        }
        if told.elapsed() > REPORT_EVERY {
            told = Instant::now();
            tell(watch, store, start);
        }
    }
    tell(watch, store, start);
}

fn tell(watch: &Watch, store: &dyn Store, start: Instant) {
    let get = |counter: &AtomicU64| counter.load(Ordering::Acquire);
    let stats = store.stats().unwrap_or_default();
    println!(
        "{:>5} s  {:>9} batches  {:>7} MB given  {:>7} MB to the engine  {:>5} checkpoints  {:>3} rewrites  \
         slowest {:>6} ms  {} above 5 s",
        start.elapsed().as_secs(),
        get(&watch.batches),
        get(&watch.bytes) >> 20,
        stats.engine_bytes_written >> 20,
        stats.checkpoints,
        stats.rewrites,
        get(&watch.slowest_micros) / 1_000,
        get(&watch.slow),
    );
}

fn compare(store: &dyn Store, oracle: &MemoryStore) -> Result<(), String> {
    let failed = |error: comity_store::StoreError| error.to_string();
    let documents = oracle.documents().map_err(failed)?;
    if store.documents().map_err(failed)? != documents {
        return Err("the documents are not those that were written".to_owned());
    }
    for id in documents {
        if store.load(&id).map_err(failed)? != oracle.load(&id).map_err(failed)? {
            return Err(format!("document {id} is not what was written"));
        }
    }
    Ok(())
}
