//! Peers that do not read.

use std::time::{Duration, Instant};

use bytes::Bytes;
use comity_model::DocumentId;
use comity_tests::attacks;
use comity_tests::device;
use comity_tests::raw::{Raw, STRANGER};
use comity_wire::Message;

use crate::scene::Scene;

const EDITS: usize = 120;

/// More than sockets hold.
const LARGE: usize = 8 << 20;

/// How long the slowest but one of a hundred edits takes to the other device.
async fn p99(scene: &mut Scene, round: &str) -> Duration {
    let mut took = Vec::new();
    for number in 0..EDITS {
        let text = format!("{round} {number}");
        let began = Instant::now();
        scene.writer.set("M060", "comment", text.as_str()).await.unwrap();
        device::wait_for(&scene.reader, "M060/comment", text.as_str()).await;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    took[EDITS * 99 / 100 - 1]
}

// Issue: a reader that never reads, and the p99 of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_never_read_do_not_slow_the_others_down() {
    let mut scene = Scene::new("").await;
    let large = DocumentId::from_bytes([7; 16]);
    let mut owner = Raw::joined(&scene.relay.url(), "owner").await;
    owner.say_sync(large, attacks::large_document(LARGE)).await;
    assert!(owner.is_answered(large).await);
    let before = p99(&mut scene, "before").await;

    let wish = Bytes::from(attacks::wish());
    // Whoever wishes for it and reads gets all of it.
    let mut witness = Raw::joined(&scene.relay.url(), "witness").await;
    witness.say_sync(large, wish.clone()).await;
    while !matches!(witness.hear().await.unwrap(), Message::Sync { data, .. } if data.len() > LARGE) {}
    scene.an_attack_begins();
    let mut readers = Vec::new();
    for number in 0..40 {
        let mut reader = Raw::joined_from(STRANGER, &scene.relay.url(), &format!("reader {number}")).await;
        // The large document fills the socket; then there is news of the audit, with every edit.
        reader.say_sync(large, wish.clone()).await;
        reader.say_sync(scene.audit, wish.clone()).await;
        readers.push(reader);
    }
    let during = p99(&mut scene, "during").await;
    // Blocked on even one of them, the relay would stand still until that one is given up, after 45 s.
    assert!(during < before * 4 + Duration::from_millis(100), "p99 {during:?}, and {before:?} without");
    scene.memory_stayed();
    let answer = format!("left behind; p99 of others {} ms, before {} ms", during.as_millis(), before.as_millis());
    scene.ends_well("40 readers that never read, 8 MiB asked for", &answer).await;
    drop(readers);
    scene.honest_people_go_on().await;
}
