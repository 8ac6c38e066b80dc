//! The stores that have an engine.

use std::path::Path;

use bytes::Bytes;
use comity_model::DocumentId;

use crate::error::{OpenError, StoreError};
use crate::guarded::Guarded;
use crate::op::{DocumentSummary, Op, StoredDocument};
use crate::options::Options;
use crate::report::OpenReport;
use crate::store::{Store, StoreStats};

macro_rules! engine_store {
    ($(#[$doc:meta])* $name:ident, $engine:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(Guarded<$engine>);

        impl $name {
            /// Opens the store in a folder, or creates it there.
            ///
            /// After an unclean stop the journal is replayed and everything is verified. Damaged engine files are set
            /// aside into `damaged-…`, and the store goes on with all that can still be read; the report names every
            /// document that lost something, and so do those of later openings until [`Store::acknowledge`] is called.
            ///
            /// # Errors
            /// When the folder is in use, holds something else or the store of another engine, or when the disk fails.
            pub fn open(folder: &Path, options: Options) -> Result<(Self, OpenReport), OpenError> {
                crate::open::open(folder, options).map(|(store, report)| (Self(Guarded::new(store)), report))
            }

            /// Writes the engine's files anew, whatever their size. Commits wait meanwhile. Gives their bytes before
            /// and after.
            ///
            /// # Errors
            /// All are final; nothing is lost.
            pub fn compact(&self) -> Result<(u64, u64), StoreError> {
                self.0.long_call("write its files anew", |store| store.compact(&mut |_| {}))
            }
        }

        impl Store for $name {
            fn commit(&self, ops: &[Op]) -> Result<(), StoreError> {
                let ops = ops.to_vec();
                self.0.long_call("commit a group", move |store| store.commit(&ops))
            }

            fn load(&self, document: &DocumentId) -> Result<Option<StoredDocument>, StoreError> {
                let document = *document;
                self.0.call("load a document", move |store| store.load(&document))
            }

            fn summary(&self, document: &DocumentId) -> Result<Option<DocumentSummary>, StoreError> {
                let document = *document;
                self.0.call("describe a document", move |store| store.summary(&document))
            }

            fn documents(&self) -> Result<Vec<DocumentId>, StoreError> {
                self.0.call("list its documents", Store::documents)
            }

            fn meta(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
                let key = key.to_owned();
                self.0.call("read a node-level row", move |store| store.meta(&key))
            }

            fn meta_keys(&self) -> Result<Vec<String>, StoreError> {
                self.0.call("list its node-level rows", Store::meta_keys)
            }

            fn acknowledge(&self) -> Result<(), StoreError> {
                // Passed by what stops the store at an error: a report that stays is told again, and that is all.
                self.0.call("acknowledge what it reported", |store| Ok(store.acknowledge()))?
            }

            fn ends_by_itself(&self) -> bool {
                true
            }

            fn checkpoint(&self) -> Result<(), StoreError> {
                self.0.long_call("make a checkpoint", Store::checkpoint)
            }

            fn close(&self) -> Result<(), StoreError> {
                self.0.long_call("close", Store::close)
            }

            fn stats(&self) -> Result<StoreStats, StoreError> {
                // It waits for the writer, which may be busy with a long call.
                self.0.long_call("count", Store::stats)
            }
        }
    };
}

engine_store!(
    /// The store that devices and relays use: a journal in front of sled.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use comity_model::{DocumentId, Heads};
    /// use comity_store::{Op, Options, SledStore, Store};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// let (store, report) = SledStore::open(folder, Options::default())?;
    /// assert!(!report.is_damaged());
    /// let document = DocumentId::from_bytes([7; 16]);
    /// let chunk = Bytes::from_static(b"a change");
    /// store.commit(&[Op::Append { document, chunks: vec![chunk.clone()], heads: Heads::default() }])?;
    /// // From here on the change survives a power loss.
    /// let stored = store.load(&document)?.ok_or("just stored")?;
    /// assert_eq!(stored.changes, [chunk]);
    /// store.close()?;
    /// # Ok(())
    /// # }
    /// ```
    SledStore,
    crate::engine::sled::SledEngine
);

#[cfg(feature = "redb")]
engine_store!(
    /// The same store with redb in the place of sled.
    RedbStore,
    crate::engine::redb::RedbEngine
);
