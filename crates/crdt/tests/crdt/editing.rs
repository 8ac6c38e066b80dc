//! What an edit does and does not do.

use comity_crdt::{Document, EditError, OpAction};
use comity_model::{Heads, Limits, Timestamp, Value, Write};

use crate::support::{about, act, delete, device, edit, edit_at, entry, key, remark, restore, set};

#[test]
fn the_first_edit_brings_the_containers_and_an_edit_is_one_change() {
    let mut document = Document::new();
    assert!(document.is_empty() && !document.is_comity());
    let first = edit(
        &mut document,
        1,
        &[
            about("kind", "audit"),
            about("title", "North roof"),
            set("M050/status", "dead"),
            set("M050/comment", "burnt"),
        ],
    );
    assert_eq!(first.chunks.len(), 2, "genesis and the edit");
    assert_eq!(document.change_count(), 2);
    assert!(document.is_comity());
    assert_eq!(document.kind().unwrap().as_str(), "audit");
    assert_eq!(document.title().as_deref(), Some("North roof"));
    let second = edit(&mut document, 1, &[set("M051/status", "good")]);
    assert_eq!(second.chunks.len(), 1);
    assert_eq!(*document.heads(), Heads::new(vec![second.hash.unwrap()]));
}

#[test]
fn what_is_written_is_read_back_whatever_its_type() {
    let values = [
        Value::Null,
        Value::Bool(true),
        Value::Int(-3),
        Value::Uint(u64::MAX),
        Value::Float(0.5),
        Value::Text("größer".into()),
        Value::Bytes(vec![0, 255]),
        Value::Time(Timestamp::from_unix_ms(-5)),
    ];
    let mut document = Document::new();
    for (number, value) in values.iter().enumerate() {
        edit(&mut document, 1, &[set(&format!("M{number}/value"), value.clone())]);
    }
    for (number, value) in values.iter().enumerate() {
        let register = document.register(&key(&format!("M{number}/value")), None).unwrap();
        assert_eq!(register.winner().unwrap().value, *value);
    }
}

#[test]
fn writing_the_value_that_stands_there_writes_nothing() {
    let mut document = Document::new();
    edit(&mut document, 1, &[set("M050/status", "dead")]);
    let before = document.heads().clone();
    let again = edit(&mut document, 2, &[set("M050/status", "dead")]);
    assert_eq!(again.hash, None);
    assert!(again.chunks.is_empty());
    assert_eq!(*document.heads(), before);
    let nothing = edit(&mut document, 2, &[]);
    assert_eq!(nothing.hash, None);
    // The document is as good as before.
    assert!(edit(&mut document, 2, &[set("M050/status", "good")]).hash.is_some());
}

/// A trap for decisions: confirming the winner of a disagreement removes the losers without any new value, so that
/// nobody can see that it was confirmed.
#[test]
fn writing_the_winner_of_a_disagreement_only_removes_the_losers() {
    let mut document = Document::new();
    edit(&mut document, 1, &[set("M050/status", "good")]);
    let seen = document.heads().clone();
    edit(&mut document, 1, &[set("M050/status", "dead")]);
    edit_at(&mut document, 2, &seen, &[set("M050/status", "cracked")]);
    let standing = document.register(&key("M050/status"), None).unwrap();
    assert_eq!(standing.versions.len(), 2);
    let winner = standing.winner().unwrap().value.clone();
    let kept = edit(&mut document, 3, &[Write::Set { key: key("M050/status"), value: winner.clone() }]);
    let change = &document.decode_changes(&[kept.hash.unwrap()])[0];
    assert_eq!(change.ops.len(), 1);
    assert_eq!(change.ops[0].action, OpAction::Delete);
    assert_eq!(change.ops[0].pred.len(), 1);
    let standing = document.register(&key("M050/status"), None).unwrap();
    assert_eq!(standing.versions.len(), 1);
    assert_eq!(standing.winner().unwrap().value, winner);
}

