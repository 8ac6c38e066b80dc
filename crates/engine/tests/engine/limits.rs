//! Each bound of the engine, at its value and one above.

use bytes::Bytes;
use comity_engine::{CloseReason, Input};
use comity_model::{DocumentId, Limits, LinkId};
use comity_wire::Message;

use crate::support::{LINK, Node, document, exchange, link, set};

pub fn request(from: &Node, to: &Node, document: DocumentId) -> Message {
    // The first sync message of somebody who has nothing.
    let data = Bytes::from_static(&[0x42, 0, 0, 1, 0, 0, 0, 2, 2, 0x80]);
    Message::Request { sender: from.peer.clone(), target: to.peer.clone(), document, data }
}

#[test]
fn a_link_may_open_so_many_documents_and_for_one_more_the_oldest_is_forgotten() {
    let mut relay = Node::with_limits("relay", limits(|limits| limits.documents_per_link_max = 3));
    let mut stranger = Node::new("stranger");
    link(&mut stranger, &mut relay, 1);
    for number in 1..=3 {
        relay.receive(LINK, request(&stranger, &relay, document(number)));
        relay.settle();
    }
    assert_eq!(relay.engine.load().documents, 3);
    relay.receive(LINK, request(&stranger, &relay, document(2)));
    relay.settle();
    relay.receive(LINK, request(&stranger, &relay, document(4)));
    assert_eq!((relay.closed.len(), relay.engine.load().documents), (0, 3));
    // Nothing may be forgotten while it is read: then there are too many.
    relay.loads = false;
    for number in 5..=7 {
        relay.receive(LINK, request(&stranger, &relay, document(number)));
    }
    assert!(relay.closed.is_empty());
    relay.receive(LINK, request(&stranger, &relay, document(8)));
    assert!(matches!(relay.closed[..], [(LINK, CloseReason::TooMany { what: "documents", limit: 3 })]));
    relay.load_all();
    assert_eq!(relay.engine.load().documents, 0, "nothing stays of a stranger that asked for nothing that exists");
}

#[test]
fn so_many_messages_wait_for_a_load_and_not_one_more() {
    let mut relay = Node::with_limits("relay", limits(|limits| limits.waiting_inputs_max = 2));
    let mut stranger = Node::new("stranger");
    relay.loads = false;
    link(&mut stranger, &mut relay, 1);
    for _ in 0..2 {
        relay.receive(LINK, request(&stranger, &relay, document(1)));
    }
    assert_eq!((relay.closed.len(), relay.engine.load().waiting), (0, 2));
    relay.receive(LINK, request(&stranger, &relay, document(1)));
    assert!(matches!(relay.closed[..], [(LINK, CloseReason::TooMany { limit: 2, .. })]));
}

#[test]
fn so_many_bytes_wait_for_a_load_and_one_message_always_may() {
    let message_bytes = 10;
    for (bytes_max, waiting) in [(2 * message_bytes, 2), (2 * message_bytes - 1, 1), (1, 1)] {
        let mut relay = Node::with_limits("relay", limits(|limits| limits.waiting_bytes_max = bytes_max));
        let mut stranger = Node::new("stranger");
        relay.loads = false;
        link(&mut stranger, &mut relay, 1);
        for _ in 0..2 {
            relay.receive(LINK, request(&stranger, &relay, document(1)));
        }
        assert_eq!(relay.engine.load().waiting, waiting, "with room for {bytes_max} bytes");
        assert_eq!(relay.closed.len(), 2 - waiting);
    }
}

#[test]
fn a_link_that_does_not_read_gets_so_many_messages_and_the_rest_coalesces() {
    let mut relay = Node::with_limits("relay", limits(|limits| limits.link_queue_messages_max = 4));
    let (mut tablet, mut reader) = (Node::new("tablet"), Node::new("reader"));
    link(&mut tablet, &mut relay, 1);
    link(&mut reader, &mut relay, 2);
    tablet.edit(1, &[set("M050/status", "dead")]);
    reader.handle(Input::Want { document: document(1) });
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut reader)]);
    // From now on the reader's socket takes nothing.
    let mut to_reader = Vec::new();
    for i in 0..20 {
        tablet.edit(1, &[set(&format!("M{i:03}/status"), "ok")]);
        tablet.settle();
        while let Some((link, message)) = tablet.sent.pop_front() {
            tablet.handle(Input::Written { link, messages: 1, bytes: 0 });
            relay.receive(link, message);
        }
        relay.settle();
        while let Some((link, message)) = relay.sent.pop_front() {
            if link == LinkId(2) {
                to_reader.push(message);
            } else {
                relay.handle(Input::Written { link, messages: 1, bytes: 0 });
                tablet.receive(link, message);
            }
        }
    }
    assert_eq!(to_reader.len(), 4, "as many as the queue holds");
    // It reads again: everything that coalesced comes in few messages.
    for message in to_reader {
        relay.handle(Input::Written { link: LinkId(2), messages: 1, bytes: 0 });
        reader.receive(LinkId(2), message);
    }
    relay.settle();
    assert!(relay.sent.len() <= 2, "{} messages for 16 edits", relay.sent.len());
    exchange(&mut relay, &mut [(1, &mut tablet), (2, &mut reader)]);
    assert_eq!(reader.heads(1), tablet.heads(1));
}

