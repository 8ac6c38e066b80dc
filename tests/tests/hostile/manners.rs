//! Peers that break the rules of the protocol.

use std::time::Instant;

use automerge::transaction::Transactable;
use automerge::{ActorId, Automerge, ROOT};
use bytes::Bytes;
use comity_model::{DocumentId, Limits, PeerId};
use comity_net::code;
use comity_tests::attacks;
use comity_tests::device::{self, Device};
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
    scene.ends_well("forged sender", &format!("closed 1002: {}", closed.reason)).await;
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
    scene.memory_stayed();
    let answer = format!("{heard} passed on; 1002 for one that is too long");
    scene.ends_well("2,000 ephemeral messages at once", &answer).await;
}

// Issue: session spray.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spray_of_sessions_and_senders_does_not_grow_the_relay_or_deafen_the_honest() {
    // So much is let through that the table of sessions is what bounds it.
    let mut scene = Scene::new(
        "[limits]\nephemeral_per_second = 1_000_000\nephemeral_burst = 1_000_000\nephemeral_sessions_max = 1_000\n",
    )
    .await;
    let document = scene.audit;
    let mut listener = opened(&scene, "listener").await;
    let mut sprayer = opened(&scene, "sprayer").await;
    let target = sprayer.relay.clone();
    const SPRAYED: u64 = 30_000;
    for batch in 0..SPRAYED / 500 {
        let spray = (0..500).map(|number| Message::Ephemeral {
            sender: PeerId::new(&format!("ghost {} {batch} {}", "x".repeat(100), number)).unwrap(),
            target: target.clone(),
            document,
            session: format!("session {batch} {number} {}", "y".repeat(200)),
            count: Message::COUNT_MAX,
            data: Bytes::from_static(PING),
        });
        sprayer.say_all(spray).await;
        assert!(sprayer.is_answered(document).await);
        // The listener reads, so what it does not hear was not held up by itself.
        assert!(listener.said_until_answered(document).await.1);
    }
    scene.memory_stayed();
    // A session that nobody has sprayed is heard.
    let mut honest = opened(&scene, "honest").await;
    honest.say_ephemeral(document, 1, PING).await;
    assert!(honest.is_answered(document).await);
    let (said, _) = listener.said_until_answered(document).await;
    let is_heard =
        |message: &Message| matches!(message, Message::Ephemeral { sender, .. } if sender.as_str() == "honest");
    assert!(said.iter().any(is_heard), "{said:?}");
    scene.ends_well("30,000 sessions of 30,000 senders", "passed on; the table forgets the oldest").await;
}

// Issue: replayed frames.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replayed_frames_change_nothing() {
    let mut scene = Scene::new("").await;
    let document = DocumentId::from_bytes([3; 16]);
    let mut written = Automerge::new().with_actor(ActorId::from([1, 2, 3]));
    let mut frames = Vec::new();
    for number in 0..20 {
        written.transact(|t| t.put(ROOT, "number", number)).unwrap();
        let change = written.get_last_local_change().unwrap().raw_bytes().to_vec();
        frames.push(attacks::message(&[change]));
    }
    let mut author = Raw::joined(&scene.relay.url(), "author").await;
    for frame in &frames {
        author.say_sync(document, frame.clone()).await;
    }
    assert!(author.is_answered(document).await);
    let mut replayer = Raw::joined(&scene.relay.url(), "replayer").await;
    for round in 0..50 {
        // In order, backwards, and each of them often.
        let order: Vec<_> = if round % 2 == 0 { frames.iter().collect() } else { frames.iter().rev().collect() };
        let again: Vec<_> = order.into_iter().map(|frame| replayer.sync(document, frame.clone())).collect();
        replayer.say_all(again).await;
        assert!(replayer.is_answered(document).await, "a replay is not an offence: networks do it too");
    }
    let reader = Device::online(&scene.relay.url()).await;
    let copy = reader.fetch(&document.to_string()).await;
    let heads: Vec<String> = written.get_heads().iter().map(ToString::to_string).collect();
    device::wait_heads(&copy, &heads).await;
    scene.ends_well("1,000 replayed frames", "nothing changes").await;
}

