//! How to open a node, and why it may not be possible.

use std::path::{Path, PathBuf};

use comity_model::{KindName, KindSchema, Limits};
use comity_store::StoreError;

/// The folder of the store within a data folder.
pub const STORE_FOLDER: &str = "store";

/// What a data folder is for. Its first opening decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A device: somebody edits here.
    Device,
    /// A relay: strangers connect to it.
    Relay,
}

impl Role {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Relay => "relay",
        }
    }
}

/// How to open a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeConfig {
    /// Where everything is kept: device key, store, evidence. Made when it is missing.
    pub folder: PathBuf,
    /// What the folder is for. A device may look into the folder of a relay, but a relay does not serve that of a device.
    pub role: Role,
    /// Every bound.
    pub limits: Limits,
    /// Threads that share the documents. One is right for a device.
    pub shards: u16,
    /// Whether this node wants every document in its store kept in step with the relays it dials. A device does; a
    /// relay does not dial.
    pub wants_all: bool,
    /// Whether change events carry decoded changes.
    pub decode: bool,
    /// Schemas beside the built-in ones; one of the same name takes the built-in one's place.
    pub schemas: Vec<KindSchema>,
}

impl NodeConfig {
    /// The configuration of a device with its data in a folder.
    pub fn device(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            role: Role::Device,
            limits: Limits::default(),
            shards: 1,
            wants_all: true,
            decode: true,
            schemas: Vec::new(),
        }
    }

    /// The configuration of a relay with its data in a folder.
    pub fn relay(folder: impl Into<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(64));
        let shards = u16::try_from(cores).unwrap_or(1);
        Self { role: Role::Relay, shards, wants_all: false, decode: false, ..Self::device(folder) }
    }
}

/// Says why a node could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The operating system refused.
    #[error("cannot {what} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The folder is that of a device, and a relay was to serve it.
    #[error("{} is the data folder of a device, and a relay needs its own", folder.display())]
    OfADevice {
        /// The folder.
        folder: PathBuf,
    },
    /// The device key cannot be used.
    #[error("the device key {} cannot be used: {reason}; restore it from a copy, or move it away to start as a new device", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The operating system has no random bytes.
    #[error("no random bytes from the operating system: {reason}")]
    Random {
        /// What it said.
        reason: String,
    },
    /// The store could not be opened.
    #[error(transparent)]
    OpenStore(#[from] comity_store::OpenError),
    /// The store was opened, then failed.
    #[error(transparent)]
    Store(StoreError),
    /// A schema is not usable.
    #[error("schema {kind}: {reason}")]
    Schema {
        /// Its kind.
        kind: KindName,
        /// What is wrong.
        reason: comity_model::InvalidSchema,
    },
}

impl OpenError {
    pub(crate) fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }
}
