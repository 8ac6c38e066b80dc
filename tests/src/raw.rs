//! A peer that says whatever it likes: a WebSocket and nothing behind it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use comity_model::{DocumentId, Limits, PeerId};
use comity_wire::{Message, PROTOCOL_VERSION, PeerMetadata};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as WsMessage;

use crate::within;

/// Where strangers come from, unless they say otherwise: not where the honest are, who share one machine with them here.
pub const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));

/// What a socket of ours holds that we have not read. Small, so that the relay soon feels who does not read.
const RECEIVE_BUFFER_BYTES: u32 = 64 * 1024;

/// Opens a connection from an address of this machine. All of 127.0.0.0/8 is.
///
/// # Errors
/// When the relay cannot be reached.
pub async fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.bind(SocketAddr::new(from, 0))?;
    within("a connection opens", socket.connect(to)).await
}

/// A socket to a relay, with a name for its side.
pub struct Raw {
    socket: WebSocketStream<TcpStream>,
    /// What this peer calls itself.
    pub peer: PeerId,
    /// What the relay calls itself, once it has said so.
    pub relay: PeerId,
}

/// How the relay closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The WebSocket close code; 1006 when the connection ended without one.
    pub code: u16,
    /// The reason in words.
    pub reason: String,
}

impl Raw {
    /// Opens a socket and says nothing.
    pub async fn silent(url: &str, peer: &str) -> Self {
        Self::silent_from(STRANGER, url, peer).await
    }

    /// Opens a socket from an address and says nothing.
    pub async fn silent_from(from: IpAddr, url: &str, peer: &str) -> Self {
        Self::try_silent(from, url, peer).await.unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    /// Opens a socket from an address, if the relay lets it in, and says nothing.
    ///
    /// # Errors
    /// How it was turned away.
    pub async fn try_silent(from: IpAddr, url: &str, peer: &str) -> Result<Self, String> {
        let address = url.trim_start_matches("ws://").parse().expect("a URL of an address");
        let stream = connect(from, address).await.map_err(|error| error.to_string())?;
        let opened = within("the raw socket opens", tokio_tungstenite::client_async(url, stream)).await;
        let (socket, _) = opened.map_err(|error| error.to_string())?;
        Ok(Self { socket, peer: peer_id(peer), relay: peer_id("unknown") })
    }

    /// Opens a socket and shakes hands.
    pub async fn joined(url: &str, peer: &str) -> Self {
        Self::joined_from(STRANGER, url, peer).await
    }

    /// Opens a socket from an address and shakes hands.
    pub async fn joined_from(from: IpAddr, url: &str, peer: &str) -> Self {
        let mut raw = Self::silent_from(from, url, peer).await;
        let versions = vec![PROTOCOL_VERSION.to_owned()];
        raw.say(&Message::Join { sender: raw.peer.clone(), versions, metadata: PeerMetadata::default() }).await;
        match raw.hear().await {
            Ok(Message::Peer { sender, .. }) => raw.relay = sender,
            other => panic!("the relay answered `join` with {other:?}"),
        }
        raw
    }

    /// Sends a message. A relay that has closed does not hear it.
    pub async fn say(&mut self, message: &Message) {
        self.say_bytes(message.encode()).await;
    }

    /// Sends any bytes as one binary message.
    pub async fn say_bytes(&mut self, bytes: Bytes) {
        // What became of the connection is learnt by listening.
        let _ = within("the relay takes a message", self.socket.send(WsMessage::Binary(bytes))).await;
    }

    /// Sends many messages in one go.
    pub async fn say_all(&mut self, messages: impl IntoIterator<Item = Message>) {
        for message in messages {
            // What became of the connection is learnt by listening.
            let _ = within("the relay takes a message", self.socket.feed(WsMessage::Binary(message.encode()))).await;
        }
        let _ = within("the relay takes the messages", self.socket.flush()).await;
    }

    /// Makes a sync message about a document.
    pub fn sync(&self, document: DocumentId, data: impl Into<Bytes>) -> Message {
        Message::Sync { sender: self.peer.clone(), target: self.relay.clone(), document, data: data.into() }
    }

    /// Makes a request for a document.
    pub fn request(&self, document: DocumentId) -> Message {
        let data = Bytes::from_static(&[0x42, 0, 0, 0, 0]);
        Message::Request { sender: self.peer.clone(), target: self.relay.clone(), document, data }
    }

    /// Sends the data of a sync message.
    pub async fn say_sync(&mut self, document: DocumentId, data: impl Into<Bytes>) {
        self.say(&self.sync(document, data)).await;
    }

    /// Sends an ephemeral message.
    pub async fn say_ephemeral(&mut self, document: DocumentId, count: u64, data: &'static [u8]) {
        let (sender, target) = (self.peer.clone(), self.relay.clone());
        let session = format!("session of {sender}");
        let data = Bytes::from_static(data);
        self.say(&Message::Ephemeral { sender, target, document, session, count, data }).await;
    }

    /// Waits for the next message, or for the end.
    ///
    /// # Errors
    /// How the relay closed.
    pub async fn hear(&mut self) -> Result<Message, Closed> {
        // The relay pings: the deadline is for all of it, or pings would put it off for ever.
        within("the relay says something", self.next()).await
    }

    async fn next(&mut self) -> Result<Message, Closed> {
        let ended = |reason: String| Closed { code: 1006, reason };
        loop {
            match self.socket.next().await {
                Some(Ok(WsMessage::Binary(bytes))) => {
                    return Ok(Message::decode(&bytes, &Limits::default()).expect("the relay speaks the protocol"));
                }
                Some(Ok(WsMessage::Close(Some(frame)))) => {
                    return Err(Closed { code: frame.code.into(), reason: frame.reason.to_string() });
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(ended(error.to_string())),
                None => return Err(ended(String::new())),
            }
        }
    }

    /// Waits until the relay closes; gives what it said before and how it closed.
    pub async fn closed(&mut self) -> (Vec<Message>, Closed) {
        let mut said = Vec::new();
        loop {
            match self.hear().await {
                Ok(message) => said.push(message),
                Err(closed) => return (said, closed),
            }
        }
    }

    /// Waits until the relay refuses what was said: it closes, or says that it was not taken. Gives what it says.
    ///
    /// # Errors
    /// How the relay closed.
    pub async fn refused(&mut self) -> Result<String, Closed> {
        loop {
            if let Message::Error { message, .. } = self.hear().await? {
                return Ok(message);
            }
        }
    }

    /// Asks for a document that nobody has and waits for the answer: when it has come, all that was said about
    /// `neighbour` before has been dealt with. False when the relay closed instead.
    pub async fn is_answered(&mut self, neighbour: DocumentId) -> bool {
        self.said_until_answered(neighbour).await.1
    }

    /// Like [`is_answered`](Self::is_answered), and gives what else the relay said meanwhile.
    pub async fn said_until_answered(&mut self, neighbour: DocumentId) -> (Vec<Message>, bool) {
        // A relay spreads documents over threads by their first two bytes, and each thread works in order.
        let mut id = [0xee; 16];
        id[..2].copy_from_slice(&neighbour.as_bytes()[..2]);
        let unknown = DocumentId::from_bytes(id);
        self.say(&self.request(unknown)).await;
        let mut said = Vec::new();
        loop {
            match self.hear().await {
                Ok(Message::DocUnavailable { document, .. }) if document == unknown => return (said, true),
                Ok(message) => said.push(message),
                Err(_) => return (said, false),
            }
        }
    }
}

fn peer_id(name: &str) -> PeerId {
    PeerId::new(name).unwrap_or_else(|error| panic!("{name:?}: {error}"))
}