// Issue: same actor and sequence with different content.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_change_under_a_number_that_is_taken_is_refused() {
    let mut scene = Scene::new("").await;
    let document = DocumentId::from_bytes([4; 16]);
    let write = |texts: &[&str]| {
        let mut document = Automerge::new().with_actor(ActorId::from([7; 16]));
        for text in texts {
            document.transact(|t| t.put(ROOT, "text", *text)).unwrap();
        }
        document
    };
    let (honest, forged) = (write(&["one", "two"]), write(&["one", "another two"]));
    let changes = |document: &Automerge| -> Vec<Vec<u8>> {
        document.get_changes(&[]).iter().map(|change| change.raw_bytes().to_vec()).collect()
    };
    let mut author = Raw::joined(&scene.relay.url(), "author").await;
    author.say_sync(document, attacks::message(&changes(&honest))).await;
    assert!(author.is_answered(document).await);
    for (name, bytes) in [
        ("as a change", attacks::message(&changes(&forged)[1..])),
        ("as changes", attacks::message(&changes(&forged))),
        ("as a document", attacks::message(&[forged.clone().save()])),
    ] {
        let name = format!("forger, {name}");
        let mut forger = Raw::joined(&scene.relay.url(), &name).await;
        forger.say_sync(document, bytes.clone()).await;
        // It may be an honest device that was copied, so it need not be closed; what it brings is refused.
        scene.is_evidence(&name, &bytes).await;
    }
    assert!(author.is_answered(document).await, "the author has done nothing wrong");
    let reader = Device::online(&scene.relay.url()).await;
    let copy = reader.fetch(&document.to_string()).await;
    let heads: Vec<String> = honest.get_heads().iter().map(ToString::to_string).collect();
    device::wait_heads(&copy, &heads).await;
    scene
        .ends_well("same actor and sequence, different content", "refused, kept as evidence; what was there stays")
        .await;
}

// Issue: 100,000 document ids.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_documents_are_the_most_of_one_link() {
    let mut scene = Scene::new("").await;
    let mut collector = Raw::joined(&scene.relay.url(), "collector").await;
    let limit = Limits::default().documents_per_link_max;
    let id = |number: usize| {
        let mut id = [0x77; 16];
        id[..4].copy_from_slice(&(number as u32).swap_bytes().to_be_bytes());
        DocumentId::from_bytes(id)
    };
    // No more than the relay lets pile up unread.
    const BATCH: usize = 400;
    for batch in 0..limit / BATCH {
        let requests: Vec<_> =
            (batch * BATCH..(batch + 1) * BATCH).map(|number| collector.request(id(number))).collect();
        collector.say_all(requests).await;
        let mut answers = 0;
        while answers < BATCH {
            match collector.hear().await {
                Ok(Message::DocUnavailable { .. }) => answers += 1,
                Ok(other) => panic!("the relay has a document that nobody made: {other:?}"),
                Err(closed) => panic!("closed after {} documents: {closed:?}", batch * BATCH + answers),
            }
        }
        if batch % 50 == 0 {
            scene.honest_people_go_on().await;
        }
    }
    scene.ends_well(&format!("{limit} document ids"), "each answered `doc-unavailable`").await;
    // The limit is that of a shard.
    let more: Vec<_> = (limit..3 * limit).map(|number| collector.request(id(number))).collect();
    for batch in more.chunks(BATCH) {
        collector.say_all(batch.to_vec()).await;
        if scene.health().await["websockets"].as_u64() < Some(3) {
            break;
        }
    }
    let (_, closed) = collector.closed().await;
    assert!([code::POLICY, 1006].contains(&closed.code), "{closed:?}");
    scene.ends_well("and more of them", &format!("closed {}: {}", closed.code, closed.reason)).await;
}

// Issue: probing of ids.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_ids_finds_nothing_and_leaves_nothing_behind() {
    let mut scene = Scene::new("").await;
    let mut prober = Raw::joined(&scene.relay.url(), "prober").await;
    let known = *scene.audit.as_bytes();
    // Every id that differs in one or two bits from one that exists.
    let mut guesses = Vec::new();
    for first in 0..128 {
        for second in first..128 {
            let mut id = known;
            id[first / 8] ^= 1 << (first % 8);
            if second != first {
                id[second / 8] ^= 1 << (second % 8);
            }
            guesses.push(DocumentId::from_bytes(id));
        }
    }
    for (number, batch) in guesses.chunks(400).enumerate() {
        let requests: Vec<_> = batch.iter().map(|guess| prober.request(*guess)).collect();
        prober.say_all(requests).await;
        for _ in batch {
            let said = prober.hear().await;
            assert!(matches!(said, Ok(Message::DocUnavailable { .. })), "{said:?}");
        }
        if number % 5 == 0 {
            scene.honest_people_go_on().await;
        }
    }
    scene
        .ends_well(&format!("{} guesses near an id that exists", guesses.len()), "each answered `doc-unavailable`")
        .await;
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
    drop(first);
    scene.ends_well("stolen peer id", "served beside its owner, whom it does not disturb").await;
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
