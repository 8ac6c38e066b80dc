//! The bytes of the measured attacks on Automerge 0.12, and the envelope they travel in.

use std::io::Write;

use automerge::sync::SyncDoc;
use automerge::transaction::Transactable;
use automerge::{Automerge, ROOT, ScalarValue, sync};
use flate2::{Compression, write::DeflateEncoder};

// Admission has them from its own tests, where they are refused one by one.
#[path = "../../crates/crdt/src/admit/tests/bytes.rs"]
mod bytes;

pub use bytes::{chunk, leb, message, run};

pub mod mutants;

/// A sync message whose Bloom filter has one entry and no bits: the next message that Automerge makes panics.
pub fn zero_bit_bloom_filter() -> Vec<u8> {
    with_bloom_filter(&[1, 0, 7])
}

/// A sync message whose Bloom filter asks for 2^32 - 1 probes: Automerge allocates them all and aborts.
pub fn endless_probes() -> Vec<u8> {
    with_bloom_filter(&[&[1, 10][..], &leb(u64::from(u32::MAX)), &[0, 0]].concat())
}

/// A sync message with a compressed change of about 300 KB that inflates to 300 MiB.
pub fn deflate_bomb() -> Vec<u8> {
    let bomb = deflated_zeros(300);
    message(&[[&[0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 2][..], &leb(bomb.len() as u64), &bomb].concat()])
}

/// A sync message with a document whose one column inflates to 300 MiB.
pub fn deflated_column_bomb() -> Vec<u8> {
    let bomb = deflated_zeros(300);
    // No actors, no heads, one deflated change column (actor, 0x01 | 0x08), no operation columns.
    let body = [&[0, 0, 1, 9][..], &leb(bomb.len() as u64), &[0], &bomb].concat();
    message(&[chunk(0, &body)])
}

/// A sync message with one legitimate change of about a hundred bytes that makes a list and inserts `count` nulls.
pub fn run_length_bomb(count: u64) -> Vec<u8> {
    message(&[bytes::run_length_bomb(count)])
}

/// A sync message with a document of a few bytes that has five million operations.
pub fn run_length_document() -> Vec<u8> {
    let actions = run(5_000_000, &[1]);
    // No actors, no heads, no change columns, one operation column (action).
    let body = [&[0, 0, 0, 1, 0x42][..], &leb(actions.len() as u64), &actions].concat();
    message(&[chunk(0, &body)])
}

/// A sync message with a bundle whose content inflates to 300 MiB.
pub fn deflated_bundle_bomb() -> Vec<u8> {
    let bomb = deflated_zeros(300);
    let body = [&[0, 0, 1, 9][..], &leb(bomb.len() as u64), &bomb].concat();
    message(&[chunk(3, &body)])
}

/// A sync message with a bundle of a few bytes that says it has five million changes.
pub fn run_length_bundle() -> Vec<u8> {
    let changes = run(5_000_000, &[1]);
    let body = [&[0, 0, 1, 1][..], &leb(changes.len() as u64), &changes].concat();
    message(&[chunk(3, &body)])
}

/// A sync message with a legitimate document that holds so many bytes which nothing compresses.
pub fn large_document(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let noise: Vec<u8> = noise.take(bytes / 8).flatten().collect();
    let mut document = Automerge::new();
    let put = document.transact(|transaction| transaction.put(ROOT, "noise", ScalarValue::Bytes(noise)));
    put.expect("a map takes any value");
    message(&[document.save()])
}

/// The sync message of somebody who has nothing and would like everything.
pub fn wish() -> Vec<u8> {
    let mut state = sync::State::new();
    Automerge::new().generate_sync_message(&mut state).expect("a first message").encode()
}

/// A sync message with one `have` row that has this Bloom filter.
fn with_bloom_filter(filter: &[u8]) -> Vec<u8> {
    [&[0x42, 0, 0, 1, 0][..], &leb(filter.len() as u64), filter, &[0]].concat()
}

fn deflated_zeros(mebibytes: usize) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    (0..mebibytes).try_for_each(|_| encoder.write_all(&zeros)).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}
