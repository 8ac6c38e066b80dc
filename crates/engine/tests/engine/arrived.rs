//! Many messages of one device, between two settlings.

use bytes::Bytes;
use comity_engine::{CloseReason, Effect, Input};
use comity_model::LinkId;
use comity_wire::Message;

use crate::limits::limits;
use crate::support::{Node, document, exchange, link, set, three_in_step, two_in_step};

/// Messages of a device that writes on without waiting for an answer.
fn written_on(tablet: &mut Node, edits: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    for number in 0..edits {
        tablet.edit(1, &[set("M050/status", &number.to_string())]);
        tablet.settle();
        messages.extend(std::mem::take(&mut tablet.sent).into_iter().map(|(_, message)| message));
    }
    assert_eq!(messages.len(), edits, "none waits for the one before");
    messages
}

/// How many chunks each append that is not answered has.
fn appended(node: &Node) -> Vec<usize> {
    let chunks = |effect: &Effect| match effect {
        Effect::Append { chunks, .. } => Some(chunks.len()),
        _ => None,
    };
    node.unanswered.iter().filter_map(chunks).collect()
}

/// `S2.6`, `S3.1`: what a device sends without waiting is taken in, stored and answered as one.
#[test]
fn many_messages_of_one_device_are_stored_together_and_answered_once() {
    let (mut relay, mut tablet, mut desktop) = three_in_step();
    relay.stores = false;
    for message in written_on(&mut tablet, 16) {
        relay.receive(LinkId(1), message);
    }
    relay.settle();
    assert_eq!(appended(&relay), [16]);
    let told: Vec<LinkId> = relay.sent.iter().map(|(link, _)| *link).collect();
    assert_eq!(told, [LinkId(2)], "the writer is answered from disk");
    relay.stores = true;
    relay.store_all();
    relay.settle();
    let told: Vec<LinkId> = relay.sent.iter().map(|(link, _)| *link).collect();
    assert_eq!(told, [LinkId(2), LinkId(1)]);
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut desktop)]);
    assert_eq!((relay.heads(1), desktop.heads(1)), (tablet.heads(1), tablet.heads(1)));
}

/// What came before a link went down, or before an edit, is taken in before it.
#[test]
fn what_has_arrived_comes_before_whatever_comes_next() {
    let (mut relay, mut tablet) = two_in_step();
    for message in written_on(&mut tablet, 3) {
        relay.receive(LinkId(1), message);
    }
    relay.handle(Input::LinkDown { link: LinkId(1) });
    assert_eq!(relay.heads(1), tablet.heads(1));
}

/// One bad message among good ones: those before it are kept, and its sender is closed as if it had come alone.
#[test]
fn one_bad_message_among_many_is_found_and_what_came_before_it_is_kept() {
    let (mut relay, mut tablet) = two_in_step();
    let mut messages = written_on(&mut tablet, 8);
    // The same number with other content: a copy of the device.
    let (mut other_relay, mut copy) = two_in_step();
    copy.edit(1, &[set("M050/status", "another")]);
    copy.settle();
    messages[5] = copy.sent.pop_front().expect("it has news").1;
    drop(other_relay.sent.drain(..));
    for message in messages {
        relay.receive(LinkId(1), message);
    }
    relay.settle();
    assert_eq!(relay.quarantined, 1, "only the one");
    let stored = relay.disk[&document(1)].changes.len();
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    assert!(stored >= 5, "{stored} changes are stored");
    assert!(relay.closed.is_empty(), "a copied device keeps its link: {:?}", relay.closed);
}

