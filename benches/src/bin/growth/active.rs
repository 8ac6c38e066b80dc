//! Whether memory follows the documents in use.

use std::time::Duration;

use comity_engine::{Input, Token};
use comity_model::Limits;

use crate::archive::Archive;
use crate::heap;
use crate::relay::document;
use crate::table::{FLAT, Table, Unit};
use crate::work::{audit, save};

/// What is in memory, by what is used.
pub fn table(sizes: &[usize]) -> anyhow::Result<Table> {
    let known = sizes.iter().max().map_or(0, |most| most + most / 4);
    let columns = [
        ("used", Unit::Count),
        ("in memory", Unit::Count),
        ("before", Unit::Bytes),
        ("while used", Unit::Bytes),
        ("after", Unit::Bytes),
        ("per document in memory", Unit::Bytes),
        ("left over", Unit::Percent),
        ("resident before", Unit::Bytes),
        ("resident while used", Unit::Bytes),
        ("resident after", Unit::Bytes),
    ];
    let mut table = Table::new("Memory follows the documents in use", &columns);
    table.note(&format!(
        "{known} documents of 1,000 operations are known and cold; some are used, then nobody uses them for longer than \
         `idle_after`. *Left over* is what stays of what was taken. Limits are the defaults: no more than 1,000 documents, \
         and 64 MiB by estimate. *Resident* is what the system says, which the C library gives back late."
    ));
    let snapshot = save(&audit(1_000)?.0)?;
    let mut archive = Archive::new(known, &snapshot)?;
    archive.let_go()?;
    for used in sizes {
        table.row(use_and_let_go(&mut archive, *used)?);
    }
    let limits = Limits::default();
    table.check_most("left over", 0.1);
    table.check_most("in memory", limits.documents_loaded_max as f64);
    let bound = limits.loaded_bytes_max as f64;
    let before = table.largest("before");
    table.check_most("while used", before + 1.25 * bound);
    table.check_growth("per document in memory", FLAT, 10_000.0);
    Ok(table)
}

fn use_and_let_go(archive: &mut Archive, used: usize) -> anyhow::Result<Vec<f64>> {
    let (before, resident_before) = (heap::in_use() as f64, heap::resident() as f64);
    heap::forget_peak();
    for number in 0..used {
        archive.relay.now += Duration::from_millis(1);
        archive.relay.handle(Input::Fetch { token: Token(number as u64), document: document(number) })?;
    }
    archive.relay.settle()?;
    let in_memory = archive.relay.engine.load().in_memory as f64;
    let (now, peak, resident) = (heap::in_use() as f64, heap::peak() as f64, heap::resident() as f64);
    archive.let_go()?;
    let (after, resident_after) = (heap::in_use() as f64, heap::resident() as f64);
    let left_over = (after - before).max(0.0) / (now - before).max(1.0);
    let each = (now - before) / in_memory;
    let cells = [used as f64, in_memory, before, peak, after, each, left_over];
    Ok(cells.into_iter().chain([resident_before, resident, resident_after]).collect())
}
