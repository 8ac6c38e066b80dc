//! One link: handshake, then frames in and out.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use comity_engine::{Established, Handshake, HandshakeError, LocalPeer, Peer};
use comity_model::{LinkId, PeerId};
use comity_net::pump::{self, Closed, Keepalive, Written};
use comity_net::{Connection, Frame, Goodbye, LinkError, code};
use comity_wire::{DecodeError, Message};
use tokio::sync::Notify;

use crate::clock;
use crate::evidence::{Kind, Refused};
use crate::node::Inner;
use crate::queue::{Credit, LinkQueue};

/// Longest time for a last word to a peer that may not listen.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(1);

/// A link as the status shows it.
#[derive(Clone, Debug)]
pub struct LinkInfo {
    /// Its number, never reused.
    pub link: LinkId,
    /// Who is there.
    pub peer: Peer,
    /// Address or URL.
    pub remote: String,
    /// When its handshake was done.
    pub since: SystemTime,
    /// Whether this node dialed.
    pub dialed: bool,
}

/// How a link ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkEnd {
    /// The peer said nothing, or too little, in time.
    #[error("no handshake within {} s", .0.as_secs_f32())]
    HandshakeDeadline(Duration),
    /// The handshake failed.
    #[error("handshake failed: {0}")]
    Handshake(#[from] HandshakeError),
    /// The peer's first message could not be read.
    #[error("handshake failed: {0}")]
    Decode(#[from] DecodeError),
    /// The connection broke during the handshake.
    #[error("handshake failed: {0}")]
    Broken(#[from] LinkError),
    /// The peer hung up during the handshake.
    #[error("the peer hung up during the handshake: {}", .0.as_ref().map_or("without a word", |goodbye| &goodbye.reason))]
    HungUp(Option<Goodbye>),
    /// Too many links of this peer.
    #[error("{peer} has {limit} connections already")]
    TooManyOfPeer {
        /// What it calls itself.
        peer: PeerId,
        /// The limit.
        limit: usize,
    },
    /// The peer had more than its share of links from one network, and did not go when it was told.
    #[error("gave way to a connection of the same peer from another network")]
    GaveWay,
    /// It was closed here, and the peer did not read what had been queued before.
    #[error("closed here; the peer did not read what was queued")]
    Unread,
    /// The link worked, then ended.
    #[error("{}", ended(.0))]
    Ended(Closed),
}

impl LinkEnd {
    /// When the peer asked to be left alone for a while.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Ended(Closed { reason: pump::CloseReason::Remote(goodbye), .. }) => goodbye.retry_after(),
            Self::HungUp(Some(goodbye)) => goodbye.retry_after(),
            _ => None,
        }
    }
}

fn ended(closed: &Closed) -> String {
    match &closed.reason {
        pump::CloseReason::Local(goodbye) => format!("closed here: {}", goodbye.reason),
        pump::CloseReason::Remote(goodbye) => format!("closed by the peer: {} ({})", goodbye.reason, goodbye.code),
        pump::CloseReason::Vanished => "the peer vanished".to_owned(),
        pump::CloseReason::Silent(after) => format!("the peer was silent for {} s", after.as_secs()),
        pump::CloseReason::Failed(error) => error.to_string(),
        other => format!("{other:?}"),
    }
}

/// Runs a link from its handshake to its end. `up` is called once the handshake is done.
pub(crate) async fn run(
    inner: &Arc<Inner>,
    mut connection: Connection,
    dialed: bool,
    up: impl FnOnce(&LinkInfo) + Send,
) -> LinkEnd {
    let deadline = inner.limits.join_deadline;
    let peer = match tokio::time::timeout(deadline, shake_hands(inner, &mut connection, dialed)).await {
        Err(_) => {
            say_goodbye(&mut connection, Goodbye::new(code::POLICY, "no handshake in time")).await;
            return LinkEnd::HandshakeDeadline(deadline);
        }
        Ok(Err(end)) => return end,
        Ok(Ok(peer)) => peer,
    };
    let info =
        LinkInfo { link: inner.next_link(), peer, remote: connection.remote.clone(), since: clock::time(), dialed };
    let Some(gives_way) = inner.register(&info, connection.network) else {
        say_goodbye(&mut connection, Goodbye::new(code::TRY_LATER, "too many connections of this peer")).await;
        return LinkEnd::TooManyOfPeer { peer: info.peer.id, limit: inner.limits.connections_per_identity_max };
    };
    // Undone when this future is dropped at any point.
    let registration = Registration { inner: Arc::clone(inner), link: info.link };
    let (queue, outbound) = LinkQueue::new(inner.shards.len(), &inner.limits, info.remote.clone());
    for shard in &inner.shards {
        shard.link_up(info.link, info.peer.clone(), Arc::clone(&queue));
    }
    tracing::info!(link = %info.link, peer = %info.peer.id, remote = %info.remote, dialed, "link up");
    up(&info);
    let leaving = give_way(&gives_way, Arc::clone(&queue));
    let unread = Arc::clone(&queue);
    let handler = Handler { inner: Arc::clone(inner), link: info.link, peer: info.peer.id.clone(), queue };
    let end = tokio::select! {
        closed = pump::run(connection, outbound, handler, Keepalive::from(&inner.limits)) => LinkEnd::Ended(closed),
        () = leaving => LinkEnd::GaveWay,
        () = unread.overdue() => LinkEnd::Unread,
    };
    drop(registration);
    if let LinkEnd::Ended(Closed { reason: pump::CloseReason::Failed(error), .. }) = &end {
        keep_broken(inner, error, Some(&info.peer.id), &info.remote);
    }
    tracing::info!(link = %info.link, peer = %info.peer.id, reason = %end, "link down");
    end
}

