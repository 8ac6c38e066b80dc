//! What links keep in memory. A process of its own, since what other tests hold would be counted too.

#![cfg(target_os = "linux")]
// Helpers of tests are not marked as tests, so the exception for tests does not reach them.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "shared with tests that need more of it")]
#[path = "../transport/raw.rs"]
mod raw;
#[allow(dead_code, reason = "shared with tests that need more of it")]
#[path = "../transport/support.rs"]
mod support;

use bytes::Bytes;
use comity_net::Room;
use futures_util::SinkExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as WsFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::raw::{BINARY_BEGINS, NO_SUCH_OPCODE, emptied, frame, link_for, write};
use crate::support::{CALM, accepted, start};

/// Held by each test: one measures at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Resident memory of this process.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test(start_paused = true)]
async fn half_a_message_does_not_stay_in_memory_until_its_peer_hangs_up() {
    let _alone = ALONE.lock().await;
    const HALF: usize = 8 << 20;
    let room = Room::new(4 * HALF, 2 * HALF);
    let half = [frame(BINARY_BEGINS, HALF, HALF), NO_SUCH_OPCODE.to_vec()].concat();
    let mut ending = Vec::new();
    // What the first ones need, the allocator keeps for the others.
    let mut before = 0;
    for number in 0..12 {
        if number == 4 {
            before = resident_bytes();
        }
        let (ours, mut theirs) = link_for(&room, number, 2 * HALF).await;
        let running = start(ours, CALM, 16, vec![]);
        write(&mut theirs, &half).await;
        emptied(&room).await;
        assert!(!running.task.is_finished(), "its peer has not heard the goodbye");
        ending.push((running, theirs));
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < HALF, "8 links that end keep {grown} bytes");
}

#[tokio::test]
async fn a_large_upload_does_not_stay_in_memory_with_its_connection() {
    let _alone = ALONE.lock().await;
    const LARGE: usize = 8 << 20;
    let mut links = Vec::new();
    let upload = Bytes::from(vec![3; LARGE]);
    // What the first ones need, the allocator keeps for the others. It takes the last of it with the tenth.
    let mut before = 0;
    for number in 0..32 {
        if number == 16 {
            before = resident_bytes();
        }
        let (mut theirs, ours, _) = accepted(LARGE).await;
        let mut running = start(ours, CALM, 8, vec![]);
        theirs.send(Message::binary(upload.clone())).await.unwrap();
        assert_eq!(running.inbound.recv().await.unwrap().len(), LARGE);
        // In frames of its own making: all but the last byte in the first.
        for (part, kind, last) in [(LARGE - 1, Data::Binary, false), (1, Data::Continue, true)] {
            let frame = WsFrame::message(upload.slice(..part), OpCode::Data(kind), last);
            theirs.send(Message::Frame(frame)).await.unwrap();
        }
        assert_eq!(running.inbound.recv().await.unwrap().len(), LARGE);
        // The client's own write buffer keeps such a message too: let it go, our end stays.
        links.push((running, theirs.into_inner()));
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < LARGE, "16 idle links keep {grown} bytes");
}
