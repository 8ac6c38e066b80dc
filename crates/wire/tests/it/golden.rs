//! Frames of the JavaScript implementation are read as what they mean.

use std::collections::BTreeMap;

use bytes::Bytes;
use comity_model::{ChangeHash, DocumentId, Heads, Limits, PeerId, StorageId};
use comity_wire::{DecodeError, Message, PeerMetadata, RemoteHeads};

use crate::samples::{all, frame, javascript, unhex};

fn peer(text: &str) -> PeerId {
    PeerId::new(text).unwrap()
}

fn storage() -> StorageId {
    StorageId::new("3f2c1a9e-8d47-4b6a-9a51-0c7be21f6d10").unwrap()
}

fn other_storage() -> StorageId {
    StorageId::new("b1d0c9f2-1111-4222-8333-944455556666").unwrap()
}

fn document() -> DocumentId {
    DocumentId::from_bytes(std::array::from_fn(|i| i as u8))
}

fn read(name: &str) -> Message {
    Message::decode(&javascript(name), &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_browser_joins_without_storage_and_a_node_with_one() {
    let join = |sender, storage_id, is_ephemeral| Message::Join {
        sender: peer(sender),
        versions: vec!["1".to_owned()],
        metadata: PeerMetadata { storage_id, is_ephemeral, comity: None },
    };
    assert_eq!(read("join_plain"), join("browser-1", None, true));
    assert_eq!(read("join_stored"), join("node-1", Some(storage()), false));
    assert_eq!(read("join_bare"), join("node-1", None, false));
}

#[test]
fn a_server_answers_with_peer_or_error() {
    assert_eq!(
        read("peer"),
        Message::Peer {
            sender: peer("server"),
            target: peer("node-1"),
            selected_version: "1".to_owned(),
            metadata: PeerMetadata { storage_id: Some(storage()), is_ephemeral: false, comity: None },
        }
    );
    assert_eq!(
        read("error"),
        Message::Error {
            message: "unsupported protocol version".to_owned(),
            sender: Some(peer("server")),
            target: Some(peer("node-1")),
        }
    );
}

#[test]
fn documents_are_asked_for_synchronised_and_missed() {
    let (sender, target, document) = (peer("node-1"), peer("server"), document());
    assert_eq!(
        read("request"),
        Message::Request {
            sender: sender.clone(),
            target: target.clone(),
            document,
            data: Bytes::from_static(&[0x43, 0, 0, 0, 0]),
        }
    );
    assert_eq!(
        read("sync"),
        Message::Sync {
            sender: sender.clone(),
            target: target.clone(),
            document,
            data: Bytes::from_static(&[0x43, 1, 2, 3, 4, 5]),
        }
    );
    assert_eq!(read("unavailable"), Message::DocUnavailable { sender, target, document });
}

#[test]
fn an_ephemeral_count_above_32_bits_arrives_as_a_float_and_leaves_as_one() {
    let (sender, target, document) = (peer("node-1"), peer("server"), document());
    let session = "k3v9q1x0z".to_owned();
    let data = unhex("b9000166637572736f7207");
    let ephemeral = Message::Ephemeral { sender, target, document, session, count: 3, data };
    assert_eq!(read("ephemeral"), ephemeral);
    let big = read("ephemeral_big_count");
    assert!(matches!(big, Message::Ephemeral { count: 0x1_0000_0005, .. }));
    let float = unhex("65636f756e74fb41f0000000500000");
    assert!(big.encode().windows(float.len()).any(|window| window == float), "count is not a float64");
}

#[test]
fn gossip_names_storages_and_heads() {
    let (sender, target) = (peer("node-1"), peer("server"));
    assert_eq!(
        read("subscribe"),
        Message::RemoteSubscriptionChange {
            sender: sender.clone(),
            target: target.clone(),
            add: vec![storage(), other_storage()],
            remove: Vec::new(),
        }
    );
    assert_eq!(
        read("unsubscribe"),
        Message::RemoteSubscriptionChange {
            sender: sender.clone(),
            target: target.clone(),
            add: Vec::new(),
            remove: vec![other_storage()],
        }
    );
    let heads_changed = |heads, timestamp_ms| Message::RemoteHeadsChanged {
        sender: sender.clone(),
        target: target.clone(),
        document: document(),
        new_heads: BTreeMap::from([(storage(), RemoteHeads { heads, timestamp_ms })]),
    };
    let two = Heads::new(vec![ChangeHash([0x11; 32]), ChangeHash([0x22; 32])]);
    assert_eq!(read("heads"), heads_changed(two, 1_753_000_000_123.0));
    assert_eq!(read("heads_none"), heads_changed(Heads::default(), 5.0));
}

#[test]
fn a_peer_says_that_it_leaves() {
    assert_eq!(read("leave"), Message::Leave { sender: peer("node-1") });
}

#[test]
fn what_javascript_sent_survives_our_own_encoding_and_says_who_and_what() {
    for (name, frame) in all() {
        let message = Message::decode(&frame, &Limits::default()).unwrap();
        let again = message.encode();
        assert_eq!(Message::decode(&again, &Limits::default()).unwrap(), message, "{name}");
        assert!(message.sender().is_some(), "{name}");
        let about_document =
            ["request", "sync", "unavailable", "ephemeral", "ephemeral_big_count", "heads", "heads_none"];
        assert_eq!(message.document().is_some(), about_document.contains(&name), "{name}");
        assert_eq!(message.target().is_some(), !name.starts_with("join") && name != "leave", "{name}");
    }
}

#[test]
fn the_data_is_a_slice_of_the_frame_and_not_a_copy() {
    let frame = javascript("sync");
    let message = Message::decode(&frame, &Limits::default()).unwrap();
    assert!(frame.as_ptr_range().contains(&message.data().unwrap().as_ptr()));
}

#[test]
fn our_own_frames_are_these_bytes() {
    let sync =
        Message::Sync { sender: peer("a"), target: peer("b"), document: document(), data: Bytes::from_static(&[1, 2]) };
    let expected = "a5647479706564\
        73796e63\
        6873656e64657249646161\
        6874617267657449646162\
        6a646f63756d656e744964781a3142686833705539674c585a694e444c3650456131477339666864646174\
        61420102";
    assert_eq!(sync.encode(), unhex(expected));
    let leave = Message::Leave { sender: peer("a") };
    assert_eq!(leave.encode(), unhex("a26474797065656c656176656873656e64657249646161"));
}

#[test]
fn a_peer_may_leave_out_what_has_a_default() {
    let join = frame(|out| {
        out.map(2).unwrap().str("senderId").unwrap().str("old").unwrap().str("type").unwrap().str("join").unwrap();
    });
    let expected =
        Message::Join { sender: peer("old"), versions: vec!["1".to_owned()], metadata: PeerMetadata::default() };
    assert_eq!(Message::decode(&join, &Limits::default()).unwrap(), expected);
    let error = frame(|out| {
        out.map(2).unwrap().str("type").unwrap().str("error").unwrap().str("message").unwrap().str("no").unwrap();
    });
    let expected = Message::Error { message: "no".to_owned(), sender: None, target: None };
    assert_eq!(Message::decode(&error, &Limits::default()).unwrap(), expected);
}

#[test]
fn metadata_is_read_under_its_old_name_and_strange_parts_of_it_are_skipped() {
    let join = frame(|out| {
        out.begin_map().unwrap().str("type").unwrap().str("join").unwrap().str("senderId").unwrap().str("x").unwrap();
        out.str("metadata").unwrap().map(4).unwrap();
        out.str("storageId").unwrap().null().unwrap().str("isEphemeral").unwrap().bool(true).unwrap();
        out.str("colour").unwrap().array(2).unwrap().str("red").unwrap().tag(minicbor::data::Tag::new(1)).unwrap();
        out.i64(-5).unwrap();
        out.str("comity").unwrap().map(3).unwrap().str("later").unwrap().f64(0.5).unwrap();
        out.str("version").unwrap().u8(2).unwrap().str("durableAcks").unwrap().bool(true).unwrap();
        out.str("supportedProtocolVersions").unwrap().begin_array().unwrap().str("1").unwrap().str("2").unwrap();
        out.end().unwrap().end().unwrap();
    });
    let Message::Join { versions, metadata, .. } = Message::decode(&join, &Limits::default()).unwrap() else {
        panic!("not a join");
    };
    assert_eq!(versions, ["1", "2"]);
    let comity = Some(comity_wire::Abilities { version: 2, durable_acks: true });
    assert_eq!(metadata, PeerMetadata { storage_id: None, is_ephemeral: true, comity });
}

#[test]
fn a_document_id_of_16_bytes_and_data_in_the_typed_array_tag_are_read_too() {
    let sync = frame(|out| {
        out.map(5).unwrap().str("type").unwrap().str("sync").unwrap().str("senderId").unwrap().str("a").unwrap();
        out.str("targetId").unwrap().str("b").unwrap().str("documentId").unwrap().bytes(&[7; 16]).unwrap();
        out.str("data").unwrap().tag(minicbor::data::Tag::new(64)).unwrap().bytes(b"ab").unwrap();
    });
    let message = Message::decode(&sync, &Limits::default()).unwrap();
    assert_eq!(message.document(), Some(DocumentId::from_bytes([7; 16])));
    assert_eq!(message.data().unwrap().as_ref(), b"ab");
}

#[test]
fn a_message_of_a_newer_protocol_is_told_apart_from_a_broken_one() {
    let newer = frame(|out| {
        out.map(2).unwrap().str("type").unwrap().str(&"sync-v2 ".repeat(1_000)).unwrap();
        out.str("data").unwrap().bytes(&[0; 64]).unwrap();
    });
    let error = Message::decode(&newer, &Limits::default()).unwrap_err();
    assert!(matches!(error, DecodeError::UnknownType { .. }));
    assert!(error.to_string().len() < 120, "{error}");
}
