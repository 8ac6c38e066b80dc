//! Writes records: the bases as one change, then ours and theirs as two that do not know of each other.

use std::collections::{BTreeMap, BTreeSet};

use comity_model::{ActKind, ChangeHash, Heads, Write};
use comity_node::{Document, Editor, Node, NodeError};

use super::read::Record;
use super::standing::Already;

/// What was written so far.
#[derive(Debug, Default)]
pub struct Written {
    /// Records that are in, whole.
    pub records: usize,
    /// The changes.
    pub changes: Vec<String>,
}

/// Writes what is not in already. A record is never divided between two rounds; each round is three changes.
pub async fn write(
    node: &Node,
    document: &Document,
    records: &[Record],
    already: &[Already],
    written: &mut Written,
) -> Result<(), NodeError> {
    finish(document, records, already, written).await?;
    let missing = |(_, already): &(&Record, &Already)| matches!(already, Already::Nothing | Already::Base);
    let missing: Vec<(&Record, &Already)> = records.iter().zip(already).filter(missing).collect();
    let mut missing = missing.as_slice();
    while !missing.is_empty() {
        let (now, later) = missing.split_at(fitting(missing, node.limits().edit_writes_max));
        round(document, now, written).await?;
        missing = later;
    }
    Ok(())
}

/// Counts the records that fit into one round.
fn fitting(records: &[(&Record, &Already)], max: usize) -> usize {
    let mut sums = [0; 3];
    let fits = records.iter().take_while(|(record, _)| {
        let edits = &record.edits;
        for (sum, writes) in sums.iter_mut().zip([&edits.base, &edits.ours, &edits.theirs]) {
            *sum += writes.len();
        }
        sums.iter().all(|sum| *sum <= max)
    });
    fits.count().max(1)
}

async fn round(document: &Document, records: &[(&Record, &Already)], written: &mut Written) -> Result<(), NodeError> {
    let new = records.iter().filter(|(_, already)| **already == Already::Nothing);
    let base = new.flat_map(|(record, _)| record.edits.base.iter().cloned()).collect();
    let ours = records.iter().flat_map(|(record, _)| record.edits.ours.iter().cloned()).collect();
    let theirs = records.iter().flat_map(|(record, _)| record.edits.theirs.iter().cloned()).collect();
    edit(document, None, base, written).await?;
    let seen = document.read(|view| view.heads()).await?;
    edit(document, Some(seen.clone()), ours, written).await?;
    edit(document, Some(seen), theirs, written).await?;
    written.records += records.len();
    Ok(())
}

/// Writes theirs where an import before this one came no further than ours.
async fn finish(
    document: &Document,
    records: &[Record],
    already: &[Already],
    written: &mut Written,
) -> Result<(), NodeError> {
    let begun = records.iter().zip(already).filter_map(|(record, already)| match already {
        Already::Ours(change) => Some((record, *change)),
        _ => None,
    });
    let begun: Vec<(&Record, ChangeHash)> = begun.collect();
    if begun.is_empty() {
        return Ok(());
    }
    let wanted: BTreeSet<ChangeHash> = begun.iter().map(|(_, change)| *change).collect();
    let seen = document.read(move |view| {
        let changes = view.document().decode_since(&Heads::default());
        let wanted = changes.into_iter().filter(|change| wanted.contains(&change.hash));
        wanted.map(|change| (change.hash, Heads::new(change.deps))).collect::<BTreeMap<_, _>>()
    });
    let seen = seen.await?;
    for (record, change) in begun {
        let seen = seen.get(&change).cloned().unwrap_or_default();
        edit(document, Some(seen), record.edits.theirs.clone(), written).await?;
        written.records += 1;
    }
    Ok(())
}

/// Makes one change, at the heads that its author saw.
async fn edit(
    document: &Document,
    seen: Option<Heads>,
    writes: Vec<Write>,
    written: &mut Written,
) -> Result<(), NodeError> {
    if writes.is_empty() {
        return Ok(());
    }
    let write = move |edit: &mut Editor<'_>| {
        edit.act(ActKind::Import);
        for write in writes {
            if let Write::Set { key, value } = write {
                edit.set_register(key, value)?;
            }
        }
        Ok(())
    };
    let change = match seen {
        Some(seen) => document.edit_at(seen, write).await?,
        None => document.edit(write).await?,
    };
    written.changes.extend(change.map(|change| change.to_string()));
    Ok(())
}
