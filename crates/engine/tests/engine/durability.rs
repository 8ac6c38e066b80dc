//! What is acknowledged is on disk.

use comity_engine::{Event, Input};
use comity_model::LinkId;

use crate::support::{Node, document, exchange, link, set};

#[test]
fn an_edit_is_saved_when_the_store_says_so_and_not_before() {
    let mut tablet = Node::new("tablet");
    tablet.stores = false;
    let token = tablet.edit(1, &[set("M050/status", "dead")]);
    tablet.settle();
    assert_eq!(tablet.was_saved(token), None);
    assert!(tablet.engine.standing(&document(1)).unwrap().unsaved);
    tablet.store_all();
    assert_eq!(tablet.was_saved(token), Some(true));
    assert!(!tablet.engine.standing(&document(1)).unwrap().unsaved);
}

#[test]
fn the_relay_passes_an_edit_on_at_once_but_answers_its_writer_only_from_disk() {
    let (mut relay, mut tablet, mut desktop) = (Node::new("relay"), Node::new("tablet"), Node::new("desktop"));
    link(&mut tablet, &mut relay, 1);
    link(&mut desktop, &mut relay, 2);
    tablet.edit(1, &[set("M050/status", "dead")]);
    desktop.handle(Input::Want { document: document(1) });
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);

    relay.stores = false;
    tablet.edit(1, &[set("M051/status", "ok")]);
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);
    assert_eq!(desktop.heads(1), tablet.heads(1), "fan-out does not wait for the disk");
    let behind = |node: &Node| node.engine.standing(&document(1)).unwrap().peers[0].behind;
    assert_eq!(behind(&tablet), 1, "the writer does not believe that the relay has it");

    relay.store_all();
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);
    assert_eq!(behind(&tablet), 0);
}

#[test]
fn pending_changes_are_counted_across_a_restart_without_the_relay() {
    // S1.3, S1.9
    let (mut relay, mut tablet) = (Node::new("relay"), Node::new("tablet"));
    link(&mut tablet, &mut relay, 1);
    tablet.edit(1, &[set("M050/status", "dead")]);
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    tablet.handle(Input::LinkDown { link: LinkId(1) });
    for i in 0..3 {
        tablet.edit(1, &[set(&format!("M{i:03}/status"), "ok")]);
    }
    let mut again = Node::new("tablet");
    again.disk = tablet.disk.clone();
    again.heads(1);
    let standing = again.engine.standing(&document(1)).unwrap();
    assert_eq!(standing.peers.len(), 1);
    assert_eq!(standing.peers[0].behind, 3);
    assert_eq!(standing.peers[0].link, None);
}

#[test]
fn a_document_grown_by_changes_is_compacted_and_reads_the_same() {
    let mut tablet = Node::new("tablet");
    for i in 0..400u64 {
        // Texts that do not compress.
        let text: String =
            (0..40u64).map(|j| format!("{:08x}", (i * 40 + j).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32)).collect();
        tablet.edit(1, &[set(&format!("M{i:03}/comment"), &text)]);
    }
    let stored = &tablet.disk[&document(1)];
    assert!(stored.snapshot.is_some(), "changes of 130 kB outgrow the floor of 64 KiB");
    assert!(stored.changes.len() < 400);
    let mut again = Node::new("tablet");
    again.disk = tablet.disk.clone();
    assert_eq!(again.heads(1), tablet.heads(1));
}

#[test]
fn a_reader_that_waits_for_a_load_gets_its_answer_after_it() {
    let mut tablet = Node::new("tablet");
    tablet.edit(1, &[set("M050/status", "dead")]);
    let mut again = Node::new("tablet");
    again.disk = tablet.disk.clone();
    again.loads = false;
    let token = comity_engine::Token(7);
    again.handle(Input::Fetch { token, document: document(1) });
    let fetched = |node: &Node| node.events.iter().any(|event| matches!(event, Event::Fetched { .. }));
    assert!(!fetched(&again));
    again.load_all();
    assert!(fetched(&again));
}
