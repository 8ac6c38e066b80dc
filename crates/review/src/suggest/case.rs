//! What a suggestion is asked about.

use comity_model::Value;

/// A place in the order of roles, verified by a grant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// How much it counts: 1 is the least. See [`Case::ranks`].
    pub rank: u32,
}

/// Somebody who wrote a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Author {
    /// What is the same for all that they write: the tag of the device, or the id of the user.
    pub id: String,
    /// What they are called, for the words of the explanation.
    pub label: String,
    /// Their role, when it is verified. A role that somebody claims is none.
    pub role: Option<Role>,
}

/// One of the values that stand against each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The value; `None` is a removal.
    pub value: Option<Value>,
    /// Who wrote it, not knowing of each other. Each counts once, whatever the order.
    pub authors: Vec<Author>,
    /// Whether one of them gave a reason: a remark in the same change.
    pub has_remark: bool,
    /// Whether one of them had seen one of the other values.
    pub has_seen_other: bool,
    /// When it was last written, in milliseconds since 1970, where that is known.
    pub written_ms: Option<i64>,
    /// How long before writing its author had last heard of others, in milliseconds, where that is known.
    pub stale_ms: Option<i64>,
}

impl Candidate {
    /// A value of which nothing else is known.
    pub const fn of(value: Option<Value>) -> Self {
        Self { value, authors: Vec::new(), has_remark: false, has_seen_other: false, written_ms: None, stale_ms: None }
    }
}

/// A choice between values of one register.
///
/// A conflict of more than two sides is one case with as many candidates, not several cases: what is learned from it is
/// that the kept value was preferred to each of the others, which are pairs; but the pairs share one decision, so together
/// they weigh as much as one, and in the measurement of skill they are one trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The kind of the document.
    pub kind: String,
    /// The field.
    pub field: String,
    /// What stood there when the sides parted; `None` when nothing did, or it is not one value.
    pub base: Option<Value>,
    /// The values, two or more, in the same order on every device.
    pub candidates: Vec<Candidate>,
    /// Which of them is shown while nobody has decided.
    pub shown: usize,
    /// How many ranks the space's roles have, 0 when they have no order.
    pub ranks: u32,
    /// How far apart two clocks may be, in milliseconds.
    pub uncertainty_ms: i64,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// This candidate's value.
    Candidate(usize),
    /// Another value than all of them.
    Neither,
}

/// A case with its decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// The case.
    pub case: Case,
    /// The decision.
    pub kept: Kept,
}

impl Case {
    /// Most candidates that are looked at. A case with more is passed over.
    pub const CANDIDATES_MAX: usize = 16;

    /// Tells whether there is something to choose from, and not too much.
    pub fn is_sound(&self) -> bool {
        (2..=Self::CANDIDATES_MAX).contains(&self.candidates.len()) && self.shown < self.candidates.len()
    }
}
