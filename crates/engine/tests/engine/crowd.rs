//! What all links together have on their way is bounded, and nobody takes it from the others.

use std::time::Duration;

use comity_engine::{CloseReason, Input};
use comity_model::{Limits, LinkId, Write};
use comity_wire::Message;

use crate::limits::{limits, request};
use crate::support::{Node, document, link, set};

/// Writes that deflate badly, so that the document has about so many bytes on the wire.
fn noise(bytes: usize) -> Vec<Write> {
    let mut state = 7_u64;
    let mut letters = || -> String {
        let letter = |state: &mut u64| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + u8::try_from((*state >> 33) % 26).unwrap())
        };
        (0..100).map(|_| letter(&mut state)).collect()
    };
    (0..bytes / 60).map(|number| set(&format!("M{number:04}/note"), &letters())).collect()
}

/// Gives a relay that has the long document 1 and the short document 2.
fn relay_with(limits: Limits) -> Node {
    let mut relay = Node::with_limits("relay", limits);
    relay.edit(1, &noise(100_000));
    relay.edit(2, &[set("M050/status", "dead")]);
    relay
}

/// Another peer comes and asks for a document.
fn ask(relay: &mut Node, number: u64, which: u8) {
    let mut stranger = Node::new(&format!("stranger-{number}"));
    link(&mut stranger, relay, number);
    let message = request(&stranger, relay, document(which));
    relay.receive(LinkId(number), message);
}

/// What was sent since the last time, by link and length.
fn sent(relay: &mut Node) -> Vec<(u64, usize)> {
    relay.settle();
    let length = |message: &Message| message.data().map_or(0, bytes::Bytes::len);
    relay.sent.drain(..).map(|(link, message)| (link.0, length(&message))).collect()
}

fn written(relay: &mut Node, number: u64, bytes: usize) {
    relay.handle(Input::Written { link: LinkId(number), messages: 1, bytes });
}

/// How long the message with the long document is.
fn message_bytes() -> usize {
    let mut relay = relay_with(Limits::default());
    ask(&mut relay, 1, 1);
    let bytes = sent(&mut relay)[0].1;
    assert!(bytes > 60_000, "the document should be long, its message has {bytes} bytes");
    bytes
}

/// Gives a relay whose bound is used up by one message to link 1, and how long that is.
fn one_holds_the_bound() -> (usize, Node) {
    let length = message_bytes();
    let mut relay = relay_with(limits(|limits| limits.queued_bytes_max = length));
    ask(&mut relay, 1, 1);
    assert_eq!(sent(&mut relay), [(1, length)]);
    (length, relay)
}

/// How long a link may take for so many bytes while others wait.
fn patience(bytes: usize) -> Duration {
    Limits::default().dead_after + Duration::from_millis(u64::try_from(bytes).unwrap() * 1_000 / (64 * 1024))
}

/// Whether this link was closed, and no other, because others waited.
fn gave_way(relay: &Node, number: u64) -> bool {
    matches!(relay.closed[..], [(link, CloseReason::GaveWay { .. })] if link == LinkId(number))
}

#[test]
fn so_much_is_on_its_way_to_all_links_and_then_they_wait_in_order() {
    let length = message_bytes();
    // Half of the bound is for everybody.
    for (bytes_max, at_once) in [(2 * (2 * length), 2), (2 * (2 * length + 1), 3)] {
        let mut relay = relay_with(limits(|limits| limits.queued_bytes_max = bytes_max));
        (1..=6).for_each(|number| ask(&mut relay, number, 1));
        let links: Vec<u64> = sent(&mut relay).iter().map(|(link, _)| *link).collect();
        assert_eq!(links, (1..=at_once).collect::<Vec<_>>(), "with {bytes_max} bytes for messages of {length}");
        assert_eq!(relay.engine.load().in_flight_bytes, usize::try_from(at_once).unwrap() * length);
        assert_eq!(sent(&mut relay), [], "nothing more while nothing is written");
        // One goes on for each that has been written, the one that has waited for longest first.
        for number in 1..=6 {
            written(&mut relay, number, length);
            let next = if number + at_once <= 6 { vec![(number + at_once, length)] } else { vec![] };
            assert_eq!(sent(&mut relay), next, "after link {number}");
        }
        assert_eq!(relay.engine.load().in_flight_bytes, 0);
    }
}

