//! What people meet.

use comity_model::Value;
use comity_review::{Answer, CannotDecide, ConflictKind, DecisionId, Note, State};

use crate::support::{Device, delete, disputed, pair, set, sync_all};

#[test]
fn two_technicians_one_module_one_decision() {
    // S1.5, S1.7: found on both devices alike, decided by one, known to both.
    let mut devices = pair();
    devices[0].edit(&[set("M050/status", "dead")]);
    devices[1].edit(&[set("M050/status", "microcracks")]);
    assert!(devices[0].open().is_empty() && devices[1].open().is_empty());
    sync_all(&mut devices);
    let conflict = devices[0].only(State::Open);
    assert_eq!(conflict.kind, ConflictKind::ConcurrentUpdate);
    assert_eq!(conflict.subject.to_string(), "M050/status");
    assert_eq!(conflict.base[0].values, [Some("ok".into())], "the base is what both had seen");
    let sides: Vec<_> = conflict.sides.iter().map(|side| side.value().unwrap().to_string()).collect();
    assert_eq!(sides.len(), 2);
    let dead = sides.iter().position(|value| value == "dead").unwrap();
    assert_eq!(conflict.sides[dead].writes[0].seen, [Some("ok".into())]);

    let before = devices[1].document.heads().clone();
    devices[1].decide(&conflict, &Answer::Accept(dead));
    assert_eq!(devices[1].shown("M050/status"), "dead");
    assert!(devices[1].open().is_empty());
    sync_all(&mut devices);
    let decided = devices[0].only(State::Resolved);
    assert_eq!((decided.id, decided.sides.len(), decided.decisions.len()), (conflict.id, 2, 1));
    assert!(devices[0].document.covers(&before), "nothing is ever removed from history");
}

#[test]
fn the_same_finding_twice_is_agreement() {
    let mut devices = pair();
    devices[0].edit(&[set("M050/status", "dead")]);
    devices[1].edit(&[set("M050/status", "dead")]);
    sync_all(&mut devices);
    assert!(devices[0].open().is_empty());
    assert_eq!(devices[0].only(State::Agreed).sides[0].writes.len(), 2, "counted as corroboration");
}

#[test]
fn status_and_comment_belong_together() {
    let mut devices = pair();
    devices[0].edit(&[set("M050/status", "dead")]);
    devices[1].edit(&[set("M050/comment", "fine after cleaning")]);
    sync_all(&mut devices);
    let conflict = devices[0].only(State::Open);
    assert_eq!((conflict.kind, conflict.subject.to_string()), (ConflictKind::FieldGroup, "M050/comment/status".into()));
    let cleaned = conflict.sides.iter().position(|side| side.writes[0].value == Some("fine after cleaning".into()));
    devices[0].decide(&conflict, &Answer::Accept(cleaned.unwrap()));
    assert_eq!(
        (devices[0].shown("M050/status"), devices[0].shown("M050/comment")),
        ("ok".into(), "fine after cleaning".into())
    );
    sync_all(&mut devices);
    assert!(devices[1].open().is_empty());
}

#[test]
fn who_writes_both_fields_of_a_group_having_seen_the_others_settles_it() {
    let mut devices = pair();
    devices[0].edit(&[set("M050/status", "dead")]);
    devices[1].edit(&[set("M050/comment", "burnt")]);
    sync_all(&mut devices);
    devices[0].edit(&[set("M050/comment", "burnt through")]);
    sync_all(&mut devices);
    assert!(devices[0].open().is_empty());
}

#[test]
fn a_deleted_module_that_somebody_marked_meanwhile_is_not_gone_in_silence() {
    // S1.5: delete against update.
    let mut devices = pair();
    devices[0].edit(&[delete("M050")]);
    devices[1].edit(&[set("M050/status", "dead")]);
    sync_all(&mut devices);
    let conflict = devices[0].only(State::Open);
    assert_eq!((conflict.kind, conflict.subject.to_string()), (ConflictKind::DeleteAgainstUpdate, "M050".into()));
    let update = conflict.sides.iter().position(|side| side.writes[0].value == Some("dead".into())).unwrap();
    devices[1].decide(&conflict, &Answer::Accept(update));
    sync_all(&mut devices);
    assert!(devices[0].open().is_empty());
    assert!(!devices[0].document.entry(&"M050".parse().unwrap(), None).unwrap().deleted);
}

#[test]
fn two_entries_for_one_serial_number_are_found_and_linked() {
    // S1.5: duplicate creation.
    let mut devices = pair();
    devices[0].edit(&[set("A1/serial", "X-77")]);
    devices[1].edit(&[set("B9/serial", "X-77")]);
    sync_all(&mut devices);
    let conflict = devices[0].only(State::Open);
    assert_eq!((conflict.kind, conflict.subject.to_string()), (ConflictKind::Duplicate, "A1/B9".into()));
    devices[1].decide(&conflict, &Answer::Link);
    sync_all(&mut devices);
    assert!(devices[0].open().is_empty());
    assert_eq!(devices[0].document.entries(None).len(), 3, "nothing was deleted");
}

