//! What a node keeps of what it refuses.

use std::path::Path;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use comity_model::{DocumentId, PeerId};
use comity_net::{Connection, Frame, LinkError, Meter, Transport, pair};
use comity_node::evidence::{self, Kept, Kind};
use comity_node::{LinkEnd, Node};
use comity_wire::Message;

use crate::open;

/// Connects as a stranger that has introduced itself.
async fn joined(node: &Node, name: &str) -> (Connection, tokio::task::JoinHandle<LinkEnd>) {
    let (mut client, server) = pair(64);
    let serving = tokio::spawn({
        let node = node.clone();
        async move { node.accept(server).await }
    });
    let metadata = Default::default();
    let join = Message::Join { sender: PeerId::new(name).unwrap(), versions: vec!["1".to_owned()], metadata };
    client.send(Frame::Message(join.encode())).await.unwrap();
    assert!(matches!(client.receive().await, Some(Ok(Frame::Message(_)))));
    (client, serving)
}

/// Waits for so many records, and gives the last.
async fn record(folder: &Path, number: u64) -> Kept {
    let folder = folder.join(evidence::FOLDER);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(kept) = evidence::read_one(&folder, number).unwrap() {
            return kept;
        }
        assert!(tokio::time::Instant::now() < deadline, "record {number} did not come");
        // A thread of the runtime writes the file, and nothing tells when it has.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A Bloom filter with one entry and no bits, at which Automerge would divide by zero.
const ZERO_BITS: &[u8] = &[0x42, 0, 0, 1, 0, 3, 1, 0, 7, 0];

#[tokio::test]
async fn each_sort_of_refusal_is_kept_with_who_what_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let document = DocumentId::from_bytes([9; 16]);
    let target = node.peer().clone();

    // A message that is none.
    let (mut client, serving) = joined(&node, "talker").await;
    client.send(Frame::Message(Bytes::from_static(b"hello"))).await.unwrap();
    let kept = record(folder.path(), 1).await;
    assert_eq!((kept.record.kind, kept.bytes.as_slice()), (Kind::Message, b"hello".as_slice()));
    assert_eq!(kept.record.peer.as_ref().unwrap().as_str(), "talker");
    assert!(kept.record.address.is_some() && !kept.record.reason.is_empty(), "{kept:?}");
    assert!(evidence::explain(&kept)[0].starts_with("not a message: "), "{:?}", evidence::explain(&kept));
    drop(client);
    serving.await.unwrap();

    // A sync message that admission refuses.
    let (mut client, serving) = joined(&node, "mallory").await;
    let data = Bytes::from_static(ZERO_BITS);
    let sender = PeerId::new("mallory").unwrap();
    let sync = Message::Sync { sender: sender.clone(), target: target.clone(), document, data: data.clone() };
    client.send(Frame::Message(sync.encode())).await.unwrap();
    let kept = record(folder.path(), 2).await;
    assert_eq!((kept.record.kind, kept.bytes.as_slice()), (Kind::Admission, ZERO_BITS));
    assert_eq!((kept.record.document, kept.record.size), (Some(document), 10));
    assert!(evidence::explain(&kept)[3].contains("1 entries, 0 bits"), "{:?}", evidence::explain(&kept));
    drop(client);
    serving.await.unwrap();

    // A message under the name of somebody else.
    let (mut client, serving) = joined(&node, "thief").await;
    let forged = Message::Sync { sender, target, document, data }.encode();
    client.send(Frame::Message(forged.clone())).await.unwrap();
    let kept = record(folder.path(), 3).await;
    assert_eq!((kept.record.kind, kept.bytes.as_slice()), (Kind::Protocol, forged.as_ref()));
    assert_eq!(kept.record.peer.as_ref().unwrap().as_str(), "thief", "the peer of the connection, not the claim");
    assert!(kept.record.reason.contains("mallory"), "{}", kept.record.reason);
    assert_eq!(evidence::explain(&kept)[0], "message `sync`");
    drop(client);
    serving.await.unwrap();

    // A first message that introduces nobody.
    let (mut client, server) = pair(64);
    client.send(Frame::Message(forged.clone())).await.unwrap();
    assert!(matches!(node.accept(server).await, LinkEnd::Handshake(_)));
    let kept = record(folder.path(), 4).await;
    assert_eq!((kept.record.kind, kept.bytes.as_slice()), (Kind::Handshake, forged.as_ref()));
    assert_eq!(node.evidence_kept().0, 4);
    node.close().await.unwrap();
}

/// A peer that has introduced itself, and then the connection fails in some way.
struct Fails {
    join: Option<Message>,
    error: Option<LinkError>,
    meter: Meter,
}

impl Transport for Fails {
    fn poll_receive(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, LinkError>>> {
        let join = self.join.take().map(|join| Ok(Frame::Message(join.encode())));
        Poll::Ready(join.or_else(|| self.error.take().map(Err)))
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(&mut self, _: Frame) -> Result<(), LinkError> {
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn meter(&self) -> &Meter {
        &self.meter
    }
}

#[test]
fn who_is_cut_to_make_room_has_done_nothing_wrong() {
    // One thread writes what is kept, and closes the store after it: then all that was refused is on disk.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let node = open(folder.path()).await;
        let join = || {
            let sender = PeerId::new("slow").unwrap();
            Message::Join { sender, versions: vec!["1".to_owned()], metadata: Default::default() }
        };
        for join in [Some(join()), None] {
            let slow = Fails { join, error: Some(LinkError::NoRoom), meter: Meter::default() };
            let end = node.accept(Connection::new("slow", slow)).await;
            assert!(end.to_string().contains("make room"), "{end}");
        }
        let rude = Fails { join: Some(join()), error: Some(LinkError::Text), meter: Meter::default() };
        node.accept(Connection::new("rude", rude)).await;
        node.close().await.unwrap();
        let records = evidence::read(&folder.path().join(evidence::FOLDER)).unwrap().records;
        let kept: Vec<_> = records.iter().map(|record| (record.kind, record.address.as_deref())).collect();
        assert_eq!(kept, [(Kind::Frame, Some("rude"))], "and nothing else");
    });
}