#[test]
fn one_message_of_any_size_is_always_on_its_way() {
    let length = message_bytes();
    let mut relay = relay_with(limits(|limits| limits.queued_bytes_max = 1));
    ask(&mut relay, 1, 1);
    ask(&mut relay, 2, 1);
    assert_eq!(sent(&mut relay), [(1, length)]);
    written(&mut relay, 1, length);
    assert_eq!(sent(&mut relay), [(2, length)]);
}

#[test]
fn a_stalled_crowd_does_not_starve_an_honest_link() {
    let length = message_bytes();
    let bound = 12 * length;
    let mut relay = relay_with(limits(|limits| limits.queued_bytes_max = bound));
    // They ask for all that there is, and read nothing.
    (1..=10).for_each(|number| ask(&mut relay, number, 1));
    assert_eq!(sent(&mut relay).len(), 6, "half of the bound");
    // An honest one comes with a short document. It gets its part at once, however often.
    ask(&mut relay, 11, 2);
    for edit in 0..20 {
        let answers = sent(&mut relay);
        assert!(!answers.is_empty() && answers.iter().all(|(link, _)| *link == 11), "{answers:?} after edit {edit}");
        answers.iter().for_each(|(link, bytes)| written(&mut relay, *link, *bytes));
        relay.edit(2, &[set("M050/status", &format!("seen {edit}"))]);
    }
    assert!(relay.engine.load().in_flight_bytes < bound);
    // For the long one it has to wait. But not for ever.
    ask(&mut relay, 12, 1);
    assert_eq!(sent(&mut relay).iter().filter(|(link, _)| *link == 12).count(), 0);
    relay.wait(patience(length));
    let gave_way = |(_, reason): &(LinkId, CloseReason)| matches!(reason, CloseReason::GaveWay { .. });
    assert!(!relay.closed.is_empty() && relay.closed.iter().all(gave_way), "{:?}", relay.closed);
    for (link, _) in relay.closed.clone() {
        relay.handle(Input::LinkDown { link });
    }
    assert!(sent(&mut relay).contains(&(12, length)), "the honest link has its turn after those that waited before it");
    assert!(relay.closed.iter().all(|(link, _)| *link != LinkId(11)));
}

#[test]
fn who_reads_nothing_is_closed_once_somebody_waits_and_not_before() {
    let (length, mut relay) = one_holds_the_bound();
    relay.wait(Duration::from_secs(3_600));
    assert!(relay.closed.is_empty(), "nobody waits");
    ask(&mut relay, 2, 1);
    relay.settle();
    relay.wait(Duration::ZERO);
    assert!(gave_way(&relay, 1), "{:?}", relay.closed);
    assert_eq!(sent(&mut relay), [], "what it was sent is still here");
    relay.handle(Input::LinkDown { link: LinkId(1) });
    assert_eq!(sent(&mut relay), [(2, length)]);
}

#[test]
fn small_reads_do_not_buy_time_without_end() {
    let (_, mut relay) = one_holds_the_bound();
    ask(&mut relay, 2, 1);
    for _ in 0..3 {
        relay.wait(Limits::default().dead_after - Duration::from_secs(1));
        relay.handle(Input::Written { link: LinkId(1), messages: 0, bytes: 100 });
    }
    assert!(gave_way(&relay, 1), "{:?}", relay.closed);
}

