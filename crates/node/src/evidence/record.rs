//! One record: a header in text that anybody can read, then the bytes.
//!
//! ```text
//! comity-evidence 1
//! number: 7
//! time: 1795269301123 2026-11-21T13:55:01.123Z
//! kind: admission
//! reason: a Bloom filter says 1 entries, 0 bits an entry, 7 probes
//! document: 4NMNnkMhL8jXrdJ9jamS58PAVdXu      where one is known; so with peer and address
//! peer: mallory
//! address: 127.0.0.1:50123
//! size: 10
//! kept: 10
//! sha256: …                                   of the bytes that are kept
//! seal: …                                     SHA-256 of all lines above, with their line ends
//!
//! the bytes
//! ```

use std::fmt;
use std::str::FromStr;

use comity_model::{DocumentId, PeerId, Timestamp};
use sha2::{Digest, Sha256};

/// The first line of a record of the version that is written.
const FIRST_LINE: &str = "comity-evidence 1";

/// Longest header: two names of a peer's choosing and a reason, each bounded, and a few short lines.
pub(super) const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 1_000;

/// Says where something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Below the protocol: a message that is too long, text, a broken WebSocket. The bytes were not read.
    Frame,
    /// The first message of a connection, which must introduce the peer.
    Handshake,
    /// A message that is not one of the protocol. The bytes are the whole message.
    Message,
    /// A message that belongs to somebody else or to another time, such as one with a forged sender. The bytes are the
    /// whole message.
    Protocol,
    /// A sync message with chunks or counts that are refused before anything is applied. The bytes are the sync message.
    Admission,
    /// A sync message that does not fit the document it is for. The bytes are the sync message.
    Apply,
    /// A sync message at which Automerge panicked. The bytes are the sync message.
    Panic,
    /// The store was damaged when it was opened. The bytes are the report.
    Store,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Frame,
        Self::Handshake,
        Self::Message,
        Self::Protocol,
        Self::Admission,
        Self::Apply,
        Self::Panic,
        Self::Store,
    ];

    /// Names the kind in one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Handshake => "handshake",
            Self::Message => "message",
            Self::Protocol => "protocol",
            Self::Admission => "admission",
            Self::Apply => "apply",
            Self::Panic => "panic",
            Self::Store => "store",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(RecordError::Field { name: "kind" })
    }
}

/// What is known of something that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Its number in its folder; rises.
    pub number: u64,
    /// When it was refused.
    pub time: Timestamp,
    /// Where it was refused.
    pub kind: Kind,
    /// Why, in words, on one line.
    pub reason: String,
    /// The document it was about.
    pub document: Option<DocumentId>,
    /// What its sender calls itself: a claim.
    pub peer: Option<PeerId>,
    /// Where it came from: an address or a URL.
    pub address: Option<String>,
    /// Its length in bytes.
    pub size: u64,
    /// Bytes of it that are kept, from its beginning.
    pub kept: u64,
    /// SHA-256 of the bytes that are kept.
    pub digest: [u8; 32],
}

impl Record {
    /// Gives the digest in hexadecimal digits.
    pub fn digest_hex(&self) -> String {
        hex(&self.digest)
    }
}

/// A record with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What is known.
    pub record: Record,
    /// The bytes that are kept.
    pub bytes: Vec<u8>,
}

/// Says why a file is not a whole record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It does not begin as a record does.
    #[error("it does not begin as a record does")]
    NotARecord,
    /// It is of a later version.
    #[error("it is of version {found:?}; a later version of this program reads it")]
    Version {
        /// What it says.
        found: String,
    },
    /// The header has no end.
    #[error("its header is cut short")]
    Cut,
    /// The header is not what was written.
    #[error("its header was altered")]
    Seal,
    /// A line of the header is missing or makes no sense.
    #[error("its header has no valid {name}")]
    Field {
        /// Which line.
        name: &'static str,
    },
    /// There are more or fewer bytes than were written.
    #[error("it holds {found} bytes instead of {expected}")]
    Length {
        /// Bytes there should be.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// The bytes are not those that were written.
    #[error("its bytes were altered")]
    Digest,
    /// The file is far longer than a record.
    #[error("it is too long for a record: {bytes} bytes")]
    TooLong {
        /// Its length.
        bytes: u64,
    },
}

/// Makes a reason fit on a line.
pub(super) fn one_line(reason: &str) -> String {
    reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_CHARS_MAX).collect()
}

pub(super) fn encode(record: &Record, bytes: &[u8]) -> Vec<u8> {
    let mut text = format!("{FIRST_LINE}\n");
    let mut line = |name: &str, value: &dyn fmt::Display| text.push_str(&format!("{name}: {value}\n"));
    line("number", &record.number);
    line("time", &format_args!("{} {}", record.time.unix_ms, record.time));
    line("kind", &record.kind);
    line("reason", &record.reason);
    if let Some(document) = &record.document {
        line("document", document);
    }
    if let Some(peer) = &record.peer {
        line("peer", peer);
    }
    if let Some(address) = &record.address {
        line("address", address);
    }
    line("size", &record.size);
    line("kept", &record.kept);
    line("sha256", &record.digest_hex());
    let seal = hex(&sha256(text.as_bytes()));
    text.push_str(&format!("seal: {seal}\n\n"));
    let mut file = text.into_bytes();
    file.extend_from_slice(bytes);
    file
}

