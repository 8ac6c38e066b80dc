//! What is shown of a document.

use comity_crdt::{Document, HistoryFilter, ObjectId};
use comity_model::{Heads, Value};

use crate::support::{delete, device, edit, edit_at, entry, key, remark, set};

#[test]
fn entries_are_listed_in_order_now_and_as_they_were() {
    let mut document = Document::new();
    edit(&mut document, 1, &[set("M2/status", "good"), set("M10/status", "good"), set("M1/status", "good")]);
    let then = document.heads().clone();
    edit(&mut document, 1, &[set("M1/status", "dead"), set("M1/comment", "burnt"), set("M3/status", "good")]);
    let ids: Vec<_> = document.entries(None).into_keys().map(|id| id.to_string()).collect();
    assert_eq!(ids, ["M1", "M10", "M2", "M3"]);
    assert_eq!(document.entries(Some(&then)).len(), 3);
    let m1 = document.entry(&entry("M1"), None).unwrap();
    assert_eq!(m1.fields.len(), 2, "and nothing of M10");
    let m1 = document.entry(&entry("M1"), Some(&then)).unwrap();
    assert_eq!(m1.fields.into_values().collect::<Vec<_>>(), [Value::from("good")]);
    assert_eq!(document.entry(&entry("M"), None), None);
    // Heads that are not here show nothing rather than something else.
    let unknown = Heads::new(vec![comity_model::ChangeHash([7; 32])]);
    assert!(document.entries(Some(&unknown)).is_empty());
    assert_eq!(document.register(&key("M1/status"), Some(&unknown)), None);
}

#[test]
fn disagreements_are_different_values_only() {
    let mut document = Document::new();
    edit(&mut document, 1, &[set("M1/status", "good"), set("M2/status", "good")]);
    let seen = document.heads().clone();
    edit(&mut document, 1, &[set("M1/status", "dead"), set("M2/status", "dead"), set("M3/status", "dead")]);
    edit_at(&mut document, 2, &seen, &[set("M1/status", "cracked"), set("M2/status", "dead")]);
    let disagreements = document.disagreements();
    assert_eq!(disagreements.len(), 1);
    let (register, standing) = &disagreements[0];
    assert_eq!(*register, key("M1/status"));
    let mut actors: Vec<_> = standing.versions.iter().map(|version| version.actor.clone()).collect();
    actors.sort();
    assert_eq!(actors, [device(1), device(2)]);
    // Both say the same of M2: agreement, though both stand.
    assert_eq!(document.register(&key("M2/status"), None).unwrap().versions.len(), 2);
    // The winner is the last, and the one that entries show.
    let shown = document.entry(&entry("M1"), None).unwrap();
    assert_eq!(shown.fields.values().next(), standing.winner().map(|version| &version.value));
}

#[test]
fn history_tells_who_wrote_what_from_the_oldest_on() {
    let mut document = Document::new();
    edit(&mut document, 1, &[set("M1/status", "good"), set("M2/status", "good")]);
    let seen = document.heads().clone();
    edit(&mut document, 1, &[set("M1/status", "dead")]);
    edit_at(&mut document, 2, &seen, &[set("M1/comment", "burnt")]);
    edit(&mut document, 3, &[delete("M1"), remark("r1", "why?")]);
    let actors = |filter: &HistoryFilter| -> Vec<_> {
        document.history(filter).into_iter().map(|item| (item.actor, item.writes.len())).collect()
    };
    let all = actors(&HistoryFilter::Document);
    assert_eq!(all, [(device(1), 2), (device(1), 1), (device(2), 1), (device(3), 1)]);
    let m1 = actors(&HistoryFilter::Entry(entry("M1")));
    assert_eq!(m1, [(device(1), 1), (device(1), 1), (device(2), 1), (device(3), 1)]);
    assert_eq!(actors(&HistoryFilter::Field(key("M1/comment"))), [(device(2), 1)]);
    assert!(actors(&HistoryFilter::Entry(entry("M9"))).is_empty());
}

#[test]
fn decoded_operations_name_their_register_and_what_they_supersede() {
    let mut document = Document::new();
    let first = edit(&mut document, 1, &[set("M1/status", "good")]).hash.unwrap();
    let second = edit(&mut document, 2, &[set("M1/status", "dead"), remark("r1", "why?")]).hash.unwrap();
    let changes = document.decode_changes(&[second, first]);
    assert_eq!((changes[0].hash, changes[1].hash), (second, first), "in the order asked for");
    let ops = &changes[0].ops;
    assert_eq!(ops[0].register(), Some(key("M1/status")));
    assert_eq!(ops[0].value(), Some(&"dead".into()));
    assert_eq!(ops[0].pred, [changes[1].ops[0].id.clone()]);
    assert_eq!(ops[1].object, ObjectId::Remarks);
    assert_eq!(ops[1].register(), None);
    assert!(document.decode_changes(&[comity_model::ChangeHash([7; 32])]).is_empty());
}

#[test]
fn what_is_new_since_older_heads_is_listed_in_causal_order() {
    let mut document = Document::new();
    edit(&mut document, 1, &[set("M1/status", "good")]);
    let then = document.heads().clone();
    let hashes: Vec<_> =
        (0..3).map(|n| edit(&mut document, 2, &[set("M1/status", i64::from(n))]).hash.unwrap()).collect();
    let new = document.changes_since(&then);
    assert_eq!(new.iter().map(|(hash, _)| *hash).collect::<Vec<_>>(), hashes);
    assert!(new.iter().all(|(_, actor)| *actor == device(2)));
    assert!(document.changes_since(document.heads()).is_empty());
    assert_eq!(document.changes_since(&Heads::default()).len(), 5, "with the genesis");
}
