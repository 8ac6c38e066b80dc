//! A relay that is killed in the middle of edits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use comity_node::{Change, Document, NewDocument, PeerStanding};
use comity_tests::device::{self, Device};
use comity_tests::relay::{Killed, RelayProcess};
use comity_tests::within;
use tokio::sync::Notify;

const ROUNDS: usize = 20;
const WRITERS: usize = 3;

/// Registers and values that the relay has acknowledged, by document.
type Acknowledged = Arc<Mutex<Vec<(usize, String, String)>>>;

/// What the relay has acknowledged is on its disk: a device that was never there before finds all of it, though the
/// devices that wrote it are away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_the_relay_acknowledged_is_lost_when_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = RelayProcess::start(folder.path(), &[]).await;
    let mut writer = Device::offline().await;
    let mut documents = Vec::new();
    for i in 0..WRITERS {
        let new = NewDocument::new("audit".parse().unwrap(), format!("Roof {i}"));
        documents.push(writer.node.create(new).await.unwrap());
    }
    let acknowledged = Acknowledged::default();
    for round in 0..ROUNDS {
        writer.connect(&relay.url()).await;
        // Another number of acknowledgements each time, so that the kill meets the relay at another moment.
        let enough = 1 + round * 7 % 23;
        let killed = write_until_killed(&documents, round, enough, &acknowledged, relay).await;
        // The writer stays away: what a newcomer finds is what was on the relay's disk.
        writer.disconnect().await;
        relay = killed.start().await;
        let newcomer = Device::online(&relay.url()).await;
        let expected = acknowledged.lock().unwrap().clone();
        for (at, document) in documents.iter().enumerate() {
            if !expected.iter().any(|(of, ..)| *of == at) {
                continue;
            }
            let found = newcomer.fetch(&document.id().to_string()).await;
            newcomer.synced().await;
            for (_, register, value) in expected.iter().filter(|(of, ..)| *of == at) {
                let seen = device::value(&found, register).await;
                assert_eq!(seen.as_ref().and_then(|seen| seen.as_text()), Some(&**value), "round {round}, {register}");
            }
        }
    }
    let total = acknowledged.lock().unwrap().len();
    println!("{total} acknowledged edits in {ROUNDS} rounds");
    assert!(total >= ROUNDS);
}

/// Each document is written to, one edit after the other, each noted when the relay has acknowledged it; the relay is
/// killed while they are at it.
async fn write_until_killed(
    documents: &[Document],
    round: usize,
    enough: usize,
    acknowledged: &Acknowledged,
    relay: RelayProcess,
) -> Killed {
    let (count, reached) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let mut writers = tokio::task::JoinSet::new();
    for (at, document) in documents.iter().cloned().enumerate() {
        let (acknowledged, count, reached) = (Arc::clone(acknowledged), Arc::clone(&count), Arc::clone(&reached));
        writers.spawn(async move {
            for i in 0.. {
                let (entry, value) = (format!("R{round:02}-{i:04}"), format!("{round} {i} {at}"));
                document.set(&entry, "comment", value.as_str()).await.unwrap();
                delivered(&document).await;
                acknowledged.lock().unwrap().push((at, format!("{entry}/comment"), value));
                if count.fetch_add(1, Ordering::Relaxed) + 1 == enough {
                    reached.notify_one();
                }
            }
        });
    }
    within("the relay acknowledges", reached.notified()).await;
    let killed = relay.kill().await;
    writers.shutdown().await;
    killed
}

/// Waits until a relay that is there has everything of a document on its disk.
async fn delivered(document: &Document) {
    let mut changes = document.subscribe();
    let is_there = |peer: &PeerStanding| peer.link.is_some() && peer.behind == 0;
    while !document.standing().await.unwrap().peers.iter().any(is_there) {
        if let None | Some(Change::Missed(_)) = changes.next().await {
            continue;
        }
    }
}
