//! Frames that break the rules of WebSocket, or are too long.

use comity_net::code;
use comity_tests::frames::{BINARY, Bare, frame, header};
use comity_tests::raw::{Raw, STRANGER};

use crate::scene::Scene;

const LIMIT: u64 = 2 << 20;
const CONFIG: &str = "[limits]\nmessage_bytes_max = \"2 MiB\"\n";

// Issue: oversized frames and messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_long_or_no_frame_is_closed_and_says_why() {
    let mut scene = Scene::new(CONFIG).await;
    let half = vec![0; LIMIT as usize / 2];
    let fragments = [&frame(0x02, &half)[..], &frame(0x00, &half), &frame(0x80, b"x")].concat();
    let cases: [(&str, Vec<u8>, u16); 13] = [
        ("a frame that announces one byte too many", header(BINARY, LIMIT + 1), code::TOO_LONG),
        ("a frame that announces 2^63 bytes", header(BINARY, 1 << 63), code::TOO_LONG),
        ("a frame that announces 2^64 - 1 bytes", header(BINARY, u64::MAX), code::TOO_LONG),
        ("fragments that are too long together", fragments, code::TOO_LONG),
        ("a continuation of nothing", frame(0x80, b"x"), code::PROTOCOL),
        ("a message within a message", [frame(0x02, b"x"), frame(BINARY, b"y")].concat(), code::PROTOCOL),
        ("an unmasked frame", vec![BINARY, 1, b'x'], code::PROTOCOL),
        ("a reserved opcode", frame(0x83, b"x"), code::PROTOCOL),
        ("a reserved control opcode", frame(0x8b, b"x"), code::PROTOCOL),
        ("a reserved bit", frame(0xc2, b"x"), code::PROTOCOL),
        ("a ping in fragments", frame(0x09, b"x"), code::PROTOCOL),
        ("a ping of 126 bytes", frame(0x89, &[0; 126]), code::PROTOCOL),
        ("text", frame(0x81, b"hello"), code::UNSUPPORTED),
    ];
    for (name, bytes, wanted) in &cases {
        for joined in [true, false] {
            let address = scene.relay.address();
            let mut peer = match joined {
                true => Bare::joined(STRANGER, address, "framer").await,
                false => Bare::upgraded(STRANGER, address).await,
            };
            assert!(peer.write(bytes).await);
            let closed = peer.closed().await;
            // Before the handshake is done there is no link that could say goodbye.
            let codes = if joined { &[*wanted][..] } else { &[*wanted, 1006] };
            assert!(codes.contains(&closed.code), "{name}, joined: {joined}: {closed:?}");
        }
    }
    scene.ends_well("frames too long, or against RFC 6455: 13 ways, twice", "closed 1009, 1002, 1003").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_above_the_limit_is_closed_as_too_long() {
    let mut scene = Scene::new(CONFIG).await;
    let mut large = Raw::joined(&scene.relay.url(), "large").await;
    large.say_sync(scene.audit, vec![0x42; LIMIT as usize]).await;
    let (_, closed) = large.closed().await;
    // The relay stops reading in the middle, so its last word may be lost to a reset.
    assert!([code::TOO_LONG, 1006].contains(&closed.code), "{closed:?}");
    scene.ends_well("a message above the limit", "closed 1009").await;
}

/// Whoever asks and does not listen to the answers is a burden.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_whose_answers_nobody_reads_cost_no_memory() {
    let mut scene = Scene::new("").await;
    let mut pings = Vec::new();
    for _ in 0..500 {
        pings.extend(frame(0x89, &[7; 125]));
    }
    let mut peer = Bare::joined(STRANGER, scene.relay.address(), "pinger").await;
    let mut sent = 0;
    let flood = async {
        // At most 64 MiB: far more than all buffers between here and there hold.
        while sent < 1_000 && peer.write(&pings).await {
            sent += 1;
        }
    };
    // Either the relay closes, or it stops reading.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), flood).await;
    scene.memory_stayed();
    scene.ends_well(&format!("{} pings, no answer read", sent * 500), "closed, or left waiting").await;
}
