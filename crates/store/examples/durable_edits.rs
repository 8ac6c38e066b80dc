//! Measures durable edits a second, in groups of 64 and one by one, beside raw append and `fdatasync` on the same disk
//! in the same run, and the bytes written for each byte of change.
//!
//! ```text
//! cargo run --release -p comity-store --example durable_edits [--features redb] [FOLDER]
//! ```

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use comity_model::{ChangeHash, DocumentId, Heads};
use comity_store::{Op, Options, SledStore, Store};

/// Bytes of a change chunk of one field edit, about.
const CHUNK_BYTES: usize = 180;
const DOCUMENTS: u64 = 100;
/// An edit in this many is followed by a compaction of its document.
const COMPACT_EVERY: u64 = 365;

fn main() -> Result<(), Box<dyn Error>> {
    comity_store::child_main_if_asked();
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = parent.join(format!("comity-durable-edits-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let measured = measure(&folder);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(folder: &Path) -> Result<(), Box<dyn Error>> {
    let raw = raw_appends(&folder.join("raw"), 5_000)?;
    println!("raw append and fdatasync, one by one: {raw:>9.0} a second");
    let (sled, _) = SledStore::open(&folder.join("sled"), Options::default())?;
    run("sled", &sled, raw)?;
    #[cfg(feature = "redb")]
    {
        let (redb, _) = comity_store::RedbStore::open(&folder.join("redb"), Options::default())?;
        run("redb", &redb, raw)?;
    }
    Ok(())
}

fn run(name: &str, store: &dyn Store, raw: f64) -> Result<(), Box<dyn Error>> {
    let mut number = 0;
    for (group, count) in [(64, 128_000), (1, 5_000)] {
        let (before, start) = (written_bytes()?, Instant::now());
        let mut compacted: u64 = 0;
        for _ in 0..count / group {
            let mut ops: Vec<Op> = Vec::new();
            for _ in 0..group {
                number += 1;
                ops.push(append(number));
                if number % COMPACT_EVERY == 0 {
                    ops.push(replace(number));
                    compacted += 1;
                }
            }
            store.commit(&ops)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        store.checkpoint()?;
        let rate = count as f64 / seconds;
        let ratio = (written_bytes()? - before) as f64 / (count as f64 * CHUNK_BYTES as f64);
        println!(
            "{name}, groups of {group:>2}: {rate:>9.0} edits a second ({:.2} times raw), {ratio:.1} bytes written per \
             byte of change, {compacted} compactions included",
            rate / raw
        );
    }
    let stats = store.stats()?;
    println!("{name}: {stats:?}");
    store.close()?;
    Ok(())
}

fn raw_appends(path: &Path, count: u32) -> Result<f64, Box<dyn Error>> {
    let mut file = File::create(path)?;
    let start = Instant::now();
    for _ in 0..count {
        file.write_all(&[7; CHUNK_BYTES])?;
        file.sync_data()?;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

fn document(number: u64) -> DocumentId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(number % DOCUMENTS).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    DocumentId::from_bytes(id)
}

fn bytes(len: usize, number: u64) -> Bytes {
    (0..len as u64).map(|i| (number.wrapping_mul(i + 1) >> 7) as u8).collect()
}

fn heads(number: u64) -> Heads {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    Heads::new(vec![ChangeHash(hash)])
}

fn append(number: u64) -> Op {
    Op::Append { document: document(number), chunks: vec![bytes(CHUNK_BYTES, number)], heads: heads(number) }
}

fn replace(number: u64) -> Op {
    // A saved document takes far less than its changes one by one.
    Op::Replace { document: document(number), snapshot: bytes(20_000, number), heads: heads(number) }
}

/// Gives the bytes that this process has handed to the kernel for writing.
fn written_bytes() -> Result<u64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/self/io")?;
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: ")).ok_or("no wchar in /proc/self/io")?;
    Ok(line.trim().parse()?)
}
