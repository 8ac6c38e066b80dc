//! Admission as seen from both sides: what Automerge writes, and what an attacker does.

mod attacks;
mod bytes;
mod limits;
mod mutation;
mod written;

pub(crate) use bytes::message;
pub(super) use bytes::run_length_bomb;
use bytes::{change_body, chunk, leb, long_keys};

use automerge::marks::{ExpandMark, Mark};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, Automerge, ObjId, ObjType, ROOT, ReadDoc, ScalarValue};

/// A small deterministic source of choices: the bytes of a test case, then a generator seeded by them.
pub(crate) struct Choices(u64);

impl Choices {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }
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
