//! Messages that begin and do not end.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use comity_tests::attacks;
use comity_tests::device::Device;
use comity_tests::frames::{BINARY, Bare, header};
use comity_tests::raw::Raw;

use crate::scene::Scene;

const MIB: usize = 1 << 20;

/// Limits small enough to be reached: messages of 4 MiB, and room for 6 MiB.
const CONFIG: &str = "[limits]\nmessage_bytes_max = \"4 MiB\"\nreceived_bytes_max = \"6 MiB\"\n";

fn stranger(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, number))
}

/// Begins a message and sends some of it, as far as the relay takes it within a while.
async fn begin(peer: &mut Bare, announced: usize, sent: usize) {
    let sending = async {
        let mut open = peer.write(&header(BINARY, announced as u64)).await;
        let chunk = vec![0x42; 256 << 10];
        for _ in 0..sent / chunk.len() {
            open = open && peer.write(&chunk).await;
        }
    };
    // Being left waiting is one of the answers.
    let _ = tokio::time::timeout(Duration::from_secs(2), sending).await;
}

// Issue: no overall budget for half-received messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_half_messages_of_a_crowd_take_no_more_than_the_room_there_is() {
    let mut scene = Scene::new(CONFIG).await;
    let address = scene.relay.address();
    let mut sending = Vec::new();
    for number in 0..40 {
        sending.push(tokio::spawn(async move {
            let mut peer = Bare::joined(stranger(number % 8), address, &format!("half {number}")).await;
            begin(&mut peer, 4 * MIB, 3 * MIB).await;
            peer
        }));
    }
    scene.honest_people_go_on().await;
    let mut most = 0;
    let mut crowd = Vec::new();
    for task in sending {
        crowd.push(task.await.unwrap());
        most = most.max(scene.health().await["receiving_bytes"].as_u64().unwrap());
    }
    assert!((2 * MIB as u64..=6 * MIB as u64).contains(&most), "{most} bytes in use at most");
    scene.memory_stayed();

    // Whoever comes with something whole finds room: those who dawdle give it up.
    let device = Device::online(&scene.relay.url()).await;
    let document = comity_model::DocumentId::from_bytes([9; 16]);
    let mut honest = Raw::joined_from(stranger(200), &scene.relay.url(), "honest").await;
    honest.say_sync(document, attacks::large_document(3 * MIB)).await;
    device.fetch(&document.to_string()).await;
    let cut = scene.health().await["cut"].as_u64().unwrap();
    assert!(cut > 0, "somebody gave way");
    let answer = format!("made to wait; {cut} cut 1013 when room was wanted");
    scene.ends_well("40 messages of 4 MiB, begun and left; room for 6", &answer).await;
    drop(crowd);
}

/// With the limits as they are set when nobody sets them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announcing_is_free_and_sending_is_bounded_by_default() {
    let mut scene = Scene::new("").await;
    let address = scene.relay.address();
    let mut announced = Vec::new();
    for number in 0..100 {
        let mut peer = Bare::joined(stranger(number % 8), address, &format!("announcer {number}")).await;
        assert!(peer.write(&header(BINARY, 64 * MIB as u64)).await);
        announced.push(peer);
    }
    scene.memory_stayed();
    scene.ends_well("100 messages of 64 MiB announced", "left waiting").await;
    drop(announced);
    let sending: Vec<_> = (0..6)
        .map(|number| {
            tokio::spawn(async move {
                let mut peer = Bare::joined(stranger(number), address, &format!("sender {number}")).await;
                begin(&mut peer, 64 * MIB, 40 * MIB).await;
                peer
            })
        })
        .collect();
    let mut peers = Vec::new();
    for task in sending {
        peers.push(task.await.unwrap());
        scene.honest_people_go_on().await;
    }
    scene.memory_stayed();
    scene.ends_well("6 messages of 64 MiB, 40 MiB of each sent", "made to wait, or cut 1013").await;
}
