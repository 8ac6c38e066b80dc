//! Documents of other applications: what Automerge shows, and what we say.

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, ObjId, ObjType, ROOT, ReadDoc, ScalarValue};
use comity_crdt::Document;
use comity_review::{Conflict, ConflictKind, Declarations, Review, State};

use crate::oracle::in_another_order;

/// Reviews what two copies make together.
fn merged(mut a: AutoCommit, b: &mut AutoCommit) -> (AutoCommit, Vec<Conflict>) {
    a.merge(b).unwrap();
    let document = Document::load(Some(&a.save()), std::iter::empty::<&[u8]>()).unwrap();
    let review = Review::of(&document, Declarations::default());
    for seed in 0..20 {
        let other = in_another_order(&document, seed);
        assert_eq!(other.conflicts(|_| true), review.conflicts(|_| true));
    }
    (a, review.conflicts(State::is_open))
}

fn of_kind(conflicts: &[Conflict], kind: ConflictKind) -> Vec<&Conflict> {
    conflicts.iter().filter(|conflict| conflict.kind == kind).collect()
}

fn start() -> AutoCommit {
    let mut start = AutoCommit::new();
    start.set_actor(ActorId::from([1_u8; 16]));
    start
}

fn fork(of: &mut AutoCommit, actor: u8) -> AutoCommit {
    let mut fork = of.fork();
    fork.set_actor(ActorId::from([actor; 16]));
    fork
}

fn values(conflict: &Conflict) -> Vec<String> {
    let mut values: Vec<String> =
        conflict.writes().filter_map(|write| write.value.as_ref()).map(ToString::to_string).collect();
    values.sort();
    values
}

#[test]
fn what_was_added_to_a_counter_that_is_set_anew_is_lost_and_listed() {
    let mut a = start();
    a.put(ROOT, "stock", ScalarValue::counter(10)).unwrap();
    let mut b = fork(&mut a, 2);
    a.increment(ROOT, "stock", 5).unwrap();
    b.put(ROOT, "stock", ScalarValue::counter(0)).unwrap();
    let (document, conflicts) = merged(a, &mut b);
    let (shown, _) = document.get(ROOT, "stock").unwrap().unwrap();
    assert_eq!(shown.to_string(), "Counter: 0", "Automerge forgets the five");
    assert_eq!(document.get_all(ROOT, "stock").unwrap().len(), 1, "and flags nothing");
    let found = of_kind(&conflicts, ConflictKind::Counter);
    assert_eq!((found.len(), values(found[0])), (1, vec!["0".to_owned(), "5".to_owned()]));
}

#[test]
fn two_people_may_add_to_a_counter_at_once() {
    let mut a = start();
    a.put(ROOT, "stock", ScalarValue::counter(10)).unwrap();
    let mut b = fork(&mut a, 2);
    a.increment(ROOT, "stock", 5).unwrap();
    b.increment(ROOT, "stock", 7).unwrap();
    assert!(merged(a, &mut b).1.is_empty());
}

fn note(text: &str) -> (AutoCommit, ObjId) {
    let mut document = start();
    let note = document.put_object(ROOT, "note", ObjType::Text).unwrap();
    document.splice_text(&note, 0, 0, text).unwrap();
    (document, note)
}

#[test]
fn two_people_who_type_at_one_spot_of_a_text_overlap() {
    let (mut a, note) = note("The roof leaks.");
    let mut b = fork(&mut a, 2);
    a.splice_text(&note, 8, 0, " really").unwrap();
    b.splice_text(&note, 8, 0, " no longer").unwrap();
    let (document, conflicts) = merged(a, &mut b);
    assert_eq!(document.text(&note).unwrap().len(), "The roof really no longer leaks.".len());
    let found = of_kind(&conflicts, ConflictKind::TextOverlap);
    assert_eq!((found.len(), values(found[0])), (1, vec![" no longer".to_owned(), " really".to_owned()]));
}

#[test]
fn whoever_types_behind_a_letter_that_somebody_deletes_overlaps_and_far_apart_nobody_does() {
    let (mut a, note) = note("The roof leaks.");
    let mut b = fork(&mut a, 2);
    a.splice_text(&note, 4, 4, "").unwrap();
    b.splice_text(&note, 6, 0, "!").unwrap();
    assert_eq!(of_kind(&merged(a.clone(), &mut b).1, ConflictKind::TextOverlap).len(), 1);
    let mut c = fork(&mut b, 3);
    b.splice_text(&note, 0, 0, "1. ").unwrap();
    c.splice_text(&note, 15, 0, "?").unwrap();
    assert!(merged(b, &mut c).1.is_empty());
}