#[test]
fn a_deleted_entry_keeps_its_values_and_can_be_restored() {
    let mut document = Document::new();
    edit(&mut document, 1, &[set("M050/status", "dead")]);
    edit(&mut document, 1, &[delete("M050")]);
    let deleted = document.entry(&entry("M050"), None).unwrap();
    assert!(deleted.deleted);
    assert_eq!(deleted.fields.len(), 1);
    edit(&mut document, 1, &[restore("M050")]);
    assert!(!document.entry(&entry("M050"), None).unwrap().deleted);
}

/// Automerge itself never calls delete against update a conflict; a register for life does.
#[test]
fn deleting_while_another_edits_loses_neither() {
    let mut document = Document::new();
    edit(&mut document, 1, &[set("M050/status", "good"), restore("M050")]);
    let seen = document.heads().clone();
    edit(&mut document, 1, &[delete("M050")]);
    edit_at(&mut document, 2, &seen, &[set("M050/status", "dead")]);
    let entry = document.entry(&entry("M050"), None).unwrap();
    assert!(entry.deleted);
    assert_eq!(entry.fields.values().next(), Some(&Value::from("dead")));
    // Restored by one and deleted again by another: both stand, side by side.
    let seen = document.heads().clone();
    edit(&mut document, 1, &[restore("M050")]);
    edit_at(&mut document, 2, &seen, &[delete("M050"), set("M050/status", "gone")]);
    assert_eq!(document.heads().as_slice().len(), 2);
}

#[test]
fn an_edit_at_older_heads_has_not_seen_what_came_between() {
    let mut document = Document::new();
    edit(&mut document, 1, &[set("M050/status", "good")]);
    let seen = document.heads().clone();
    edit(&mut document, 2, &[set("M050/status", "dead")]);
    let late = edit_at(&mut document, 3, &seen, &[set("M050/status", "cracked")]).hash.unwrap();
    assert_eq!(document.decode_changes(&[late])[0].deps, seen.as_slice());
    let register = document.register(&key("M050/status"), None).unwrap();
    assert_eq!(register.versions.len(), 2);
    assert!(register.is_disagreement());
    // Read at the heads that the person saw, there is no disagreement.
    assert_eq!(document.register(&key("M050/status"), Some(&seen)).unwrap().versions.len(), 1);
}

/// Automerge would write such a change under an actor id with its own marker in front: nobody could tell whose it is.
#[test]
fn a_change_at_older_heads_of_its_own_device_still_names_the_device() {
    let mut document = Document::new();
    edit(&mut document, 1, &[set("M050/status", "good")]);
    let seen = document.heads().clone();
    edit(&mut document, 1, &[set("M050/status", "dead")]);
    let mut actors = Vec::new();
    for value in ["cracked", "missing", "stolen"] {
        let late = edit_at(&mut document, 1, &seen, &[set("M050/status", value)]).hash.unwrap();
        let change = document.decode_changes(&[late]).remove(0);
        assert_eq!(change.deps, seen.as_slice());
        assert_eq!(change.seq, 1);
        assert_eq!(change.actor.device(), device(1).device());
        actors.push(change.actor);
    }
    actors.dedup();
    assert_eq!(actors.len(), 3, "each has seen none of the others");
    assert!(!actors.contains(&device(1)));
    assert_eq!(document.register(&key("M050/status"), None).unwrap().versions.len(), 4);
    // At the present heads the device goes on under its own id.
    let now = edit(&mut document, 1, &[set("M050/status", "good")]).hash.unwrap();
    let change = document.decode_changes(&[now]).remove(0);
    assert_eq!((change.actor, change.seq), (device(1), 3));
    assert_eq!(document.register(&key("M050/status"), None).unwrap().versions.len(), 1);
    // A base that covers a numbered actor's work lets it go on.
    let covering = document.heads().clone();
    edit(&mut document, 2, &[set("M051/status", "good")]);
    let late = edit_at(&mut document, 1, &covering, &[set("M052/status", "good")]).hash.unwrap();
    assert_eq!(document.decode_changes(&[late])[0].actor, device(1));
}

