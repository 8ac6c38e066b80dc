//! Sync messages that would kill Automerge.

use std::path::Path;

use comity_model::DocumentId;
use comity_net::code;
use comity_tests::attacks;
use comity_tests::raw::{Closed, Raw};

use crate::scene::Scene;

/// Attacks the shared audit, then a document that nobody has.
async fn attack(scene: &mut Scene, name: &str, bytes: &[u8]) {
    let mut answer = String::new();
    for (target, document) in [("audit", scene.audit), ("fresh", DocumentId::from_bytes([66; 16]))] {
        let peer = format!("{name} on {target}");
        let mut attacker = Raw::joined(&scene.relay.url(), &peer).await;
        attacker.say_sync(document, bytes.to_vec()).await;
        // While the relay looks at it, everybody else goes on.
        scene.honest_people_go_on().await;
        let (_, Closed { code, reason }) = attacker.closed().await;
        assert_eq!(code, code::POLICY, "{peer}: {reason}");
        assert!(reason.contains("refused a sync message"), "{peer}: {reason}");
        scene.is_evidence(&peer, bytes).await;
        answer = reason;
    }
    scene.memory_stayed();
    let (_, why) = answer.split_once(": ").unwrap_or(("", &answer));
    scene.ends_well(&format!("{name} ({} bytes)", bytes.len()), &format!("closed 1008: {why}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_cost_the_attacker_the_connection_and_nobody_else_anything() {
    let mut scene = Scene::new("").await;
    attack(&mut scene, "zero-bit filter", &attacks::zero_bit_bloom_filter()).await;
    attack(&mut scene, "2^32 probes", &attacks::endless_probes()).await;
    attack(&mut scene, "deflate bomb, change", &attacks::deflate_bomb()).await;
    attack(&mut scene, "deflate bomb, document", &attacks::deflated_column_bomb()).await;
    attack(&mut scene, "deflate bomb, bundle", &attacks::deflated_bundle_bomb()).await;
    attack(&mut scene, "run-length bomb, change", &attacks::run_length_bomb(5_000_000)).await;
    attack(&mut scene, "run-length bomb, document", &attacks::run_length_document()).await;
    attack(&mut scene, "run-length bomb, bundle", &attacks::run_length_bundle()).await;
}

/// One attacker is a nuisance, twelve at once are an attack.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_bombers_gets_no_further_than_one() {
    let mut scene = Scene::new("").await;
    let mut crowd = Vec::new();
    for i in 0..12 {
        crowd.push(Raw::joined(&scene.relay.url(), &format!("bomber {i}")).await);
    }
    for (i, attacker) in crowd.iter_mut().enumerate() {
        let bytes = if i % 2 == 0 { attacks::run_length_bomb(5_000_000) } else { attacks::endless_probes() };
        attacker.say_sync(scene.audit, bytes).await;
    }
    scene.honest_people_go_on().await;
    for attacker in &mut crowd {
        assert_eq!(attacker.closed().await.1.code, code::POLICY);
    }
    scene.memory_stayed();
    scene.ends_well("twelve bombers at once", "all closed 1008").await;
}

/// Every file of the corpus, as the whole message and as the one chunk of a message. Some are harmless; no matter:
/// either the sender is closed, or it gets its next question answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_crash_files_of_automerge_harm_nobody() {
    let mut scene = Scene::new("").await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/admission");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.iter().filter(|file| file.extension().is_some_and(|e| e == "automerge")).count() >= 8);
    let (mut number, mut refused) = (0_u16, 0);
    for file in &files {
        let content = std::fs::read(file).unwrap();
        for bytes in [content.clone(), attacks::message(&[content])] {
            number += 1;
            let name = format!("crash file {number}");
            let mut sender = Raw::joined(&scene.relay.url(), &name).await;
            let mut id = [number as u8; 16];
            id[..2].copy_from_slice(&number.to_be_bytes());
            let document = DocumentId::from_bytes(id);
            sender.say_sync(document, bytes.clone()).await;
            if !sender.is_answered(document).await {
                refused += 1;
            }
        }
        if number % 40 == 0 {
            scene.honest_people_go_on().await;
        }
    }
    assert!(refused >= 16, "the crash files are refused at least: {refused} of {number}");
    scene
        .ends_well(&format!("{number} crash files of Automerge and of fuzzing"), &format!("{refused} closed 1008"))
        .await;
}
