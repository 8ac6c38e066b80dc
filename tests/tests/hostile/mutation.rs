//! Damaged chunks with repaired checksums, by the thousand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use comity_model::{DocumentId, Limits};
use comity_tests::attacks::mutants::litter;
use comity_tests::raw::{Raw, STRANGER};

use crate::scene::Scene;

/// Documents that are damaged, and damaged messages for each.
const LITTERS: u64 = 120;
const MUTANTS: usize = 25;

/// Attackers at the same time.
const ATTACKERS: u64 = 4;

#[derive(Default)]
struct Tally {
    sent: AtomicUsize,
    refused: AtomicUsize,
}

async fn attacker(number: u64, url: String, tally: Arc<Tally>) {
    let name = format!("mutant {number}");
    let mut peer = Raw::joined_from(STRANGER, &url, &name).await;
    for seed in (number..LITTERS).step_by(ATTACKERS as usize) {
        let litter = litter(seed, MUTANTS);
        let mut id = [0x55; 16];
        id[..8].copy_from_slice(&seed.to_be_bytes());
        // The shard goes by the first two bytes.
        id[1] = seed as u8;
        let document = DocumentId::from_bytes(id);
        peer.say_sync(document, litter.before).await;
        assert!(peer.is_answered(document).await, "what a document was before is good");
        for mutant in litter.mutants {
            peer.say_sync(document, mutant).await;
            tally.sent.fetch_add(1, Ordering::Relaxed);
            // Not all are harmful: some change a value and nothing else.
            if !peer.is_answered(document).await {
                tally.refused.fetch_add(1, Ordering::Relaxed);
                peer = Raw::joined_from(STRANGER, &url, &name).await;
            }
        }
    }
}

// Issue: mutated chunks with repaired checksums, thousands, generated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_damaged_chunks_with_good_checksums_harm_nobody() {
    let mut scene = Scene::new("").await;
    let tally = Arc::new(Tally::default());
    let began = Instant::now();
    let url = scene.relay.url();
    let mut attackers: Vec<_> =
        (0..ATTACKERS).map(|number| tokio::spawn(attacker(number, url.clone(), Arc::clone(&tally)))).collect();
    let mut honest = 0;
    while !attackers.iter().all(tokio::task::JoinHandle::is_finished) {
        scene.honest_people_go_on().await;
        honest += 1;
    }
    for attacker in attackers.drain(..) {
        attacker.await.unwrap();
    }
    let (sent, refused) = (tally.sent.load(Ordering::Relaxed), tally.refused.load(Ordering::Relaxed));
    assert_eq!(sent, LITTERS as usize * MUTANTS);
    assert!(refused > sent / 2, "{refused} of {sent} were refused");
    assert!(refused < sent, "some do no harm");
    let evidence = scene.health().await["evidence"].clone();
    let (kept, dropped) = (evidence["kept"].as_u64().unwrap(), evidence["dropped"].as_u64().unwrap());
    assert!((1..=Limits::default().evidence_max as u64).contains(&kept), "{kept} records are kept");
    assert!(kept + dropped >= refused as u64, "{kept} are kept, {dropped} counted, {refused} were refused");
    let rate = sent as f64 / began.elapsed().as_secs_f64();
    let answer = format!(
        "{refused} closed 1008, the others harmless; {rate:.0}/s, {honest} honest edits meanwhile; {kept} kept as evidence, {dropped} counted"
    );
    scene.ends_well(&format!("{sent} damaged chunks, checksums repaired"), &answer).await;
}
