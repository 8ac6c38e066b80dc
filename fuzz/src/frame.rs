//! Frames content as Automerge does: no fuzzer guesses a SHA-256.

use sha2::{Digest, Sha256};

/// Writes a number as LEB128.
pub fn leb(mut number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

/// Makes a chunk of this type and content, with the right checksum.
pub fn chunk(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = leb(content.len());
    let hash = Sha256::new().chain_update([kind]).chain_update(&length).chain_update(content).finalize();
    [&[0x85, 0x6f, 0x4a, 0x83], &hash[..4], &[kind], &length, content].concat()
}

/// Makes a sync message with this as its only change.
pub fn message(change: &[u8]) -> Vec<u8> {
    [&[0x42, 0, 0, 0, 1][..], &leb(change.len()), change].concat()
}
