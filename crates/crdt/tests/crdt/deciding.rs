//! What a decision writes, and why a plain write would not do.

use comity_crdt::{Document, EditError, ObjectId, OpAction};
use comity_model::{Limits, Value, Write};

use crate::support::{End, act, delete, device, edit, in_sync, key, set, settle};

fn force(register: &str, value: impl Into<Value>) -> Write {
    Write::Force { key: key(register), value: value.into() }
}

fn decision(id: &str, record: &str) -> Write {
    Write::Decision { id: id.into(), record: record.into() }
}

/// Two devices with one disagreement: `dead` and `ok`, `shown` being the value that Automerge shows.
fn disagreeing() -> (End, End, Value, Value) {
    let (mut a, mut b) = (End::default(), End::default());
    a.edit(1, &[set("M050/status", "dead")]);
    b.edit(2, &[set("M050/status", "ok")]);
    settle(&mut a, &mut b);
    let register = a.document.register(&key("M050/status"), None).unwrap();
    let [other, shown] = &register.versions[..] else { panic!("two values") };
    (a, b, shown.value.clone(), other.value.clone())
}

#[test]
fn keeping_the_shown_value_with_a_plain_write_loses_against_the_opposite_decision_without_a_trace() {
    let (mut a, mut b, shown, other) = disagreeing();
    a.edit(1, &[set("M050/status", shown)]);
    b.edit(2, &[set("M050/status", other.clone())]);
    settle(&mut a, &mut b);
    in_sync(&a, &b);
    let register = a.document.register(&key("M050/status"), None).unwrap();
    assert_eq!(register.versions.len(), 1, "Automerge flags nothing: the trap");
    assert_eq!(register.winner().unwrap().value, other);
}

#[test]
fn forced_writes_of_two_people_who_decide_differently_stand_against_each_other() {
    // S1.7: both answers stay, for a person to settle.
    let (mut a, mut b, shown, other) = disagreeing();
    a.edit(1, &[force("M050/status", shown.clone()), decision("d1", "keep")]);
    b.edit(2, &[force("M050/status", other.clone()), decision("d2", "accept")]);
    settle(&mut a, &mut b);
    in_sync(&a, &b);
    let register = a.document.register(&key("M050/status"), None).unwrap();
    let mut values: Vec<_> = register.versions.iter().map(|version| version.value.clone()).collect();
    values.sort_by_key(ToString::to_string);
    let mut both = [shown, other];
    both.sort_by_key(ToString::to_string);
    assert_eq!(values, both);
}

#[test]
fn a_forced_write_is_written_whatever_stands_there() {
    let values = [Value::Null, Value::Bool(false), Value::Bool(true), "x".into(), 7_i64.into()];
    for stands in [None, Some(Value::Null), Some(Value::Bool(false)), Some("x".into())] {
        for value in &values {
            let mut document = Document::new();
            if let Some(stands) = &stands {
                edit(&mut document, 1, &[set("M050/status", stands.clone())]);
            }
            let hash = edit(&mut document, 2, &[force("M050/status", value.clone())]).hash.expect("a change");
            let change = document.decode_changes(&[hash]).remove(0);
            assert_eq!(change.ops.len(), 2);
            assert_eq!(change.ops[1].action, OpAction::Put(value.clone()));
            let register = document.register(&key("M050/status"), None).unwrap();
            assert_eq!((register.versions.len(), &register.versions[0].value), (1, value));
        }
    }
}

#[test]
fn a_record_stands_in_the_change_of_its_decision_and_is_only_ever_added() {
    let mut document = Document::new();
    let hash = edit(&mut document, 1, &[force("M050/status", "ok"), decision("d1", "why")]).hash.unwrap();
    let change = document.decode_changes(&[hash]).remove(0);
    let record = change.ops.iter().find(|op| op.object == ObjectId::Decisions).expect("the record");
    assert_eq!(record.value(), Some(&"why".into()));
    let limits = Limits::default();
    let again = document.edit(&device(1), act(0), None, &[decision("d1", "other")], &limits);
    assert!(matches!(again, Err(EditError::Duplicate { what: "decision", .. })));
    let long = document.edit(&device(1), act(0), None, &[decision(&"n".repeat(257), "x")], &limits);
    assert!(matches!(long, Err(EditError::Name { .. })));
}

#[test]
fn life_takes_only_its_two_words_even_when_forced() {
    let mut document = Document::new();
    edit(&mut document, 1, &[set("M050/status", "ok"), delete("M050")]);
    let limits = Limits::default();
    let wrong = document.edit(&device(1), act(0), None, &[force("M050/life", "gone")], &limits);
    assert!(matches!(wrong, Err(EditError::LifeIsReserved { .. })));
    edit(&mut document, 1, &[force("M050/life", "live")]);
    assert!(!document.entry(&crate::support::entry("M050"), None).unwrap().deleted);
}
