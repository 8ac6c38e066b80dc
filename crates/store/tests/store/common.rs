//! What the stories share.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use comity_model::{ChangeHash, DocumentId, Heads, StorageId};
use comity_store::{Op, OpenError, OpenReport, Options, SledStore, Store, StoreError};

/// An engine under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sled,
    #[cfg(feature = "redb")]
    Redb,
}

impl Engine {
    pub const ALL: &[Self] = &[
        Self::Sled,
        #[cfg(feature = "redb")]
        Self::Redb,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            #[cfg(feature = "redb")]
            Self::Redb => "redb",
        }
    }

    pub fn try_open(self, folder: &Path, options: Options) -> Result<(Opened, OpenReport), OpenError> {
        match self {
            Self::Sled => {
                SledStore::open(folder, options).map(|(store, report)| (Opened::Sled(Arc::new(store)), report))
            }
            #[cfg(feature = "redb")]
            Self::Redb => comity_store::RedbStore::open(folder, options)
                .map(|(store, report)| (Opened::Redb(Arc::new(store)), report)),
        }
    }

    pub fn open(self, folder: &Path) -> Opened {
        let (store, report) = self.try_open(folder, options()).unwrap();
        assert!(!report.is_damaged(), "{report:?}");
        store
    }
}

/// An open store of any engine.
#[derive(Clone)]
pub enum Opened {
    Sled(Arc<SledStore>),
    #[cfg(feature = "redb")]
    Redb(Arc<comity_store::RedbStore>),
}

impl Opened {
    pub fn shared(&self) -> Arc<dyn Store> {
        match self {
            Self::Sled(store) => Arc::clone(store) as _,
            #[cfg(feature = "redb")]
            Self::Redb(store) => Arc::clone(store) as _,
        }
    }

    pub fn compact(&self) -> Result<(u64, u64), StoreError> {
        match self {
            Self::Sled(store) => store.compact(),
            #[cfg(feature = "redb")]
            Self::Redb(store) => store.compact(),
        }
    }
}

impl std::ops::Deref for Opened {
    type Target = dyn Store;

    fn deref(&self) -> &dyn Store {
        match self {
            Self::Sled(store) => &**store,
            #[cfg(feature = "redb")]
            Self::Redb(store) => &**store,
        }
    }
}

pub fn options() -> Options {
    Options { free_bytes_floor: 0, ..Options::default() }
}

pub fn document(id: u8) -> DocumentId {
    DocumentId::from_bytes([id; 16])
}

pub fn heads(ids: impl IntoIterator<Item = u64>) -> Heads {
    let hash = |id: u64| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&id.to_be_bytes());
        ChangeHash(hash)
    };
    ids.into_iter().map(hash).collect()
}

pub fn peer(name: &str) -> StorageId {
    StorageId::new(name).unwrap()
}

/// Bytes that are not all alike.
pub fn noise(len: usize, seed: u64) -> Bytes {
    let mut random = Random(seed);
    let mut bytes = vec![0; len];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&random.next().to_be_bytes()[..chunk.len()]);
    }
    bytes.into()
}

pub fn append(id: u8, chunks: &[Bytes], head: u64) -> Op {
    Op::Append { document: document(id), chunks: chunks.to_vec(), heads: heads([head]) }
}

pub fn replace(id: u8, snapshot: Bytes, head: u64) -> Op {
    Op::Replace { document: document(id), snapshot, heads: heads([head]) }
}

/// A small generator: the same numbers in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Copies a folder as it is now, whoever writes to it: what a crash at this moment leaves.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else if let Err(error) = std::fs::copy(&path, &target) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{path:?}");
        }
    }
}

/// Lists the files below a folder.
pub fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// Makes a folder in memory where there is one: what these stories tell does not hang on a disk, and flushing one is
/// slow. A kill leaves the same files either way.
pub fn tempdir() -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}
