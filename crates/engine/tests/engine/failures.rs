//! Disks that fail and peers that misbehave.

use std::time::Duration;

use bytes::Bytes;
use comity_engine::{CloseReason, Effect, Event, Failure, FailureKind, Input};
use comity_model::{LinkId, PeerId};
use comity_wire::Message;

use crate::support::{LINK, Node, document, exchange, link, set, two_in_step, unlink};

#[test]
fn a_broken_disk_makes_a_document_read_only_and_tells_everybody() {
    let (mut relay, mut tablet) = two_in_step();
    relay.stores = false;
    tablet.edit(1, &[set("M051/status", "ok")]);
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    relay.fail_all(FailureKind::Io);
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    assert!(relay.events.iter().any(|event| matches!(event, Event::Failed { .. })));
    assert!(tablet.events.iter().any(|event| matches!(event, Event::PeerError { .. })), "the peer is told");
    assert_eq!(tablet.engine.standing(&document(1)).unwrap().peers[0].behind, 1, "and was never told that it is safe");
    let token = relay.edit(1, &[set("M052/status", "ok")]);
    assert_eq!(relay.was_saved(token), None);
    assert!(relay.events.iter().any(|event| matches!(event, Event::Edited { result: Err(_), .. })));
}

#[test]
fn a_full_disk_is_tried_again_and_nothing_is_lost() {
    // S1.3: when a limit is met the user is told and nothing is dropped.
    let (mut relay, mut tablet) = two_in_step();
    relay.stores = false;
    tablet.edit(1, &[set("M051/status", "ok")]);
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    relay.fail_all(FailureKind::Full);
    // While it is full, the relay takes nothing; what the tablet sends now is not kept.
    tablet.edit(1, &[set("M052/status", "ok")]);
    exchange(&mut relay, &mut [(1, &mut tablet)]);

    relay.wait(Duration::from_secs(6));
    relay.fail_all(FailureKind::Full);
    assert!(!relay.events.iter().any(|event| matches!(event, Event::Recovered { .. })), "still full");
    relay.wait(Duration::from_secs(6));
    relay.stores = true;
    relay.store_all();
    assert!(relay.events.iter().any(|event| matches!(event, Event::Recovered { .. })));
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    assert_eq!(relay.heads(1), tablet.heads(1), "what came while the disk was full was sent again");
    let mut again = Node::new("relay");
    again.disk = relay.disk.clone();
    assert_eq!(again.heads(1), tablet.heads(1));
}

#[test]
fn an_edit_after_one_that_failed_is_not_called_saved() {
    let mut tablet = Node::new("tablet");
    tablet.stores = false;
    let first = tablet.edit(1, &[set("M050/status", "dead")]);
    let second = tablet.edit(1, &[set("M051/status", "dead")]);
    let Some(Effect::Append { ticket, .. }) = tablet.unanswered.pop_front() else { panic!("an edit is appended") };
    let failure = Failure { kind: FailureKind::Full, message: "no".to_owned() };
    tablet.handle(Input::Stored { ticket, result: Err(failure) });
    // There is room again for the second, but it depends on the first.
    tablet.store_all();
    assert_eq!((tablet.was_saved(first), tablet.was_saved(second)), (Some(false), Some(false)));
    tablet.wait(Duration::from_secs(6));
    tablet.store_all();
    assert!(tablet.events.iter().any(|event| matches!(event, Event::Recovered { .. })));
    let third = tablet.edit(1, &[set("M052/status", "dead")]);
    tablet.store_all();
    assert_eq!(tablet.was_saved(third), Some(true));
}

#[test]
fn a_relay_does_not_keep_how_strangers_stand() {
    let (mut relay, tablet) = two_in_step();
    let (sender, target) = (tablet.peer.clone(), relay.peer.clone());
    relay.receive(LINK, Message::DocUnavailable { sender, target, document: document(1) });
    relay.settle();
    assert!(!relay.events.iter().any(|event| matches!(event, Event::Stands { .. })));
}

