//! Authors of changes of all sorts: such as ours and other applications write, and such as nobody writes.

use automerge::legacy::OpType;
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, Automerge, Change, ExpandedChange, ObjId, ObjType, ROOT, ReadDoc, ScalarValue};

use crate::admit::tests::Choices;
use crate::chunk;
use crate::genesis::{self, Container};

fn genesis() -> Change {
    chunk::split(genesis::CHUNK).unwrap()[0].change().unwrap()
}

/// A document with our maps and those of another application, to which each of the authors has written.
pub(super) fn authors() -> Vec<Automerge> {
    let mut base = Automerge::new().with_actor(ActorId::from(&[5, 5]));
    base.apply_changes([genesis()]).unwrap();
    let mut transaction = base.transaction();
    let map = transaction.put_object(ROOT, "map", ObjType::Map).unwrap();
    transaction.put_object(&map, "inner", ObjType::Map).unwrap();
    transaction.put_object(&map, "list", ObjType::List).unwrap();
    let text = transaction.put_object(ROOT, "text", ObjType::Text).unwrap();
    transaction.splice_text(&text, 0, 0, "text").unwrap();
    transaction.put(ROOT, "counter", ScalarValue::counter(1)).unwrap();
    transaction.commit();
    for actor in [[1, 200], [5, 6], [250, 1]] {
        base.set_actor(ActorId::from(&actor));
        base.transact(|transaction| transaction.put(ROOT, "who", i64::from(actor[0]))).unwrap();
    }
    [[1, 200], [5, 6], [250, 1]].into_iter().map(|actor| base.clone().with_actor(ActorId::from(&actor))).collect()
}

fn scalar(choices: &mut Choices) -> ScalarValue {
    match choices.below(12) {
        0 => ScalarValue::Null,
        1 => ScalarValue::Boolean(choices.below(2) == 0),
        2 => ScalarValue::Uint(u64::MAX - choices.below(2) as u64),
        3 => ScalarValue::Int(i64::MIN + choices.below(2) as i64),
        4 => ScalarValue::F64([f64::NAN, 0.0, -0.0, 1.5][choices.below(4)]),
        5 => ScalarValue::Bytes(vec![7; choices.below(300)]),
        6 => ScalarValue::Timestamp(choices.below(3) as i64),
        7 => ScalarValue::Str("word ".repeat(choices.below(100)).into()),
        8 => ScalarValue::Str("".into()),
        _ => ScalarValue::Int(choices.below(3) as i64),
    }
}

/// Writes one change, mostly to registers: forced writes, removals, the same value again, and now and then all else.
pub(super) fn edit(document: &mut Automerge, choices: &mut Choices) {
    let (objects, _) = objects(document);
    let maps: Vec<_> = objects.iter().filter(|(_, kind)| *kind == ObjType::Map).map(|(map, _)| map.clone()).collect();
    let mut transaction = document.transaction();
    for _ in 0..1 + choices.below(5) {
        let map = match choices.below(3) {
            0 => Container::Values.id(),
            _ => maps[choices.below(maps.len())].clone(),
        };
        let key = ["a", "b", "c", "M1/status", "", "é"][choices.below(6)];
        match choices.below(40) {
            0 => drop(transaction.put_object(&map, key, ObjType::Map)),
            1 => drop(transaction.put(&map, key, ScalarValue::counter(3))),
            2 => drop(transaction.increment(ROOT, "counter", 1)),
            3 => edit_sequence(&mut transaction, &objects, choices),
            4..10 => drop(transaction.delete(&map, key)),
            // As we write a value again that stands there already, so that it is known to be meant.
            10..14 => {
                let value = transaction.get(&map, key).unwrap().and_then(|(value, _)| value.into_scalar().ok());
                transaction.put(&map, key, "sentinel").unwrap();
                transaction.put(&map, key, value.filter(|value| value.as_i64().is_some()).unwrap_or(1.into())).unwrap();
            }
            _ => drop(transaction.put(&map, key, scalar(choices))),
        }
    }
    let time = [0, 1_795_257_600, -1, -1 << 60, 1 << 60][choices.below(5)];
    let mut options = CommitOptions::default().with_time(time);
    options.message = ["", "a message", "é🙂\0"].get(choices.below(4)).map(|text| (*text).to_owned());
    transaction.commit_with(options);
}

fn edit_sequence(transaction: &mut impl Transactable, objects: &[(ObjId, ObjType)], choices: &mut Choices) {
    for (object, kind) in objects {
        match kind {
            ObjType::List => drop(transaction.insert(object, 0, choices.below(9) as i64)),
            ObjType::Text => drop(transaction.splice_text(object, 0, choices.below(2) as isize, "é")),
            _ => {}
        }
    }
}

/// Writes a change as no transaction of Automerge would: with other predecessors, or a value that stands there already.
pub(super) fn craft(document: &mut Automerge, choices: &mut Choices) {
    let key = ["a", "b"][choices.below(2)];
    let standing = document.get_all(Container::Values.id(), key).unwrap();
    let winner = standing.last().and_then(|(value, _)| value.as_scalar().cloned());
    let mut change = drafted(document, key);
    let value = winner.filter(|value| value.as_i64().is_some()).unwrap_or(5.into());
    let seen = choices.below(standing.len() + 1);
    for operation in &mut change.operations {
        let pred: Vec<_> = operation.pred.iter().take(seen).cloned().collect();
        operation.pred = pred.into();
        if choices.below(2) == 0 {
            operation.action = OpType::Put(value.clone());
        }
    }
    document.apply_changes([Change::from(change)]).unwrap();
}

/// Gives a change as a transaction would write it now, without making it.
pub(super) fn drafted(document: &Automerge, key: &str) -> ExpandedChange {
    let mut draft = document.clone();
    let value = format!("draft {}", document.stats().num_changes);
    draft.transact(|transaction| transaction.put(Container::Values.id(), key, value)).unwrap();
    let drafted = draft.get_last_local_change().unwrap().decode();
    ExpandedChange { hash: None, ..drafted }
}

/// Lists the objects that can be reached, and what stands in all registers of the maps.
pub(super) fn objects(document: &Automerge) -> (Vec<(ObjId, ObjType)>, Vec<String>) {
    let (mut found, mut registers, mut next) = (vec![(ROOT, ObjType::Map)], Vec::new(), 0);
    while let Some((object, kind)) = found.get(next).cloned() {
        next += 1;
        if kind != ObjType::Map {
            continue;
        }
        for item in document.map_range(&object, ..) {
            let all = document.get_all(&object, item.key.as_ref()).unwrap();
            registers.push(format!("{object} {} {} {all:?}", item.key, item.conflict));
            found.extend(all.into_iter().filter_map(|(value, id)| Some((id, value.to_objtype()?))));
        }
    }
    (found, registers)
}

pub(super) fn shown(document: &Automerge) -> Vec<String> {
    let (found, mut registers) = objects(document);
    for (object, kind) in found {
        match kind {
            ObjType::List => registers.push(format!("{:?}", document.list_range(&object, ..).collect::<Vec<_>>())),
            ObjType::Text => registers.push(document.text(&object).unwrap()),
            _ => registers.push(format!("{}", document.length(&object))),
        }
    }
    registers
}
