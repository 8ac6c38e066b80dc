//! What is acknowledged is on disk.

use comity_engine::{Event, Input};
use comity_model::LinkId;

use crate::support::{Node, document, exchange, link, set, three_in_step, two_in_step, unlink};

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
fn an_edit_that_repeats_what_is_not_on_disk_yet_is_saved_with_it() {
    let mut tablet = Node::new("tablet");
    tablet.stores = false;
    tablet.edit(1, &[set("M050/status", "dead")]);
    let again = tablet.edit(1, &[set("M050/status", "dead")]);
    tablet.settle();
    assert_eq!(tablet.was_saved(again), None);
    tablet.store_all();
    assert_eq!(tablet.was_saved(again), Some(true));
    let once_more = tablet.edit(1, &[set("M050/status", "dead")]);
    assert_eq!(tablet.was_saved(once_more), Some(true), "nothing waits any more");
}

#[test]
fn the_relay_passes_an_edit_on_at_once_but_answers_its_writer_only_from_disk() {
    let (mut relay, mut tablet, mut desktop) = three_in_step();

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
fn a_writer_hears_that_its_edit_is_safe_even_when_messages_cross() {
    let (mut relay, mut tablet, mut desktop) = three_in_step();

    // The desktop's edit is on its way to the tablet while the tablet's is on its way to the relay.
    desktop.edit(1, &[set("M052/status", "ok")]);
    desktop.settle();
    while let Some((link, message)) = desktop.sent.pop_front() {
        relay.receive(link, message);
    }
    relay.settle();
    tablet.edit(1, &[set("M051/status", "ok")]);
    tablet.settle();
    while let Some((link, message)) = relay.sent.pop_front() {
        let receiver = if link == LinkId(1) { &mut tablet } else { &mut desktop };
        receiver.receive(link, message);
    }
    tablet.settle();
    // Both messages of the tablet arrive before the relay answers either.
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);
    let peers = tablet.engine.standing(&document(1)).unwrap().peers;
    assert_eq!(peers[0].behind, 0, "the tablet was never told");
}

#[test]
fn pending_changes_are_counted_across_a_restart_without_the_relay() {
    // S1.3, S1.9
    let (_, mut tablet) = two_in_step();
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
fn a_document_of_many_short_changes_is_compacted_by_their_number() {
    let mut tablet = Node::new("tablet");
    let mut sizes = Vec::new();
    for number in 0..130 {
        tablet.edit(1, &[set("M050/status", &format!("seen {number}"))]);
        let stored = &tablet.disk[&document(1)];
        sizes.push((stored.snapshot.is_some(), stored.changes.len()));
    }
    // The first edit brings the genesis with it: 32 chunks, and one above.
    assert_eq!(sizes[30..32], [(false, 32), (true, 0)]);
    // Then as many again as are in the snapshot.
    assert_eq!(sizes[64..66], [(true, 33), (true, 0)]);
    assert_eq!(sizes[129], (true, 64));
    let mut again = Node::new("tablet");
    again.disk = tablet.disk.clone();
    assert_eq!(again.heads(1), tablet.heads(1));
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

#[test]
fn a_new_link_does_not_make_the_relay_confirm_what_is_not_on_its_disk() {
    let (mut relay, mut tablet) = two_in_step();

    relay.stores = false;
    tablet.edit(1, &[set("M051/status", "ok")]);
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    unlink(&mut tablet, &mut relay, 1);
    link(&mut tablet, &mut relay, 2);
    exchange(&mut relay, &mut [(2, &mut tablet)]);
    let behind = |node: &Node| node.engine.standing(&document(1)).unwrap().peers[0].behind;
    assert_eq!(behind(&tablet), 1, "the change is in the relay's memory only");

    relay.store_all();
    exchange(&mut relay, &mut [(2, &mut tablet)]);
    assert_eq!(behind(&tablet), 0);
}

#[test]
fn what_another_device_gives_back_to_the_relay_is_confirmed_to_its_writer_only_from_disk() {
    let (mut relay, mut tablet, mut desktop) = (Node::new("relay"), Node::new("tablet"), Node::new("desktop"));
    link(&mut tablet, &mut relay, 1);
    link(&mut desktop, &mut relay, 2);
    desktop.handle(Input::Want { document: document(1) });
    relay.stores = false;
    tablet.edit(1, &[set("M050/status", "dead")]);
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);
    assert_eq!(desktop.heads(1), tablet.heads(1));

    // The relay crashes before it has written anything. The tablet says what it has; the relay's question is on its way.
    relay = Node::new("relay");
    relay.stores = false;
    for node in [&mut tablet, &mut desktop] {
        node.handle(Input::LinkDown { link: LinkId(1) });
        node.handle(Input::LinkDown { link: LinkId(2) });
        node.sent.clear();
    }
    link(&mut tablet, &mut relay, 3);
    carry(&mut tablet, &mut relay, 3);
    relay.settle();
    relay.sent.clear();

    // Meanwhile the desktop gives back the tablet's change.
    link(&mut desktop, &mut relay, 4);
    carry(&mut desktop, &mut relay, 4);
    carry(&mut relay, &mut desktop, 4);
    carry(&mut desktop, &mut relay, 4);
    assert_eq!(relay.heads(1), tablet.heads(1));
    relay.settle();
    let to_tablet = |relay: &Node| relay.sent.iter().filter(|(link, _)| *link == LinkId(3)).count();
    assert_eq!(to_tablet(&relay), 0, "the tablet would take it for a receipt");
    relay.store_all();
    relay.settle();
    assert_eq!(to_tablet(&relay), 1);
}

/// Carries what one node has to say to the other, once.
fn carry(from: &mut Node, to: &mut Node, number: u64) {
    from.settle();
    for (_, message) in from.sent.drain(..).filter(|(link, _)| *link == LinkId(number)) {
        to.receive(LinkId(number), message);
    }
}
