//! sled 0.34.7, with its measured faults worked around.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::{Engine, UNFLUSHED_BYTES_MAX, Visit, guarded};
use crate::disk;
use crate::error::StoreError;
use crate::row::{RowChange, Space};

/// How long a handle that was dropped may take to let go of its files: dropping is asynchronous.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);
const RELEASE_STEP: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(crate) struct SledEngine {
    folder: PathBuf,
    database: sled::Db,
    data: sled::Tree,
    meta: sled::Tree,
    unflushed_bytes: Mutex<usize>,
}

impl SledEngine {
    fn tree(&self, space: Space) -> &sled::Tree {
        match space {
            Space::Data => &self.data,
            Space::Meta => &self.meta,
        }
    }

    fn apply(&self, space: Space, batch: sled::Batch) -> Result<(), StoreError> {
        guarded(Self::NAME, "write", || self.tree(space).apply_batch(batch))
    }

    fn flush(&self) -> Result<(), StoreError> {
        guarded(Self::NAME, "flush", || self.database.flush())?;
        Ok(())
    }
}

impl Engine for SledEngine {
    const NAME: &'static str = "sled";

    fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        disk::create_folder(folder)?;
        let start = Instant::now();
        let database = loop {
            // No background flusher: the store decides when to flush. The file is locked by sled itself.
            let config = sled::Config::new().path(folder).cache_capacity(cache_bytes).flush_every_ms(None);
            match guarded(Self::NAME, "open", || config.open()) {
                Err(StoreError::Engine { message, .. })
                    if message.contains("could not acquire lock") && start.elapsed() < RELEASE_PATIENCE =>
                {
                    std::thread::sleep(RELEASE_STEP);
                }
                other => break other?,
            }
        };
        let tree = |name: &str| guarded(Self::NAME, "open a tree", || database.open_tree(name));
        let (data, meta) = (tree("data")?, tree("meta")?);
        let engine = Self { folder: folder.to_owned(), database, data, meta, unflushed_bytes: Mutex::new(0) };
        engine.sync()?;
        Ok(engine)
    }

    fn value(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = guarded(Self::NAME, "read", || self.tree(space).get(key))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, space: Space, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        guarded(Self::NAME, "scan", || {
            for row in self.tree(space).range::<&[u8], _>(from..to) {
                let (key, value) = row?;
                if !visit(&key, &value) {
                    break;
                }
            }
            Ok::<_, sled::Error>(())
        })
    }

    fn write(&self, changes: &[RowChange]) -> Result<(), StoreError> {
        let mut unflushed = self.unflushed_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = sled::Batch::default();
        let mut batch_space = Space::Data;
        for change in changes {
            if change.space != batch_space {
                self.apply(batch_space, std::mem::take(&mut batch))?;
                batch_space = change.space;
            }
            let bytes = change.key.len() + change.value.as_ref().map_or(0, Vec::len);
            if *unflushed + bytes > UNFLUSHED_BYTES_MAX {
                self.apply(batch_space, std::mem::take(&mut batch))?;
                self.flush()?;
                *unflushed = 0;
            }
            *unflushed += bytes;
            match &change.value {
                Some(value) => batch.insert(change.key.as_slice(), value.as_slice()),
                None => batch.remove(change.key.as_slice()),
            }
        }
        self.apply(batch_space, batch)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.flush()?;
        *self.unflushed_bytes.lock().unwrap_or_else(PoisonError::into_inner) = 0;
        disk::sync_below(&self.folder)
    }

    fn close(self) -> Result<(), StoreError> {
        self.sync()?;
        let Self { folder, database, data, meta, .. } = self;
        guarded(Self::NAME, "close", || {
            drop((data, meta, database));
            Ok::<_, sled::Error>(())
        })?;
        let path = folder.join("db");
        let file = File::open(&path).map_err(StoreError::io("open", &path))?;
        let start = Instant::now();
        while file.try_lock().is_err() && start.elapsed() < RELEASE_PATIENCE {
            std::thread::sleep(RELEASE_STEP);
        }
        drop(file);
        disk::sync_below(&folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::CACHE_BYTES_MIN;

    #[test]
    fn no_more_is_ever_left_unflushed_than_what_is_known_not_to_deadlock() {
        // 256 KiB deadlocks within seconds, 64 and 128 KiB never did.
        let folder = tempfile::tempdir().unwrap();
        let engine = SledEngine::open(folder.path(), CACHE_BYTES_MIN).unwrap();
        let row = |number: u32, len: usize| RowChange {
            space: if number.is_multiple_of(50) { Space::Meta } else { Space::Data },
            key: number.to_be_bytes().to_vec(),
            value: Some(vec![1; len]),
        };
        for rows in [1, 10, 100, 1_000] {
            let changes: Vec<RowChange> = (0..rows).map(|number| row(number, 3_900)).collect();
            engine.write(&changes).unwrap();
            let unflushed = *engine.unflushed_bytes.lock().unwrap();
            assert!(unflushed <= UNFLUSHED_BYTES_MAX, "{unflushed} bytes after {rows} rows");
        }
        assert_eq!(engine.value(Space::Data, &999_u32.to_be_bytes()).unwrap().map(|value| value.len()), Some(3_900));
        engine.close().unwrap();
    }
}
