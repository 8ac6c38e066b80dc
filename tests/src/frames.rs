//! WebSocket frames by hand: what no library would send.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use comity_model::PeerId;
use comity_wire::{Message, PROTOCOL_VERSION, PeerMetadata};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::{UPGRADE, read_head};
use crate::raw::{Closed, connect};
use crate::within;

/// The first byte of a whole binary message.
pub const BINARY: u8 = 0x82;

/// The header of a masked frame: the first byte as it is, any length, and a mask of zeros, under which bytes stay what
/// they are.
pub fn header(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..126 => header.push(0x80 | length as u8),
        126..0x1_0000 => {
            header.push(0x80 | 126);
            header.extend((length as u16).to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend(length.to_be_bytes());
        }
    }
    header.extend([0; 4]);
    header
}

/// A masked frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&header(first, payload.len() as u64), payload].concat()
}

/// A joined peer that writes bytes, not messages.
pub struct Bare {
    /// Its socket, behind the handshakes of HTTP and of the protocol.
    pub stream: TcpStream,
}

impl Bare {
    /// Opens a WebSocket and shakes hands.
    pub async fn joined(from: IpAddr, to: SocketAddr, peer: &str) -> Self {
        let mut bare = Self::upgraded(from, to).await;
        let sender = PeerId::new(peer).unwrap_or_else(|error| panic!("{peer}: {error}"));
        let versions = vec![PROTOCOL_VERSION.to_owned()];
        let join = Message::Join { sender, versions, metadata: PeerMetadata::default() };
        bare.write(&frame(BINARY, &join.encode())).await;
        let (first, _) = bare.hear().await.unwrap_or_else(|closed| panic!("{closed:?}"));
        assert_eq!(first, BINARY, "the relay's answer to `join`");
        bare
    }

    /// Opens a WebSocket and says nothing.
    pub async fn upgraded(from: IpAddr, to: SocketAddr) -> Self {
        let mut stream = connect(from, to).await.unwrap_or_else(|error| panic!("{to}: {error}"));
        stream.write_all(format!("GET / HTTP/1.1\r\n{UPGRADE}\r\n").as_bytes()).await.expect("a fresh connection");
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        Self { stream }
    }

    /// Writes bytes; false when the relay has closed.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Reads the next frame: its first byte and its content.
    ///
    /// # Errors
    /// How the relay closed.
    pub async fn hear(&mut self) -> Result<(u8, Bytes), Closed> {
        let ended = |error: std::io::Error| Closed { code: 1006, reason: error.to_string() };
        let (first, content) = within("the relay says something", self.next()).await.map_err(ended)?;
        match (first & 0x0f, &content[..]) {
            (8, [high, low, reason @ ..]) => {
                let reason = String::from_utf8_lossy(reason).into_owned();
                Err(Closed { code: u16::from_be_bytes([*high, *low]), reason })
            }
            (8, _) => Err(Closed { code: 1005, reason: String::new() }),
            _ => Ok((first, content)),
        }
    }

    /// Reads on until the relay closes.
    pub async fn closed(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.hear().await {
                return closed;
            }
        }
    }

    async fn next(&mut self) -> std::io::Result<(u8, Bytes)> {
        let first = self.stream.read_u8().await?;
        let length = match self.stream.read_u8().await? {
            126 => u64::from(self.stream.read_u16().await?),
            127 => self.stream.read_u64().await?,
            short => u64::from(short),
        };
        let mut content = vec![0; usize::try_from(length).expect("the relay sends what fits into memory")];
        self.stream.read_exact(&mut content).await?;
        Ok((first, content.into()))
    }
}
