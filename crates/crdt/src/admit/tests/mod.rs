//! Admission as seen from both sides: what Automerge writes, and what an attacker does.

mod attacks;
mod limits;
mod mutation;
mod written;

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, Automerge, ObjId, ObjType, ROOT, ReadDoc, ScalarValue};
use sha2::{Digest, Sha256};

/// A small deterministic source of choices: the bytes of a test case, then a generator seeded by them.
pub(super) struct Choices(u64);

impl Choices {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }
}

pub(super) fn leb(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

/// A chunk with the right checksum.
pub(super) fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = leb(body.len() as u64);
    let hash = Sha256::new().chain_update([kind]).chain_update(&length).chain_update(body).finalize();
    [&[0x85, 0x6f, 0x4a, 0x83], &hash[..4], &[kind], &length, body].concat()
}

/// A sync message that carries these changes and nothing else.
pub(super) fn message(changes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = [vec![0x42, 0, 0, 0], leb(changes.len() as u64)].concat();
    for change in changes {
        out.extend(leb(change.len() as u64));
        out.extend(change);
    }
    out
}

/// Writes a document by several actors, who fork and merge, with every kind of operation.
pub(super) fn document(seed: u64, edits: usize) -> Automerge {
    let mut choices = Choices::new(seed);
    let actors: Vec<ActorId> = (0..3_u8).map(|actor| ActorId::from(vec![choices.below(256) as u8, actor])).collect();
    let mut branches = vec![Automerge::new().with_actor(actors[0].clone())];
    for _ in 0..edits {
        let at = choices.below(branches.len());
        match choices.below(10) {
            0 if branches.len() < actors.len() => {
                let fork = branches[at].fork().with_actor(actors[branches.len()].clone());
                branches.push(fork);
            }
            1 => {
                let mut other = branches[choices.below(branches.len())].clone();
                branches[at].merge(&mut other).unwrap();
            }
            _ => edit(&mut branches[at], &mut choices),
        }
    }
    let mut merged = branches.remove(0);
    for mut branch in branches {
        merged.merge(&mut branch).unwrap();
    }
    merged
}

fn edit(document: &mut Automerge, choices: &mut Choices) {
    let objects = objects(document);
    let mut transaction = document.transaction();
    for _ in 0..1 + choices.below(6) {
        let (object, kind) = objects[choices.below(objects.len())].clone();
        match kind {
            ObjType::Map | ObjType::Table => edit_map(&mut transaction, &object, choices),
            ObjType::List => edit_list(&mut transaction, &object, choices),
            ObjType::Text => edit_text(&mut transaction, &object, choices),
        }
    }
    let mut options = CommitOptions::default().with_time(choices.below(1_000_000) as i64);
    if choices.below(2) == 0 {
        options = options.with_message("a message".repeat(choices.below(60)));
    }
    transaction.commit_with(options);
}

fn objects(document: &Automerge) -> Vec<(ObjId, ObjType)> {
    let mut found = vec![(ROOT, ObjType::Map)];
    let mut next = 0;
    while let Some((object, kind)) = found.get(next).cloned() {
        next += 1;
        let values: Vec<_> = match kind {
            ObjType::Map | ObjType::Table => {
                document.map_range(&object, ..).map(|item| (item.value.clone().into_value(), item.id())).collect()
            }
            ObjType::List => {
                document.list_range(&object, ..).map(|item| (item.value.clone().into_value(), item.id())).collect()
            }
            ObjType::Text => vec![],
        };
        for (value, id) in values {
            if let Some(kind) = value.to_objtype() {
                found.push((id, kind));
            }
        }
    }
    found
}

fn scalar(choices: &mut Choices) -> ScalarValue {
    match choices.below(10) {
        0 => ScalarValue::Null,
        1 => ScalarValue::Boolean(choices.below(2) == 0),
        2 => ScalarValue::Uint(choices.below(usize::MAX) as u64),
        3 => ScalarValue::Int(choices.below(1000) as i64 - 500),
        4 => ScalarValue::F64(choices.below(1000) as f64 / 7.0),
        5 => ScalarValue::Bytes(vec![7; choices.below(20)]),
        6 => ScalarValue::counter(choices.below(10) as i64),
        7 => ScalarValue::Timestamp(choices.below(1_000_000) as i64),
        8 => ScalarValue::Str("word".repeat(choices.below(30)).into()),
        _ => ScalarValue::Str("aé🙂".into()),
    }
}

fn edit_map(transaction: &mut impl Transactable, object: &ObjId, choices: &mut Choices) {
    let key = format!("k{}", choices.below(8));
    match choices.below(8) {
        0 => drop(transaction.put_object(object, key, ObjType::List)),
        1 => drop(transaction.put_object(object, key, ObjType::Text)),
        2 => drop(transaction.put_object(object, key, ObjType::Map)),
        3 => drop(transaction.delete(object, key)),
        4 => drop(transaction.increment(object, key, choices.below(9) as i64 - 4)),
        _ => drop(transaction.put(object, key, scalar(choices))),
    }
}

fn edit_list(transaction: &mut impl Transactable, object: &ObjId, choices: &mut Choices) {
    let length = transaction.length(object);
    let at = choices.below(length + 1);
    match choices.below(7) {
        0 => drop(transaction.insert_object(object, at, ObjType::Map)),
        1 => drop(transaction.delete(object, choices.below(length))),
        2 => drop(transaction.put(object, choices.below(length), scalar(choices))),
        3 => drop(transaction.increment(object, choices.below(length), 3)),
        _ => drop(transaction.insert(object, at, scalar(choices))),
    }
}

fn edit_text(transaction: &mut impl Transactable, object: &ObjId, choices: &mut Choices) {
    let length = transaction.length(object);
    let at = choices.below(length + 1);
    match choices.below(5) {
        0 if length > 2 => {
            let start = choices.below(length - 1);
            let end = start + 1 + choices.below(length - start - 1);
            let expand = if choices.below(2) == 0 { ExpandMark::Both } else { ExpandMark::None };
            drop(transaction.mark(object, Mark::new("bold".to_owned(), scalar(choices), start, end), expand));
        }
        1 if length > 2 => drop(transaction.splice_text(object, choices.below(length - 1), 2, "")),
        2 => drop(transaction.split_block(object, at)),
        _ => drop(transaction.splice_text(object, at, 0, "hello wörld 🙂")),
    }
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
fn run(count: u64, value: &[u8]) -> Vec<u8> {
    let head = if count == 1 { sleb(-1) } else { sleb(count as i64) };
    [&head, value].concat()
}

fn nulls(count: u64) -> Vec<u8> {
    [vec![0], leb(count)].concat()
}

/// The body of a change with these header fields and columns.
fn change_body(start: u64, dependencies: &[[u8; 32]], others: &[Vec<u8>], columns: &[(u64, Vec<u8>)]) -> Vec<u8> {
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
pub(super) fn run_length_bomb(count: u64) -> Vec<u8> {
    assert!(count > 3);
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
    chunk(1, &change_body(1, &[], &[], &columns))
}
