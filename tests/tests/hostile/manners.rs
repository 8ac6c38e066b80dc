//! Peers that break the rules of the protocol.

use std::time::{Duration, Instant};

use bytes::Bytes;
use comity_model::{DocumentId, Limits, PeerId};
use comity_net::code;
use comity_tests::raw::Raw;
use comity_wire::Message;

use crate::scene::Scene;

/// A sync message that asks for everything and says nothing: no heads, no needs, no filters, no changes.
const ASK: &[u8] = &[0x42, 0, 0, 0, 0];

/// The empty CBOR map, as an application's message.
const PING: &[u8] = &[0xa0];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_in_anothers_name_is_closed() {
    let mut scene = Scene::new("").await;
    let mut forger = Raw::joined(&scene.relay.url(), "forger").await;
    let (sender, target) = (PeerId::new("somebody else").unwrap(), forger.relay.clone());
    forger.say(&Message::Sync { sender, target, document: scene.audit, data: Bytes::from_static(ASK) }).await;
    let (_, closed) = forger.closed().await;
    assert_eq!(closed.code, code::PROTOCOL);
    assert!(closed.reason.contains("somebody else"), "{closed:?}");
    scene.honest_people_go_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_nonsense_is_closed_before_and_after_the_handshake() {
    let mut scene = Scene::new("").await;
    let nonsense: [&[u8]; 5] = [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        // A text, an endless array, and a map that claims 2^64 - 1 pairs.
        b"\x65hello",
        &[0x9f; 100],
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
    ];
    for bytes in nonsense {
        for joined in [false, true] {
            let url = scene.relay.url();
            let mut peer = if joined { Raw::joined(&url, "babbler").await } else { Raw::silent(&url, "babbler").await };
            peer.say_bytes(Bytes::copy_from_slice(bytes)).await;
            let (_, closed) = peer.closed().await;
            assert_eq!(closed.code, code::PROTOCOL, "{bytes:?}, joined: {joined}: {closed:?}");
            assert!(!closed.reason.is_empty());
        }
    }
    scene.honest_people_go_on().await;
    scene.memory_stayed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_joins_is_closed_at_the_deadline() {
    let mut scene = Scene::new("[limits]\njoin_deadline = \"500ms\"\n").await;
    let started = Instant::now();
    let mut silent = Raw::silent(&scene.relay.url(), "silent").await;
    let (said, closed) = silent.closed().await;
    assert!(said.is_empty());
    assert_eq!(closed.code, code::POLICY, "{closed:?}");
    assert!(started.elapsed() >= Duration::from_millis(450) && started.elapsed() < Duration::from_secs(3));
    scene.honest_people_go_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_above_the_limit_is_closed_as_too_long() {
    let mut scene = Scene::new("[limits]\nmessage_bytes_max = \"2 MiB\"\n").await;
    let mut large = Raw::joined(&scene.relay.url(), "large").await;
    large.say_sync(scene.audit, vec![0x42; 2 << 20]).await;
    let (_, closed) = large.closed().await;
    // The relay stops reading in the middle, so its last word may be lost to a reset.
    assert!([code::TOO_LONG, 1006].contains(&closed.code), "{closed:?}");
    scene.honest_people_go_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_ephemeral_messages_is_cut_to_the_limit() {
    let limits = Limits::default();
    let mut scene = Scene::new("").await;
    let document = scene.audit;
    let mut listener = opened(&scene, "listener").await;
    let mut flooder = opened(&scene, "flooder").await;
    let started = Instant::now();
    for count in 1..=2_000 {
        flooder.say_ephemeral(document, count, PING).await;
    }
    // Behind the flood in the same queues: when this is answered, the flood has been dealt with.
    assert!(flooder.is_answered(document).await, "a flooder is not closed, only cut");
    let seconds = started.elapsed().as_secs_f64();
    let (said, is_open) = listener.said_until_answered(document).await;
    assert!(is_open);
    let heard = said.iter().filter(|message| matches!(message, Message::Ephemeral { .. })).count();
    let most = f64::from(limits.ephemeral_burst) + f64::from(limits.ephemeral_per_second) * seconds + 1.0;
    assert!(heard >= limits.ephemeral_burst as usize, "{heard} came through");
    assert!((heard as f64) <= most, "{heard} came through in {seconds} s, {most} may");

    // What is too long is refused by name.
    let (sender, target) = (flooder.peer.clone(), flooder.relay.clone());
    let data = Bytes::from(vec![0; limits.ephemeral_bytes_max + 1]);
    flooder.say(&Message::Ephemeral { sender, target, document, session: "s".into(), count: 9_999, data }).await;
    let (_, closed) = flooder.closed().await;
    assert_eq!(closed.code, code::PROTOCOL, "{closed:?}");
    scene.honest_people_go_on().await;
    scene.memory_stayed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_connection_with_the_same_peer_id_does_not_disturb_the_first() {
    let mut scene = Scene::new("").await;
    let document = scene.audit;
    let mut first = opened(&scene, "twin").await;
    let second = opened(&scene, "twin").await;
    scene.honest_people_go_on().await;
    assert!(first.said_until_answered(document).await.1, "the first still gets its answers");
    drop(second);
    scene.honest_people_go_on().await;
    assert!(first.said_until_answered(document).await.1);

    // As many as the limit allows, and one more: the one more is turned away, nobody else.
    let mut crowd = Vec::new();
    for _ in 0..Limits::default().connections_per_identity_max {
        crowd.push(Raw::joined(&scene.relay.url(), "twins").await);
    }
    let mut one_more = Raw::joined(&scene.relay.url(), "twins").await;
    let (_, closed) = one_more.closed().await;
    assert_eq!(closed.code, code::TRY_LATER, "{closed:?}");
    for twin in &mut crowd {
        assert!(twin.is_answered(document).await);
    }
}

/// A peer that has the document open.
async fn opened(scene: &Scene, name: &str) -> Raw {
    let mut peer = Raw::joined(&scene.relay.url(), name).await;
    let document: DocumentId = scene.audit;
    peer.say_sync(document, ASK).await;
    match peer.hear().await {
        Ok(Message::Sync { document: about, .. }) if about == document => peer,
        other => panic!("the relay answers a sync message with {other:?}"),
    }
}
