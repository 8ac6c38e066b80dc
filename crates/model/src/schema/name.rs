//! The names of kinds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::InvalidSchema;
use crate::id::excerpt;

/// Names a kind of document: `audit`, `harvest`, `sale`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KindName(String);

impl KindName {
    /// Checks and wraps a word.
    ///
    /// # Errors
    /// When it is not 1 to 64 of `a-z 0-9 - _`, beginning with a letter.
    pub fn new(text: &str) -> Result<Self, InvalidSchema> {
        let fits = (1..=64).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidSchema::Kind { text: excerpt(text) }) }
    }

    /// Gives the word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KindName {
    type Err = InvalidSchema;

    fn from_str(text: &str) -> Result<Self, InvalidSchema> {
        Self::new(text)
    }
}

impl TryFrom<String> for KindName {
    type Error = InvalidSchema;

    fn try_from(text: String) -> Result<Self, InvalidSchema> {
        Self::new(&text)
    }
}

impl From<KindName> for String {
    fn from(kind: KindName) -> Self {
        kind.0
    }
}
