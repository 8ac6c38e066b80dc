//! What is wrong with a schema, or with a value.

/// Says why a kind or schema cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSchema {
    /// A kind must be a short lower-case word.
    #[error("kind {text:?} must be 1 to 64 of a-z, 0-9, '-' or '_', beginning with a letter")]
    Kind {
        /// What was given, cut to a readable length.
        text: String,
    },
    /// A field name is not usable.
    #[error("field {field:?}: {reason}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Says why a text or value does not fit a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidValue {
    /// Not one of the declared values.
    #[error("{field} must be one of {allowed}; got {text:?}")]
    NotAllowed {
        /// The field.
        field: String,
        /// The declared values, joined.
        allowed: String,
        /// What was given, cut to a readable length.
        text: String,
    },
    /// Not of the declared type.
    #[error("{field} must be a {expected}; got {given}")]
    Type {
        /// The field.
        field: String,
        /// The declared type, in words.
        expected: &'static str,
        /// What was given, cut to a readable length; a text is in quotes.
        given: String,
    },
    /// The schema declares no such field.
    #[error("{kind} has no field {field:?}; it has {known}")]
    UnknownField {
        /// The kind.
        kind: String,
        /// The field.
        field: String,
        /// The declared fields, joined.
        known: String,
    },
}
