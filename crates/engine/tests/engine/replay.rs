//! Messages that come again, and changes that contradict each other.

use std::time::Duration;

use comity_engine::{CloseReason, Event, Input};
use comity_model::{Limits, LinkId};
use comity_wire::Message;

use crate::limits::limits;
use crate::support::{LINK, Node, document, exchange, link, set, unlink};

#[allow(dead_code, reason = "the tests of admission use all of it")]
#[path = "../../../crdt/src/admit/tests/bytes.rs"]
mod raw;

/// A small deterministic source of choices.
struct Choices(u64);

impl Choices {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }
}

/// The same message, as another peer would replay it.
fn by(sender: &Node, message: &Message) -> Option<Message> {
    let from = sender.peer.clone();
    match message.clone() {
        Message::Request { target, document, data, .. } => {
            Some(Message::Request { sender: from, target, document, data })
        }
        Message::Sync { target, document, data, .. } => Some(Message::Sync { sender: from, target, document, data }),
        _ => None,
    }
}

/// Lets the two write and talk for a while, and gives all that the tablet has said.
fn history(relay: &mut Node, tablet: &mut Node, choices: &mut Choices) -> Vec<Message> {
    let mut said = Vec::new();
    for round in 0..12 {
        let writer = if choices.below(2) == 0 { &mut *relay } else { &mut *tablet };
        writer.edit(1 + choices.below(2) as u8, &[set(&format!("M{round:03}/status"), "dead")]);
        tablet.settle();
        said.extend(tablet.sent.iter().map(|(_, message)| message.clone()));
        exchange(relay, &mut [(1, tablet)]);
    }
    said
}

#[test]
fn replayed_messages_change_nothing_and_all_come_to_rest() {
    for seed in 0..40 {
        let mut choices = Choices(seed);
        let (mut relay, mut tablet, mut mallory) = (Node::new("relay"), Node::new("tablet"), Node::new("mallory"));
        link(&mut tablet, &mut relay, 1);
        link(&mut mallory, &mut relay, 2);
        (1..=2).for_each(|number| tablet.handle(Input::Want { document: document(number) }));
        let said = history(&mut relay, &mut tablet, &mut choices);
        let before: Vec<_> = (1..=2).map(|number| relay.heads(number)).collect();
        let stored = relay.disk.values().map(|stored| stored.changes.len()).sum::<usize>();
        // On its own link, on another one, in any order, as often as it likes; once the link was down in between.
        for _ in 0..60 {
            let message = &said[choices.below(said.len())];
            match choices.below(3) {
                0 => relay.receive(LINK, message.clone()),
                1 => by(&mallory, message).into_iter().for_each(|message| relay.receive(LinkId(2), message)),
                _ if choices.below(8) == 0 => {
                    unlink(&mut tablet, &mut relay, 1);
                    link(&mut tablet, &mut relay, 1);
                }
                _ => relay.settle(),
            }
        }
        relay.sent.retain(|(link, _)| *link == LINK);
        exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut mallory)]);
        relay.wait(Duration::from_secs(1));
        exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut mallory)]);
        for number in 1..=2 {
            assert_eq!(relay.heads(number), before[usize::from(number) - 1], "seed {seed}");
            assert_eq!(tablet.heads(number), relay.heads(number), "seed {seed}");
        }
        assert_eq!(relay.disk.values().map(|stored| stored.changes.len()).sum::<usize>(), stored, "seed {seed}");
        assert!(relay.closed.is_empty() && tablet.closed.is_empty(), "seed {seed}: {:?}", relay.closed);
        let edited = tablet.edit(1, &[set("M999/status", "good")]);
        exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut mallory)]);
        assert_eq!(tablet.was_saved(edited), Some(true));
        assert_eq!(tablet.heads(1), relay.heads(1), "seed {seed}: they still understand each other");
    }
}

/// Two copies of one device: the same actor, other names on the wire.
fn copies(limits: &Limits) -> (Node, Node, Node, Node) {
    let node = |name: &str| Node::with_limits(name, limits.clone());
    let (mut relay, mut tablet, mut twin, mut desktop) = (node("relay"), node("tablet"), node("twin"), node("desktop"));
    for (number, device) in [(1, &mut tablet), (2, &mut twin), (3, &mut desktop)] {
        link(device, &mut relay, number);
    }
    (relay, tablet, twin, desktop)
}

