//! Keys: what each names, and where the rows of one thing begin and end.

use comity_model::{DocumentId, StorageId};

/// What a key of the data space names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DataKey {
    Manifest,
    Heads { part: u32 },
    Snapshot { part: u32 },
    Change { sequence: u64, part: u32 },
    SyncState { peer: StorageId, part: u32 },
}

/// Bytes of the key of a manifest; no other key of the data space is as short.
pub(crate) const MANIFEST_KEY_BYTES: usize = 17;
const MANIFEST: u8 = 0;
const HEADS: u8 = 1;
const SNAPSHOT: u8 = 2;
const CHANGE: u8 = 3;
const SYNC_STATE: u8 = 4;

impl DataKey {
    /// Reads a key; `None` when it is none of ours.
    pub(crate) fn parse(key: &[u8]) -> Option<(DocumentId, Self)> {
        let (document, rest) = key.split_at_checked(16)?;
        let document = DocumentId::try_from(document).ok()?;
        let (kind, rest) = rest.split_first()?;
        let part = |bytes: &[u8]| Some(u32::from_be_bytes(bytes.try_into().ok()?));
        let parsed = match *kind {
            MANIFEST if rest.is_empty() => Self::Manifest,
            HEADS => Self::Heads { part: part(rest)? },
            SNAPSHOT => Self::Snapshot { part: part(rest)? },
            CHANGE => {
                let (sequence, rest) = rest.split_at_checked(8)?;
                Self::Change { sequence: u64::from_be_bytes(sequence.try_into().ok()?), part: part(rest)? }
            }
            SYNC_STATE => {
                let (peer, rest) = rest.split_at_checked(rest.len().checked_sub(5)?)?;
                let peer = StorageId::new(std::str::from_utf8(peer).ok()?).ok()?;
                Self::SyncState { peer, part: part(&rest[1..])? }
            }
            _ => return None,
        };
        Some((document, parsed))
    }
}

fn key_of(document: &DocumentId, kind: u8, rest: &[u8]) -> Vec<u8> {
    [document.as_bytes().as_slice(), &[kind], rest].concat()
}

pub(crate) fn manifest_key(document: &DocumentId) -> Vec<u8> {
    key_of(document, MANIFEST, &[])
}

pub(crate) fn heads_prefix(document: &DocumentId) -> Vec<u8> {
    key_of(document, HEADS, &[])
}

pub(crate) fn snapshot_prefix(document: &DocumentId) -> Vec<u8> {
    key_of(document, SNAPSHOT, &[])
}

pub(crate) fn change_prefix(document: &DocumentId, sequence: u64) -> Vec<u8> {
    key_of(document, CHANGE, &sequence.to_be_bytes())
}

/// All states of sync sessions of a document.
pub(crate) fn sync_states_prefix(document: &DocumentId) -> Vec<u8> {
    key_of(document, SYNC_STATE, &[])
}

pub(crate) fn sync_state_prefix(document: &DocumentId, peer: &StorageId) -> Vec<u8> {
    let mut key = key_of(document, SYNC_STATE, peer.as_str().as_bytes());
    key.push(0);
    key
}

pub(crate) fn meta_prefix(key: &str) -> Vec<u8> {
    let mut prefix = key.as_bytes().to_vec();
    prefix.push(0);
    prefix
}

/// Gives the key of a node-level row back, from the key of one of its parts.
pub(crate) fn meta_key_of(key: &[u8]) -> Option<&str> {
    let (prefix, _part) = key.split_at_checked(key.len().checked_sub(4)?)?;
    std::str::from_utf8(prefix.strip_suffix(&[0])?).ok()
}

/// Gives the first key after all that begin with the prefix.
pub(crate) fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // A prefix of 0xFF alone: no key of ours is longer than this.
    vec![u8::MAX; 256]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back() {
        let document = DocumentId::from_bytes([9; 16]);
        let peer = StorageId::new("peer").unwrap();
        let key = [sync_state_prefix(&document, &peer), 5_u32.to_be_bytes().to_vec()].concat();
        assert_eq!(DataKey::parse(&key), Some((document, DataKey::SyncState { peer, part: 5 })));
        let key = [change_prefix(&document, 8), 1_u32.to_be_bytes().to_vec()].concat();
        assert_eq!(DataKey::parse(&key), Some((document, DataKey::Change { sequence: 8, part: 1 })));
        assert_eq!(DataKey::parse(&key[..10]), None);
    }
}
