//! What became of a leaf, and what rules and people make of it.

use comity_model::{RegisterKey, Value};
use serde_json::Value as Json;

use super::leaf::leaf_of;
use super::merged::Moments;

/// One of the two who changed a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The one.
    Ours,
    /// The other.
    Theirs,
    /// Both, for what both had seen.
    Both,
}

/// What became of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nobody touched it.
    Unchanged,
    /// One changed it, knowing what stood there: it is as that one left it.
    OneSided(Who),
    /// Both changed it, to the same.
    Agreement,
    /// Both changed it, differently: both values stand, and it is listed.
    Conflict,
    /// What this one wrote, or what neither touched, is neither shown nor listed. Must never be.
    Lost(Who),
}

/// One leaf of a three-way merge. `None` is a leaf that is not there.
#[derive(Clone, Debug, PartialEq)]
pub struct LeafOutcome {
    /// Where it stands.
    pub register: RegisterKey,
    /// What both had seen.
    pub base: Option<Value>,
    /// What the one left.
    pub ours: Option<Value>,
    /// What the other left.
    pub theirs: Option<Value>,
    /// What Automerge shows after the merge. That is no verdict.
    pub shown: Option<Value>,
    /// What became of it.
    pub fate: Fate,
}

/// A rule that may settle a leaf in conflict. What only one changed stands under every rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Merge what can be merged, leaf by leaf, and leave the rest to people.
    MergeFields,
    /// The later write, where the times are known and further apart than the clocks may be.
    LastWriteWins,
    /// Ours.
    KeepOurs,
    /// Theirs.
    KeepTheirs,
    /// Whatever Automerge shows, which depends on the ids of devices.
    Shown,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 5] = [Self::MergeFields, Self::LastWriteWins, Self::KeepOurs, Self::KeepTheirs, Self::Shown];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MergeFields => "merge-fields",
            Self::LastWriteWins => "last-write-wins",
            Self::KeepOurs => "keep ours",
            Self::KeepTheirs => "keep theirs",
            Self::Shown => "what Automerge shows",
        }
    }

    /// Gives the leaf under this rule; outer `None` when the rule leaves it to people, inner `None` when it is then gone.
    pub fn settle(self, leaf: &LeafOutcome, moments: &Moments) -> Option<Option<Value>> {
        if leaf.fate != Fate::Conflict {
            return Some(leaf.shown.clone());
        }
        match self {
            Self::MergeFields => None,
            Self::KeepOurs => Some(leaf.ours.clone()),
            Self::KeepTheirs => Some(leaf.theirs.clone()),
            Self::Shown => Some(leaf.shown.clone()),
            Self::LastWriteWins => {
                let (ours, theirs) = (moments.ours?, moments.theirs?);
                let apart_ms = ours.wall_ms.saturating_sub(theirs.wall_ms);
                if apart_ms.unsigned_abs() <= moments.uncertainty_ms.unsigned_abs() {
                    return None;
                }
                Some(if apart_ms > 0 { leaf.ours.clone() } else { leaf.theirs.clone() })
            }
        }
    }
}

/// How what people made of a leaf relates to what the two had left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// What both had left.
    Both,
    /// What the one left.
    Ours,
    /// What the other left.
    Theirs,
    /// What stood there before.
    Base,
    /// A list with all that either put in and without all that either took out.
    Combined,
    /// Something else.
    Neither,
}

impl Relation {
    /// All relations, in the order in which they are asked for.
    pub const ALL: [Self; 6] = [Self::Both, Self::Ours, Self::Theirs, Self::Base, Self::Combined, Self::Neither];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both alike",
            Self::Ours => "ours",
            Self::Theirs => "theirs",
            Self::Base => "back to the base",
            Self::Combined => "both combined",
            Self::Neither => "something else",
        }
    }
}

/// Compares what people made of a leaf with what the two had left.
pub fn relation(leaf: &LeafOutcome, people: Option<&Value>) -> Relation {
    let is = |side: &Option<Value>| side.as_ref() == people;
    match (is(&leaf.ours), is(&leaf.theirs)) {
        (true, true) => Relation::Both,
        (true, false) => Relation::Ours,
        (false, true) => Relation::Theirs,
        (false, false) if is(&leaf.base) => Relation::Base,
        (false, false) if is_combined(leaf, people) => Relation::Combined,
        (false, false) => Relation::Neither,
    }
}

fn is_combined(leaf: &LeafOutcome, people: Option<&Value>) -> bool {
    let items = |value: Option<&Value>| match value.map(leaf_of) {
        None => Some(Vec::new()),
        Some(Some(Json::Array(items))) => Some(items),
        Some(_) => None,
    };
    let all = (items(leaf.base.as_ref()), items(leaf.ours.as_ref()), items(leaf.theirs.as_ref()), items(people));
    let (Some(base), Some(ours), Some(theirs), Some(people)) = all else { return false };
    [ours, theirs].iter().all(|side| {
        let put_in = side.iter().filter(|item| !base.contains(item));
        let taken_out = base.iter().filter(|item| !side.contains(item));
        put_in.into_iter().all(|item| people.contains(item)) && !taken_out.into_iter().any(|item| people.contains(item))
    })
}
