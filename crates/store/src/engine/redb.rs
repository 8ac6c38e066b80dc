//! redb, the second engine: the same rows behind the same journal.

use std::path::{Path, PathBuf};

use ::redb::{Database, Durability, Error, ReadableDatabase, TableDefinition};

use super::{Engine, Visit, guarded};
use crate::disk;
use crate::error::StoreError;
use crate::row::{RowChange, Space};

type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// Most rows in one transaction, so that a long replay does not gather in memory.
const TRANSACTION_ROWS_MAX: usize = 4_096;

#[derive(Debug)]
pub(crate) struct RedbEngine {
    folder: PathBuf,
    database: Database,
}

const fn table(space: Space) -> Rows {
    match space {
        Space::Data => TableDefinition::new("data"),
        Space::Meta => TableDefinition::new("meta"),
    }
}

impl RedbEngine {
    fn transact(&self, durability: Durability, changes: &[RowChange]) -> Result<(), Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(durability)?;
        {
            let mut data = transaction.open_table(table(Space::Data))?;
            let mut meta = transaction.open_table(table(Space::Meta))?;
            for change in changes {
                let table = match change.space {
                    Space::Data => &mut data,
                    Space::Meta => &mut meta,
                };
                match &change.value {
                    Some(value) => drop(table.insert(change.key.as_slice(), value.as_slice())?),
                    None => drop(table.remove(change.key.as_slice())?),
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

impl Engine for RedbEngine {
    const NAME: &'static str = "redb";

    fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        disk::create_folder(folder)?;
        let path = folder.join("rows.redb");
        let cache_bytes = usize::try_from(cache_bytes).unwrap_or(usize::MAX);
        let database = guarded(Self::NAME, "open", || Database::builder().set_cache_size(cache_bytes).create(&path))?;
        let engine = Self { folder: folder.to_owned(), database };
        guarded(Self::NAME, "create tables", || engine.transact(Durability::Immediate, &[]))?;
        disk::sync_below(folder)?;
        Ok(engine)
    }

    fn value(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        guarded(Self::NAME, "read", || {
            let rows = self.database.begin_read()?.open_table(table(space))?;
            let value = rows.get(key)?.map(|value| value.value().to_vec());
            Ok::<_, Error>(value)
        })
    }

    fn scan(&self, space: Space, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        guarded(Self::NAME, "scan", || {
            let rows = self.database.begin_read()?.open_table(table(space))?;
            for row in rows.range::<&[u8]>(from..to)? {
                let (key, value) = row?;
                if !visit(key.value(), value.value()) {
                    break;
                }
            }
            Ok::<_, Error>(())
        })
    }

    fn write(&self, changes: &[RowChange]) -> Result<(), StoreError> {
        for changes in changes.chunks(TRANSACTION_ROWS_MAX) {
            guarded(Self::NAME, "write", || self.transact(Durability::None, changes))?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        guarded(Self::NAME, "flush", || self.transact(Durability::Immediate, &[]))?;
        disk::sync_below(&self.folder)
    }

    fn close(self) -> Result<(), StoreError> {
        self.sync()?;
        let Self { folder, database } = self;
        guarded(Self::NAME, "close", || {
            drop(database);
            Ok::<_, Error>(())
        })?;
        disk::sync_below(&folder)
    }
}