/// Waits until the link has to give way, and a little longer, so that the peer can be told.
async fn give_way(bell: &Notify, queue: Arc<LinkQueue>) {
    bell.notified().await;
    queue.end(Goodbye::new(code::TRY_LATER, "too many connections of this peer; another network has a claim"));
    tokio::time::sleep(GOODBYE_DEADLINE).await;
}

struct Registration {
    inner: Arc<Inner>,
    link: LinkId,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.inner.unregister(self.link);
    }
}

async fn shake_hands(inner: &Inner, connection: &mut Connection, dialed: bool) -> Result<Peer, LinkEnd> {
    let local = LocalPeer { id: inner.identity.peer.clone(), storage: inner.identity.storage.clone() };
    let handshake = if dialed {
        let (handshake, join) = Handshake::dial(local);
        connection.send(Frame::Message(join.encode())).await?;
        handshake
    } else {
        Handshake::accept(local)
    };
    let first = loop {
        match connection.receive().await {
            Some(Ok(Frame::Message(bytes))) => break bytes,
            Some(Ok(Frame::Close(goodbye))) => return Err(LinkEnd::HungUp(Some(goodbye))),
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                keep_broken(inner, &error, None, &connection.remote);
                return Err(error.into());
            }
            None => return Err(LinkEnd::HungUp(None)),
        }
    };
    let (sender, established) = match Message::decode(&first, &inner.limits) {
        Ok(message) => (message.sender().cloned(), handshake.receive(message)),
        Err(error) => {
            keep_first(inner, &error, None, &first, &connection.remote);
            say_goodbye(connection, Goodbye::new(code::PROTOCOL, error.to_string())).await;
            return Err(error.into());
        }
    };
    match established {
        Ok(Established { peer, reply }) => {
            if let Some(reply) = reply {
                connection.send(Frame::Message(reply.encode())).await?;
            }
            Ok(peer)
        }
        Err(error) => {
            if let HandshakeError::OutOfPlace { .. } = error {
                keep_first(inner, &error, sender, &first, &connection.remote);
            }
            // The peer may be gone already; it is told if it listens.
            let _ = connection.send(Frame::Message(handshake.refusal(&error).encode())).await;
            say_goodbye(connection, Goodbye::new(code::PROTOCOL, error.to_string())).await;
            Err(error.into())
        }
    }
}

/// Keeps as evidence that a peer broke the rules below the protocol. Its bytes were not read: a message that is too long
/// is refused by its head.
fn keep_broken(inner: &Inner, error: &LinkError, peer: Option<&PeerId>, remote: &str) {
    let size = match error {
        LinkError::TooLong { size, .. } => *size as u64,
        _ => 0,
    };
    if let LinkError::NoRoom = error {
        // Somebody had to give way; the peer may only be slow. The room counts how many did.
        tracing::info!(?peer, remote, "cut to make room for messages of others");
        return;
    }
    // What needs no word to the peer was not its fault, or is a broken line.
    if error.goodbye().is_some() {
        inner.evidence.submit(Refused {
            kind: Kind::Frame,
            reason: error.to_string(),
            document: None,
            peer: peer.cloned(),
            address: Some(remote.to_owned()),
            size,
            bytes: Bytes::new(),
        });
    }
}

/// Keeps as evidence a first message that introduces nobody.
fn keep_first(inner: &Inner, error: &dyn std::error::Error, peer: Option<PeerId>, bytes: &Bytes, remote: &str) {
    inner.evidence.submit(Refused {
        kind: Kind::Handshake,
        reason: error.to_string(),
        document: None,
        peer,
        address: Some(remote.to_owned()),
        size: bytes.len() as u64,
        bytes: bytes.clone(),
    });
}

/// Says a last word on a connection that never became a link. The peer may be gone already.
async fn say_goodbye(connection: &mut Connection, goodbye: Goodbye) {
    connection.transport().stop_receiving();
    let _ = tokio::time::timeout(GOODBYE_DEADLINE, connection.send(Frame::Close(goodbye))).await;
}

struct Handler {
    inner: Arc<Inner>,
    link: LinkId,
    peer: PeerId,
    queue: Arc<LinkQueue>,
}

impl pump::Handler for Handler {
    async fn message(&self, bytes: Bytes) -> ControlFlow<Goodbye> {
        let message = match Message::decode(&bytes, &self.inner.limits) {
            Ok(message) => message,
            Err(DecodeError::UnknownType { .. }) => return ControlFlow::Continue(()),
            Err(error) => {
                let reason = error.to_string();
                self.inner.evidence.submit(Refused {
                    kind: Kind::Message,
                    reason: reason.clone(),
                    document: None,
                    peer: Some(self.peer.clone()),
                    address: Some(self.queue.remote.clone()),
                    size: bytes.len() as u64,
                    bytes,
                });
                return ControlFlow::Break(Goodbye::new(code::PROTOCOL, reason));
            }
        };
        if let Message::Leave { .. } = message {
            return ControlFlow::Break(Goodbye::new(code::NORMAL, "goodbye"));
        }
        let shard = self.inner.shard_for_message(&message);
        if shard.frame(self.link, message).await {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(Goodbye::new(code::GOING_AWAY, "the node is stopping"))
        }
    }

    fn written(&self, written: Written) {
        for Credit { shard, messages, bytes } in self.queue.written(written.messages) {
            self.inner.shards[usize::from(shard)].written(self.link, messages, bytes);
        }
    }
}