#[test]
fn whoever_adds_a_second_entry_knowing_the_first_makes_no_duplicate() {
    let mut devices = pair();
    devices[0].edit(&[set("A1/serial", "X-77")]);
    sync_all(&mut devices);
    devices[1].edit(&[set("B9/serial", "X-77")]);
    sync_all(&mut devices);
    assert!(devices[0].open().is_empty());
}

#[test]
fn a_verdict_on_a_status_that_changed_meanwhile_is_stale() {
    let mut devices = pair();
    devices[0].edit(&[set("M050/verdict", "keep")]);
    devices[1].edit(&[set("M050/status", "dead")]);
    sync_all(&mut devices);
    let conflict = devices[0].only(State::Open);
    assert_eq!(
        (conflict.kind, conflict.subject.to_string()),
        (ConflictKind::StaleDecision, "M050/verdict/status".into())
    );
    let decision = devices[0].decide(&conflict, &Answer::Confirm);
    sync_all(&mut devices);
    assert!(devices[1].open().is_empty());
    devices[1].undo(&decision);
    sync_all(&mut devices);
    assert_eq!(devices[0].only(State::Reopened).id, conflict.id, "a confirmation can be taken back");
}

#[test]
fn two_people_who_decide_differently_offline_see_each_others_answer() {
    let mut devices = disputed();
    let conflict = devices[0].only(State::Open);
    devices[0].decide(&conflict, &Answer::Accept(0));
    devices[1].decide(&conflict, &Answer::Accept(1));
    sync_all(&mut devices);
    let second = devices[0].only(State::Open);
    assert_eq!((second.kind, second.reopens), (ConflictKind::ResolutionConflict, Some(conflict.id)));
    let reviewers: Vec<_> = devices[0]
        .review
        .decisions()
        .flat_map(|id| devices[0].review.decision(id))
        .filter_map(|(record, ..)| record.reviewer.clone())
        .collect();
    assert_eq!(reviewers, ["device 1", "device 2"]);
    devices[0].decide(&second, &Answer::Value("string_open".into()));
    sync_all(&mut devices);
    assert!(devices[1].open().is_empty());
    assert_eq!(devices[1].shown("M050/status"), "string_open");
}

#[test]
fn two_people_who_decide_alike_offline_agree() {
    let mut devices = disputed();
    let conflict = devices[0].only(State::Open);
    devices[0].decide(&conflict, &Answer::Accept(0));
    devices[1].decide(&conflict, &Answer::Accept(0));
    sync_all(&mut devices);
    assert!(devices[0].open().is_empty());
}

#[test]
fn a_write_that_arrives_after_the_decision_opens_it_again() {
    let mut devices = [Device::new(1), Device::new(2), Device::new(3)];
    devices[0].edit(&[set("M050/status", "ok")]);
    sync_all(&mut devices);
    devices[2].edit(&[set("M050/status", "not_connected")]);
    devices[0].edit(&[set("M050/status", "dead")]);
    devices[1].edit(&[set("M050/status", "microcracks")]);
    sync_all(&mut devices[..2]);
    let conflict = devices[0].only(State::Open);
    devices[0].decide(&conflict, &Answer::Accept(0));
    sync_all(&mut devices);
    let again = devices[1].only(State::Reopened);
    assert_ne!(again.id, conflict.id);
    assert_eq!(again.reopens, Some(conflict.id));
}

#[test]
fn a_dismissed_conflict_stays_dismissed_until_something_new_comes() {
    let mut devices = [Device::new(1), Device::new(2), Device::new(3)];
    devices[0].edit(&[set("M050/status", "dead")]);
    devices[1].edit(&[set("M050/status", "microcracks")]);
    devices[2].edit(&[set("M050/status", "ok")]);
    sync_all(&mut devices[..2]);
    let conflict = devices[0].only(State::Open);
    devices[0].decide(&conflict, &Answer::Dismiss);
    sync_all(&mut devices[..2]);
    assert_eq!(devices[1].only(State::Dismissed).id, conflict.id);
    sync_all(&mut devices);
    assert_eq!(devices[1].only(State::Reopened).reopens, Some(conflict.id));
}

#[test]
fn an_undone_decision_leaves_the_conflict_open_and_what_was_shown_before() {
    let mut devices = disputed();
    let conflict = devices[0].only(State::Open);
    let shown = devices[0].shown("M050/status");
    let decision = devices[0].decide(&conflict, &Answer::Value("string_open".into()));
    devices[0].undo(&decision);
    sync_all(&mut devices);
    assert_eq!(devices[1].shown("M050/status"), shown);
    assert_eq!(devices[1].only(State::Reopened).id, conflict.id);
    let again = devices[1].only(State::Reopened);
    devices[1].decide(&again, &Answer::Accept(0));
    sync_all(&mut devices);
    assert!(devices[0].open().is_empty());
}

