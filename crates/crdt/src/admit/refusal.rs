//! Why bytes were refused.

use std::fmt;

/// Says where in the received bytes something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the chunk, from 0; none for the envelope of the message.
    pub chunk: Option<usize>,
    /// Offset from the first received byte, or from the first byte of what a deflated part of the chunk inflates to.
    pub byte: usize,
    /// Whether the offset counts in inflated bytes.
    pub inflated: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.chunk {
            Some(chunk) => write!(f, "chunk {chunk}, ")?,
            None => f.write_str("message, ")?,
        }
        write!(f, "{}byte {}", if self.inflated { "inflated " } else { "" }, self.byte)
    }
}

/// Names what is counted and limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Quantity {
    /// Hashes in one list (`Limits::hashes_max`).
    Hashes,
    /// Rows of `have` (`Limits::have_max`).
    Haves,
    /// Entries of a Bloom filter (`Limits::bloom_entries_max`).
    BloomEntries,
    /// Chunks in a message (`Limits::chunks_max`).
    Chunks,
    /// Changes in a message, those inside document chunks included (`Limits::chunks_max`).
    Changes,
    /// Inflated bytes of a message (`Limits::inflated_bytes_max`).
    InflatedBytes,
    /// Operations in a change (`Limits::change_operations_max`).
    ChangeOperations,
    /// Operations in a message (`Limits::message_operations_max`).
    MessageOperations,
    /// Bytes of memory that taking the message in would cost (see `admit`).
    Price,
    /// Predecessors, successors and dependencies (limited like operations).
    References,
    /// Actors in a chunk (`Limits::chunk_actors_max`).
    Actors,
    /// Dependencies of a change (`Limits::dependencies_max`).
    Dependencies,
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hashes => "hashes in one list",
            Self::Haves => "rows of `have`",
            Self::BloomEntries => "entries of a Bloom filter",
            Self::Chunks => "chunks",
            Self::Changes => "changes",
            Self::InflatedBytes => "inflated bytes",
            Self::ChangeOperations => "operations in one change",
            Self::MessageOperations => "operations in one message",
            Self::Price => "bytes of memory to take in so short a message",
            Self::References => "references between operations",
            Self::Actors => "actors in one chunk",
            Self::Dependencies => "dependencies of one change",
        })
    }
}

/// Says what is wrong with the encoding of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ColumnFault {
    /// The runs are not those that an encoder writes.
    #[error("is not run-length encoded in the one right way")]
    Runs,
    /// It has fewer rows than the chunk.
    #[error("has too few rows")]
    TooFew,
    /// It has more rows than the chunk.
    #[error("has too many rows")]
    TooMany,
    /// A value is missing where there must be one.
    #[error("lacks a value")]
    Null,
    /// A number is out of its range.
    #[error("holds a number out of range")]
    Range,
    /// The values do not add up to the bytes they describe.
    #[error("does not fit the bytes it describes")]
    Length,
    /// A value is not encoded as its type wants.
    #[error("holds a damaged value")]
    Value,
}

/// Says what is wrong with an operation or with a change inside a document chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowFault {
    /// The action is not known.
    #[error("the action is not known")]
    Action,
    /// The object id is half there, or not from before the operation.
    #[error("the object id cannot be")]
    Object,
    /// The key is neither a text nor an element from before the operation.
    #[error("the key cannot be")]
    Key,
    /// The combination of action, insertion, value and mark is one that no editor makes.
    #[error("action, insertion, value and mark do not go together")]
    Shape,
    /// A predecessor or successor is out of order, or on the wrong side in time.
    #[error("a predecessor or successor cannot be")]
    Reference,
    /// An actor is listed that no operation names.
    #[error("an actor is listed that no operation names")]
    Actors,
    /// An id is given twice, or belongs to no change.
    #[error("the id is taken or belongs to no change")]
    Id,
    /// The operations are not in the order of a document.
    #[error("the order is wrong")]
    Order,
    /// The sequence number does not follow.
    #[error("the sequence number does not follow")]
    Sequence,
    /// A dependency does not come before.
    #[error("a dependency does not come before")]
    Dependency,
    /// The number of the last operation does not follow.
    #[error("the operation numbers do not follow")]
    Counter,
}