#[test]
fn whoever_edits_the_spot_knowing_both_settles_it() {
    let (mut a, note) = note("leaks");
    let mut b = fork(&mut a, 2);
    a.splice_text(&note, 5, 0, "?").unwrap();
    b.splice_text(&note, 5, 0, "!").unwrap();
    a.merge(&mut b).unwrap();
    a.splice_text(&note, 5, 2, ".").unwrap();
    assert!(merged(a, &mut b).1.is_empty());
}

#[test]
fn edits_in_an_object_that_somebody_replaced_are_recovered() {
    let mut a = start();
    let module = a.put_object(ROOT, "M050", ObjType::Map).unwrap();
    a.put(&module, "status", "ok").unwrap();
    let images = a.put_object(&module, "images", ObjType::List).unwrap();
    let mut b = fork(&mut a, 2);
    b.put(&module, "status", "dead").unwrap();
    b.insert(&images, 0, "burnt.png").unwrap();
    a.put(ROOT, "M050", "not there").unwrap();
    let (document, conflicts) = merged(a, &mut b);
    assert_eq!(document.get_all(ROOT, "M050").unwrap().len(), 1, "Automerge shows nothing of it");
    let found = of_kind(&conflicts, ConflictKind::HiddenEdit);
    assert_eq!(found.len(), 1);
    assert_eq!(values(found[0]), ["burnt.png", "dead", "not there"]);
}

#[test]
fn edits_in_an_object_that_somebody_deleted_are_recovered_unless_they_had_seen_them() {
    let mut a = start();
    let module = a.put_object(ROOT, "M050", ObjType::Map).unwrap();
    a.put(&module, "status", "ok").unwrap();
    let mut b = fork(&mut a, 2);
    b.put(&module, "status", "dead").unwrap();
    let mut knowing = a.fork();
    knowing.merge(&mut b).unwrap();
    knowing.delete(ROOT, "M050").unwrap();
    assert!(merged(knowing, &mut b).1.is_empty(), "who saw it removed it knowingly");
    a.delete(ROOT, "M050").unwrap();
    assert_eq!(of_kind(&merged(a, &mut b).1, ConflictKind::HiddenEdit).len(), 1);
}

#[test]
fn two_objects_under_one_key_are_two_sides_though_both_are_maps() {
    let mut a = start();
    let mut b = fork(&mut a, 2);
    a.put_object(ROOT, "M050", ObjType::Map).unwrap();
    b.put_object(ROOT, "M050", ObjType::Map).unwrap();
    let (_, conflicts) = merged(a, &mut b);
    assert_eq!(of_kind(&conflicts, ConflictKind::ConcurrentUpdate)[0].sides.len(), 2);
}

#[test]
fn a_key_that_somebody_deletes_while_another_writes_it_is_no_agreement() {
    let mut a = start();
    a.put(ROOT, "status", "ok").unwrap();
    let mut b = fork(&mut a, 2);
    a.delete(ROOT, "status").unwrap();
    b.put(ROOT, "status", "dead").unwrap();
    let (document, conflicts) = merged(a, &mut b);
    assert_eq!(document.get_all(ROOT, "status").unwrap().len(), 1, "for Automerge there is no conflict");
    assert_eq!(of_kind(&conflicts, ConflictKind::DeleteAgainstUpdate)[0].base[0].values, [Some("ok".into())]);
}

#[test]
fn a_value_that_is_put_after_its_removal_in_one_change_has_seen_what_was_removed() {
    let mut a = start();
    a.put(ROOT, "status", "ok").unwrap();
    let mut b = fork(&mut a, 2);
    a.delete(ROOT, "status").unwrap();
    a.put(ROOT, "status", "dead").unwrap();
    b.put(ROOT, "status", "microcracks").unwrap();
    let (_, conflicts) = merged(a, &mut b);
    assert_eq!(conflicts.len(), 1);
    assert_eq!((conflicts[0].kind, conflicts[0].sides.len()), (ConflictKind::ConcurrentUpdate, 2));
    assert_eq!(conflicts[0].base[0].values, [Some("ok".into())]);
}

#[test]
fn removing_the_shown_value_while_a_lower_one_comes_loses_neither() {
    let mut a = start();
    let mut b = fork(&mut a, 2);
    a.put(ROOT, "status", "lower").unwrap();
    b.put(ROOT, "status", "shown").unwrap();
    let mut c = fork(&mut b, 3);
    c.delete(ROOT, "status").unwrap();
    c.merge(&mut a).unwrap();
    let (document, conflicts) = merged(c, &mut b);
    assert_eq!(document.get(ROOT, "status").unwrap().unwrap().0.to_string(), "\"lower\"");
    assert_eq!(of_kind(&conflicts, ConflictKind::DeleteAgainstUpdate).len(), 1, "{conflicts:#?}");
}
