//! How a store is opened.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Least memory of an engine's cache. sled divides it into 256 parts and panics on less than a byte for each; below a
/// page for each it reads every page again for every row.
pub const CACHE_BYTES_MIN: u64 = 1 << 20;

/// How a store is opened. The defaults suit a device and a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Free bytes of the disk below which commits are refused (reads go on). An engine that meets a full disk fails for
    /// good, so the store never lets it come to that. 64 MiB by default.
    pub free_bytes_floor: u64,
    /// Bytes of journal after which the engine is made durable and the journal dropped. 8 MiB by default. More means
    /// fewer flushes and a longer replay.
    pub checkpoint_bytes: u64,
    /// Bytes of engine files below which they are never written anew. 64 MiB by default.
    pub rewrite_bytes_min: u64,
    /// How many times the live data the engine's files may take before they are written anew. 5 by default.
    pub rewrite_ratio: u64,
    /// Memory that the engine is told to use for its cache. 64 MiB by default; less than [`CACHE_BYTES_MIN`] is taken as
    /// that. sled looks at its cache only after 64 reads in each of its 256 parts, so what it read last, some 16,000 pages,
    /// stays whatever is set here: 440 MB were measured after reading 810 MB, with 1 MiB as with 64.
    pub cache_bytes: u64,
    /// How long another handle's lock is waited for: one that was just dropped may still be going. 2 s by default.
    pub lock_patience: Duration,
    /// How long the engine may take to open, and to be scanned after an unclean stop: this, and 1 s more for every
    /// 4 MiB of its files. 30 s by default.
    pub open_deadline: Duration,
    /// How long a call may take before the store is given up: an engine on a broken or full disk may hang for ever. Calls
    /// that may read or write all of the engine's files get 1 s more for every 4 MiB of them. 60 s by default.
    pub call_deadline: Duration,
    /// How to run this program as the child process that tries out a possibly damaged engine. `None` means the running
    /// executable, if it called [`child_main_if_asked`](crate::child_main_if_asked); if it did not, the engine is tried
    /// out in this process, on a thread with a deadline.
    pub child: Option<ChildCommand>,
}

/// A command that leads to [`child_main_if_asked`](crate::child_main_if_asked).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Options {
    /// Gives the cache that an engine gets.
    pub(crate) fn cache(&self) -> u64 {
        self.cache_bytes.max(CACHE_BYTES_MIN)
    }
}

impl Default for Options {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            free_bytes_floor: 64 * MIB,
            checkpoint_bytes: 8 * MIB,
            rewrite_bytes_min: 64 * MIB,
            rewrite_ratio: 5,
            cache_bytes: 64 * MIB,
            lock_patience: Duration::from_secs(2),
            open_deadline: Duration::from_secs(30),
            call_deadline: Duration::from_secs(60),
            child: None,
        }
    }
}
