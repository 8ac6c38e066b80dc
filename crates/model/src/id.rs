//! Ids: newtypes that read and print themselves.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Says why a text or byte string is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// The text is not base58 with a valid checksum.
    #[error("{what} {text:?} is mistyped: it must be base58 with a checksum (copy it whole)")]
    Base58 {
        /// Which id was expected.
        what: &'static str,
        /// What was given, cut to a readable length.
        text: String,
    },
    /// The bytes have another length than the id.
    #[error("{what} must be {expected} bytes, got {actual}")]
    Length {
        /// Which id was expected.
        what: &'static str,
        /// Bytes an id of this sort has.
        expected: usize,
        /// Bytes that were given.
        actual: usize,
    },
    /// The text is empty or longer than the bound.
    #[error("{what} must be 1 to {max} bytes of text, got {actual}")]
    TextLength {
        /// Which id was expected.
        what: &'static str,
        /// Longest allowed, in bytes.
        max: usize,
        /// Bytes that were given.
        actual: usize,
    },
    /// The text holds a control character.
    #[error("{what} holds a control character")]
    Control {
        /// Which id was expected.
        what: &'static str,
    },
}

/// Cuts a text for use in an error message, so that hostile input cannot flood a terminal or a log.
pub(crate) fn excerpt(text: &str) -> String {
    let mut cut: String = text.chars().take(64).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

/// Names a document: 16 bytes, printed as base58check (the form inside an `automerge:` URL).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId([u8; 16]);

impl DocumentId {
    /// Wraps 16 bytes, usually random.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Derives the id of a document with a natural key, so that two offline devices that create "the same"
    /// document create one document. The hash is SHA-256 over the length-prefixed parts, cut to 16 bytes.
    pub fn for_natural_key(space: SpaceId, kind: &crate::KindName, natural_key: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"comity natural key 1");
        for part in [space.0.0.as_slice(), kind.as_str().as_bytes(), natural_key.as_bytes()] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let digest = hasher.finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }

    /// Gives the 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl TryFrom<&[u8]> for DocumentId {
    type Error = InvalidId;

    fn try_from(bytes: &[u8]) -> Result<Self, InvalidId> {
        let bytes = bytes.try_into().map_err(|_| InvalidId::Length {
            what: "document id",
            expected: 16,
            actual: bytes.len(),
        })?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.0).with_check().into_string())
    }
}

impl fmt::Debug for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocumentId({self})")
    }
}

impl FromStr for DocumentId {
    type Err = InvalidId;

    /// Reads base58check, with or without the `automerge:` prefix of a URL.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bare = text.strip_prefix("automerge:").unwrap_or(text);
        let wrong = || InvalidId::Base58 { what: "document id", text: excerpt(text) };
        if bare.len() > 64 {
            return Err(wrong());
        }
        let bytes = bs58::decode(bare).with_check(None).into_vec().map_err(|_| wrong())?;
        Self::try_from(bytes.as_slice())
    }
}

/// Names a space: the id of its space document, which lists members, schemas and documents.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpaceId(DocumentId);

impl SpaceId {
    /// Takes the id of a space document as the name of the space.
    pub const fn new(document: DocumentId) -> Self {
        Self(document)
    }

    /// Gives the id of the space document.
    pub const fn document(&self) -> DocumentId {
        self.0
    }
}

impl fmt::Display for SpaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SpaceId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.parse().map(Self)
    }
}

macro_rules! text_id {
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
            /// When the text is empty, too long, or holds a control character.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                if text.is_empty() || text.len() > Self::BYTES_MAX {
                    return Err(InvalidId::TextLength {
                        what: $what,
                        max: Self::BYTES_MAX,
                        actual: text.len(),
                    });
                }
                if text.chars().any(char::is_control) {
                    return Err(InvalidId::Control { what: $what });
                }
                Ok(Self(text.into()))
            }

            /// Gives the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }
    };
}

text_id!(
    /// Names whoever is at the other end of a link, for the life of a process. Chosen by the peer itself.
    PeerId,
    "peer id",
    256
);
text_id!(
    /// Names a peer's storage, for longer than a process: a UUID in automerge-repo, any short text here.
    StorageId,
    "storage id",
    128
);

/// Names a link of a node, for the life of the node. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0)
    }
}

/// Identifies the device inside an actor id: the first 16 bytes, derived from the device key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceTag(pub [u8; 16]);

impl fmt::Display for DeviceTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for DeviceTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceTag({self})")
    }
}

/// Names one uninterrupted writer: 16 bytes of [`DeviceTag`], then a random session part. Foreign documents may
/// use any other bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(Vec<u8>);

impl ActorId {
    /// Builds the actor id of a device in one session.
    pub fn for_session(device: DeviceTag, session: [u8; 8]) -> Self {
        let mut bytes = Vec::with_capacity(24);
        bytes.extend_from_slice(&device.0);
        bytes.extend_from_slice(&session);
        Self(bytes)
    }

    /// Wraps the bytes of any actor.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Gives the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Gives the device that wrote, when the actor id is long enough to be one of ours.
    pub fn device(&self) -> Option<DeviceTag> {
        let tag = self.0.get(..16)?;
        (self.0.len() >= 24).then(|| DeviceTag(tag.try_into().expect("a slice of 16 bytes")))
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KindName;

    #[test]
    fn a_document_id_reads_back_with_and_without_the_url_prefix() {
        let id = DocumentId::from_bytes([7; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(format!("automerge:{id}").parse(), Ok(id));
    }

    #[test]
    fn a_mistyped_document_id_is_refused_and_a_long_one_is_cut_in_the_message() {
        let mut text = DocumentId::from_bytes([7; 16]).to_string();
        let last = if text.pop() == Some('1') { '2' } else { '1' };
        text.push(last);
        assert!(text.parse::<DocumentId>().is_err());
        let error = "1".repeat(1_000_000).parse::<DocumentId>().unwrap_err();
        assert!(error.to_string().len() < 300);
    }

    #[test]
    fn the_same_natural_key_gives_the_same_document_and_parts_do_not_run_together() {
        let space = SpaceId::new(DocumentId::from_bytes([1; 16]));
        let other = SpaceId::new(DocumentId::from_bytes([2; 16]));
        let kind = |name| KindName::new(name).unwrap();
        let id = DocumentId::for_natural_key(space, &kind("audit"), "site-7");
        assert_eq!(id, DocumentId::for_natural_key(space, &kind("audit"), "site-7"));
        assert_ne!(id, DocumentId::for_natural_key(other, &kind("audit"), "site-7"));
        assert_ne!(id, DocumentId::for_natural_key(space, &kind("audits"), "ite-7"));
    }

    #[test]
    fn text_ids_are_bounded_at_their_limit() {
        assert!(PeerId::new(&"x".repeat(PeerId::BYTES_MAX)).is_ok());
        assert!(PeerId::new(&"x".repeat(PeerId::BYTES_MAX + 1)).is_err());
        assert!(StorageId::new("").is_err());
        assert!(StorageId::new("a\nb").is_err());
    }
}