pub(super) fn decode(file: &[u8]) -> Result<Kept, RecordError> {
    let (record, header_bytes) = decode_header(file)?;
    let bytes = &file[header_bytes..];
    if bytes.len() as u64 != record.kept {
        return Err(RecordError::Length { expected: record.kept, found: bytes.len() as u64 });
    }
    if sha256(bytes) != record.digest {
        return Err(RecordError::Digest);
    }
    Ok(Kept { record, bytes: bytes.to_vec() })
}

/// Reads the header alone; gives its length too.
pub(super) fn decode_header(file: &[u8]) -> Result<(Record, usize), RecordError> {
    let head = &file[..file.len().min(HEADER_BYTES_MAX)];
    let version = head.strip_prefix(b"comity-evidence ").ok_or(RecordError::NotARecord)?;
    if !head.starts_with(format!("{FIRST_LINE}\n").as_bytes()) {
        let found = version.split(|byte| *byte == b'\n').next().unwrap_or_default();
        return Err(RecordError::Version {
            found: String::from_utf8_lossy(&found[..found.len().min(16)]).into_owned(),
        });
    }
    let end = head.windows(2).position(|pair| pair == b"\n\n").ok_or(RecordError::Cut)? + 1;
    let sealed = head[..end].windows(7).rposition(|start| start == b"\nseal: ").ok_or(RecordError::Seal)? + 1;
    let text = std::str::from_utf8(&head[..end]).map_err(|_| RecordError::Seal)?;
    let (lines, seal) = text.split_at_checked(sealed).ok_or(RecordError::Seal)?;
    if seal != format!("seal: {}\n", hex(&sha256(lines.as_bytes()))) {
        return Err(RecordError::Seal);
    }
    Ok((fields(lines)?, end + 1))
}

fn fields(lines: &str) -> Result<Record, RecordError> {
    let value =
        |name: &str| lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned);
    let number =
        |name: &'static str| value(name).and_then(|text| text.parse::<u64>().ok()).ok_or(RecordError::Field { name });
    let time = value("time").and_then(|text| text.split(' ').next()?.parse().ok());
    let document = value("document").map(|text| text.parse()).transpose();
    let peer = value("peer").map(|text| PeerId::new(&text)).transpose();
    Ok(Record {
        number: number("number")?,
        time: time.map(Timestamp::from_unix_ms).ok_or(RecordError::Field { name: "time" })?,
        kind: value("kind").ok_or(RecordError::Field { name: "kind" })?.parse()?,
        reason: value("reason").ok_or(RecordError::Field { name: "reason" })?,
        document: document.map_err(|_| RecordError::Field { name: "document" })?,
        peer: peer.map_err(|_| RecordError::Field { name: "peer" })?,
        address: value("address"),
        size: number("size")?,
        kept: number("kept")?,
        digest: value("sha256").and_then(|text| unhex(&text)).ok_or(RecordError::Field { name: "sha256" })?,
    })
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (i, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            number: 7,
            time: Timestamp::from_unix_ms(1_795_269_301_123),
            kind: Kind::Admission,
            reason: "zero bits".to_owned(),
            document: Some(DocumentId::from_bytes([1; 16])),
            peer: Some(PeerId::new("mallory: a peer").unwrap()),
            address: Some("[::1]:80".to_owned()),
            size: 9,
            kept: 4,
            digest: sha256(b"\n\n\x00\xff"),
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut record = record();
        let read = decode(&encode(&record, b"\n\n\x00\xff")).unwrap();
        assert_eq!((&read.record, read.bytes.as_slice()), (&record, b"\n\n\x00\xff".as_slice()));
        (record.document, record.peer, record.address) = (None, None, None);
        assert_eq!(decode(&encode(&record, b"\n\n\x00\xff")).unwrap().record, record);
    }

    #[test]
    fn a_changed_bit_or_a_missing_byte_anywhere_is_noticed() {
        let file = encode(&record(), b"\n\n\x00\xff");
        for at in 0..file.len() {
            let mut altered = file.clone();
            altered[at] ^= 1;
            assert!(decode(&altered).is_err(), "byte {at}");
            assert!(decode(&file[..at]).is_err(), "cut at {at}");
        }
        assert!(decode(&[file.as_slice(), b"x"].concat()).is_err(), "a byte too many");
    }

    #[test]
    fn a_later_version_is_named() {
        let later = b"comity-evidence 2\nother: things\n";
        assert_eq!(decode(later).unwrap_err(), RecordError::Version { found: "2".to_owned() });
        assert_eq!(decode(b"holiday photo").unwrap_err(), RecordError::NotARecord);
    }

    #[test]
    fn a_reason_of_any_form_is_one_bounded_line() {
        let line = one_line(&"a\nseal: b\r".repeat(1_000));
        assert!(!line.contains(['\n', '\r']) && line.chars().count() == REASON_CHARS_MAX);
        let worst = Record {
            reason: "\u{10ffff}".repeat(REASON_CHARS_MAX),
            peer: Some(PeerId::new(&"p".repeat(PeerId::BYTES_MAX)).unwrap()),
            ..record()
        };
        assert_eq!(decode(&encode(&worst, b"\n\n\x00\xff")).unwrap().record, worst, "the longest header fits");
    }
}
