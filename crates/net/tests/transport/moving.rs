use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use comity_net::pump::{CloseReason, Handler, Outgoing, Written, run};
use comity_net::{Frame, Goodbye, LinkError, Meter, SocketOptions, pair, upgraded};
use futures_util::{SinkExt, StreamExt};
use proptest::prelude::*;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::Frame as WsFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::{CALM, accepted, start};

fn message(byte: u8, length: usize) -> Outgoing {
    Outgoing::Message(Bytes::from(vec![byte; length]))
}

#[tokio::test]
async fn two_hundred_small_messages_cost_a_few_writes() {
    let (mut theirs, ours, meter) = accepted(1 << 20).await;
    let before = meter.writes();
    let running = start(ours, CALM, 8, (0..200).map(|number| message(number, 50)).collect());
    for number in 0..200u8 {
        assert_eq!(theirs.next().await.unwrap().unwrap().into_data(), vec![number; 50]);
    }
    assert!(meter.writes() - before <= 3, "{} writes", meter.writes() - before);
    theirs.close(None).await.unwrap();
    drop(theirs);
    let closed = running.task.await.unwrap();
    assert!(closed.flushes <= 3, "{closed:?}");
    assert_eq!(closed.messages_written, 200);
    let credit = running.written.lock().unwrap().iter().fold((0, 0), |sum, w| (sum.0 + w.messages, sum.1 + w.bytes));
    assert_eq!(credit, (200, 200 * 50));
}

#[tokio::test]
async fn a_message_in_two_parts_arrives_as_one() {
    let (mut theirs, ours, _) = accepted(1 << 20).await;
    let parts = |head: usize, rest: usize| Outgoing::Parts(vec![1; head].into(), vec![2; rest].into());
    let sizes = [(0, 0), (3, 0), (0, 5), (200, 100_000), (20_000, 20_000), (1, 16 * 1024)];
    let running = start(ours, CALM, 8, sizes.iter().map(|(head, rest)| parts(*head, *rest)).collect());
    for (head, rest) in sizes {
        assert_eq!(theirs.next().await.unwrap().unwrap().into_data(), [vec![1; head], vec![2; rest]].concat());
    }
    let credit: usize = running.written.lock().unwrap().iter().map(|written| written.messages).sum();
    assert!(credit >= sizes.len() - 1);
    let (one, mut two) = pair(4);
    let _running = start(one, CALM, 4, vec![parts(2, 3)]);
    assert!(matches!(two.receive().await, Some(Ok(Frame::Message(message))) if message == [1, 1, 2, 2, 2][..]));
}

#[tokio::test]
async fn a_peer_that_does_not_read_does_not_stop_us_from_reading() {
    let (mut theirs, ours, meter) = accepted(1 << 20).await;
    let mut running = start(ours, CALM, 8, vec![message(1, 32 << 20), message(2, 10)]);
    for number in 0..100u8 {
        theirs.feed(Message::binary(vec![number; 1000])).await.unwrap();
    }
    theirs.flush().await.unwrap();
    for number in 0..100u8 {
        assert_eq!(running.inbound.recv().await.unwrap(), vec![number; 1000]);
    }
    assert!(meter.bytes_written() < 32 << 20, "the socket was never full");
    assert_eq!(*running.written.lock().unwrap(), [], "credit only for what is really written");
    assert_eq!(theirs.next().await.unwrap().unwrap().len(), 32 << 20);
    assert_eq!(theirs.next().await.unwrap().unwrap().len(), 10);
    assert_eq!(running.written.lock().unwrap()[0], Written { messages: 1, bytes: 32 << 20 });
}

#[tokio::test]
async fn an_owner_that_is_busy_does_not_stop_us_from_writing() {
    let (mut theirs, ours, _) = accepted(1 << 20).await;
    let mut running = start(ours, CALM, 1, vec![]);
    for number in 0..50u8 {
        theirs.send(Message::binary(vec![number])).await.unwrap();
    }
    // Nobody takes these, and still:
    running.outbound.send(message(9, 9)).await.unwrap();
    assert_eq!(theirs.next().await.unwrap().unwrap().into_data(), vec![9; 9]);
    for number in 0..50u8 {
        assert_eq!(running.inbound.recv().await.unwrap(), [number][..]);
    }
}

