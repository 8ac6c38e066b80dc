//! What can go wrong, one family per enum.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use comity_model::DocumentId;

use crate::report::Damage;

/// Says why an operation on an open store failed.
///
/// [`StoreError::is_final`] tells whether the handle is of no more use. Errors are cheap to clone, because one failed
/// group answers many callers.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused a read or a write. Final.
    #[error("cannot {what} {path}: {source}; close the store, look at the disk, open it again", path = path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// The engine failed or panicked. Final.
    #[error("{engine} failed to {what}: {message}; close the store and open it again: it recovers from its journal")]
    Engine {
        /// Which engine.
        engine: &'static str,
        /// What was tried.
        what: &'static str,
        /// What the engine said.
        message: String,
    },
    /// The disk has less free space than the floor. Nothing was written; reads go on, and so do writes once there is
    /// space.
    #[error(
        "the disk of {folder} has {free_bytes} bytes free, below the floor of {floor_bytes}: free some space; reading still works",
        folder = folder.display()
    )]
    Full {
        /// The folder of the store.
        folder: PathBuf,
        /// Free bytes.
        free_bytes: u64,
        /// Free bytes that must stay.
        floor_bytes: u64,
    },
    /// Something is above its limit. Nothing was written.
    #[error("{what} has {actual}, above the limit of {max}")]
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// Its size.
        actual: u64,
        /// The most allowed.
        max: u64,
    },
    /// A key of a node-level row is empty, too long, or holds a control character. Nothing was written.
    #[error("the key {key:?} must be 1 to {max} bytes without control characters")]
    InvalidMetaKey {
        /// The key, cut to a readable length.
        key: String,
        /// The most bytes allowed.
        max: usize,
    },
    /// A document is not what was stored. The other documents are not touched.
    #[error("document {document} is damaged on disk: {damage}; run `comity store verify`, then open the store again")]
    DamagedDocument {
        /// Which document.
        document: DocumentId,
        /// The first damage found.
        damage: Damage,
    },
    /// A node-level row is not what was stored.
    #[error("the node-level row {key:?} is damaged on disk; run `comity store verify`, then open the store again")]
    DamagedMeta {
        /// Which row.
        key: String,
    },
    /// An earlier error was final for this handle.
    #[error("the store has stopped: {cause}")]
    Stopped {
        /// The error that stopped it, in words.
        cause: Arc<str>,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The engine did not answer in time. Final: the call may still be going on.
    #[error("the store did not {what} within {} s: it may hang on a full or broken disk; end this process and start it again", after.as_secs())]
    Deadline {
        /// What was tried.
        what: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
}

impl StoreError {
    /// Tells whether the handle that gave this error is of no more use: stop, open again, recover.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Io { .. } | Self::Engine { .. } | Self::Stopped { .. } | Self::Closed | Self::Deadline { .. }
        )
    }

    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source: Arc::new(source) }
    }
}

/// Says why a store could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another handle has the folder open.
    #[error(
        "{folder} is in use by {holder}: stop it first, or choose another folder",
        folder = folder.display(),
        holder = match pid { Some(pid) => format!("process {pid}"), None => "another process".to_owned() }
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The process that holds it, when it said so.
        pid: Option<u32>,
    },
    /// The folder holds something else.
    #[error("{folder} is not empty and not a Comity store: choose another folder", folder = folder.display())]
    NotAStore {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder is a store of another engine.
    #[error(
        "{folder} was made with the engine {found}, this program uses {wanted}: use a program built for {found}, or back up there and restore here",
        folder = folder.display()
    )]
    OtherEngine {
        /// The folder.
        folder: PathBuf,
        /// The engine it was made with.
        found: String,
        /// The engine of this handle.
        wanted: &'static str,
    },
    /// The format file cannot be read, or is of a later version.
    #[error(
        "{path} says {found:?}, this program reads {wanted:?}: update the program; if the file is damaged, use `comity store salvage`",
        path = path.display()
    )]
    Format {
        /// The format file.
        path: PathBuf,
        /// What it holds, cut to a readable length.
        found: String,
        /// What it should hold.
        wanted: String,
    },
    /// The folder that a store is to be written into is not empty.
    #[error("{folder} is not empty: choose an empty or a new folder", folder = folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no store to read.
    #[error("{folder} holds no Comity store", folder = folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// The operating system or the engine failed, even on a fresh copy.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Says why a backup could not be written or read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The file is not a backup, or of a later version.
    #[error("{path} is not a Comity backup of a version that this program reads", path = path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
    },
    /// The file is cut short or altered. Nothing was restored.
    #[error("{path} is cut short or altered at byte {offset}: use another copy of the backup", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the first bad row begins.
        offset: u64,
    },
    /// The file to write exists.
    #[error("{path} exists: choose another name", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The folder to restore into cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Reading or writing failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
