//! What a link that ends gives back, and when.

use std::time::Duration;

use bytes::Bytes;
use comity_net::pump::{CloseReason, Outgoing};
use comity_net::{Goodbye, LinkError, Room, code};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, advance};
use tokio_tungstenite::tungstenite::Message;

use crate::raw::{BINARY, BINARY_BEGINS, CLOSE, CONTINUES, LONG, NO_SUCH_OPCODE, Theirs, emptied, frame, link, write};
use crate::support::{CALM, start};

/// Far less than a peer has for its answer to a goodbye.
const AT_ONCE: Duration = Duration::from_millis(50);

/// Reads up to the goodbye.
async fn read_goodbye(theirs: &mut Theirs) -> Option<Goodbye> {
    loop {
        if let Message::Close(close) = theirs.next().await.unwrap().unwrap() {
            return close.map(|close| Goodbye::new(close.code.into(), close.reason.as_str()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_breaks_the_rules_in_the_middle_of_a_message_holds_no_room_while_it_is_told() {
    let room = Room::new(LONG, LONG);
    let (ours, mut theirs) = link(&room, 1).await;
    let running = start(ours, CALM, 16, vec![]);
    write(&mut theirs, &frame(BINARY_BEGINS, LONG / 2, LONG / 2)).await;
    write(&mut theirs, NO_SUCH_OPCODE).await;
    assert!(room.taken_bytes() > LONG / 4);
    // It neither reads nor hangs up.
    let took = emptied(&room).await;
    assert!(took < AT_ONCE, "held for {took:?}");
    assert_eq!(read_goodbye(&mut theirs).await.unwrap().code, code::PROTOCOL);
    drop(theirs);
    assert!(matches!(running.task.await.unwrap().reason, CloseReason::Failed(LinkError::Protocol { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_goodbye_in_the_middle_of_a_message_holds_no_room_until_it_hangs_up() {
    let room = Room::new(LONG, LONG);
    let (ours, mut theirs) = link(&room, 1).await;
    let running = start(ours, CALM, 16, vec![]);
    write(&mut theirs, &frame(BINARY_BEGINS, LONG / 2, LONG / 2)).await;
    write(&mut theirs, CLOSE).await;
    let took = emptied(&room).await;
    assert!(took < AT_ONCE, "held for {took:?}");
    assert_eq!(read_goodbye(&mut theirs).await, None, "its goodbye is answered");
    drop(theirs);
    assert!(matches!(running.task.await.unwrap().reason, CloseReason::Remote(_)));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_we_end_takes_nothing_more_and_says_all_that_was_queued() {
    let room = Room::new(LONG, LONG);
    let (ours, mut theirs) = link(&room, 1).await;
    let (end, goodbye) = oneshot::channel();
    // Longer than the pipe and than any buffer: it is on its way when the end comes.
    let queued = vec![Outgoing::Message(Bytes::from(vec![5; 100_000]))];
    let running = start(ours.with_goodbye(goodbye), CALM, 16, queued);
    write(&mut theirs, &frame(BINARY, LONG, LONG / 2)).await;
    assert!(room.taken_bytes() > LONG / 4);
    end.send(Goodbye::new(code::GOING_AWAY, "we stop")).unwrap();
    let took = emptied(&room).await;
    assert!(took < AT_ONCE, "held for {took:?}");
    // The peer goes on with its message, begins another one, and answers our goodbye.
    let mut rest = vec![7; LONG / 2];
    rest.extend(frame(BINARY_BEGINS, LONG / 2, LONG / 2));
    rest.extend(frame(CONTINUES, LONG / 2, LONG / 2));
    rest.extend(CLOSE);
    let since = Instant::now();
    let (mut reading, mut writing) = tokio::io::split(theirs.into_inner());
    let mut heard = Vec::new();
    let (read, written) = tokio::join!(reading.read_to_end(&mut heard), writing.write_all(&rest));
    read.unwrap();
    written.unwrap();
    assert!(since.elapsed() < AT_ONCE, "its answer was not heard: {:?}", since.elapsed());
    assert_eq!(room.taken_bytes(), 0, "nothing more was taken");
    assert_eq!(heard.iter().filter(|byte| **byte == 5).count(), 100_000);
    assert!(heard.ends_with(b"we stop"));
    drop((reading, writing));
    assert!(matches!(running.task.await.unwrap().reason, CloseReason::Local(_)));
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_gives_way_at_once_and_is_told_when_to_come_back() {
    let room = Room::new(LONG, LONG);
    let (ours, mut dawdler) = link(&room, 1).await;
    let cut = start(ours, CALM, 16, vec![]);
    write(&mut dawdler, &frame(BINARY, LONG, LONG / 2)).await;
    advance(Duration::from_secs(20)).await;
    let (ours, mut next) = link(&room, 2).await;
    let mut served = start(ours, CALM, 16, vec![]);
    let since = Instant::now();
    write(&mut next, &frame(BINARY, LONG, LONG)).await;
    assert_eq!(served.inbound.recv().await.unwrap().len(), LONG);
    // Whoever waits looks for somebody to cut ten times a second.
    assert!(since.elapsed() < Duration::from_millis(150), "waited for {:?}", since.elapsed());
    let goodbye = read_goodbye(&mut dawdler).await.unwrap();
    assert_eq!(goodbye.code, code::TRY_LATER);
    assert!(goodbye.retry_after().is_some_and(|wait| wait >= Duration::from_secs(1)), "{goodbye:?}");
    drop(dawdler);
    assert!(matches!(cut.task.await.unwrap().reason, CloseReason::Failed(LinkError::NoRoom)));
}