#[tokio::test]
async fn a_message_at_the_limit_passes_and_one_byte_more_ends_the_link_with_1009() {
    const LIMIT: usize = 200_000;
    let (mut theirs, ours, _) = accepted(LIMIT).await;
    let mut running = start(ours, CALM, 8, vec![]);
    theirs.send(Message::binary(vec![1; LIMIT])).await.unwrap();
    assert_eq!(running.inbound.recv().await.unwrap().len(), LIMIT);
    // Many more bytes than any buffer holds are under way when we refuse: our last word must arrive all the same.
    let (mut write, mut read) = theirs.split();
    let writing = tokio::spawn(async move { write.send(Message::binary(vec![2; LIMIT + 1])).await });
    let Message::Close(Some(close)) = read.next().await.unwrap().unwrap() else { panic!("no close frame") };
    assert_eq!(u16::from(close.code), 1009);
    assert!(close.reason.contains("200000"), "{}", close.reason);
    let _ = writing.await.unwrap();
    drop(read);
    let closed = running.task.await.unwrap();
    let CloseReason::Failed(LinkError::TooLong { size, limit: LIMIT }) = closed.reason else { panic!("{closed:?}") };
    assert_eq!(size, LIMIT + 1);
}

#[tokio::test]
async fn a_message_in_many_frames_is_bounded_too() {
    let (mut theirs, ours, _) = accepted(1000).await;
    let mut running = start(ours, CALM, 8, vec![]);
    for (kind, last) in [(Data::Binary, false), (Data::Continue, true), (Data::Binary, false)] {
        let frame = WsFrame::message(vec![1; 500], OpCode::Data(kind), last);
        theirs.send(Message::Frame(frame)).await.unwrap();
    }
    assert_eq!(running.inbound.recv().await.unwrap().len(), 1000);
    theirs.send(Message::Frame(WsFrame::message(vec![1; 501], OpCode::Data(Data::Continue), true))).await.unwrap();
    let Message::Close(Some(close)) = theirs.next().await.unwrap().unwrap() else { panic!("no close frame") };
    assert_eq!(u16::from(close.code), 1009);
}

#[tokio::test]
async fn text_is_refused_with_1003() {
    let (mut theirs, ours, _) = accepted(1000).await;
    let running = start(ours, CALM, 8, vec![]);
    theirs.send(Message::text("hello")).await.unwrap();
    let Message::Close(Some(close)) = theirs.next().await.unwrap().unwrap() else { panic!("no close frame") };
    assert_eq!(u16::from(close.code), 1003);
    drop(theirs);
    assert!(matches!(running.task.await.unwrap().reason, CloseReason::Failed(LinkError::Text)));
}

#[tokio::test]
async fn text_in_place_of_a_handshake_is_refused() {
    let (mut theirs, mut ours, _) = accepted(1000).await;
    theirs.send(Message::text("hello")).await.unwrap();
    assert!(matches!(ours.receive().await, Some(Err(LinkError::Text))));
}

#[tokio::test]
async fn text_that_is_not_utf8_is_refused_with_1007() {
    let (mut theirs, ours, _) = accepted(1000).await;
    let running = start(ours, CALM, 8, vec![]);
    let frame = WsFrame::message(vec![b'a', 0xff], OpCode::Data(Data::Text), true);
    theirs.send(Message::Frame(frame)).await.unwrap();
    let Message::Close(Some(close)) = theirs.next().await.unwrap().unwrap() else { panic!("no close frame") };
    assert_eq!(u16::from(close.code), 1007);
    drop(theirs);
    assert!(matches!(running.task.await.unwrap().reason, CloseReason::Failed(LinkError::Utf8)));
}

#[tokio::test]
async fn what_was_asked_before_a_broken_frame_is_answered_before_the_goodbye() {
    let (mut theirs, ours, _) = accepted(1000).await;
    let (answers, outbound) = mpsc::channel(8);
    let task = tokio::spawn(run(ours, outbound, Echo(answers), CALM));
    // Both at once, so that they are read in one go: a message, and a frame with an opcode that does not exist.
    theirs.feed(Message::binary(vec![7; 3])).await.unwrap();
    theirs.feed(Message::Frame(WsFrame::message(vec![1], OpCode::Data(Data::Reserved(3)), true))).await.unwrap();
    theirs.flush().await.unwrap();
    assert_eq!(theirs.next().await.unwrap().unwrap(), Message::binary(vec![7; 3]));
    let Message::Close(Some(close)) = theirs.next().await.unwrap().unwrap() else { panic!("no close frame") };
    assert_eq!(u16::from(close.code), 1002);
    drop(theirs);
    assert!(matches!(task.await.unwrap().reason, CloseReason::Failed(LinkError::Protocol { .. })));
}

/// Sends every message back.
struct Echo(mpsc::Sender<Outgoing>);

impl Handler for Echo {
    async fn message(&self, message: Bytes) -> ControlFlow<Goodbye> {
        let _ = self.0.send(Outgoing::Message(message)).await;
        ControlFlow::Continue(())
    }
}

