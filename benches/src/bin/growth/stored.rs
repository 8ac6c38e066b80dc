//! How cost grows with the documents in a store.

use std::fs;
use std::path::Path;

use anyhow::Context;
use bytes::Bytes;
use comity_model::{DocumentId, Heads};
use comity_store::{Op, Options, SledStore, Store};

use crate::heap;
use crate::relay::document;
use crate::table::{FLAT, LINEAR, Table, Unit};
use crate::work::{Samples, audit, timed};

const ROUNDS: usize = 51;

/// Documents that are written in one group.
const GROUP: usize = 500;

/// Operations of each document.
const OPERATIONS: usize = 100;

/// A store on disk, by the documents in it.
pub fn table(sizes: &[usize]) -> anyhow::Result<Table> {
    let columns = [
        ("documents", Unit::Count),
        ("write, per document", Unit::Seconds),
        ("close", Unit::Seconds),
        ("open", Unit::Seconds),
        ("memory when open", Unit::Bytes),
        ("read one", Unit::Seconds),
        ("append to one", Unit::Seconds),
        ("disk", Unit::Bytes),
        ("disk per document", Unit::Bytes),
    ];
    let mut table = Table::new("Documents in one store (journal and sled)", &columns);
    table.note(
        "Documents of 100 operations in five changes, written in groups of 500 documents. *Open* follows a proper close. \
         *Append to one* is a group of one change, `fdatasync` included.",
    );
    let (content, chunks) = audit(OPERATIONS)?;
    for size in sizes {
        let row = measure(*size, content.heads(), &chunks)?;
        table.row(row);
    }
    for name in ["close", "open"] {
        table.check_growth(name, LINEAR, 50e-3);
    }
    table.check_growth("memory when open", LINEAR, 2e6);
    table.check_growth("write, per document", FLAT, 500e-6);
    table.check_growth("read one", FLAT, 500e-6);
    // A disk that others use, too, takes a few milliseconds now and then.
    table.check_growth("append to one", FLAT, 5e-3);
    table.check_growth("disk per document", FLAT, 4_000.0);
    table.check_at(10_000.0, "open", 1.0);
    table.check_at(100_000.0, "open", 10.0);
    Ok(table)
}

fn measure(documents: usize, heads: &Heads, chunks: &[Bytes]) -> anyhow::Result<Vec<f64>> {
    let folder = tempfile::tempdir().context("a folder for the store")?;
    let append =
        |document: DocumentId, chunks: &[Bytes]| Op::Append { document, chunks: chunks.to_vec(), heads: heads.clone() };
    let (store, _) = SledStore::open(folder.path(), Options::default())?;
    let (written, time) = timed(|| {
        let numbers: Vec<usize> = (0..documents).collect();
        numbers.chunks(GROUP).try_for_each(|group| {
            let ops: Vec<Op> = group.iter().map(|number| append(document(*number), chunks)).collect();
            store.commit(&ops)
        })
    });
    written?;
    let write = time.as_secs_f64() / documents as f64;
    let (closed, close) = timed(|| store.close());
    closed?;
    drop(store);
    let disk = size_of_folder(folder.path())? as f64;

    let before = heap::in_use();
    let (opened, open) = timed(|| SledStore::open(folder.path(), Options::default()));
    let (store, report) = opened?;
    anyhow::ensure!(!report.is_damaged(), "a store that was closed properly is damaged");
    let memory = heap::in_use().saturating_sub(before) as f64;
    let [mut read, mut append_one] = <[Samples; 2]>::default();
    for round in 0..ROUNDS {
        let document = document(round * 7_919 % documents);
        let (loaded, time) = timed(|| store.load(&document));
        anyhow::ensure!(loaded?.is_some_and(|loaded| loaded.changes.len() >= chunks.len()), "it was written");
        read.add(time);
        let op = append(document, &chunks[chunks.len() - 1..]);
        let (written, time) = timed(|| store.commit(&[op]));
        written?;
        append_one.add(time);
    }
    store.close()?;
    let each = disk / documents as f64;
    let (close, open) = (close.as_secs_f64(), open.as_secs_f64());
    Ok(vec![documents as f64, write, close, open, memory, read.median(), append_one.median(), disk, each])
}

/// Counts the bytes that a folder takes on disk.
fn size_of_folder(folder: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { size_of_folder(&entry.path())? } else { about.blocks() * 512 };
    }
    Ok(bytes)
}
