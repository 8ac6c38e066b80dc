//! Good chunks, damaged in a few bytes, with the checksum repaired: they come past every outer check.

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, Automerge, ObjType, ROOT, ReadDoc, Value};

use super::{chunk, message};

/// What a seed decides.
pub struct Choices(u64);

impl Choices {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Gives a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }
}

/// A document, and damaged versions of the next change to it or of the whole of it.
pub struct Litter {
    /// A sync message with what there is before.
    pub before: Vec<u8>,
    /// Sync messages with a damaged chunk each.
    pub mutants: Vec<Vec<u8>>,
}

/// Makes the litter of a seed.
pub fn litter(seed: u64, mutants: usize) -> Litter {
    let mut choices = Choices::new(seed);
    let steps = 3 + choices.below(12);
    let written = write(&mut choices, steps);
    let changes = written.get_changes(&[]);
    let change = &changes[choices.below(changes.len())];
    let before = written.fork_at(change.deps()).expect("what a change builds upon is there");
    let whole = [written.save(), written.save_nocompress()];
    let mutants = (0..mutants)
        .map(|number| {
            // A change twice as often as a whole document.
            let (kind, mut bytes) = body(if number % 3 < 2 { change.raw_bytes() } else { &whole[number % 2] });
            damage(&mut bytes, &mut choices);
            message(&[chunk(kind, &bytes)])
        })
        .collect();
    Litter { before: message(&[before.save()]), mutants }
}

/// Writes a document by two actors with maps, lists, texts and counters.
fn write(choices: &mut Choices, steps: usize) -> Automerge {
    let actors = [ActorId::from(vec![choices.below(256) as u8, 1]), ActorId::from(vec![choices.below(256) as u8, 2])];
    let mut document = Automerge::new().with_actor(actors[0].clone());
    for step in 0..steps {
        let mut fork = document.fork().with_actor(actors[1].clone());
        edit(&mut document, choices, step);
        if choices.below(3) == 0 {
            edit(&mut fork, choices, step + 100);
            document.merge(&mut fork).expect("forks merge");
        }
    }
    document
}

fn edit(document: &mut Automerge, choices: &mut Choices, step: usize) {
    let list = match document.get(ROOT, "list") {
        Ok(Some((Value::Object(ObjType::List), id))) => Some(id),
        _ => None,
    };
    let mut transaction = document.transaction();
    for _ in 0..1 + choices.below(4) {
        let key = format!("key {}", choices.below(5));
        let done = match (choices.below(6), &list) {
            (0, None) => transaction.put_object(ROOT, "list", ObjType::List).map(drop),
            (0 | 1, Some(list)) => transaction.insert(list, 0, step as i64),
            (2, Some(list)) if transaction.length(list) > 1 => transaction.delete(list, 0),
            (3, _) => transaction
                .put_object(ROOT, key, ObjType::Text)
                .and_then(|text| transaction.splice_text(&text, 0, 0, &"grün ".repeat(1 + choices.below(40)))),
            (4, _) => transaction.put(ROOT, key, choices.below(1_000) as f64),
            _ => transaction.put(ROOT, key, "a value".repeat(1 + choices.below(50))),
        };
        done.expect("an edit of our own making");
    }
    transaction.commit_with(CommitOptions::default().with_time(step as i64).with_message("a message"));
}

/// Gives type and content of a chunk that is not compressed as a whole.
fn body(chunk: &[u8]) -> (u8, Vec<u8>) {
    let length = chunk[9..].iter().position(|byte| byte & 0x80 == 0).expect("a length ends");
    (chunk[8], chunk[10 + length..].to_vec())
}

/// Damages a few bytes: flips, steps, small and large numbers, insertions, removals.
fn damage(bytes: &mut Vec<u8>, choices: &mut Choices) {
    for _ in 0..1 + choices.below(3) {
        let at = choices.below(bytes.len());
        match choices.below(8) {
            0 => bytes[at] ^= 1 << choices.below(8),
            1 => bytes[at] = bytes[at].wrapping_add(1),
            2 => bytes[at] = bytes[at].wrapping_sub(1),
            3 => bytes[at] = choices.below(256) as u8,
            4 => bytes[at] = choices.below(12) as u8,
            5 => bytes[at] = 0x7f - choices.below(12) as u8,
            6 => bytes.insert(at, choices.below(256) as u8),
            _ => drop(bytes.remove(at)),
        }
    }
}
