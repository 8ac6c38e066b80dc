//! Fallible storage: a journal in front of sled, or redb; integrity, salvage, backup.
//!
//! # Shape
//!
//! A [`Store`] keeps documents (a snapshot and the change chunks since), the states of sync sessions, and small
//! node-level rows. [`SledStore`] is what devices and relays use; `RedbStore` (feature `redb`) is the same store over a
//! second engine; [`MemoryStore`] is for simulation and is the oracle of the tests. [`Writer`] adds a thread and group
//! commit in front of any of them.
//!
//! # Why it is built like this
//!
//! sled 0.34.7 is fast and small, but its `flush` does not survive a power loss, a damaged tail is lost in silence, bit
//! flips panic or hang it, large values leak files, and a full disk breaks it for good. So nothing is acknowledged by
//! sled: a group is acknowledged when it is in our own journal and `fdatasync` has returned. Every row carries a
//! checksum of key and value and describes itself, every document has a manifest (count, digest and heads), and a
//! catalogue beside the engine says which documents there must be and how new. After an unclean stop the journal is
//! replayed and all of it is verified; an engine that does not verify is set aside as evidence and a new one is built
//! from the raw bytes of its files and the journal, and [`OpenReport`] says exactly which document lost what. It says so
//! with every opening, until the caller has it written down and calls [`Store::acknowledge`]: the report is on disk before
//! the repair is, so that no crash hides a loss.
//!
//! A group in the journal that is not whole is either a torn write, which nobody was told is saved, or damage. The
//! difference can be told, because a segment is longer than what is written to it and what is not written is zeros: see
//! `journal`. Every call of a store with an engine has a deadline, and runs where a hang does no harm: see `guarded`.
//!
//! # How it is shown
//!
//! `tests/store/measured.rs` lists each measured fault of sled with the test that shows what becomes of it. Power losses
//! are simulated from a record of everything that a child process does to its files (`tests/store/power`): cut at any
//! moment, what was not flushed dropped, kept or torn. `cargo xtask soak store` runs the same for as long as wanted.
//!
//! # Errors
//!
//! Everything is a value. [`StoreError::is_final`] separates what a caller may go on after (a full disk, a damaged
//! document, something too large) from what ends the handle (stop, open again, recover).

mod apply;
mod backup;
mod catalogue;
mod check;
mod child;
mod compact;
mod damage;
mod disk;
mod document;
mod durable;
mod engine;
mod engines;
mod entry;
mod error;
mod folder;
#[doc(hidden)]
pub mod fuzzing;
mod guarded;
mod journal;
mod kept;
mod memory;
mod op;
mod open;
mod options;
mod rebuild;
mod report;
mod row;
mod salvage;
mod snapshots;
mod store;
mod verify;
mod writer;

pub use backup::{BackupSummary, RESTORED_META_KEY, backup, restore, verify_backup};
pub use child::child_main_if_asked;
pub use compact::compact;
#[cfg(feature = "redb")]
pub use engines::RedbStore;
pub use engines::SledStore;
pub use error::{BackupError, OpenError, StoreError};
pub use kept::{SetAside, set_aside};
pub use memory::MemoryStore;
pub use op::{
    CHUNK_BYTES_MAX, DocumentSummary, GROUP_BYTES_MAX, HEADS_MAX, META_BYTES_MAX, META_KEY_BYTES_MAX, Op,
    SNAPSHOT_BYTES_MAX, SYNC_STATE_BYTES_MAX, SYNC_STATES_MAX, StoredDocument,
};
pub use options::{CACHE_BYTES_MIN, ChildCommand, Options};
pub use report::{
    CompactReport, Damage, DamagedDocument, JournalReport, OpenReport, Progress, SalvageReport, VerifyReport,
};
pub use salvage::salvage;
pub use store::{Store, StoreStats};
pub use verify::verify;
pub use writer::{Done, Writer, WriterOptions};