#[test]
fn a_copied_device_contradicts_itself_and_the_others_go_on() {
    let (mut relay, mut tablet, mut twin, mut desktop) = copies(&Limits::default());
    tablet.edit(1, &[set("M050/status", "dead")]);
    twin.edit(1, &[set("M050/status", "good")]);
    desktop.handle(Input::Want { document: document(1) });
    exchange(&mut relay, &mut [(1, &mut tablet), (3, &mut desktop)]);
    let first = relay.heads(1);
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut twin), (3, &mut desktop)]);
    assert_eq!(relay.heads(1), first, "the first stays");
    // Here the twin is the first to see both; it says so to its user and to the relay, and keeps the evidence.
    let is_told = |event: &&Event| matches!(event, Event::NotTaken { link: LinkId(2), .. });
    assert_eq!((twin.quarantined, twin.events.iter().filter(is_told).count()), (1, 1));
    assert!(relay.events.iter().any(|event| matches!(event, Event::PeerError { .. })));

    // The others go on with this document, and all of them with others.
    desktop.edit(1, &[set("M051/status", "cracked")]);
    tablet.edit(1, &[set("M052/status", "dead")]);
    twin.edit(2, &[set("M001/status", "good")]);
    desktop.handle(Input::Want { document: document(2) });
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut twin), (3, &mut desktop)]);
    assert_eq!(relay.heads(1), tablet.heads(1));
    assert_eq!(relay.heads(1), desktop.heads(1));
    assert_eq!(desktop.heads(2), twin.heads(2));
    assert!(relay.closed.is_empty() && twin.closed.is_empty() && desktop.closed.is_empty());
}

#[test]
fn two_honest_relays_that_heard_different_copies_keep_their_link_for_other_documents() {
    let (mut relay, mut tablet, mut twin, mut desktop) = copies(&Limits::default());
    tablet.edit(1, &[set("M050/status", "dead")]);
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    // The desktop heard the twin first, in another network.
    unlink(&mut desktop, &mut relay, 3);
    unlink(&mut twin, &mut relay, 2);
    link(&mut twin, &mut desktop, 9);
    twin.edit(1, &[set("M050/status", "good")]);
    exchange(&mut desktop, &mut [(9, &mut twin)]);
    assert_eq!(desktop.heads(1), twin.heads(1));
    desktop.handle(Input::Want { document: document(1) });
    link(&mut desktop, &mut relay, 4);
    desktop.edit(2, &[set("M001/status", "good")]);
    exchange(&mut relay, &mut [(4, &mut desktop)]);
    assert_ne!(desktop.heads(1), relay.heads(1), "no document can hold both");
    assert_eq!(desktop.heads(2), relay.heads(2));
    assert!(relay.closed.is_empty() && desktop.closed.is_empty());
    assert!(relay.quarantined + desktop.quarantined > 0);
}

#[test]
fn a_peer_cannot_make_a_document_unreadable_by_breaking_it_often() {
    // A slice of four operations: the good part is applied before the bad one is seen, so the document is thrown away.
    let few = limits(|limits| limits.change_operations_max = 4);
    let (mut relay, mut tablet, mut twin, _) = copies(&few);
    tablet.edit(1, &[set("M050/status", "dead")]);
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    let first = relay.heads(1);
    unlink(&mut twin, &mut relay, 2);
    // One good change by somebody else, then one that contradicts.
    let mut helper = Node::with_limits("helper", few);
    link(&mut helper, &mut twin, 8);
    helper.edit(1, &[set("M1/a", "1"), set("M1/b", "1"), set("M1/c", "1")]);
    exchange(&mut twin, &mut [(8, &mut helper)]);
    twin.edit(1, &[set("M050/status", "good"), set("M050/remark", "twice")]);
    for number in 100..220 {
        link(&mut twin, &mut relay, number);
        exchange(&mut relay, &mut [(1, &mut tablet), (number, &mut twin)]);
        unlink(&mut twin, &mut relay, number);
    }
    assert!(!relay.events.iter().any(|event| matches!(event, Event::Failed { .. })));
    assert_eq!(relay.heads(1), first);
    tablet.edit(1, &[set("M052/status", "dead")]);
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    assert_eq!(relay.heads(1), tablet.heads(1));
}

