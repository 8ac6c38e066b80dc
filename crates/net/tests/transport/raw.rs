//! The other end of a link in a room, which says whatever it likes.

use std::sync::Arc;
use std::time::Duration;

use comity_net::{Connection, Metered, Network, Room, SocketOptions, upgraded};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, advance};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Longest message of a link.
pub const LONG: usize = 256 << 10;

pub const BINARY: u8 = 0x82;
pub const BINARY_BEGINS: u8 = 0x02;
pub const CONTINUES: u8 = 0x00;
pub const NO_SUCH_OPCODE: &[u8] = &[0x83, 0x80, 0, 0, 0, 0];
pub const CLOSE: &[u8] = &[0x88, 0x80, 0, 0, 0, 0];

pub type Theirs = WebSocketStream<DuplexStream>;

/// Our end of a connection in a room, and the other end.
pub async fn link(room: &Arc<Room>, last: u8) -> (Connection, Theirs) {
    link_for(room, last, LONG).await
}

pub async fn link_for(room: &Arc<Room>, last: u8, message_bytes_max: usize) -> (Connection, Theirs) {
    let (near, far) = tokio::io::duplex(4 << 10);
    let near = Metered::new(near);
    let meter = near.meter();
    let network = Network::from(std::net::IpAddr::from([192, 0, 2, last]));
    let options = SocketOptions::new(message_bytes_max).in_room(Arc::clone(room)).from_network(network);
    let ours = upgraded(near, meter, "pipe", &options).await;
    (ours, WebSocketStream::from_raw_socket(far, Role::Client, None).await)
}

/// A frame with a mask that changes nothing.
pub fn frame(first: u8, announced: usize, sent: usize) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | 127];
    bytes.extend((announced as u64).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.resize(bytes.len() + sent, 7);
    bytes
}

pub async fn write(theirs: &mut Theirs, bytes: &[u8]) {
    theirs.get_mut().write_all(bytes).await.unwrap();
}

/// Waits on the paused clock until the room is empty, and gives how long that took.
pub async fn emptied(room: &Room) -> Duration {
    let since = Instant::now();
    while room.taken_bytes() > 0 {
        assert!(since.elapsed() < Duration::from_secs(60), "{} bytes are still held", room.taken_bytes());
        advance(Duration::from_millis(1)).await;
    }
    since.elapsed()
}
