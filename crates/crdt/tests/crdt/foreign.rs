//! Other applications: plain Automerge peers, and documents of another shape.

use automerge::sync::{Message, State, SyncDoc};
use automerge::transaction::Transactable;
use automerge::{Automerge, ObjType, ROOT, ReadDoc, ScalarValue};
use comity_crdt::{Document, EditError, HistoryFilter, SyncSession, admit};
use comity_model::{Limits, Value};

use crate::support::{act, device, edit, key, set};

/// A plain Automerge peer, as in somebody else's application.
#[derive(Default)]
struct Plain {
    document: Automerge,
    state: State,
}

fn settle(ours: &mut Document, session: &mut SyncSession, plain: &mut Plain) {
    let limits = Limits::default();
    for _ in 0..100 {
        let to_plain = ours.generate(session);
        let to_us = plain.document.generate_sync_message(&mut plain.state);
        if to_plain.is_none() && to_us.is_none() {
            return;
        }
        if let Some(bytes) = to_plain {
            let message = Message::decode(&bytes).unwrap();
            plain.document.receive_sync_message(&mut plain.state, message).unwrap();
        }
        if let Some(message) = to_us {
            ours.receive(session, admit(&message.encode(), &limits).unwrap(), &limits).unwrap();
        }
    }
    panic!("two peers talk for ever");
}

fn same_heads(ours: &Document, plain: &Plain) {
    let theirs: Vec<_> = plain.document.get_heads().into_iter().map(|hash| hash.0).collect();
    assert_eq!(ours.heads().as_slice().iter().map(|hash| hash.0).collect::<Vec<_>>(), theirs);
}

/// JavaScript's `ImmutableString` is a scalar string; it writes to the registers that we read.
#[test]
fn a_javascript_client_edits_a_comity_document() {
    let (mut ours, mut session, mut plain) = (Document::new(), SyncSession::new(), Plain::default());
    edit(&mut ours, 1, &[set("M1/status", "good")]);
    settle(&mut ours, &mut session, &mut plain);
    same_heads(&ours, &plain);
    let (_, values) = plain.document.get(ROOT, "values").unwrap().unwrap();
    let (shown, _) = plain.document.get(&values, "M1/status").unwrap().unwrap();
    assert_eq!(shown.as_str(), Some("good"), "a scalar, never a text object");
    assert!(shown.is_scalar());
    for round in 0..5 {
        let mut transaction = plain.document.transaction();
        transaction.put(&values, "M1/status", ScalarValue::Str(format!("js {round}").into())).unwrap();
        transaction.commit();
        edit(&mut ours, 1, &[set("M2/status", round)]);
        settle(&mut ours, &mut session, &mut plain);
        same_heads(&ours, &plain);
        let standing = ours.register(&key("M1/status"), None).unwrap();
        assert_eq!(standing.winner().unwrap().value, Value::from(format!("js {round}")));
        assert_eq!(standing.winner().unwrap().act, None);
        // Either side reconnects, each with its own idea of what is worth keeping.
        session = SyncSession::resume(&session.encode()).unwrap();
        plain.state = State::decode(&plain.state.encode()).unwrap();
    }
}

#[test]
fn a_document_of_another_shape_is_synchronised_and_not_written_to() {
    let (mut ours, mut session, mut plain) = (Document::new(), SyncSession::new(), Plain::default());
    let mut transaction = plain.document.transaction();
    let list = transaction.put_object(ROOT, "todo", ObjType::List).unwrap();
    transaction.insert(&list, 0, "bread").unwrap();
    let text = transaction.put_object(ROOT, "values", ObjType::Text).unwrap();
    transaction.splice_text(&text, 0, 0, "not a map").unwrap();
    transaction.put(ROOT, "count", ScalarValue::counter(1)).unwrap();
    transaction.commit();
    let mut transaction = plain.document.transaction();
    transaction.increment(ROOT, "count", 2).unwrap();
    transaction.delete(&list, 0).unwrap();
    transaction.commit();
    settle(&mut ours, &mut session, &mut plain);
    same_heads(&ours, &plain);
    assert!(!ours.is_comity());
    assert!(ours.entries(None).is_empty() && ours.disagreements().is_empty() && ours.remarks().is_empty());
    assert_eq!((ours.kind(), ours.title(), ours.register(&key("a/b"), None)), (None, None, None));
    assert_eq!(ours.history(&HistoryFilter::Document).len(), 2);
    let refused = ours.edit(&device(1), act(0), None, &[set("a/b", "c")], &Limits::default());
    assert!(matches!(refused, Err(EditError::Foreign)));
    let decoded = ours.decode_changes(ours.heads().as_slice());
    assert_eq!(decoded[0].ops.len(), 2);
}

#[test]
fn a_fresh_plain_peer_gets_a_long_history_and_gives_one() {
    for long in [1, 10, 300] {
        let (mut ours, mut session, mut plain) = (Document::new(), SyncSession::new(), Plain::default());
        for round in 0..long {
            edit(&mut ours, 1, &[set("M1/status", round)]);
        }
        settle(&mut ours, &mut session, &mut plain);
        same_heads(&ours, &plain);
        let (mut fresh, mut session) = (Document::new(), SyncSession::new());
        plain.state = State::new();
        settle(&mut fresh, &mut session, &mut plain);
        assert_eq!(fresh.heads(), ours.heads());
        assert_eq!(fresh.entries(None), ours.entries(None));
    }
}
