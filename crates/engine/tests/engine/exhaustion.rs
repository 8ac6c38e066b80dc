//! What one peer does must not cost the others.

use std::time::Duration;

use bytes::Bytes;
use comity_engine::{Event, Input};
use comity_model::{LinkId, PeerId};
use comity_wire::Message;

use crate::limits::{limits, request};
use crate::support::{LINK, Node, document, exchange, link, set, two_in_step};

fn ephemeral(sender: &str, to: &Node, session: &str, count: u64, data: &'static str) -> Message {
    Message::Ephemeral {
        sender: PeerId::new(sender).unwrap(),
        target: to.peer.clone(),
        document: document(1),
        session: session.to_owned(),
        count,
        data: Bytes::from_static(data.as_bytes()),
    }
}

/// What the engine told its listeners of ephemerals of a sender.
fn heard(node: &Node, from: &str) -> Vec<Bytes> {
    let of = |event: &Event| match event {
        Event::Ephemeral { sender, data, .. } if sender.to_string() == from => Some(data.clone()),
        _ => None,
    };
    node.events.iter().filter_map(of).collect()
}

#[test]
fn who_finds_no_place_among_those_who_asked_is_told_at_once_and_nothing_else_happens() {
    let mut relay = Node::with_limits("relay", limits(|limits| limits.asked_max = 1));
    let (mut first, mut second) = (Node::new("first"), Node::new("second"));
    link(&mut first, &mut relay, 1);
    link(&mut second, &mut relay, 2);
    first.handle(Input::Want { document: document(1) });
    exchange(&mut relay, &mut [(1, &mut first)]);
    second.handle(Input::Want { document: document(2) });
    exchange(&mut relay, &mut [(2, &mut second)]);
    let is_told = |node: &Node| node.events.iter().any(|event| matches!(event, Event::Unavailable { .. }));
    assert_eq!((relay.engine.load().asked, is_told(&second)), (1, true));
    relay.wait(Duration::from_secs(2));
    exchange(&mut relay, &mut [(1, &mut first), (2, &mut second)]);
    assert!(is_told(&first));
    assert!(relay.closed.is_empty());
}

#[test]
fn nobody_can_silence_a_sender_with_forged_counts() {
    let (mut relay, _tablet) = two_in_step();
    let mut stranger = Node::new("stranger");
    stranger.handle(Input::Want { document: document(1) });
    link(&mut stranger, &mut relay, 2);
    exchange(&mut relay, &mut [(2, &mut stranger)]);
    relay.receive(LINK, ephemeral("tablet", &relay, "run", 1, "first"));
    // The stranger has seen sender and session pass. It forges the largest count, and the next ones.
    for (count, data) in [(u64::MAX, "forged"), (2, "forged"), (3, "forged")] {
        relay.receive(LinkId(2), ephemeral("tablet", &relay, "run", count, data));
    }
    relay.receive(LINK, ephemeral("tablet", &relay, "run", 2, "second"));
    relay.receive(LINK, ephemeral("tablet", &relay, "run", 3, "third"));
    let data = heard(&relay, "tablet");
    for true_one in ["first", "second", "third"] {
        assert_eq!(data.iter().filter(|data| **data == true_one).count(), 1, "{true_one}");
    }
    // What comes again, by whatever way, is not passed on again.
    relay.receive(LinkId(2), ephemeral("tablet", &relay, "run", 2, "second"));
    relay.receive(LINK, ephemeral("tablet", &relay, "run", 1, "first"));
    assert_eq!(heard(&relay, "tablet").len(), data.len());
}

#[test]
fn a_spray_of_sessions_costs_only_who_sprays() {
    let mut relay = Node::with_limits("relay", limits(|limits| limits.ephemeral_sessions_max = 4));
    let (mut tablet, mut stranger) = (Node::new("tablet"), Node::new("stranger"));
    link(&mut tablet, &mut relay, 1);
    link(&mut stranger, &mut relay, 2);
    tablet.edit(1, &[set("M050/status", "dead")]);
    stranger.handle(Input::Want { document: document(1) });
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut stranger)]);
    relay.receive(LINK, ephemeral("tablet", &relay, "run", 1, "here"));
    for number in 0..20 {
        relay.receive(LinkId(2), ephemeral("stranger", &relay, &format!("session {number}"), 1, "spray"));
    }
    assert_eq!(relay.engine.load().ephemeral_sessions, 4);
    relay.receive(LinkId(2), ephemeral("tablet", &relay, "run", 1, "here"));
    assert_eq!(heard(&relay, "tablet").len(), 1, "the tablet's session is still remembered");
    relay.handle(Input::LinkDown { link: LinkId(2) });
    assert_eq!(relay.engine.load().ephemeral_sessions, 1, "what a link brought goes with it");
}