#[test]
fn what_needs_a_second_reviewer_waits_for_another_device() {
    let mut devices = pair();
    devices[0].edit(&[set("M050/verdict", "keep")]);
    devices[1].edit(&[set("M050/verdict", "replace")]);
    sync_all(&mut devices);
    let conflict = devices[0].only(State::Open);
    devices[0].decide(&conflict, &Answer::Accept(0));
    let waiting = devices[0].only(State::NeedsSecondReviewer);
    devices[0].decide(&waiting, &Answer::Approve);
    assert_eq!(devices[0].only(State::NeedsSecondReviewer).id, conflict.id, "nobody is their own second reviewer");
    sync_all(&mut devices);
    devices[1].decide(&waiting, &Answer::Approve);
    sync_all(&mut devices);
    assert_eq!(devices[0].only(State::Resolved).id, conflict.id);
}

#[test]
fn the_title_of_a_document_may_be_disputed_too() {
    let about = |title: &str| comity_model::Write::About { name: "title".to_owned(), value: title.into() };
    let mut devices = pair();
    devices[0].edit(&[about("North roof")]);
    devices[1].edit(&[about("Roof 7")]);
    sync_all(&mut devices);
    let conflict = devices[0].only(State::Open);
    assert_eq!(conflict.subject.to_string(), "about:title");
    devices[0].decide(&conflict, &Answer::Accept(0));
    sync_all(&mut devices);
    assert!(devices[1].open().is_empty());
    assert_eq!(devices[1].only(State::Resolved).id, conflict.id);
}

#[test]
fn an_answer_that_does_not_fit_is_refused_with_what_would() {
    let mut devices = pair();
    devices[0].edit(&[set("A1/serial", "X-77"), set("M050/status", "dead")]);
    devices[1].edit(&[set("B9/serial", "X-77"), set("M050/status", "microcracks")]);
    sync_all(&mut devices);
    let conflicts = devices[0].review.conflicts(State::is_open);
    let (twins, status) = (&conflicts[1], &conflicts[0]);
    let (twins, status) = if twins.kind == ConflictKind::Duplicate { (twins, status) } else { (status, twins) };
    let id = DecisionId::new("d").unwrap();
    let refused = |conflict, answer| devices[0].review.decide(conflict, &answer, &Note::default(), &id).unwrap_err();
    assert!(refused(twins, Answer::Value(Value::Null)).to_string().contains("link"));
    assert!(matches!(refused(status, Answer::Link), CannotDecide::DoesNotFit { .. }));
    assert!(matches!(refused(status, Answer::Accept(2)), CannotDecide::NoSuchSide { side: 3, count: 2 }));
    assert!(matches!(refused(status, Answer::Reopen), CannotDecide::Nothing { .. }));
    assert!(matches!(refused(status, Answer::Approve), CannotDecide::Nothing { .. }));
    let reason = Some("x".repeat(70_000));
    let note = Note { reason, ..Note::default() };
    assert!(matches!(devices[0].review.decide(status, &Answer::Current, &note, &id), Err(CannotDecide::Record(_))));
    assert!(matches!(devices[0].review.undo(&id, &Note::default(), &id), Err(CannotDecide::NoSuchDecision { .. })));
}

#[test]
fn a_rule_that_was_true_for_each_and_is_false_for_both_together_is_found() {
    // "At most three modules": each device adds the third one.
    let mut devices = pair();
    devices[0].edit(&[set("M049/status", "ok")]);
    sync_all(&mut devices);
    devices[0].edit(&[set("M051/status", "ok")]);
    devices[1].edit(&[set("M052/status", "ok")]);
    assert!(devices.iter().all(|device| device.open().is_empty()));
    sync_all(&mut devices);
    let conflict = devices[0].only(State::Open);
    assert_eq!((conflict.kind, conflict.subject.to_string()), (ConflictKind::Invariant, "rule:at-most-three".into()));
    assert_eq!(conflict.sides.len(), 2, "the merge did it");
    devices[1].edit(&[set("M050/comment", "unrelated")]);
    sync_all(&mut devices);
    assert_eq!(devices[0].only(State::Open).id, conflict.id, "what has nothing to do with it changes nothing");
    devices[1].edit(&[delete("M052")]);
    sync_all(&mut devices);
    assert!(devices[0].open().is_empty());
}

#[test]
fn a_rule_that_somebody_breaks_knowingly_has_one_side_and_can_be_confirmed() {
    let mut devices = pair();
    devices[0].edit(&[set("M051/note", "tall"), set("M050/note", "tall")]);
    let conflict = devices[0].only(State::Open);
    assert_eq!((conflict.subject.to_string(), conflict.sides.len()), ("rule:own-note".into(), 1));
    devices[0].decide(&conflict, &Answer::Confirm);
    sync_all(&mut devices);
    assert!(devices[1].open().is_empty());
    devices[1].edit(&[set("M051/note", "short"), set("M050/note", "short")]);
    sync_all(&mut devices);
    assert_eq!(devices[0].only(State::Reopened).reopens, Some(conflict.id));
}