#[test]
fn refused_bytes_close_their_sender_are_kept_and_disturb_nobody_else() {
    let (mut relay, mut tablet, mut stranger) = (Node::new("relay"), Node::new("tablet"), Node::new("stranger"));
    link(&mut tablet, &mut relay, 1);
    link(&mut stranger, &mut relay, 2);
    tablet.edit(1, &[set("M050/status", "dead")]);
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    let message = Message::Sync {
        sender: stranger.peer.clone(),
        target: relay.peer.clone(),
        document: document(1),
        data: Bytes::from_static(b"\x42\xff\xff\xff\xff\x0f"),
    };
    relay.receive(LinkId(2), message);
    assert!(matches!(relay.closed[..], [(LinkId(2), CloseReason::RefusedBytes { .. })]));
    assert_eq!(relay.quarantined, 1);
    tablet.edit(1, &[set("M051/status", "ok")]);
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    assert_eq!(relay.heads(1), tablet.heads(1));
}

#[test]
fn a_forged_sender_and_a_second_handshake_close_the_link() {
    let mut relay = Node::new("relay");
    for (i, message) in [
        Message::DocUnavailable {
            sender: PeerId::new("somebody else").unwrap(),
            target: relay.peer.clone(),
            document: document(1),
        },
        Message::Join {
            sender: PeerId::new("stranger").unwrap(),
            versions: vec!["1".to_owned()],
            metadata: Default::default(),
        },
    ]
    .into_iter()
    .enumerate()
    {
        let number = LinkId(i as u64);
        let peer = Node::new("stranger").as_peer(false);
        relay.handle(Input::LinkUp { link: number, peer });
        relay.receive(number, message);
        assert_eq!(relay.closed.len(), i + 1, "{:?}", relay.closed);
    }
    assert!(matches!(relay.closed[0].1, CloseReason::ForgedSender { .. }));
    assert!(matches!(relay.closed[1].1, CloseReason::OutOfPlace { .. }));
}

#[test]
fn messages_of_a_link_that_is_gone_are_ignored() {
    let (mut relay, mut tablet) = (Node::new("relay"), Node::new("tablet"));
    link(&mut tablet, &mut relay, 1);
    tablet.edit(1, &[set("M050/status", "dead")]);
    tablet.settle();
    let late: Vec<_> = tablet.sent.drain(..).collect();
    unlink(&mut tablet, &mut relay, 1);
    for (link, message) in late {
        relay.receive(link, message);
    }
    relay.handle(Input::Written { link: LINK, messages: 5, bytes: 5 });
    relay.settle();
    assert!(relay.sent.is_empty() && relay.closed.is_empty());
    assert_eq!(relay.engine.load().documents, 0);
}

#[test]
fn a_store_that_lost_the_tail_still_comes_into_step() {
    // The relay advertised nothing that it lost to the tablet that wrote it; a kept session may still name it.
    let (mut relay, mut tablet) = two_in_step();
    let before = relay.disk.clone();
    tablet.edit(1, &[set("M051/status", "ok")]);
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    unlink(&mut tablet, &mut relay, 1);
    let sessions = relay.disk[&document(1)].sessions.clone();
    let mut again = Node::new("relay");
    again.disk = before;
    again.disk.get_mut(&document(1)).unwrap().sessions = sessions;
    link(&mut tablet, &mut again, 2);
    exchange(&mut again, &mut [(2, &mut tablet)]);
    assert_eq!(again.heads(1), tablet.heads(1));
}

#[test]
fn a_load_that_fails_for_a_while_is_tried_again_when_somebody_asks_again() {
    let (mut relay, mut tablet) = (Node::new("relay"), Node::new("tablet"));
    tablet.edit(1, &[set("M050/status", "dead")]);
    relay.loads = false;
    link(&mut tablet, &mut relay, 1);
    tablet.settle();
    while let Some((link, message)) = tablet.sent.pop_front() {
        relay.receive(link, message);
    }
    relay.loading.clear();
    let failure = comity_engine::Failure { kind: FailureKind::Io, message: "too many open files".to_owned() };
    relay.handle(Input::Loaded { document: document(1), result: Err(failure) });
    assert!(matches!(relay.closed[..], [(LINK, CloseReason::Store { .. })]), "what the tablet said was lost");
    relay.loads = true;
    unlink(&mut tablet, &mut relay, 1);
    link(&mut tablet, &mut relay, 2);
    exchange(&mut relay, &mut [(2, &mut tablet)]);
    assert_eq!(relay.heads(1), tablet.heads(1));
}