/// Says why received bytes are not admitted. The bytes are evidence; the peer that sent them is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The bytes are no sync message at all.
    #[error("not a sync message: the first byte is {first:02x?}, 0x42 or 0x43 is expected")]
    NotASyncMessage {
        /// First byte, if there is one.
        first: Option<u8>,
    },
    /// Something is larger than we accept.
    #[error("{place}: {value} {quantity}, at most {limit} are accepted")]
    OverLimit {
        /// What is counted.
        quantity: Quantity,
        /// How many there are (at least, when counting stopped there).
        value: u64,
        /// How many may be.
        limit: u64,
        /// Where.
        place: Place,
    },
    /// The bytes end within something.
    #[error("{place}: {what} needs {needed} bytes, {left} are left")]
    Truncated {
        /// What is cut short.
        what: &'static str,
        /// Bytes it needs, at least.
        needed: u64,
        /// Bytes there are.
        left: usize,
        /// Where.
        place: Place,
    },
    /// A LEB128 number is too large or not in its shortest form.
    #[error("{place}: {what} is too large or not in its shortest form")]
    Number {
        /// Which number.
        what: &'static str,
        /// Where.
        place: Place,
    },
    /// A text is not UTF-8.
    #[error("{place}: {what} is not UTF-8")]
    Text {
        /// Which text.
        what: &'static str,
        /// Where.
        place: Place,
    },
    /// A Bloom filter has other parameters than every Automerge writes.
    #[error(
        "{place}: Bloom filter of {entries} entries with {bits_per_entry} bits an entry and {probes} probes; only at \
         least 1 entry with 10 bits and 7 probes is accepted"
    )]
    BloomParameters {
        /// Entries.
        entries: u64,
        /// Bits an entry.
        bits_per_entry: u64,
        /// Probes.
        probes: u64,
        /// Where.
        place: Place,
    },
    /// A Bloom filter has too few or too many bytes for its entries.
    #[error("{place}: Bloom filter of {entries} entries has {found} bytes of bits, must have {expected}")]
    BloomLength {
        /// Entries.
        entries: u64,
        /// Bytes they need.
        expected: usize,
        /// Bytes there are.
        found: usize,
        /// Where.
        place: Place,
    },
    /// A chunk does not begin with the magic bytes.
    #[error("{place}: no chunk begins here (magic bytes 85 6f 4a 83 are missing)")]
    Magic {
        /// Where.
        place: Place,
    },
    /// The type of a chunk is not one that synchronises: 0 document, 1 change, 2 compressed change.
    #[error("{place}: chunks of type {found} are not accepted, only 0, 1 and 2 are")]
    ChunkType {
        /// The type.
        found: u8,
        /// Where.
        place: Place,
    },
    /// The content of a chunk does not match its checksum.
    #[error("{place}: the checksum of the chunk does not match")]
    Checksum {
        /// Where.
        place: Place,
    },
    /// A deflated part does not inflate.
    #[error("{place}: {what} does not inflate")]
    Deflate {
        /// Which part.
        what: &'static str,
        /// Where.
        place: Place,
    },
    /// Bytes are left over where there must be none.
    #[error("{place}: {bytes} bytes too many")]
    Leftover {
        /// How many.
        bytes: usize,
        /// Where.
        place: Place,
    },
    /// A header field has a value that cannot be.
    #[error("{place}: {what} is {value}, which cannot be")]
    Header {
        /// Which field.
        what: &'static str,
        /// Its value.
        value: u64,
        /// Where.
        place: Place,
    },
    /// A column is unknown, out of order, empty, given twice or deflated where it must not be.
    #[error("{place}: column specification {spec} is not expected here")]
    ColumnSpecification {
        /// The specification as encoded.
        spec: u64,
        /// Where.
        place: Place,
    },
    /// A column is malformed.
    #[error("{place}: column `{column}` {fault} (row {row})")]
    Column {
        /// Which column.
        column: &'static str,
        /// Which row.
        row: u64,
        /// What is wrong.
        fault: ColumnFault,
        /// Where.
        place: Place,
    },
    /// An operation or a change in a document chunk makes no sense.
    #[error("{place}: row {row} of the {table}: {fault}")]
    Row {
        /// `operations` or `changes`.
        table: &'static str,
        /// Which row.
        row: u64,
        /// What is wrong.
        fault: RowFault,
        /// Where the chunk begins.
        place: Place,
    },
    /// The library that understands the bytes could not read them after all.
    #[error("message: the parts that were checked could not be put together")]
    Assembly,
}

impl Refusal {
    /// Whether the message breaks no rule but a bound on what it brings, as one of an honest peer may that has other bounds
    /// or a document filled while it was offline.
    pub fn is_bound(&self) -> bool {
        use Quantity::{BloomEntries, Hashes, Haves};
        matches!(self, Self::OverLimit { quantity, .. } if !matches!(quantity, Hashes | Haves | BloomEntries))
    }
}
