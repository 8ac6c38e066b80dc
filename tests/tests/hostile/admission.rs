//! Sync messages that would kill Automerge.

use std::path::Path;

use comity_model::DocumentId;
use comity_net::code;
use comity_tests::attacks;
use comity_tests::raw::{Closed, Raw};
use comity_wire::Message;

use crate::scene::Scene;

/// What becomes of an attacker.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// It broke the rules, and is closed.
    Closed,
    /// It went over a bound, as an honest peer may. What it sent is not taken, and it is told.
    Told,
}

/// Attacks the shared audit, then a document that nobody has.
async fn attack(scene: &mut Scene, name: &str, fate: Fate, bytes: &[u8]) {
    let mut answer = String::new();
    for (target, document) in [("audit", scene.audit), ("fresh", DocumentId::from_bytes([66; 16]))] {
        let peer = format!("{name} on {target}");
        let mut attacker = Raw::joined(&scene.relay.url(), &peer).await;
        attacker.say_sync(document, bytes.to_vec()).await;
        // While the relay looks at it, everybody else goes on.
        scene.honest_people_go_on().await;
        answer = match (attacker.refused().await, fate) {
            (Err(Closed { code, reason }), Fate::Closed) => {
                assert_eq!(code, code::POLICY, "{peer}: {reason}");
                assert!(reason.contains("refused a sync message"), "{peer}: {reason}");
                format!("closed 1008: {}", reason.split_once(": ").map_or("", |(_, why)| why))
            }
            (Ok(message), Fate::Told) => {
                assert!(message.contains("was not taken"), "{peer}: {message}");
                assert!(attacker.is_answered(document).await, "{peer}: the link stays");
                format!("told: {}", message.split_once(": ").map_or("", |(_, why)| why))
            }
            (answer, _) => panic!("{peer}: {answer:?}"),
        };
        scene.is_evidence(&peer, bytes).await;
    }
    scene.memory_stayed();
    scene.ends_well(&format!("{name} ({} bytes)", bytes.len()), &answer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_are_refused_by_name_and_cost_nobody_anything() {
    let mut scene = Scene::new("").await;
    attack(&mut scene, "zero-bit filter", Fate::Closed, &attacks::zero_bit_bloom_filter()).await;
    attack(&mut scene, "2^32 probes", Fate::Closed, &attacks::endless_probes()).await;
    attack(&mut scene, "deflate bomb, change", Fate::Told, &attacks::deflate_bomb()).await;
    attack(&mut scene, "deflate bomb, document", Fate::Told, &attacks::deflated_column_bomb()).await;
    attack(&mut scene, "deflate bomb, bundle", Fate::Closed, &attacks::deflated_bundle_bomb()).await;
    attack(&mut scene, "run-length bomb, change", Fate::Told, &attacks::run_length_bomb(5_000_000)).await;
    attack(&mut scene, "run-length bomb, document", Fate::Closed, &attacks::run_length_document()).await;
    attack(&mut scene, "run-length bomb, bundle", Fate::Closed, &attacks::run_length_bundle()).await;
}

/// One attacker is a nuisance, twelve at once are an attack. Those who are only told go on, a hundred times each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_bombers_gets_no_further_than_one() {
    let mut scene = Scene::new("").await;
    let mut crowd = Vec::new();
    for i in 0..12 {
        crowd.push(Raw::joined(&scene.relay.url(), &format!("bomber {i}")).await);
    }
    for _ in 0..100 {
        for attacker in crowd.iter_mut().step_by(2) {
            attacker.say_sync(scene.audit, attacks::run_length_bomb(5_000_000)).await;
        }
    }
    for attacker in crowd.iter_mut().skip(1).step_by(2) {
        attacker.say_sync(scene.audit, attacks::endless_probes()).await;
    }
    scene.honest_people_go_on().await;
    for (i, attacker) in crowd.iter_mut().enumerate() {
        let refused = attacker.refused().await;
        assert!(if i % 2 == 0 { refused.is_ok() } else { refused.is_err_and(|closed| closed.code == code::POLICY) });
    }
    scene.memory_stayed();
    scene.ends_well("twelve bombers at once", "half closed 1008, half told").await;
}

/// Every file of the corpus, as the whole message and as the one chunk of a message. Some are harmless; no matter:
/// either the sender is closed, or it gets its next question answered, and may be told before that it was refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_crash_files_of_automerge_harm_nobody() {
    let mut scene = Scene::new("").await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/admission");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.iter().filter(|file| file.extension().is_some_and(|e| e == "automerge")).count() >= 8);
    let (mut number, mut refused) = (0_u16, 0_usize);
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
            let (said, is_answered) = sender.said_until_answered(document).await;
            let is_told = said.iter().any(|message| matches!(message, Message::Error { .. }));
            refused += usize::from(is_told || !is_answered);
        }
        if number % 40 == 0 {
            scene.honest_people_go_on().await;
        }
    }
    assert!(refused >= 16, "the crash files are refused at least: {refused} of {number}");
    scene.ends_well(&format!("{number} crash files of Automerge and of fuzzing"), &format!("{refused} refused")).await;
}