#[test]
fn unread_answers_fill_up_to_the_limit_then_the_link_is_closed() {
    let mut relay = Node::with_limits("relay", limits(|limits| limits.link_queue_messages_max = 4));
    let mut stranger = Node::new("stranger");
    link(&mut stranger, &mut relay, 1);
    // As many answers wait for their time; those beyond are given at once.
    for number in 1..=8 {
        relay.receive(LINK, request(&stranger, &relay, document(number)));
    }
    assert!(relay.closed.is_empty());
    relay.receive(LINK, request(&stranger, &relay, document(9)));
    assert!(matches!(relay.closed[..], [(LINK, CloseReason::TooMany { what: "unread answers", limit: 4 })]));
}

#[test]
fn so_many_documents_stay_in_memory() {
    let mut tablet = Node::with_limits("tablet", limits(|limits| limits.documents_loaded_max = 3));
    for number in 1..=3 {
        tablet.edit(number, &[set("M050/status", "dead")]);
    }
    tablet.wait(std::time::Duration::from_secs(1));
    assert_eq!(tablet.engine.load().in_memory, 3);
    tablet.edit(4, &[set("M050/status", "dead")]);
    tablet.wait(std::time::Duration::from_secs(1));
    assert_eq!(tablet.engine.load().in_memory, 3, "the longest unused one went");
    assert!(tablet.engine.document(&document(1)).is_none());
    assert!(!tablet.heads(1).is_empty(), "and comes back when asked for");
}

#[test]
fn so_many_documents_are_read_at_once_for_links_that_are_pulled() {
    let mut tablet = Node::new("tablet");
    for number in 1..=5 {
        tablet.edit(number, &[set("M050/status", "dead")]);
    }
    let mut again = Node::with_limits("tablet", limits(|limits| limits.loads_max = 2));
    let mut relay = Node::new("relay");
    again.disk = tablet.disk.clone();
    again.loads = false;
    for number in 1..=5 {
        again.handle(Input::Want { document: document(number) });
    }
    link(&mut again, &mut relay, 1);
    again.settle();
    assert_eq!(again.loading.len(), 2);
    again.loads = true;
    again.load_all();
    exchange(&mut relay, &mut [(1, &mut again)]);
    for number in 1..=5 {
        assert_eq!(relay.heads(number), tablet.heads(number));
    }
}

#[test]
fn a_stranger_that_names_many_documents_has_so_many_read_at_once() {
    let mut relay = Node::with_limits("relay", limits(|limits| limits.loads_max = 2));
    let mut stranger = Node::new("stranger");
    relay.loads = false;
    link(&mut stranger, &mut relay, 1);
    for number in 1..=5 {
        relay.receive(LINK, request(&stranger, &relay, document(number)));
    }
    assert_eq!(relay.loading.len(), 2);
    relay.loads = true;
    relay.load_all();
    relay.wait(Limits::default().unavailable_after);
    assert_eq!(relay.sent.len(), 5, "each is answered in the end");
    assert!(relay.closed.is_empty());
}

#[test]
fn so_many_sessions_are_kept_for_a_document() {
    let mut relay = Node::with_limits("relay", limits(|limits| limits.sessions_per_document_max = 2));
    relay.edit(1, &[set("M050/status", "dead")]);
    for number in 0..3 {
        let mut device = Node::new(&format!("device{number}"));
        device.handle(Input::Want { document: document(1) });
        link(&mut device, &mut relay, number);
        exchange(&mut relay, &mut [(number, &mut device)]);
        relay.handle(Input::LinkDown { link: LinkId(number) });
    }
    assert_eq!(relay.disk[&document(1)].sessions.len(), 2);
}

pub fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}
