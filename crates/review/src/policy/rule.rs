//! The rules by which a conflict may be settled.

use std::fmt;
use std::str::FromStr;

use super::nearest;

/// One rule. A policy lists several for a field, and the first that decides wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Rule {
    /// The value written last is shown, if the clocks can tell which that is.
    LastWriteWins,
    /// Writes to different fields stand side by side.
    MergeFields,
    /// The value of whoever has the higher role is shown.
    UserPriority,
    /// The value of each device stands for that device.
    DeviceSpecific,
    /// A person decides.
    Manual,
    /// Never decides: it asks for a suggestion for whoever does.
    Suggested,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 6] = [
        Self::LastWriteWins,
        Self::MergeFields,
        Self::UserPriority,
        Self::DeviceSpecific,
        Self::Manual,
        Self::Suggested,
    ];

    /// The word for it, in policies, records and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LastWriteWins => "last-write-wins",
            Self::MergeFields => "merge-fields",
            Self::UserPriority => "user-priority",
            Self::DeviceSpecific => "device-specific",
            Self::Manual => "manual",
            Self::Suggested => "suggested",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text is not the word for a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no rule {word:?}: {help}")]
pub struct UnknownRule {
    word: String,
    pub(super) help: String,
}

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(word: &str) -> Result<Self, UnknownRule> {
        let known = Self::ALL.into_iter().find(|rule| rule.as_str() == word);
        known.ok_or_else(|| UnknownRule {
            word: super::excerpt(word),
            help: nearest::advice(word, &Self::ALL.map(Self::as_str)),
        })
    }
}
