//! HTTP by hand.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::raw::connect;
use crate::within;

/// The headers of an upgrade to WebSocket, `host` included.
pub const UPGRADE: &str = "host: relay\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Sends bytes on a connection of their own and reads until the relay closes it.
pub async fn exchange(from: IpAddr, to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(from, to).await.unwrap_or_else(|error| panic!("{to}: {error}"));
    // A relay that has closed already does not hear it.
    let _ = stream.write_all(bytes).await;
    read_to_end(&mut stream).await
}

/// Reads until the relay closes; a reset counts as closed, too.
pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = within("the relay closes the connection", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads the head of an answer.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
    };
    within("the relay answers", read).await;
    String::from_utf8_lossy(&head).into_owned()
}

/// Asks a relay how it is: the status line, and what it says.
pub async fn health(from: IpAddr, to: SocketAddr) -> (String, serde_json::Value) {
    let answer = exchange(from, to, b"GET /health HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.lines().next().unwrap_or_default().to_owned();
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}")))
}
