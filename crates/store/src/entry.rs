//! Entries: what a journal group holds. They are physical: playing them again, in order, on any state from the
//! beginning of the journal on gives the same rows.

use bytes::Bytes;
use comity_model::{DocumentId, Heads, StorageId};

use crate::row::{Manifest, decode, encode, heads_bytes, heads_of};

/// One step of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Changes with sequences from `first` on. One row of the engine holds them, in parts when they are large.
    Changes {
        document: DocumentId,
        first: u64,
        chunks: Vec<Bytes>,
    },
    /// Removes the changes below `to`, the small snapshot, and heads that stand apart.
    Cover {
        document: DocumentId,
        to: u64,
    },
    Snapshot {
        document: DocumentId,
        bytes: Bytes,
    },
    Manifest {
        document: DocumentId,
        manifest: Manifest,
        heads: Heads,
    },
    SyncState {
        document: DocumentId,
        peer: StorageId,
        state: Bytes,
    },
    Meta {
        key: String,
        value: Bytes,
    },
    RemoveMeta {
        key: String,
    },
    RemoveSyncState {
        document: DocumentId,
        peer: StorageId,
    },
}

/// What stands before the body of an entry; bodies stay outside bincode.
#[derive(bincode::Encode, bincode::Decode)]
enum Head {
    Changes { document: [u8; 16], first: u64 },
    Cover { document: [u8; 16], to: u64 },
    Snapshot { document: [u8; 16] },
    Manifest { document: [u8; 16], manifest: Manifest },
    SyncState { document: [u8; 16], peer: String },
    Meta { key: String },
    RemoveMeta { key: String },
    RemoveSyncState { document: [u8; 16], peer: String },
}

impl Entry {
    /// Appends the encoded entry: head length 2, head, body length 4, body.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let apart;
        let (head, body): (Head, &[u8]) = match self {
            Self::Changes { document, first, chunks } => {
                apart = pack(chunks);
                (Head::Changes { document: *document.as_bytes(), first: *first }, &apart)
            }
            Self::Cover { document, to } => (Head::Cover { document: *document.as_bytes(), to: *to }, &[]),
            Self::Snapshot { document, bytes } => (Head::Snapshot { document: *document.as_bytes() }, bytes),
            Self::Manifest { document, manifest, heads } => {
                apart = if manifest.has_heads_apart() { heads_bytes(heads) } else { Vec::new() };
                (Head::Manifest { document: *document.as_bytes(), manifest: manifest.clone() }, &apart)
            }
            Self::SyncState { document, peer, state } => {
                (Head::SyncState { document: *document.as_bytes(), peer: peer.as_str().to_owned() }, state)
            }
            Self::Meta { key, value } => (Head::Meta { key: key.clone() }, value),
            Self::RemoveMeta { key } => (Head::RemoveMeta { key: key.clone() }, &[]),
            Self::RemoveSyncState { document, peer } => {
                (Head::RemoveSyncState { document: *document.as_bytes(), peer: peer.as_str().to_owned() }, &[])
            }
        };
        let head = encode(&head);
        out.extend_from_slice(&u16::try_from(head.len()).expect("heads of entries are small").to_be_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(&u32::try_from(body.len()).expect("limits keep bodies below 4 GiB").to_be_bytes());
        out.extend_from_slice(body);
    }

    /// Reads all entries of a group; `None` unless every byte belongs.
    pub(crate) fn decode_all(bytes: &Bytes) -> Option<Vec<Self>> {
        let mut entries = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let (entry, next) = Self::decode_at(bytes, at)?;
            entries.push(entry);
            at = next;
        }
        Some(entries)
    }

    /// Reads entries up to the first that does not read, in bytes that nothing vouches for.
    pub(crate) fn decode_some(bytes: &Bytes) -> Vec<Self> {
        let mut at = 0;
        let next = || {
            let (entry, next) = Self::decode_at(bytes, at)?;
            at = next;
            Some(entry)
        };
        std::iter::from_fn(next).collect()
    }

    fn decode_at(bytes: &Bytes, at: usize) -> Option<(Self, usize)> {
        let head_at = at.checked_add(2)?;
        let head_len = usize::from(u16::from_be_bytes(bytes.get(at..head_at)?.try_into().ok()?));
        let head_end = head_at.checked_add(head_len)?;
        let head: Head = decode(bytes.get(head_at..head_end)?)?;
        let body_at = head_end.checked_add(4)?;
        let body_len = u32::from_be_bytes(bytes.get(head_end..body_at)?.try_into().ok()?) as usize;
        let body_end = body_at.checked_add(body_len)?;
        if body_end > bytes.len() {
            return None;
        }
        let body = bytes.slice(body_at..body_end);
        let id = DocumentId::from_bytes;
        let entry = match head {
            Head::Changes { document, first } => {
                Self::Changes { document: id(document), first, chunks: unpack(&body)? }
            }
            Head::Cover { document, to } => Self::Cover { document: id(document), to },
            Head::Snapshot { document } => Self::Snapshot { document: id(document), bytes: body },
            Head::Manifest { document, manifest } => {
                let heads = match manifest.heads() {
                    Some(heads) => heads,
                    None => heads_of(&body)?,
                };
                Self::Manifest { document: id(document), manifest, heads }
            }
            Head::SyncState { document, peer } => {
                Self::SyncState { document: id(document), peer: StorageId::new(&peer).ok()?, state: body }
            }
            Head::Meta { key } => Self::Meta { key, value: body },
            Head::RemoveMeta { key } => Self::RemoveMeta { key },
            Head::RemoveSyncState { document, peer } => {
                Self::RemoveSyncState { document: id(document), peer: StorageId::new(&peer).ok()? }
            }
        };
        Some((entry, body_end))
    }
}

/// Puts chunks one after the other, each behind its length.
pub(crate) fn pack(chunks: &[Bytes]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(chunks.iter().map(|chunk| chunk.len() + 4).sum());
    for chunk in chunks {
        let len = u32::try_from(chunk.len()).expect("limits keep chunks below 4 GiB");
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(chunk);
    }
    bytes
}

/// Takes apart what [`pack`] put together; `None` unless every byte belongs.
pub(crate) fn unpack(bytes: &Bytes) -> Option<Vec<Bytes>> {
    let mut chunks = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at + 4;
        let len = u32::from_be_bytes(bytes.get(at..start)?.try_into().ok()?) as usize;
        let end = start.checked_add(len)?;
        if end > bytes.len() {
            return None;
        }
        chunks.push(bytes.slice(start..end));
        at = end;
    }
    Some(chunks)
}