#[test]
fn somebody_who_saw_an_empty_document_has_seen_the_genesis_only() {
    let mut document = Document::new();
    edit(&mut document, 1, &[set("M050/status", "good")]);
    edit_at(&mut document, 2, &Heads::default(), &[set("M050/status", "dead")]);
    assert_eq!(document.register(&key("M050/status"), None).unwrap().versions.len(), 2);
    let mut empty = Document::new();
    edit_at(&mut empty, 2, &Heads::default(), &[set("M050/status", "dead")]);
    assert_eq!(empty.entries(None).len(), 1);
}

#[test]
fn an_edit_on_unknown_heads_is_refused_and_changes_nothing() {
    let mut other = Document::new();
    edit(&mut other, 1, &[set("M050/status", "good")]);
    let mut document = Document::new();
    let base = other.heads().clone();
    let refused = document.edit(&device(2), act(0), Some(&base), &[set("a/b", "c")], &Limits::default());
    assert!(matches!(refused, Err(EditError::UnknownBase { .. })));
    assert!(document.is_empty());
}

#[test]
fn a_change_says_when_and_what_sort_of_act_it_is() {
    let mut document = Document::new();
    let act = act(-1_500);
    let hash = document.edit(&device(1), act, None, &[set("a/b", "c")], &Limits::default()).unwrap().hash.unwrap();
    let change = document.decode_changes(&[hash]).remove(0);
    assert_eq!(change.act, Some(act));
    assert_eq!(change.time_s, -2, "whole seconds, rounded down before 1970 too");
    let version = document.register(&key("a/b"), None).unwrap().versions.remove(0);
    assert_eq!((version.change, version.actor, version.act), (hash, device(1), Some(act)));
}

#[test]
fn remarks_are_only_ever_added() {
    let mut document = Document::new();
    edit(&mut document, 1, &[remark("r1", "first"), remark("r2", "second")]);
    let limits = Limits::default();
    for writes in [&[remark("r1", "again")][..], &[remark("r3", "x"), remark("r3", "y")]] {
        let refused = document.edit(&device(1), act(0), None, writes, &limits);
        assert!(matches!(refused, Err(EditError::Duplicate { .. })));
    }
    let texts: Vec<_> = document.remarks().into_iter().map(|remark| remark.text).collect();
    assert_eq!(texts, ["first", "second"]);
}

#[test]
fn limits_hold_at_their_value_and_one_above() {
    let limits = Limits::default();
    let try_edit = |writes: &[Write]| Document::new().edit(&device(1), act(0), None, writes, &limits).err();
    let text = |length| Value::Text("x".repeat(length));
    assert!(try_edit(&[set("a/b", text(limits.value_bytes_max))]).is_none());
    assert!(matches!(try_edit(&[set("a/b", text(limits.value_bytes_max + 1))]), Some(EditError::ValueTooLong { .. })));
    assert!(try_edit(&[about(&"n".repeat(128), 1)]).is_none());
    assert!(matches!(try_edit(&[about(&"n".repeat(129), 1)]), Some(EditError::Name { .. })));
    assert!(matches!(try_edit(&[about("", 1)]), Some(EditError::Name { .. })));
    assert!(try_edit(&[remark(&"n".repeat(256), "x")]).is_none());
    assert!(matches!(try_edit(&[remark(&"n".repeat(257), "x")]), Some(EditError::Name { .. })));
    assert!(matches!(try_edit(&[set("a/b", Value::Counter(1))]), Some(EditError::ReadOnlyType { .. })));
    assert!(matches!(try_edit(&[set("a/life", "deleted")]), Some(EditError::LifeIsReserved { .. })));

    let mut few = Limits::default();
    few.edit_writes_max = 3;
    let writes: Vec<_> = (0..4).map(|n| set(&format!("M{n}/status"), "good")).collect();
    assert!(Document::new().edit(&device(1), act(0), None, &writes[..3], &few).is_ok());
    let refused = Document::new().edit(&device(1), act(0), None, &writes, &few);
    assert!(matches!(refused, Err(EditError::TooManyWrites { actual: 4, max: 3 })));
}