#[test]
fn a_device_that_wants_more_than_a_relay_remembers_gets_all_of_it_in_the_end() {
    for (most, wanted) in [(5, 5), (5, 6)] {
        let few = || limits(|limits| limits.documents_per_link_max = most);
        let mut relay = Node::with_limits("relay", few());
        // One message at a time: nothing may be forgotten while it is being talked about.
        let slow = |documents| {
            limits(|limits| (limits.documents_per_link_max, limits.link_queue_messages_max) = (documents, 1))
        };
        let mut tablet = Node::with_limits("tablet", slow(most));
        let mut desktop = Node::with_limits("desktop", slow(100));
        link(&mut tablet, &mut relay, 1);
        link(&mut desktop, &mut relay, 2);
        for number in 1..=wanted {
            tablet.edit(number, &[set("M050/status", "dead")]);
        }
        exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);
        for number in 1..=wanted {
            assert_eq!(relay.heads(number), tablet.heads(number), "document {number} of {wanted}");
            desktop.handle(Input::Want { document: document(number) });
        }
        exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);
        for number in 1..=wanted {
            desktop.edit(number, &[set("M050/status", "good")]);
        }
        exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);
        let is_behind = (1..=wanted).any(|number| tablet.heads(number) != desktop.heads(number));
        assert_eq!(is_behind, usize::from(wanted) > most, "the relay has forgotten one of {wanted}");
        tablet.wait(Duration::from_secs(1));
        exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);
        for number in 1..=wanted {
            assert_eq!(tablet.heads(number), desktop.heads(number), "document {number} of {wanted}");
        }
        assert!(relay.closed.is_empty() && tablet.closed.is_empty());
    }
}

#[test]
fn who_asks_for_what_nobody_has_is_remembered_and_a_flood_only_forgets_its_own() {
    let mut relay = Node::with_limits("relay", limits(|limits| limits.asked_max = 4));
    let (mut quiet, mut prober, mut tablet) = (Node::new("quiet"), Node::new("prober"), Node::new("tablet"));
    for (number, node) in [(1, &mut quiet), (2, &mut prober), (3, &mut tablet)] {
        link(node, &mut relay, number);
    }
    quiet.handle(Input::Want { document: document(1) });
    exchange(&mut relay, &mut [(1, &mut quiet)]);
    for number in 2..=4 {
        relay.receive(LinkId(2), request(&prober, &relay, document(number)));
    }
    assert_eq!((relay.engine.load().asked, relay.engine.load().documents), (4, 4), "at the limit");
    for number in 5..=200 {
        relay.receive(LinkId(2), request(&prober, &relay, document(number)));
        relay.settle();
    }
    let load = relay.engine.load();
    assert_eq!((load.asked, load.documents, load.in_memory), (4, 4, 0), "above it, the prober's oldest are forgotten");
    assert!(relay.closed.is_empty());
    relay.sent.clear();
    tablet.edit(1, &[set("M050/status", "dead")]);
    tablet.edit(200, &[set("M050/status", "dead")]);
    exchange(&mut relay, &mut [(1, &mut quiet), (3, &mut tablet)]);
    assert_eq!(quiet.heads(1), tablet.heads(1), "who asked early gets it when it comes");
    assert_eq!(relay.engine.load().asked, 2, "what is here now is no longer asked for");
    relay.handle(Input::LinkDown { link: LinkId(2) });
    assert_eq!(relay.engine.load().asked, 0);
}

#[test]
fn documents_leave_memory_by_what_they_take_and_the_one_used_last_stays() {
    let mut tablet = Node::new("tablet");
    for number in 1..=3 {
        tablet.edit(number, &[set("M050/remark", &"x".repeat(10_000))]);
    }
    let all = tablet.engine.load().weight_bytes;
    assert!(all > 3 * 10_000, "though each is a few hundred bytes on disk");
    for (bytes_max, left) in [(all, 3), (all - 1, 2), (1, 1)] {
        let mut again = Node::with_limits("tablet", limits(|limits| limits.loaded_bytes_max = bytes_max));
        for number in 1..=3 {
            again.edit(number, &[set("M050/remark", &"x".repeat(10_000))]);
            again.now += Duration::from_millis(1);
        }
        again.wait(Duration::from_secs(1));
        assert_eq!(again.engine.load().in_memory, left, "with room for {bytes_max} of {all} bytes");
        assert!(again.engine.document(&document(3)).is_some(), "the one used last");
    }
}

/// One document that is heavier than all should be must not push out every other, over and over.
#[test]
fn beside_a_document_that_is_too_heavy_the_others_stay_in_memory() {
    let heavy_and_light = |tablet: &mut Node| {
        for number in 2..=5 {
            tablet.edit(number, &[set("M050/status", "dead")]);
            tablet.edit(1, &[set("M050/remark", &"x".repeat(60_000 + usize::from(number)))]);
        }
    };
    let mut tablet = Node::new("tablet");
    heavy_and_light(&mut tablet);
    let all = tablet.engine.load().weight_bytes;
    for (bytes_max, left) in [(all, 5), (4_000, 3), (400, 1)] {
        let mut again = Node::with_limits("tablet", limits(|limits| limits.loaded_bytes_max = bytes_max));
        heavy_and_light(&mut again);
        again.wait(Duration::from_millis(1));
        assert_eq!(again.engine.load().in_memory, left, "with room for {bytes_max} of {all} bytes");
    }
}
