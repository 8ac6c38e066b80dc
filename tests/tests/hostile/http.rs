//! Before a socket is a WebSocket.

use std::time::{Duration, Instant};

use comity_tests::http::{UPGRADE, exchange, read_to_end};
use comity_tests::raw::{Raw, STRANGER, connect};
use comity_tests::{memory, within};
use tokio::io::AsyncWriteExt;

use crate::scene::Scene;

/// Deadlines short enough to wait for.
const CONFIG: &str = "[limits]\nheader_deadline = \"1s\"\njoin_deadline = \"1s\"\n";

const SOCKETS: usize = 200;

/// Within the deadline, and some for a busy machine.
const CUT_WITHIN: Duration = Duration::from_secs(6);

// Issue: half a header, byte drip, 200 such sockets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_sockets_with_half_a_header_are_cut_at_the_deadline() {
    let mut scene = Scene::new(CONFIG).await;
    let address = scene.relay.address();
    let began = Instant::now();
    let mut sockets = Vec::new();
    for number in 0..SOCKETS {
        let mut stream = connect(STRANGER, address).await.unwrap();
        let half: &[u8] = match number % 4 {
            0 => b"",
            1 => b"GET",
            2 => b"GET /sync HTTP/1.1\r\nhost: relay\r\nupg",
            _ => b"GET / HTTP/1.1\r\n",
        };
        stream.write_all(half).await.unwrap();
        sockets.push(stream);
    }
    scene.honest_people_go_on().await;
    for stream in &mut sockets {
        read_to_end(stream).await;
    }
    assert!(began.elapsed() < CUT_WITHIN, "{:?}", began.elapsed());
    scene.ends_well(&format!("{SOCKETS} sockets with half a header"), "cut at the deadline").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_sockets_that_drip_are_cut_at_the_deadline() {
    let mut scene = Scene::new(CONFIG).await;
    let address = scene.relay.address();
    let began = Instant::now();
    let mut drips = Vec::new();
    for _ in 0..SOCKETS {
        let mut stream = connect(STRANGER, address).await.unwrap();
        drips.push(tokio::spawn(async move {
            let (mut read, mut write) = stream.split();
            let drip = async {
                for byte in b"GET /sync HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'y')) {
                    if write.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                    // Being slow is the attack.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            let mut sink = tokio::io::sink();
            tokio::select! {
                () = drip => {}
                _ = tokio::io::copy(&mut read, &mut sink) => {}
            }
        }));
    }
    scene.honest_people_go_on().await;
    for drip in drips {
        within("a dripping socket is cut", drip).await.unwrap();
    }
    assert!(began.elapsed() < CUT_WITHIN, "{:?}", began.elapsed());
    scene.ends_well(&format!("{SOCKETS} sockets that send a byte at a time"), "cut at the deadline").await;
}

// Issue: join never sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_who_never_join_are_closed_at_the_deadline() {
    let mut scene = Scene::new(CONFIG).await;
    let mut silent = Vec::new();
    for number in 0..SOCKETS {
        silent.push(Raw::silent(&scene.relay.url(), &format!("silent {number}")).await);
    }
    scene.honest_people_go_on().await;
    let began = Instant::now();
    for peer in &mut silent {
        let (said, closed) = peer.closed().await;
        assert!(said.is_empty());
        assert_eq!(closed.code, comity_net::code::POLICY, "{closed:?}");
    }
    assert!(began.elapsed() < CUT_WITHIN, "{:?}", began.elapsed());
    scene.ends_well(&format!("{SOCKETS} sockets without `join`"), "closed 1008 at the deadline").await;
}

// Issue: foreign origin, HTTP/2 preface.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_protocols_and_other_peoples_web_pages_are_turned_away() {
    let mut scene = Scene::new("[relay]\norigins = [\"https://app.example\"]\n").await;
    let address = scene.relay.address();
    for origin in ["https://evil.example", "http://app.example", "https://app.example.evil", "null"] {
        let request = format!("GET /sync HTTP/1.1\r\n{UPGRADE}origin: {origin}\r\nconnection: close\r\n\r\n");
        let answer = exchange(STRANGER, address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{origin}: {answer}");
    }
    scene.ends_well("foreign origin", "403").await;
    let http2 = exchange(STRANGER, address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(http2.is_empty() || http2.starts_with("HTTP/1.1 4"), "{http2}");
    let h2c = "GET / HTTP/1.1\r\nhost: r\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQ\r\n\r\n";
    let h2c = exchange(STRANGER, address, h2c.as_bytes()).await;
    assert!(h2c.starts_with("HTTP/1.1 400"), "{h2c}");
    scene.ends_well("HTTP/2 preface, upgrade to h2c", "closed, 400").await;
    let tls = exchange(STRANGER, address, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").await;
    assert!(tls.is_empty() || tls.starts_with("HTTP/1.1 400"), "{tls}");
    let noise: Vec<u8> = (0..100_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    exchange(STRANGER, address, &noise).await;
    scene.ends_well("TLS and noise at a door without TLS", "closed, 400").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_never_ends_is_cut_by_its_length() {
    let mut scene = Scene::new("").await;
    let open = memory::open_files(scene.relay.pid());
    for _ in 0..20 {
        let mut stream = connect(STRANGER, scene.relay.address()).await.unwrap();
        let _ = stream.write_all(b"GET / HTTP/1.1\r\n").await;
        let line = format!("x: {}\r\n", "y".repeat(1_000));
        let mut sent = 0_usize;
        while sent < 64 << 20 && stream.write_all(line.as_bytes()).await.is_ok() {
            sent += line.len();
        }
        assert!(sent < 64 << 20, "never cut");
    }
    scene.memory_stayed();
    scene.ends_well("20 request heads that never end", "431, cut").await;
    assert!(memory::open_files(scene.relay.pid()) <= open + 4);
}
