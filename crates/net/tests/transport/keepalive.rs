use std::time::{Duration, Instant};

use bytes::Bytes;
use comity_net::pump::{CloseReason, Keepalive, Outgoing};
use comity_net::{Frame, Room, pair};
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::Message;

use crate::raw::{self, LONG};
use crate::support::{self, CALM, accepted, start};

const QUICK: Keepalive = Keepalive { ping_interval: Duration::from_millis(20), dead_after: Duration::from_millis(150) };

// S1.4
#[tokio::test]
async fn a_half_open_peer_is_found() {
    let (theirs, ours, _) = accepted(1 << 20).await;
    // The socket stays open and takes our pings, but nobody answers.
    let _silent = theirs.into_inner();
    let began = Instant::now();
    let running = start(ours, QUICK, 8, vec![]);
    let closed = running.task.await.unwrap();
    assert!(matches!(closed.reason, CloseReason::Silent(_)), "{closed:?}");
    assert!(began.elapsed() >= QUICK.dead_after && began.elapsed() < QUICK.dead_after * 10);
}

// On a paused clock, so that a busy machine is not taken for a dead peer.
#[tokio::test(start_paused = true)]
async fn an_idle_peer_that_answers_pings_lives_on() {
    let (mut theirs, ours) = support::piped(1 << 20).await;
    let running = start(ours, QUICK, 8, vec![]);
    // Twenty pings take 400 ms, far longer than a dead peer would have had.
    for _ in 0..20 {
        assert!(matches!(theirs.next().await.unwrap().unwrap(), Message::Ping(_)));
    }
    running.outbound.send(Outgoing::Message(Bytes::from_static(b"still here"))).await.unwrap();
    while !theirs.next().await.unwrap().unwrap().is_binary() {}
}

#[tokio::test]
async fn a_peer_that_reads_slowly_is_not_taken_for_dead() {
    let (theirs, ours, _) = accepted(1 << 20).await;
    let megabytes = Bytes::from(vec![7; 24 << 20]);
    let keepalive = Keepalive { ping_interval: Duration::from_millis(50), dead_after: Duration::from_millis(500) };
    let running = start(ours, keepalive, 8, vec![Outgoing::Message(megabytes)]);
    let mut stream = theirs.into_inner();
    // It never sends a byte; it only takes some now and then, for several times as long as a dead peer would have.
    let began = Instant::now();
    let mut taken = 0;
    let mut buffer = vec![0; 1 << 20];
    while began.elapsed() < keepalive.dead_after * 3 {
        taken += stream.read(&mut buffer).await.unwrap();
        // Being slow is what this peer does.
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert!(taken < 24 << 20, "the message must outlast the test");
    assert!(!running.task.is_finished());
}

#[tokio::test]
async fn the_time_in_which_we_do_not_read_is_not_the_peers_silence() {
    let (mut theirs, ours, _) = accepted(1 << 20).await;
    let mut running = start(ours, QUICK, 1, vec![]);
    for number in 0..3u8 {
        theirs.send(Message::binary(vec![number])).await.unwrap();
    }
    // One message waits in the queue, the next blocks the pump: it does not read, so it hears no pong either.
    tokio::time::sleep(QUICK.dead_after * 3).await;
    for number in 0..3u8 {
        assert_eq!(running.inbound.recv().await.unwrap(), [number][..]);
    }
    assert!(!running.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_is_not_silent_however_long_it_takes() {
    let room = Room::new(LONG, LONG);
    let message = || Message::binary(vec![7; LONG]);
    // One message is in the queue, and the next has the room until somebody takes the first.
    let (ours, mut holder) = raw::link(&room, 1).await;
    let mut holding = start(ours, CALM, 1, vec![]);
    holder.send(message()).await.unwrap();
    holder.send(message()).await.unwrap();
    let (ours, mut waiter) = raw::link(&room, 2).await;
    let mut waiting = start(ours, CALM, 1, vec![]);
    // It answers our pings, but the answers are behind its message.
    let sending = tokio::spawn(async move {
        waiter.send(message()).await.unwrap();
        waiter
    });
    // The clock is paused: this takes no time.
    tokio::time::sleep(CALM.dead_after * 3).await;
    assert!(!waiting.task.is_finished(), "{:?}", waiting.task.await);
    for _ in 0..2 {
        assert_eq!(holding.inbound.recv().await.unwrap().len(), LONG);
    }
    assert_eq!(waiting.inbound.recv().await.unwrap().len(), LONG);
    // Now it has the room and may speak, so its silence counts.
    let _waiter = sending.await.unwrap();
    let since = tokio::time::Instant::now();
    assert!(matches!(waiting.task.await.unwrap().reason, CloseReason::Silent(_)));
    assert!(since.elapsed() >= CALM.dead_after && since.elapsed() < CALM.dead_after * 2);
    assert_eq!(room.cut(), 0);
}

#[tokio::test]
async fn our_ping_is_answered_and_theirs_too() {
    let (mut theirs, ours, _) = accepted(1 << 20).await;
    let _running = start(ours, CALM, 8, vec![]);
    theirs.send(Message::Ping("are you there".into())).await.unwrap();
    assert_eq!(theirs.next().await.unwrap().unwrap(), Message::Pong("are you there".into()));

    let (mut one, mut two) = pair(4);
    one.send(Frame::Ping(Bytes::from_static(b"x"))).await.unwrap();
    assert!(matches!(two.receive().await, Some(Ok(Frame::Ping(_)))));
    assert_eq!(one.receive().await.unwrap().unwrap(), Frame::Pong(Bytes::from_static(b"x")));
}