#[test]
fn a_long_message_has_the_time_that_a_slow_line_needs_for_it() {
    for is_in_time in [true, false] {
        let (length, mut relay) = one_holds_the_bound();
        ask(&mut relay, 2, 1);
        relay.wait(patience(length) - Duration::from_millis(1));
        assert!(relay.closed.is_empty(), "{:?}", relay.closed);
        if is_in_time {
            written(&mut relay, 1, length);
        }
        relay.wait(Duration::from_millis(1));
        assert_eq!(gave_way(&relay, 1), !is_in_time, "{:?}", relay.closed);
    }
}

#[test]
fn who_has_written_what_it_held_is_given_the_time_for_the_rest() {
    let length = message_bytes();
    let mut relay = relay_with(limits(|limits| limits.queued_bytes_max = 34 * length / 10));
    relay.edit(3, &noise(80_000));
    ask(&mut relay, 1, 1);
    relay.receive(LinkId(1), request(&Node::new("stranger-1"), &relay, document(3)));
    let lengths: Vec<usize> = sent(&mut relay).iter().map(|(_, bytes)| *bytes).collect();
    assert_eq!(lengths.len(), 2);
    (2..=3).for_each(|number| ask(&mut relay, number, 1));
    relay.wait(Limits::default().dead_after);
    written(&mut relay, 1, lengths[0]);
    assert_eq!(sent(&mut relay), [(2, length)], "the third has to wait");
    relay.wait(patience(lengths[1]) - Duration::from_millis(1));
    assert!(relay.closed.is_empty(), "{:?}", relay.closed);
    relay.wait(Duration::from_millis(1));
    assert!(gave_way(&relay, 1), "{:?}", relay.closed);
}

#[test]
fn who_comes_and_goes_while_waiting_postpones_nothing() {
    let (length, mut relay) = one_holds_the_bound();
    for number in 2..=4 {
        ask(&mut relay, number, 1);
        relay.settle();
        relay.wait(patience(length) / 3 - Duration::from_millis(1));
        relay.handle(Input::LinkDown { link: LinkId(number) });
        assert!(relay.closed.is_empty(), "{:?}", relay.closed);
    }
    ask(&mut relay, 5, 1);
    relay.settle();
    relay.wait(Duration::from_millis(4));
    assert!(gave_way(&relay, 1), "{:?}", relay.closed);
}

#[test]
fn a_bound_that_is_not_full_for_a_moment_begins_no_new_time() {
    let length = message_bytes();
    let mut relay = relay_with(limits(|limits| limits.queued_bytes_max = 4 * length));
    (1..=2).for_each(|number| ask(&mut relay, number, 1));
    assert_eq!(sent(&mut relay).len(), 2);
    for number in 2..=4 {
        ask(&mut relay, number + 1, 1);
        relay.wait(patience(length) / 3 - Duration::from_millis(1));
        written(&mut relay, number, length);
        assert_eq!(sent(&mut relay), [(number + 1, length)]);
    }
    assert!(relay.closed.is_empty(), "nobody waits now");
    ask(&mut relay, 6, 1);
    relay.settle();
    relay.wait(Duration::from_millis(4));
    assert!(gave_way(&relay, 1), "{:?}", relay.closed);
}

#[test]
fn what_a_closed_link_was_sent_counts_until_the_link_has_ended() {
    let (length, mut relay) = one_holds_the_bound();
    let forged = request(&Node::new("somebody-else"), &relay, document(2));
    relay.receive(LinkId(1), forged);
    assert!(matches!(relay.closed[..], [(LinkId(1), CloseReason::ForgedSender { .. })]), "{:?}", relay.closed);
    ask(&mut relay, 2, 1);
    assert_eq!(sent(&mut relay), [], "the closed one does not read, and its queue is still here");
    relay.handle(Input::Written { link: LinkId(1), messages: 0, bytes: 10 });
    assert_eq!(relay.engine.load().in_flight_bytes, length - 10);
    assert_eq!(relay.engine.load(), relay.engine.recount());
    relay.handle(Input::LinkDown { link: LinkId(1) });
    assert_eq!(relay.engine.load().in_flight_bytes, 0);
    assert_eq!(sent(&mut relay), [(2, length)]);
}
