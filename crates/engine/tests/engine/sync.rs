//! Documents find their way.

use std::time::Duration;

use bytes::Bytes;
use comity_engine::{Answer, Event, Input};
use comity_model::{Limits, LinkId};
use comity_wire::Message;

use crate::support::{Node, document, exchange, link, set, three_in_step, two_in_step, unlink};

#[test]
fn what_one_device_writes_the_other_gets_through_the_relay() {
    let (mut relay, mut tablet, mut desktop) = (Node::new("relay"), Node::new("tablet"), Node::new("desktop"));
    link(&mut tablet, &mut relay, 1);
    link(&mut desktop, &mut relay, 2);
    tablet.edit(1, &[set("M050/status", "dead")]);
    desktop.handle(Input::Want { document: document(1) });
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);
    assert_eq!(desktop.heads(1), tablet.heads(1));
    let standing = tablet.engine.standing(&document(1)).unwrap();
    assert_eq!((standing.peers[0].behind, standing.peers[0].answer), (0, Answer::InStep));
}

#[test]
fn a_document_that_nobody_has_is_unavailable_until_somebody_brings_it() {
    let (mut relay, mut tablet, mut desktop) = (Node::new("relay"), Node::new("tablet"), Node::new("desktop"));
    link(&mut desktop, &mut relay, 2);
    desktop.handle(Input::Want { document: document(1) });
    exchange(&mut relay, &mut [(2, &mut desktop)]);
    let is_told = |desktop: &Node| desktop.events.iter().any(|event| matches!(event, Event::Unavailable { .. }));
    relay.wait(Limits::default().unavailable_after - Duration::from_millis(1));
    exchange(&mut relay, &mut [(2, &mut desktop)]);
    assert!(!is_told(&desktop), "somebody may be bringing it just now");
    relay.wait(Duration::from_millis(1));
    exchange(&mut relay, &mut [(2, &mut desktop)]);
    assert!(is_told(&desktop));
    assert_eq!(relay.engine.load().in_memory, 0, "an empty document takes no place in memory");

    tablet.edit(1, &[set("M050/status", "dead")]);
    link(&mut tablet, &mut relay, 1);
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);
    assert_eq!(desktop.heads(1), tablet.heads(1));
}

#[test]
fn who_asks_a_moment_before_somebody_brings_the_document_never_hears_that_nobody_has_it() {
    let (mut relay, mut tablet, mut desktop) = (Node::new("relay"), Node::new("tablet"), Node::new("desktop"));
    link(&mut desktop, &mut relay, 2);
    desktop.handle(Input::Want { document: document(1) });
    exchange(&mut relay, &mut [(2, &mut desktop)]);
    tablet.edit(1, &[set("M050/status", "dead")]);
    link(&mut tablet, &mut relay, 1);
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);
    relay.wait(Limits::default().unavailable_after);
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);
    assert_eq!(desktop.heads(1), tablet.heads(1));
    assert!(!desktop.events.iter().any(|event| matches!(event, Event::Unavailable { .. })));
}

#[test]
fn answers_that_wait_are_bounded_and_those_beyond_are_given_at_once() {
    let mut limits = Limits::default();
    limits.link_queue_messages_max = 4;
    for (asked, at_once) in [(4, 0), (5, 1)] {
        let (mut relay, mut desktop) = (Node::with_limits("relay", limits.clone()), Node::new("desktop"));
        link(&mut desktop, &mut relay, 2);
        for number in 1..=asked {
            desktop.handle(Input::Want { document: document(number) });
        }
        let told = |desktop: &Node| {
            let is_it = |event: &&Event| matches!(event, Event::Unavailable { .. });
            desktop.events.iter().filter(is_it).count()
        };
        exchange(&mut relay, &mut [(2, &mut desktop)]);
        assert_eq!(told(&desktop), at_once);
        relay.wait(limits.unavailable_after);
        exchange(&mut relay, &mut [(2, &mut desktop)]);
        assert_eq!(told(&desktop), usize::from(asked));
    }
}

#[test]
fn a_relay_without_the_document_asks_whoever_speaks_of_it() {
    // The first message of a device has no changes yet: the relay must not take it for an empty document and forget.
    let (mut relay, mut tablet) = (Node::new("relay"), Node::new("tablet"));
    tablet.edit(1, &[set("M050/status", "dead")]);
    relay.loads = false;
    link(&mut tablet, &mut relay, 1);
    tablet.settle();
    while let Some((link, message)) = tablet.sent.pop_front() {
        relay.receive(link, message);
    }
    relay.load_all();
    relay.loads = true;
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    assert_eq!(relay.heads(1), tablet.heads(1));
}

