//! Whatever can be said is read back as it was said.

use std::collections::BTreeMap;

use bytes::Bytes;
use comity_model::{ChangeHash, DocumentId, Limits, PeerId, StorageId};
use comity_wire::{Abilities, Message, PeerMetadata, RemoteHeads};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

fn peer() -> impl Strategy<Value = PeerId> {
    "\\PC{1,40}".prop_map(|text| PeerId::new(&text).unwrap())
}

fn storage() -> impl Strategy<Value = StorageId> {
    "\\PC{1,20}".prop_map(|text| StorageId::new(&text).unwrap())
}

fn document() -> impl Strategy<Value = DocumentId> {
    any::<[u8; 16]>().prop_map(DocumentId::from_bytes)
}

fn data() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..600).prop_map(Bytes::from)
}

fn metadata() -> impl Strategy<Value = PeerMetadata> {
    let comity = (any::<u32>(), any::<bool>()).prop_map(|(version, durable_acks)| Abilities { version, durable_acks });
    (option::of(storage()), any::<bool>(), option::of(comity))
        .prop_map(|(storage_id, is_ephemeral, comity)| PeerMetadata { storage_id, is_ephemeral, comity })
}

fn new_heads() -> impl Strategy<Value = BTreeMap<StorageId, RemoteHeads>> {
    let heads = vec(any::<[u8; 32]>(), 0..4).prop_map(|hashes| hashes.into_iter().map(ChangeHash).collect());
    let row = (heads, 0.0..1e15).prop_map(|(heads, timestamp_ms)| RemoteHeads { heads, timestamp_ms });
    btree_map(storage(), row, 0..4)
}

fn handshake() -> impl Strategy<Value = Message> {
    prop_oneof![
        (peer(), vec("[0-9a-z]{0,8}", 0..4), metadata()).prop_map(|(sender, versions, metadata)| Message::Join {
            sender,
            versions,
            metadata
        }),
        (peer(), peer(), "[0-9a-z]{0,8}", metadata()).prop_map(|(sender, target, selected_version, metadata)| {
            Message::Peer { sender, target, selected_version, metadata }
        }),
        ("\\PC{0,80}", option::of(peer()), option::of(peer())).prop_map(|(message, sender, target)| Message::Error {
            message,
            sender,
            target
        }),
        peer().prop_map(|sender| Message::Leave { sender }),
    ]
}

fn about_documents() -> impl Strategy<Value = Message> {
    prop_oneof![
        (peer(), peer(), document(), data()).prop_map(|(sender, target, document, data)| Message::Request {
            sender,
            target,
            document,
            data
        }),
        (peer(), peer(), document(), data()).prop_map(|(sender, target, document, data)| Message::Sync {
            sender,
            target,
            document,
            data
        }),
        (peer(), peer(), document()).prop_map(|(sender, target, document)| Message::DocUnavailable {
            sender,
            target,
            document
        }),
        (peer(), peer(), document(), "\\PC{0,40}", 0..=Message::COUNT_MAX, data()).prop_map(
            |(sender, target, document, session, count, data)| {
                Message::Ephemeral { sender, target, document, session, count, data }
            }
        ),
        (peer(), peer(), vec(storage(), 0..5), vec(storage(), 0..5)).prop_map(|(sender, target, add, remove)| {
            Message::RemoteSubscriptionChange { sender, target, add, remove }
        }),
        (peer(), peer(), document(), new_heads()).prop_map(|(sender, target, document, new_heads)| {
            Message::RemoteHeadsChanged { sender, target, document, new_heads }
        }),
    ]
}

proptest! {
    #[test]
    fn a_message_is_read_back_as_it_was_written(message in prop_oneof![handshake(), about_documents()]) {
        let frame = message.encode();
        let (head, data) = message.encode_apart();
        prop_assert_eq!(&[&head[..], &data[..]].concat(), &frame, "in two parts it is the same");
        prop_assert_eq!(Message::decode(&frame, &Limits::default()), Ok(message));
    }

    #[test]
    fn a_damaged_message_is_refused_or_means_something(
        message in prop_oneof![handshake(), about_documents()],
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut frame = message.encode().to_vec();
        for (at, byte) in damage {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        if let Ok(read) = Message::decode(&frame.into(), &Limits::default()) {
            prop_assert_eq!(Message::decode(&read.encode(), &Limits::default()), Ok(read));
        }
    }

    #[test]
    fn noise_never_panics(noise in vec(any::<u8>(), 0..200)) {
        let _ = Message::decode(&noise.into(), &Limits::default());
    }
}
