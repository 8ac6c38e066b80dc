//! How a run ended.

use std::fmt;

use comity_model::{ChangeHash, DocumentId, PeerId};

use crate::plan::seconds;
use crate::{Coverage, Profile};

/// A run in which every promise was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Digest of every input and every effect: the same seed gives the same digest.
    pub trace_digest: u64,
    /// Inputs given to engines.
    pub inputs: u64,
    /// Messages handed to links.
    pub messages: u64,
    /// Messages handed to links after the last fault was healed.
    pub messages_after_healing: u64,
    /// How long it took until all was quiet after the last fault was healed, in virtual microseconds.
    pub quiet_after_us: u64,
    /// What was seen.
    pub coverage: Coverage,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// An edit that was called saved is missing.
    #[error("change {change} of {document} was called saved, but {node} does not have it")]
    Lost {
        /// The change.
        change: ChangeHash,
        /// Of which document.
        document: DocumentId,
        /// Where it is missing.
        node: String,
    },
    /// Nodes disagree.
    #[error("{document} differs: {node} has {theirs}, {reference} has {ours}")]
    Diverged {
        /// The document.
        document: DocumentId,
        /// One node.
        node: String,
        /// The other.
        reference: String,
        /// Of the one.
        theirs: String,
        /// Of the other.
        ours: String,
    },
    /// The conflicts that a node lists are not those of its changes.
    #[error("{node} lists other conflicts of {document} than {reference}: {detail}")]
    ConflictsDiffer {
        /// The document.
        document: DocumentId,
        /// One node.
        node: String,
        /// What it is compared with.
        reference: String,
        /// Where they part.
        detail: String,
    },
    /// A decision that was called saved is not known.
    #[error("{decision} of {document} was called saved in change {change}, and no review knows it")]
    DecisionLost {
        /// The document.
        document: DocumentId,
        /// The decision's id.
        decision: String,
        /// The change that is to hold it.
        change: ChangeHash,
    },
    /// A value is gone, and nobody was asked.
    #[error("what change {change} wrote to {place} of {document} {how}")]
    SilentLoss {
        /// The document.
        document: DocumentId,
        /// The register.
        place: String,
        /// The change.
        change: ChangeHash,
        /// How.
        how: String,
    },
    /// A disk holds something else than memory.
    #[error("{document} on the disk of {node} is not what is in its memory: {detail}")]
    DiskDiffers {
        /// The document.
        document: DocumentId,
        /// Where.
        node: String,
        /// What is wrong.
        detail: String,
    },
    /// A device said that the relay has a change that is not on the relay's disk.
    #[error("{node} says that all of {document} is on the relay's disk, but its change {change} is not")]
    Dishonest {
        /// The device.
        node: String,
        /// The document.
        document: DocumentId,
        /// The change.
        change: ChangeHash,
    },
    /// All is quiet, but a device does not know that the relay has everything.
    #[error("all is quiet, and {node} does not know that the relay has all of {document} (behind: {behind:?})")]
    NeverSynced {
        /// The device.
        node: String,
        /// The document.
        document: DocumentId,
        /// How many changes, as far as it knows.
        behind: Option<usize>,
    },
    /// An edit was neither saved nor lost in a crash.
    #[error("{node} made an edit of {document}, and never heard whether it was saved")]
    NeverSaved {
        /// The device.
        node: String,
        /// The document.
        document: DocumentId,
    },
    /// A document could not be read.
    #[error("{node} cannot read {document}: {detail}")]
    Unreadable {
        /// Where.
        node: String,
        /// Which.
        document: DocumentId,
        /// Why.
        detail: String,
    },
    /// An engine holds more than it may.
    #[error("{node} holds {actual} {what}; {limit} are allowed")]
    OverLimit {
        /// Which.
        node: String,
        /// Of what.
        what: &'static str,
        /// How many.
        actual: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A document's store failed, and nobody was told which.
    #[error("{node} was told by its store that {document} failed, and tells nobody")]
    NotNamed {
        /// Where.
        node: String,
        /// Which.
        document: DocumentId,
    },
    /// The time of a change is before something that its author had seen, or far from any clock.
    #[error("{node} made a change of {document} at a time that cannot be: {detail}")]
    Time {
        /// Who.
        node: String,
        /// Where.
        document: DocumentId,
        /// Which time, and why it cannot be.
        detail: String,
    },
    /// A short-lived message was told twice.
    #[error("{node} hears the same short-lived message of {sender} twice")]
    HeardTwice {
        /// Who.
        node: String,
        /// Whose.
        sender: PeerId,
    },
    /// An honest peer was accused.
    #[error("{node} treats an honest peer as hostile: {detail}")]
    Accused {
        /// By whom.
        node: String,
        /// How.
        detail: String,
    },
    /// What one node wrote the other could not read.
    #[error("{node} cannot read a frame of a peer: {detail}")]
    Frame {
        /// Who.
        node: String,
        /// Why.
        detail: String,
    },
    /// The world did not come to rest.
    #[error("not quiet {after_s} s after everything was healed, {messages} messages later")]
    NeverQuiet {
        /// Virtual time since.
        after_s: u64,
        /// Messages since.
        messages: u64,
    },
    /// More was said than there was to say.
    #[error("{messages} messages were sent before all was quiet; {limit} are enough for what there was to say")]
    TooMuchTalk {
        /// How many.
        messages: u64,
        /// How many there may be.
        limit: u64,
    },
    /// The same seed gave another trace.
    #[error("a second run of the same seed went another way: trace {first:016x}, then {second:016x}")]
    NotDeterministic {
        /// Digest of the first run.
        first: u64,
        /// Digest of the second.
        second: u64,
    },
    /// Something panicked.
    #[error("panicked: {message}")]
    Panicked {
        /// What it said.
        message: String,
    },
}

/// Lines of the trace that a printed failure shows.
const LINES_SHOWN: usize = 60;

/// A run in which a promise was broken.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Under which conditions.
    pub profile: Profile,
    /// Of the dice.
    pub seed: u64,
    /// How many operations the plan was drawn with.
    pub operations: usize,
    /// What is wrong.
    pub violation: Box<Violation>,
    /// When, in virtual microseconds.
    pub at_us: u64,
    /// The last things that happened; printing the failure shows the end of it.
    pub trace: Vec<String>,
}

impl Failure {
    /// Gives the command that runs this seed again.
    pub fn command(&self) -> String {
        let Self { profile, seed, operations, .. } = self;
        format!("cargo xtask soak --profile {profile} --seed {seed} --operations {operations}")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped = self.trace.len().saturating_sub(LINES_SHOWN);
        for line in &self.trace[skipped..] {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "at {:.6} s of virtual time: {}", seconds(self.at_us), self.violation)?;
        write!(f, "run it again: {}", self.command())
    }
}

impl std::error::Error for Failure {}
