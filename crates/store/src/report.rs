//! What was found: damage, and the reports of opening, verifying and salvaging.

use std::fmt;
use std::path::PathBuf;

use comity_model::{DocumentId, Heads};

/// One way in which what is on disk differs from what was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// Nothing of the document is left.
    Gone,
    /// The row that describes the document is lost; its heads are unknown.
    ManifestLost,
    /// The document is older than what was acknowledged.
    Stale,
    /// The heads cannot be read; load the document to learn them.
    HeadsLost,
    /// A row does not have the content that was written.
    Row,
    /// Change chunks are lost.
    ChangesLost {
        /// How many are there.
        found: u64,
        /// How many there should be.
        expected: u64,
    },
    /// The change chunks are there, but are not those that were written.
    ChangesAltered,
    /// The snapshot is lost.
    SnapshotLost,
    /// The snapshot is not the one that was written.
    SnapshotAltered,
    /// The state of a sync session is lost: harmless, the next session takes one more round trip.
    SyncStateLost,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("nothing of it is left"),
            Self::ManifestLost => f.write_str("the row that describes it is lost"),
            Self::Stale => f.write_str("it is older than what was acknowledged"),
            Self::HeadsLost => f.write_str("its heads are lost"),
            Self::Row => f.write_str("a row was altered"),
            Self::ChangesLost { found, expected } => write!(f, "{found} of {expected} change chunks are left"),
            Self::ChangesAltered => f.write_str("its change chunks were altered"),
            Self::SnapshotLost => f.write_str("its snapshot is lost"),
            Self::SnapshotAltered => f.write_str("its snapshot was altered"),
            Self::SyncStateLost => f.write_str("the state of a sync session is lost (harmless)"),
        }
    }
}

/// A document and what it lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedDocument {
    /// Which document.
    pub document: DocumentId,
    /// The heads that it had, when they are still known: once a document covers them, nothing that was acknowledged is
    /// missing any more.
    pub heads: Option<Heads>,
    /// What it lost, without duplicates.
    pub damage: Vec<Damage>,
}

/// What reading the journal found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalReport {
    /// Groups that were read.
    pub groups: u64,
    /// Bytes after the last whole group. After a power loss or a kill this is a group that nobody was told is saved,
    /// unless `altered_groups` counts it.
    pub tail_bytes: u64,
    /// Groups that are missing or damaged although later ones are there: acknowledged groups that are lost.
    pub lost_groups: u64,
    /// The very last group was written in full and is not what was written: an acknowledged group, most likely, that is
    /// lost.
    pub altered_groups: u64,
    /// Segments whose header is damaged, or which are missing.
    pub damaged_segments: u64,
    /// Segments that are shorter than they were: acknowledged groups may be lost.
    pub cut_segments: u64,
}

impl JournalReport {
    /// Tells whether acknowledged groups may be lost (a torn tail alone is not damage).
    pub fn is_damaged(&self) -> bool {
        self.groups_lost() + self.segments_harmed() > 0
    }

    /// Gives the acknowledged groups that are lost: missing, damaged, or altered at the very end.
    pub fn groups_lost(&self) -> u64 {
        self.lost_groups + self.altered_groups
    }

    /// Gives the segments that are damaged, missing or shorter than they were.
    pub fn segments_harmed(&self) -> u64 {
        self.damaged_segments + self.cut_segments
    }
}

/// What opening a store found and did, and the damage that earlier openings found and nobody acknowledged: see
/// [`Store::acknowledge`](crate::Store::acknowledge).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OpenReport {
    /// The folder was new.
    pub created: bool,
    /// The store had been closed properly; nothing was replayed or verified.
    pub clean: bool,
    /// What the journal held.
    pub journal: JournalReport,
    /// Rows of the catalogue (the list of what must be there) that could not be read.
    pub catalogue_rows_lost: u64,
    /// Where the damaged engine files and the journal were set aside, as evidence; the newest folder, when there are
    /// several. `None` when nothing was damaged.
    pub set_aside: Option<PathBuf>,
    /// Why the engine's files were not trusted, in words.
    pub reason: Option<String>,
    /// Rows that the rebuild took from the damaged files.
    pub rebuilt_rows: u64,
    /// Documents that lost something, with what.
    pub damaged: Vec<DamagedDocument>,
    /// Node-level rows that are lost.
    pub meta_rows_lost: u64,
    /// Snapshot files that nothing refers to any more and that were removed.
    pub snapshots_removed: u64,
}

impl OpenReport {
    /// Tells whether something that was acknowledged may be lost.
    pub fn is_damaged(&self) -> bool {
        self.journal.is_damaged()
            || self.catalogue_rows_lost > 0
            || self.set_aside.is_some()
            || !self.damaged.is_empty()
            || self.meta_rows_lost > 0
    }
}

/// What verifying a store at rest found. Nothing was changed, save what the engine itself does when it opens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Which engine.
    pub engine: String,
    /// The store had been closed properly.
    pub clean: bool,
    /// What the journal holds; it is replayed at the next opening.
    pub journal: JournalReport,
    /// Rows of the catalogue that could not be read.
    pub catalogue_rows_lost: u64,
    /// Why the engine could not be opened or scanned, in words.
    pub engine_error: Option<String>,
    /// Documents that were checked.
    pub documents: u64,
    /// Rows that were checked.
    pub rows: u64,
    /// Documents that are not as they were stored.
    pub damaged: Vec<DamagedDocument>,
    /// Documents that the engine does not hold whole yet, because their last groups are still in the journal.
    pub waiting_for_replay: u64,
    /// Node-level rows that are lost.
    pub meta_rows_lost: u64,
    /// What earlier openings found and nobody acknowledged yet: it is repaired as far as it could be, and the next
    /// opening tells it. `None` when there is nothing.
    pub unacknowledged: Option<OpenReport>,
}

impl VerifyReport {
    /// Tells whether something in these files is not as it was stored. What was lost and repaired before is told by
    /// [`unacknowledged`](Self::unacknowledged).
    pub fn is_damaged(&self) -> bool {
        self.journal.is_damaged()
            || self.catalogue_rows_lost > 0
            || self.engine_error.is_some()
            || !self.damaged.is_empty()
            || self.meta_rows_lost > 0
    }
}

/// What salvaging a damaged store gave, and what an earlier opening reported lost and nobody acknowledged. The first
/// opening of the new store tells all of it again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Documents in the new store.
    pub documents: u64,
    /// Rows that were taken from the damaged files.
    pub rows: u64,
    /// What the journal held.
    pub journal: JournalReport,
    /// Rows of the catalogue that could not be read.
    pub catalogue_rows_lost: u64,
    /// Documents that lost something, with what.
    pub damaged: Vec<DamagedDocument>,
    /// Node-level rows that are lost.
    pub meta_rows_lost: u64,
}

impl SalvageReport {
    /// Tells whether something that was acknowledged may be lost.
    pub fn is_damaged(&self) -> bool {
        self.journal.is_damaged() || self.catalogue_rows_lost > 0 || !self.damaged.is_empty() || self.meta_rows_lost > 0
    }
}

/// What compacting gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CompactReport {
    /// Which engine.
    pub engine: String,
    /// Documents in the store.
    pub documents: u64,
    /// Bytes of the engine's files before.
    pub bytes_before: u64,
    /// Bytes of the engine's files after.
    pub bytes_after: u64,
    /// What opening the store found and did.
    pub opened: OpenReport,
}

/// How far a long operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Documents done.
    pub documents: u64,
    /// Documents in all, 0 when unknown.
    pub documents_total: u64,
    /// Bytes read or written so far.
    pub bytes: u64,
}
