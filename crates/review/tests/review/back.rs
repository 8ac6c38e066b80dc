//! Looking back and going back.

use comity_model::{ChangeHash, Heads, Value};
use comity_review::{Answer, CannotRollBack, DecisionId, Note, Review, State};

use crate::support::{Device, declared, delete, pair, set, sync_all};

#[test]
fn an_entry_goes_back_to_what_it_was_and_the_rollback_can_be_undone() {
    // S1.7, S1.8: nothing is removed from history, and every field goes back at once.
    let mut devices = pair();
    let before = devices[0].document.heads().clone();
    devices[0].edit(&[set("M050/status", "dead"), set("M050/serial", "X-77")]);
    devices[0].edit(&[delete("M050")]);
    let decision = devices[0].roll_back("M050", &before);
    sync_all(&mut devices);
    let entry = devices[1].document.entry(&"M050".parse().unwrap(), None).unwrap();
    assert!(!entry.deleted);
    assert_eq!((devices[1].shown("M050/status"), devices[1].shown("M050/comment")), ("ok".into(), "as new".into()));
    assert_eq!(entry.fields["serial"], Value::Null);
    assert!(devices[1].review.conflicts(|_| true).is_empty(), "a rollback is no conflict");

    devices[1].undo(&decision);
    sync_all(&mut devices);
    let entry = devices[0].document.entry(&"M050".parse().unwrap(), None).unwrap();
    assert!(entry.deleted);
    assert_eq!((devices[0].shown("M050/status"), devices[0].shown("M050/serial")), ("dead".into(), "X-77".into()));
    assert_eq!(devices[0].review.superseding(&decision).len(), 1);
}

#[test]
fn a_rollback_settles_what_was_open_and_a_late_write_opens_it_again() {
    let mut devices = [Device::new(1), Device::new(2), Device::new(3)];
    devices[0].edit(&[set("M050/status", "ok")]);
    sync_all(&mut devices);
    let before = devices[0].document.heads().clone();
    devices[2].edit(&[set("M050/status", "not_connected")]);
    devices[0].edit(&[set("M050/status", "dead")]);
    devices[1].edit(&[set("M050/status", "microcracks")]);
    sync_all(&mut devices[..2]);
    assert_eq!(devices[0].open().len(), 1);
    devices[0].roll_back("M050", &before);
    assert!(devices[0].open().is_empty());
    assert_eq!(devices[0].shown("M050/status"), "ok");
    sync_all(&mut devices);
    let again = devices[1].only(State::Reopened);
    assert_eq!(again.sides.len(), 2, "what was rolled back to, and the late write");
}

#[test]
fn what_cannot_be_taken_back_is_refused_with_its_reason() {
    let mut devices = pair();
    let before = devices[0].document.heads().clone();
    devices[0].edit(&[set("M051/status", "ok")]);
    let id = DecisionId::new("d").unwrap();
    let refused = |entry: &str, at: &Heads| {
        let (review, document) = (&devices[0].review, &devices[0].document);
        review.rollback(document, &entry.parse().unwrap(), at, &Note::default(), &id).unwrap_err()
    };
    assert!(matches!(refused("M999", &before), CannotRollBack::NoSuchEntry { .. }));
    assert!(matches!(refused("M051", &before), CannotRollBack::NotThere { .. }));
    let elsewhere = Heads::new(vec![ChangeHash([7; 32])]);
    assert!(matches!(refused("M050", &elsewhere), CannotRollBack::UnknownHeads { .. }));
}

#[test]
fn a_review_at_older_heads_is_the_one_of_then() {
    let mut devices = pair();
    devices[0].edit(&[set("M050/status", "dead")]);
    devices[1].edit(&[set("M050/status", "microcracks")]);
    sync_all(&mut devices);
    let (then, digest) = (devices[0].document.heads().clone(), devices[0].review.digest());
    let conflict = devices[0].only(State::Open);
    devices[1].decide(&conflict, &Answer::Accept(1));
    sync_all(&mut devices);
    let document = &devices[0].document;
    assert_eq!(Review::at(document, &then, declared()).unwrap().digest(), digest);
    let now = Review::at(document, document.heads(), declared()).unwrap();
    assert_eq!(now.digest(), devices[0].review.digest());
    assert!(Review::at(document, &Heads::new(vec![ChangeHash([7; 32])]), declared()).is_none());
}

#[test]
fn a_conflict_that_somebody_wrote_over_is_found_in_the_past_with_the_change_that_ended_it() {
    let mut devices = pair();
    devices[0].edit(&[set("M050/status", "dead")]);
    devices[1].edit(&[set("M050/status", "microcracks")]);
    sync_all(&mut devices);
    let conflict = devices[0].only(State::Open);
    devices[0].edit(&[set("M050/status", "string_open")]);
    let by = devices[0].document.heads().as_slice()[0];
    let changes = devices[0].document.decode_since(&Heads::default());
    let ended = Review::ended(&changes, declared(), |id| *id == conflict.id);
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!((ended[0].id, ended[0].by, ended[0].kind), (conflict.id, by, conflict.kind));
    assert!(Review::ended(&changes, declared(), |_| false).is_empty());
}

#[test]
fn what_a_decision_wrote_is_known_to_stand_or_to_be_overwritten() {
    let mut devices = pair();
    devices[0].edit(&[set("M050/status", "dead")]);
    devices[1].edit(&[set("M050/status", "microcracks")]);
    sync_all(&mut devices);
    let conflict = devices[0].only(State::Open);
    let decision = devices[0].decide(&conflict, &Answer::Accept(0));
    assert!(devices[0].review.overwritten(&decision).is_empty());
    devices[0].edit(&[set("M050/status", "string_open")]);
    let overwritten: Vec<String> = devices[0].review.overwritten(&decision).iter().map(ToString::to_string).collect();
    assert_eq!(overwritten, ["M050/status"]);
}