#[test]
fn what_could_not_be_read_for_a_link_is_told_later() {
    let (mut relay, mut before) = (Node::new("relay"), Node::new("tablet"));
    before.edit(1, &[set("M050/status", "dead")]);
    let mut tablet = Node::new("tablet");
    tablet.disk = before.disk.clone();
    tablet.handle(Input::Want { document: document(1) });
    tablet.loads = false;
    link(&mut tablet, &mut relay, 1);
    tablet.settle();
    tablet.loading.clear();
    let failure = Failure { kind: FailureKind::Io, message: "too many open files".to_owned() };
    tablet.handle(Input::Loaded { document: document(1), result: Err(failure) });
    tablet.loads = true;
    tablet.wait(Duration::from_secs(6));
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    assert_eq!(relay.heads(1), before.heads(1), "nobody edited and no link broke, and yet the relay has it");
}

#[test]
fn after_a_full_disk_a_device_knows_again_what_the_relay_has() {
    let (mut relay, mut tablet) = two_in_step();
    tablet.stores = false;
    tablet.edit(1, &[set("M051/status", "ok")]);
    tablet.settle();
    while let Some((link, message)) = tablet.sent.pop_front() {
        relay.receive(link, message);
    }
    tablet.fail_all(FailureKind::Full);
    // The relay's answer comes while the tablet takes nothing in.
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    tablet.wait(Duration::from_secs(6));
    tablet.stores = true;
    tablet.store_all();
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    assert_eq!(tablet.engine.standing(&document(1)).unwrap().peers[0].behind, 0);
}

#[test]
fn whoever_sends_what_is_known_already_is_told_that_it_has_arrived() {
    let (mut relay, mut tablet) = two_in_step();
    tablet.edit(1, &[set("M051/status", "ok")]);
    tablet.settle();
    let (_, message) = tablet.sent.front().expect("an edit is sent").clone();
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    relay.receive(LINK, message);
    relay.settle();
    assert!(!relay.sent.is_empty());
}

/// A store that lost a change in the middle: the document is there, and is whole again once a peer has it.
#[test]
fn a_document_with_a_hole_is_read_and_mended_by_a_peer() {
    let (mut relay, mut tablet) = two_in_step();
    for round in 0..4 {
        tablet.edit(1, &[set(&format!("M{round}/status"), "dead")]);
        exchange(&mut relay, &mut [(1, &mut tablet)]);
    }
    let whole = tablet.heads(1);
    for lost in 0..tablet.disk[&document(1)].changes.len() - 1 {
        let mut again = Node::new("again");
        again.disk = tablet.disk.clone();
        again.disk.get_mut(&document(1)).unwrap().changes.remove(lost);
        assert_ne!(again.heads(1), whole);
        let is_told =
            |event: &Event| matches!(event, Event::Incomplete { missing, .. } if missing.as_slice().len() == 1);
        assert!(again.events.iter().any(is_told), "without {lost}");
        let token = again.edit(1, &[set("M9/status", &lost.to_string())]);
        assert_eq!(again.was_saved(token), Some(true), "it can be changed meanwhile");
        again.handle(Input::Want { document: document(1) });
        link(&mut again, &mut relay, 7);
        exchange(&mut relay, &mut [(7, &mut again), (1, &mut tablet)]);
        assert_eq!(again.heads(1), relay.heads(1));
        assert!(again.engine.document(&document(1)).unwrap().covers(&whole));
        unlink(&mut again, &mut relay, 7);
        let mut after = Node::new("after");
        after.disk = again.disk.clone();
        assert_eq!(after.heads(1), again.heads(1));
        assert!(!after.events.iter().any(is_told), "and it is whole on disk");
    }
}

/// A document with a hole cannot be written as a whole, and a store that refused one change takes no further ones: it can
/// be read, the author is told, and nothing that is stored is replaced.
#[test]
fn a_document_with_a_hole_stays_readable_after_a_full_disk() {
    let mut source = Node::new("source");
    for round in 0..4 {
        source.edit(1, &[set(&format!("M{round}/status"), "dead")]);
    }
    let mut holed = Node::new("holed");
    holed.disk = source.disk.clone();
    holed.disk.get_mut(&document(1)).unwrap().changes.remove(2);
    let stored = holed.disk[&document(1)].changes.clone();
    holed.heads(1);
    holed.stores = false;
    let lost = holed.edit(1, &[set("M8/status", "dead")]);
    holed.fail_all(FailureKind::Full);
    assert_eq!(holed.was_saved(lost), Some(false));
    holed.wait(Duration::from_secs(6));
    holed.stores = true;
    holed.store_all();
    assert!(!holed.engine.document(&document(1)).unwrap().is_empty());
    assert!(!holed.events.iter().any(|event| matches!(event, Event::Recovered { .. })));
    assert_eq!(holed.disk[&document(1)].changes, stored);
}