#[tokio::test]
async fn our_goodbye_comes_after_what_was_queued() {
    let (mut theirs, ours, _) = accepted(1000).await;
    let last = Outgoing::Close(Goodbye::new(4401, "sign in first"));
    let running = start(ours, CALM, 8, vec![message(1, 3), message(2, 100_000), last]);
    assert_eq!(theirs.next().await.unwrap().unwrap().len(), 3);
    assert_eq!(theirs.next().await.unwrap().unwrap().len(), 100_000);
    let Message::Close(Some(close)) = theirs.next().await.unwrap().unwrap() else { panic!("no close frame") };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (4401, "sign in first"));
    assert!(theirs.next().await.is_none());
    drop(theirs);
    let closed = running.task.await.unwrap();
    assert!(matches!(closed.reason, CloseReason::Local(Goodbye { code: 4401, .. })), "{closed:?}");
}

#[tokio::test]
async fn each_way_for_a_peer_to_go_is_told_apart() {
    let (mut theirs, ours, _) = accepted(1000).await;
    let running = start(ours, CALM, 8, vec![]);
    let close = tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 1001.into(), reason: "lid shut".into() };
    theirs.close(Some(close)).await.unwrap();
    drop(theirs);
    let closed = running.task.await.unwrap();
    assert!(matches!(&closed.reason, CloseReason::Remote(bye) if *bye == Goodbye::new(1001, "lid shut")), "{closed:?}");

    let (theirs, ours, _) = accepted(1000).await;
    let running = start(ours, CALM, 8, vec![]);
    drop(theirs);
    let closed = running.task.await.unwrap();
    assert!(matches!(closed.reason, CloseReason::Vanished), "{closed:?}");
}

#[tokio::test]
async fn a_link_can_be_ended_from_outside_and_by_its_owner() {
    let (mut theirs, ours, _) = accepted(1000).await;
    let (sender, goodbye) = oneshot::channel();
    let running = start(ours.with_goodbye(goodbye), CALM, 8, vec![]);
    sender.send(Goodbye::restart(Duration::from_secs(4))).unwrap();
    let Message::Close(Some(close)) = theirs.next().await.unwrap().unwrap() else { panic!("no close frame") };
    assert_eq!(u16::from(close.code), 1012);
    drop(theirs);
    assert!(matches!(running.task.await.unwrap().reason, CloseReason::Local(_)));

    let (mut theirs, ours, _) = accepted(1000).await;
    let running = start(ours, CALM, 8, vec![message(5, 5)]);
    drop(running.outbound);
    assert_eq!(theirs.next().await.unwrap().unwrap().len(), 5);
    let Message::Close(Some(close)) = theirs.next().await.unwrap().unwrap() else { panic!("no close frame") };
    assert_eq!(u16::from(close.code), 1000);
}

#[tokio::test]
async fn two_ends_in_memory_behave_like_a_socket() {
    let (one, two) = pair(2);
    let mut left = start(one, CALM, 4, (0..100).map(|number| message(number, 10)).collect());
    let mut right = start(two, CALM, 4, (0..100).map(|number| message(number, 20)).collect());
    for number in 0..100u8 {
        assert_eq!(right.inbound.recv().await.unwrap(), vec![number; 10]);
        assert_eq!(left.inbound.recv().await.unwrap(), vec![number; 20]);
    }
    left.outbound.send(Outgoing::Close(Goodbye::new(1000, "done"))).await.unwrap();
    let closed = right.task.await.unwrap();
    assert!(matches!(&closed.reason, CloseReason::Remote(bye) if bye.reason == "done"), "{closed:?}");
    left.task.await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn messages_of_any_size_arrive_whole_and_in_order_through_a_narrow_pipe(
        sizes in proptest::collection::vec(prop_oneof![0usize..300, 16_000usize..17_000, 60_000usize..70_000], 1..12),
        pipe in 1usize..5000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (near, far) = tokio::io::duplex(pipe);
            let ours = upgraded(near, Arc::<Meter>::default(), "pipe", &SocketOptions::new(1 << 20)).await;
            let mut theirs = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
            let queued = sizes.iter().enumerate().map(|(number, size)| message(number as u8, *size)).collect();
            let mut running = start(ours, CALM, 16, queued);
            for (number, size) in sizes.iter().enumerate() {
                let data = theirs.next().await.unwrap().unwrap().into_data();
                assert_eq!(data, vec![number as u8; *size]);
                theirs.send(Message::Binary(data.clone())).await.unwrap();
                assert_eq!(running.inbound.recv().await.unwrap(), data);
            }
        });
    }
}

#[tokio::test]
async fn frames_can_be_exchanged_by_hand() {
    let (mut theirs, mut ours, _) = accepted(1000).await;
    ours.send(Frame::Message(Bytes::from_static(b"hello"))).await.unwrap();
    assert_eq!(theirs.next().await.unwrap().unwrap().into_data(), "hello");
    theirs.send(Message::binary("back")).await.unwrap();
    assert_eq!(ours.receive().await.unwrap().unwrap(), Frame::Message(Bytes::from_static(b"back")));
    drop(theirs);
    assert!(matches!(ours.receive().await, Some(Err(LinkError::Ended))));
}
