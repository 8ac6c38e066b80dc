//! Attacks are written byte by byte. Also used by `tests/admission_memory.rs` and by the hostile tests of the whole, so
//! nothing of the crate is named here.

use sha2::{Digest, Sha256};

/// Gives the LEB128 form of a number.
pub fn leb(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

/// A chunk with the right checksum.
pub fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = leb(body.len() as u64);
    let hash = Sha256::new().chain_update([kind]).chain_update(&length).chain_update(body).finalize();
    [&[0x85, 0x6f, 0x4a, 0x83], &hash[..4], &[kind], &length, body].concat()
}

/// A sync message that carries these changes and nothing else.
pub fn message(changes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = [vec![0x42, 0, 0, 0], leb(changes.len() as u64)].concat();
    for change in changes {
        out.extend(leb(change.len() as u64));
        out.extend(change);
    }
    out
}

fn sleb(mut number: i64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = number as u8 & 0x7f;
        number >>= 7;
        if (number == 0 && byte & 0x40 == 0) || (number == -1 && byte & 0x40 != 0) {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

/// A run of equal values; the value is encoded already.
pub fn run(count: u64, value: &[u8]) -> Vec<u8> {
    let head = if count == 1 { sleb(-1) } else { sleb(count as i64) };
    [&head, value].concat()
}

fn nulls(count: u64) -> Vec<u8> {
    [vec![0], leb(count)].concat()
}

/// The body of a change with these header fields and columns.
pub fn change_body(start: u64, dependencies: &[[u8; 32]], others: &[Vec<u8>], columns: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut body = leb(dependencies.len() as u64);
    body.extend(dependencies.concat());
    // Actor 0xaa, sequence 1 or 2, start, time 0, no message.
    body.extend([1, 0xaa, if dependencies.is_empty() { 1 } else { 2 }]);
    body.extend(leb(start));
    body.extend([0, 0]);
    body.extend(leb(others.len() as u64));
    for other in others {
        body.extend(leb(other.len() as u64));
        body.extend(other);
    }
    let columns: Vec<_> = columns.iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
    body.extend(leb(columns.len() as u64));
    for (spec, bytes) in &columns {
        body.extend(leb(*spec));
        body.extend(leb(bytes.len() as u64));
    }
    for (_, bytes) in &columns {
        body.extend(bytes);
    }
    body
}

/// A legitimate change of about a hundred bytes: it makes a list and inserts `count` nulls, one after the other.
#[allow(dead_code, reason = "not every program that includes this file uses it")]
pub fn run_length_bomb(count: u64) -> Vec<u8> {
    run_length_bomb_of(count, 1, 0xaa)
}

/// A legitimate change that puts a null under one and the same key again and again, each beside the others.
#[allow(dead_code, reason = "not every program that includes this file uses it")]
pub fn long_keys(count: u64, key_bytes: usize) -> Vec<u8> {
    let key = [leb(key_bytes as u64), vec![b'k'; key_bytes]].concat();
    let columns = [
        (0x15, run(count, &key)),
        (0x34, leb(count)),
        (0x42, run(count, &[1])),
        (0x56, run(count, &[0])),
        (0x70, run(count, &[0])),
    ];
    chunk(1, &change_body(1, &[], &[], &columns))
}

/// A change as [`run_length_bomb`] makes it, with another action for each of the operations (1 inserts nulls, 0 maps), and
/// by this actor.
pub fn run_length_bomb_of(count: u64, action: u8, actor: u8) -> Vec<u8> {
    run_length_bomb_after(count, action, actor, 1, &[])
}

/// A change as [`run_length_bomb_of`] makes it, on top of others; its operations have the numbers from `start`, which is
/// below 63.
pub fn run_length_bomb_after(count: u64, action: u8, actor: u8, start: u8, dependencies: &[[u8; 32]]) -> Vec<u8> {
    assert!(count > 3 && start < 63, "numbers of one byte");
    let columns = [
        (0x01, [nulls(1), run(count, &[0])].concat()),
        (0x02, [nulls(1), run(count, &[start])].concat()),
        (0x11, [nulls(2), run(count - 1, &[0])].concat()),
        (0x13, [nulls(1), sleb(-2), vec![0, start + 1], run(count - 2, &[1])].concat()),
        (0x15, [run(1, &[1, b'l']), nulls(count)].concat()),
        (0x34, [leb(1), leb(count)].concat()),
        (0x42, [run(1, &[2]), run(count, &[action])].concat()),
        (0x56, run(count + 1, &[0])),
        (0x70, run(count + 1, &[0])),
    ];
    let mut body = change_body(start.into(), dependencies, &[], &columns);
    // Behind the dependencies and the length of the actor: the actor, and its first number.
    let at = 2 + 32 * dependencies.len();
    body[at..at + 2].copy_from_slice(&[actor, 1]);
    chunk(1, &body)
}

/// The hash of a change that is not compressed.
#[allow(dead_code, reason = "not every program that includes this file uses it")]
pub fn hash_of(change: &[u8]) -> [u8; 32] {
    // Its type, length and body, without magic bytes and checksum.
    Sha256::digest(&change[8..]).into()
}