/// `S1.3`: two devices fill a document while they are offline, each within its bounds. Together they are over them.
#[test]
fn a_document_filled_on_two_sides_stops_nobody_from_synchronising_the_others() {
    for limits in [
        limits(|limits| limits.document_operations_max = 30),
        limits(|limits| limits.document_changes_max = 12),
        limits(|limits| (limits.price_free_bytes_max, limits.price_per_byte_max) = (25_000, 0)),
        // The refused part is applied slice by slice.
        limits(|limits| (limits.document_operations_max, limits.change_operations_max) = (30, 4)),
    ] {
        let (mut relay, mut tablet, mut twin, _) = copies(&limits);
        let mut phone = Node::with_limits("phone", limits.clone());
        link(&mut phone, &mut relay, 4);
        unlink(&mut twin, &mut relay, 2);
        for number in 0..8 {
            tablet.edit(1, &[set(&format!("M{number}/a"), "1"), set(&format!("M{number}/b"), "1")]);
            phone.edit(1, &[set(&format!("P{number}/a"), "1"), set(&format!("P{number}/b"), "1")]);
        }
        tablet.edit(2, &[set("M050/status", "dead")]);
        phone.handle(Input::Want { document: document(2) });
        exchange(&mut relay, &mut [(1, &mut tablet), (4, &mut phone)]);
        for round in 0..20 {
            phone.edit(1, &[set("P1/a", &round.to_string())]);
            phone.edit(2, &[set("M051/status", &round.to_string())]);
            exchange(&mut relay, &mut [(1, &mut tablet), (4, &mut phone)]);
        }
        assert_ne!(phone.heads(1), relay.heads(1), "no document can hold both");
        assert_eq!(phone.heads(2), relay.heads(2));
        assert!(relay.closed.is_empty() && phone.closed.is_empty() && tablet.closed.is_empty());
        let is_told =
            |event: &&Event| matches!(event, Event::NotTaken { reason, .. } if reason.contains("begin another one"));
        let told = [&relay, &phone, &tablet].map(|node| node.events.iter().filter(is_told).count());
        assert!(told.iter().all(|told| *told <= 1) && told.iter().sum::<usize>() > 0, "{told:?}");
        assert!(relay.quarantined + phone.quarantined + tablet.quarantined > 0);
    }
}

/// Somebody parks a change on the first one of all documents, at which Automerge panics once it is there.
#[test]
fn who_brings_what_a_spoiler_waited_for_is_taken_and_the_spoiler_blamed() {
    let mut relay = Node::new("relay");
    let (mut tablet, stranger) = (Node::new("tablet"), Node::new("stranger"));
    link(&mut tablet, &mut relay, 1);
    relay.handle(Input::LinkUp { link: LinkId(2), peer: stranger.as_peer(false) });
    tablet.edit(1, &[set("M050/status", "dead")]);
    let genesis = raw::hash_of(&tablet.disk[&document(1)].changes[0]);
    let mut body = raw::change_body(5, &[genesis], &[], &[]);
    // Behind one dependency and the length of the actor: another actor, whose first number is 7.
    body[34..36].copy_from_slice(&[0x33, 7]);
    let spoiler = Message::Sync {
        sender: stranger.peer.clone(),
        target: relay.peer.clone(),
        document: document(1),
        data: raw::message(&[raw::chunk(1, &body)]).into(),
    };
    relay.receive(LinkId(2), spoiler.clone());
    relay.settle();
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    assert_eq!(relay.heads(1), tablet.heads(1));
    assert!(relay.closed.is_empty() && relay.quarantined == 0, "{:?}", relay.closed);
    relay.receive(LinkId(2), spoiler);
    relay.settle();
    assert!(matches!(relay.closed[..], [(LinkId(2), CloseReason::RefusedBytes { .. })]), "{:?}", relay.closed);
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    tablet.edit(1, &[set("M051/status", "dead")]);
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    assert_eq!(relay.heads(1), tablet.heads(1));
}
