//! Why a frame is not a message.

use comity_model::InvalidId;

/// Says why bytes are not a message of the protocol. Never holds more than a short excerpt of what was received.
///
/// [`DecodeError::UnknownType`] is special: the frame is well formed and may come from a newer peer. Ignore the frame
/// and go on. After any other the peer is not to be trusted with the protocol: close the link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A part, or the whole, is longer than the limit.
    #[error("{what} is longer than the limit of {max} bytes (at least {actual})")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// The limit, in bytes.
        max: usize,
        /// Bytes counted when the limit was seen to be passed.
        actual: usize,
    },
    /// A list or map has more items than the limit.
    #[error("{what} has more than {max} items")]
    TooMany {
        /// Which list or map.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// Arrays, maps and tags stand deeper inside one another than the limit.
    #[error("{what} is nested deeper than {max}")]
    TooDeep {
        /// In which map the value stands.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The frame ends before the value does.
    #[error("the frame ends inside {what}")]
    Truncated {
        /// Which value.
        what: &'static str,
    },
    /// The bytes are not well-formed CBOR.
    #[error("{what} is not well-formed CBOR at byte {position}")]
    Malformed {
        /// Which value.
        what: &'static str,
        /// Where in the frame.
        position: usize,
    },
    /// A text is not UTF-8.
    #[error("{what} is not UTF-8")]
    NotUtf8 {
        /// Which text.
        what: &'static str,
    },
    /// A value is of another CBOR type.
    #[error("{what} must be {expected}")]
    WrongType {
        /// Which value.
        what: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A text or byte string comes in chunks, which the reference implementation does not read either.
    #[error("{what} is a string of indefinite length: send it in one piece")]
    Chunked {
        /// Which value.
        what: &'static str,
    },
    /// A number is negative, fractional or too great.
    #[error("{what} must be {expected}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A key that this type of message needs is not there.
    #[error("{what} is missing")]
    Missing {
        /// Which key.
        what: &'static str,
    },
    /// A key stands twice in one map, so readers could differ about what was said.
    #[error("key {key:?} stands twice in {what}")]
    Duplicate {
        /// Which map.
        what: &'static str,
        /// The key, cut to a readable length.
        key: String,
    },
    /// Bytes follow the message.
    #[error("{bytes} bytes follow the message")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// The message is of a type that this version does not know: ignore the frame and go on.
    #[error("message type {name:?} is not known")]
    UnknownType {
        /// The type, cut to a readable length.
        name: String,
    },
    /// An id is not valid.
    #[error("{what}: {source}")]
    InvalidId {
        /// Which key.
        what: &'static str,
        /// What is wrong with it.
        source: InvalidId,
    },
    /// A head is not base58check of 32 bytes.
    #[error("head {text:?} is not base58 of 32 bytes with a checksum")]
    InvalidHead {
        /// What was given, cut to a readable length.
        text: String,
    },
}

/// Cuts a text to at most `bytes_max` bytes, between characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Cuts a text for use in an error message, so that hostile input cannot flood a terminal or a log.
pub(crate) fn excerpt(text: &str) -> String {
    let start = cut(text, 64);
    if start.len() < text.len() { format!("{start}…") } else { start.to_owned() }
}