#[test]
fn after_a_reconnect_only_news_travels() {
    let (mut relay, mut tablet) = (Node::new("relay"), Node::new("tablet"));
    link(&mut tablet, &mut relay, 1);
    for i in 0..200 {
        tablet.edit(1, &[set(&format!("M{i:03}/status"), "ok")]);
    }
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    unlink(&mut tablet, &mut relay, 1);
    tablet.edit(1, &[set("M200/status", "dead")]);
    link(&mut tablet, &mut relay, 3);
    tablet.settle();
    relay.settle();
    let mut bytes = 0;
    for _ in 0..10 {
        while let Some((link, message)) = tablet.sent.pop_front() {
            bytes += message.data().map_or(0, Bytes::len);
            relay.receive(link, message);
        }
        relay.settle();
        while let Some((link, message)) = relay.sent.pop_front() {
            bytes += message.data().map_or(0, Bytes::len);
            tablet.receive(link, message);
        }
        tablet.settle();
    }
    assert_eq!(relay.heads(1), tablet.heads(1));
    assert!(bytes < 1_000, "one small change took {bytes} bytes");
}

#[test]
fn an_evicted_document_comes_back_when_somebody_writes() {
    let (mut relay, mut tablet, mut desktop) = three_in_step();
    relay.wait(std::time::Duration::from_secs(61));
    assert_eq!(relay.engine.load().in_memory, 0, "idle documents leave the memory");
    tablet.edit(1, &[set("M051/status", "ok")]);
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);
    assert_eq!(desktop.heads(1), tablet.heads(1));
}

#[test]
fn presence_reaches_the_others_once_and_empty_ones_go_nowhere() {
    // S2.3
    let (mut relay, mut tablet, mut desktop) = three_in_step();
    tablet.handle(Input::Broadcast { document: document(1), data: Bytes::from_static(b"here") });
    tablet.handle(Input::Broadcast { document: document(1), data: Bytes::new() });
    tablet.settle();
    let (_, message) = tablet.sent.pop_front().unwrap();
    assert!(tablet.sent.is_empty());
    relay.receive(LinkId(1), message.clone());
    relay.receive(LinkId(1), message.clone());
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);
    let heard = |node: &Node| node.events.iter().filter(|event| matches!(event, Event::Ephemeral { .. })).count();
    assert_eq!((heard(&desktop), heard(&tablet)), (1, 0));
    let Message::Ephemeral { sender, .. } = message else { panic!() };
    assert_eq!(sender, tablet.peer);
}

#[test]
fn readers_in_step_share_the_bytes_of_one_message() {
    let mut relay = Node::new("relay");
    let mut tablet = Node::new("tablet");
    link(&mut tablet, &mut relay, 1);
    tablet.edit(1, &[set("M050/status", "dead")]);
    let mut readers: Vec<Node> = (0..10).map(|i| Node::new(&format!("reader{i}"))).collect();
    for (i, reader) in readers.iter_mut().enumerate() {
        link(reader, &mut relay, 10 + i as u64);
        reader.handle(Input::Want { document: document(1) });
    }
    let mut all: Vec<(u64, &mut Node)> = vec![(1, &mut tablet)];
    all.extend(readers.iter_mut().enumerate().map(|(i, reader)| (10 + i as u64, reader)));
    exchange(&mut relay, &mut all);
    drop(all);
    tablet.edit(1, &[set("M051/status", "ok")]);
    tablet.settle();
    while let Some((link, message)) = tablet.sent.pop_front() {
        relay.receive(link, message);
    }
    relay.settle();
    let payloads: Vec<&Bytes> =
        relay.sent.iter().filter(|(link, _)| *link != LinkId(1)).filter_map(|(_, message)| message.data()).collect();
    assert_eq!(payloads.len(), 10);
    assert!(payloads.iter().all(|data| data.as_ptr() == payloads[0].as_ptr()), "made once, shared by all");
}

#[test]
fn changes_that_waited_for_others_and_were_evicted_are_asked_for_again() {
    let (mut relay, mut tablet) = two_in_step();

    // A change reaches the relay before the one it depends on, as a false positive of a Bloom filter makes it.
    tablet.edit(1, &[set("M050/status", "ok")]);
    tablet.settle();
    tablet.sent.clear();
    tablet.edit(1, &[set("M050/comment", "looked again")]);
    tablet.settle();
    while let Some((link, message)) = tablet.sent.pop_front() {
        relay.receive(link, message);
    }
    relay.settle();
    assert!(relay.engine.document(&document(1)).unwrap().orphan_bytes() > 0);
    relay.wait(Limits::default().idle_after + Duration::from_secs(1));
    assert_eq!(relay.engine.load().in_memory, 0);

    exchange(&mut relay, &mut [(1, &mut tablet)]);
    assert_eq!(relay.heads(1), tablet.heads(1));
}