/// Bytes that no document can take, between others of the same link.
#[test]
fn a_forged_message_among_many_closes_its_link_and_nothing_before_it_is_lost() {
    let (mut relay, mut tablet) = two_in_step();
    let mut messages = written_on(&mut tablet, 8);
    let Message::Sync { data, .. } = &mut messages[5] else { panic!("a sync message") };
    *data = forged(data);
    let before = relay.heads(1);
    for message in messages {
        relay.receive(LinkId(1), message);
    }
    relay.settle();
    assert!(matches!(relay.closed[..], [(LinkId(1), CloseReason::RefusedBytes { .. })]), "{:?}", relay.closed);
    assert_ne!(relay.heads(1), before, "five were good");
    tablet.handle(Input::LinkDown { link: LinkId(1) });
    link(&mut tablet, &mut relay, 3);
    exchange(&mut relay, &mut [(3, &mut tablet)]);
    assert_eq!(relay.heads(1), tablet.heads(1));
}

/// What is held until then is bounded: by the size of one message, and of all together.
#[test]
fn long_messages_and_many_bytes_do_not_wait_for_the_settling() {
    // Around 16 KiB, of text that deflate makes no shorter by much.
    for (letters, is_held) in [(12_000, true), (20_000, false)] {
        let (mut relay, mut tablet) = two_in_step();
        relay.stores = false;
        tablet.edit(1, &[set("M050/comment", &noise(letters, 1))]);
        tablet.settle();
        let (_, message) = tablet.sent.pop_front().expect("it has news");
        assert_eq!(message.data().map_or(0, Bytes::len) <= 16 << 10, is_held, "{letters} letters");
        relay.receive(LinkId(1), message);
        assert_eq!(appended(&relay).is_empty(), is_held, "{letters} letters");
    }
    let (mut relay, mut tablet) = two_in_step();
    relay.stores = false;
    let mut held = 0;
    while appended(&relay).is_empty() {
        tablet.edit(1, &[set("M050/comment", &noise(12_000, 1 + held as u64))]);
        tablet.settle();
        let (_, message) = tablet.sent.pop_front().expect("it has news");
        let bytes = message.data().map_or(0, Bytes::len);
        tablet.handle(Input::Written { link: LinkId(1), messages: 1, bytes });
        held += bytes;
        assert!(held <= (1 << 20) + (16 << 10), "{held} bytes are held");
        relay.receive(LinkId(1), message);
    }
    assert!(held > 1 << 20, "{held} bytes were not too many");
}

/// Text that does not compress well, another one for each seed but zero.
fn noise(letters: usize, seed: u64) -> String {
    let mut state = seed;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state % 90) as u8)
    };
    (0..letters).map(|_| letter()).collect()
}

/// A change that goes over a bound, behind one that is within it: alone it would be refused before anything is applied.
/// Together they break the document in half, which costs more than they did and may not be had for nothing.
#[test]
fn what_breaks_documents_only_together_with_what_came_before_is_counted_too() {
    let bounds = limits(|limits| (limits.document_operations_max, limits.change_operations_max) = (30, 26));
    let (mut relay, mut tablet) = (Node::with_limits("relay", bounds), Node::new("tablet"));
    link(&mut tablet, &mut relay, 1);
    let documents = 1..=65;
    for number in documents.clone() {
        tablet.edit(number, &[set("M050/status", "dead")]);
    }
    exchange(&mut relay, &mut [(1, &mut tablet)]);
    for number in documents {
        let many: Vec<_> = (0..26).map(|module| set(&format!("M{module:03}/status"), "ok")).collect();
        for writes in [&[set("M050/status", "ok")][..], &many] {
            tablet.edit(number, writes);
            tablet.settle();
        }
    }
    for (_, message) in std::mem::take(&mut tablet.sent) {
        relay.receive(LinkId(1), message);
    }
    relay.settle();
    let is_counted =
        |reason: &CloseReason| matches!(reason, CloseReason::TooMany { what, .. } if what.contains("half"));
    assert!(relay.closed.iter().any(|(_, reason)| is_counted(reason)), "{:?}", relay.closed);
}

/// Cuts a message in the middle of its change.
fn forged(data: &Bytes) -> Bytes {
    data.slice(..data.len() - 10)
}
