//! Turns journal entries into rows. Live groups, replay after a crash and rebuilds all go through here.

use crate::engine::Engine;
use crate::entry::{Entry, pack};
use crate::error::StoreError;
use crate::row::{
    self, RowChange, Sealer, Space, after_prefix, change_prefix, heads_bytes, heads_prefix, manifest_key, meta_prefix,
    part_rows, snapshot_prefix, sync_state_prefix,
};

/// Most bytes of rows gathered before they are handed to the engine.
const GATHERED_BYTES_MAX: usize = 1 << 20;

/// Applies entries in order, each with the stamp of its group. Gives the bytes of keys and values handed to the engine.
pub(crate) fn apply<'a, E: Engine>(
    engine: &E,
    sealer: &Sealer,
    entries: impl IntoIterator<Item = (u64, &'a Entry)>,
) -> Result<u64, StoreError> {
    let mut rows = Rows { engine, waiting: Vec::new(), waiting_bytes: 0, written_bytes: 0 };
    for (stamp, entry) in entries {
        let first = rows.waiting.len();
        let out = &mut rows.waiting;
        match entry {
            Entry::Changes { document, first, chunks } => {
                part_rows(sealer, Space::Data, stamp, &change_prefix(document, *first), &pack(chunks), out);
            }
            Entry::Snapshot { document, bytes } => {
                part_rows(sealer, Space::Data, stamp, &snapshot_prefix(document), bytes, out);
            }
            Entry::Manifest { document, manifest, heads } => {
                if manifest.has_heads_apart() {
                    part_rows(sealer, Space::Data, stamp, &heads_prefix(document), &heads_bytes(heads), out);
                }
                let key = manifest_key(document);
                let value = sealer.seal(Space::Data, stamp, &key, &row::encode(manifest));
                out.push(RowChange { space: Space::Data, key, value: Some(value) });
            }
            Entry::SyncState { document, peer, state } => {
                part_rows(sealer, Space::Data, stamp, &sync_state_prefix(document, peer), state, out);
            }
            Entry::Meta { key, value } => part_rows(sealer, Space::Meta, stamp, &meta_prefix(key), value, out),
            Entry::Cover { document, to } => {
                // Heads, small snapshot and changes lie side by side in this order.
                rows.remove(Space::Data, &heads_prefix(document), &change_prefix(document, *to))?;
            }
            Entry::RemoveSyncState { document, peer } => {
                let prefix = sync_state_prefix(document, peer);
                rows.remove(Space::Data, &prefix, &after_prefix(&prefix))?;
            }
            Entry::RemoveMeta { key } => {
                let prefix = meta_prefix(key);
                rows.remove(Space::Meta, &prefix, &after_prefix(&prefix))?;
            }
        }
        rows.count_from(first)?;
    }
    rows.hand_over()?;
    Ok(rows.written_bytes)
}

/// Applies one group of the journal.
pub(crate) fn apply_group<E: Engine>(
    engine: &E,
    sealer: &Sealer,
    stamp: u64,
    entries: &[Entry],
) -> Result<u64, StoreError> {
    apply(engine, sealer, entries.iter().map(|entry| (stamp, entry)))
}

/// Removes all rows from a key up to but without another.
pub(crate) fn remove_range<E: Engine>(engine: &E, space: Space, from: &[u8], to: &[u8]) -> Result<u64, StoreError> {
    let mut doomed = Vec::new();
    engine.scan(space, from, to, &mut |key, _| {
        doomed.push(RowChange { space, key: key.to_vec(), value: None });
        true
    })?;
    engine.write(&doomed)?;
    Ok(doomed.iter().map(|change| change.key.len() as u64).sum())
}

struct Rows<'a, E> {
    engine: &'a E,
    waiting: Vec<RowChange>,
    waiting_bytes: usize,
    written_bytes: u64,
}

impl<E: Engine> Rows<'_, E> {
    fn count_from(&mut self, first: usize) -> Result<(), StoreError> {
        let new = self.waiting.get(first..).unwrap_or_default();
        self.waiting_bytes +=
            new.iter().map(|row| row.key.len() + row.value.as_ref().map_or(0, Vec::len)).sum::<usize>();
        if self.waiting_bytes > GATHERED_BYTES_MAX { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<(), StoreError> {
        self.engine.write(&self.waiting)?;
        self.written_bytes += self.waiting_bytes as u64;
        self.waiting.clear();
        self.waiting_bytes = 0;
        Ok(())
    }

    fn remove(&mut self, space: Space, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        // What waits may lie in the range.
        self.hand_over()?;
        self.written_bytes += remove_range(self.engine, space, from, to)?;
        Ok(())
    }
}
