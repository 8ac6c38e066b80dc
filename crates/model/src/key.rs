//! Entry ids, field names, and the register key that joins them.

use std::fmt;
use std::str::FromStr;

use crate::id::excerpt;

/// The field that says whether an entry lives: `"deleted"` or `"live"`. Deletion is a register so that it conflicts
/// visibly with a concurrent edit and can be undone.
pub const LIFE: &str = "life";

/// Says why a text is not an entry id or a field name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// Empty or too long.
    #[error("{what} must be 1 to {max} bytes, got {actual}")]
    Length {
        /// Which part.
        what: &'static str,
        /// Longest allowed, in bytes.
        max: usize,
        /// Bytes that were given.
        actual: usize,
    },
    /// Holds `/`, a control character, or white space at an end.
    #[error("{what} {text:?} must not hold {found:?} there")]
    Character {
        /// Which part.
        what: &'static str,
        /// What was given, cut to a readable length.
        text: String,
        /// The first character that is not allowed.
        found: char,
    },
    /// A register key without its `/`.
    #[error("register key {text:?} must be ENTRY/FIELD, as in M050/status")]
    NoSlash {
        /// What was given, cut to a readable length.
        text: String,
    },
}

macro_rules! key_part {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Longest allowed, in bytes.
            pub const BYTES_MAX: usize = $max;

            /// Checks and wraps a text.
            ///
            /// # Errors
            /// When it is empty, too long, holds `/` or a control character, or begins or ends with white space.
            pub fn new(text: &str) -> Result<Self, InvalidKey> {
                if text.is_empty() || text.len() > Self::BYTES_MAX {
                    return Err(InvalidKey::Length { what: $what, max: Self::BYTES_MAX, actual: text.len() });
                }
                let at_an_end = |c: &char| text.starts_with(*c) || text.ends_with(*c);
                let bad = text.chars().find(|c| *c == '/' || c.is_control() || (c.is_whitespace() && at_an_end(c)));
                match bad {
                    Some(found) => Err(InvalidKey::Character { what: $what, text: excerpt(text), found }),
                    None => Ok(Self(text.into())),
                }
            }

            /// Gives the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            /// Compares like its text, so that a map can be asked with the text.
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidKey;

            fn from_str(text: &str) -> Result<Self, InvalidKey> {
                Self::new(text)
            }
        }
    };
}

key_part!(
    /// Names a thing inside a document: module `M050`, sale `2026-000127`.
    EntryId,
    "entry id",
    256
);
key_part!(
    /// Names a value of an entry: `status`, `comment`.
    FieldName,
    "field name",
    128
);

/// Names one register in `values`: `entry/field`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RegisterKey {
    /// The entry.
    pub entry: EntryId,
    /// The field of it.
    pub field: FieldName,
}

impl RegisterKey {
    /// Joins an entry and a field.
    pub fn new(entry: EntryId, field: FieldName) -> Self {
        Self { entry, field }
    }

    /// Gives the register that says whether an entry lives.
    pub fn life(entry: EntryId) -> Self {
        Self { entry, field: FieldName::new(LIFE).expect("a constant that is a field name") }
    }
}

impl fmt::Display for RegisterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.entry, self.field)
    }
}

impl FromStr for RegisterKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let (entry, field) = text.split_once('/').ok_or_else(|| InvalidKey::NoSlash { text: excerpt(text) })?;
        Ok(Self { entry: EntryId::new(entry)?, field: FieldName::new(field)? })
    }
}
