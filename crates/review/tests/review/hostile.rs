//! Changes and records of people who do not follow the rules.

use comity_crdt::{DecodedChange, ObjectId};
use comity_model::{ActKind, Heads, Value, Write};
use comity_review::{Answer, Choice, ConflictId, ConflictKind, DecisionRecord, Review, State, SuggestionShown};

use crate::support::{Device, declared, disputed, pair, set, sync_all};

fn last(device: &Device) -> DecodedChange {
    device.document.decode_changes(device.document.heads().as_slice()).remove(0)
}

#[test]
fn a_change_that_names_what_its_author_cannot_have_seen_is_the_same_conflict_in_any_order() {
    let mut devices = pair();
    devices[0].edit(&[set("M050/status", "dead")]);
    devices[1].edit(&[set("M050/status", "microcracks")]);
    let known = devices[1].document.decode_since(&Heads::default());
    let start = &known[..known.len() - 1];
    let (seen, mut forged) = (last(&devices[0]), last(&devices[1]));
    forged.ops[0].pred = vec![seen.ops[0].id.clone()];
    let in_order = |changes: [&DecodedChange; 2]| {
        let mut review = Review::new(declared());
        review.feed(start);
        changes.into_iter().for_each(|change| drop(review.feed(std::slice::from_ref(change))));
        review
    };
    let (one, other) = (in_order([&seen, &forged]), in_order([&forged, &seen]));
    assert_eq!(one.digest(), other.digest());
    assert_eq!(one.conflicts(|_| true), other.conflicts(|_| true));
    assert!(one.conflicts(State::is_open).iter().any(|conflict| conflict.kind == ConflictKind::ConcurrentUpdate));
}

fn bogus(conflict: ConflictId, choice: Choice) -> DecisionRecord {
    DecisionRecord {
        conflict,
        kind: ConflictKind::ConcurrentUpdate,
        subject: "M050/status".to_owned(),
        against: Vec::new(),
        writes_digest: [0; 32],
        choice,
        writes: Vec::new(),
        reason: None,
        reviewer: None,
        rule: None,
        supersedes: Vec::new(),
        suggestion: SuggestionShown::Never,
    }
}

fn put(device: &mut Device, records: impl IntoIterator<Item = (String, DecisionRecord)>) {
    let write = |(id, record): (String, DecisionRecord)| Write::Decision { id, record: record.to_text().unwrap() };
    let writes: Vec<Write> = records.into_iter().map(write).collect();
    device.write(None, ActKind::Decision, &writes);
}

#[test]
fn records_that_only_claim_to_be_about_a_conflict_neither_close_it_nor_stand_in_the_way() {
    let mut devices = disputed();
    let conflict = devices[0].only(State::Open);
    let records = (0..600).map(|number| (format!("{number:0>128}"), bogus(conflict.id, Choice::Dismissed)));
    put(&mut devices[1], records);
    sync_all(&mut devices);
    assert_eq!(devices[0].only(State::Open).id, conflict.id);
    devices[0].decide(&conflict, &Answer::Accept(0));
    sync_all(&mut devices);
    assert!(devices[1].open().is_empty());
}

#[test]
fn a_decision_is_retired_only_by_one_about_the_same_conflict() {
    let mut devices = disputed();
    let conflict = devices[0].only(State::Open);
    let decision = devices[0].decide(&conflict, &Answer::Dismiss);
    sync_all(&mut devices);
    let subject = "M999/status";
    let other = ConflictId::of(
        ConflictKind::ConcurrentUpdate,
        &comity_review::Subject::Place(comity_review::Place::Field(subject.parse().unwrap())),
        &[],
    );
    let record = DecisionRecord { supersedes: vec![decision], ..bogus(other, Choice::Dismissed) };
    put(&mut devices[1], [("intruder".to_owned(), record)]);
    sync_all(&mut devices);
    assert_eq!(devices[0].only(State::Dismissed).id, conflict.id);
}

#[test]
fn a_register_that_a_fleet_wrote_to_at_once_can_be_decided() {
    // A reunion: more writes stand against each other than a record names.
    let mut crowd: Vec<Device> = (1..=3).map(Device::new).collect();
    let on_screen = Heads::default();
    for device in &mut crowd {
        for number in 0..140 {
            device.edit_at(&on_screen, &[set("M050/status", format!("{number} of {}", device.number))]);
        }
    }
    sync_all(&mut crowd);
    let conflict = crowd[0].only(State::Open);
    assert!(conflict.sides.len() > DecisionRecord::AGAINST_MAX);
    let decision = crowd[0].decide(&conflict, &Answer::Accept(400));
    sync_all(&mut crowd);
    assert_eq!(crowd[2].only(State::Resolved).id, conflict.id);
    crowd[1].undo(&decision);
    sync_all(&mut crowd);
    assert_eq!(crowd[2].only(State::Reopened).id, conflict.id);
    assert_eq!(crowd[0].open().len(), 1);
}

#[test]
fn a_decision_about_the_title_cannot_be_undone_by_forgetting_it() {
    let about = |title: &str| Write::About { name: "title".to_owned(), value: Value::from(title) };
    let mut devices = pair();
    devices[0].edit(&[about("North roof")]);
    devices[1].edit(&[about("Roof 7")]);
    sync_all(&mut devices);
    let conflict = devices[0].only(State::Open);
    let decision = devices[0].decide(&conflict, &Answer::Accept(0));
    let id = comity_review::DecisionId::new("undo").unwrap();
    assert!(devices[0].review.undo(&decision, &comity_review::Note::default(), &id).is_err());
}

#[test]
fn two_records_under_one_id_stand_each_for_itself() {
    let mut devices = disputed();
    let conflict = devices[0].only(State::Open);
    devices[0].decide(&conflict, &Answer::Accept(0));
    let record = bogus(conflict.id, Choice::Dismissed);
    put(&mut devices[1], [("d1-1".to_owned(), record)]);
    sync_all(&mut devices);
    let anew = Review::of(&devices[0].document, declared());
    assert_eq!(anew.digest(), devices[0].review.digest());
    let in_records = devices[0].document.decode_since(&Heads::default());
    assert!(in_records.iter().any(|change| change.ops.iter().any(|op| op.object == ObjectId::Decisions)));
    assert_eq!(devices[0].only(State::Resolved).id, conflict.id);
}

#[test]
fn a_decision_that_a_newer_release_wrote_is_no_oversight() {
    let mut devices = disputed();
    let record = r#"{"v":2,"answer":"something new"}"#.to_owned();
    let key = "M050/status".parse().unwrap();
    let writes = [Write::Force { key, value: "dead".into() }, Write::Decision { id: "new".to_owned(), record }];
    devices[0].write(None, ActKind::Decision, &writes);
    sync_all(&mut devices);
    assert!(devices[1].open().is_empty());
    assert_eq!(devices[1].review.unreadable_decisions(), 1);
}
