//! One open connection, whatever carries it.

use std::fmt;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::close::Goodbye;
use crate::meter::Meter;
use crate::network::Network;

/// When a peer that was cut to make room may come back: those who waited for the room have had it by then.
const NO_ROOM_WAIT: Duration = Duration::from_secs(5);

/// One unit on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A whole message.
    Message(Bytes),
    /// A whole text message, in UTF-8. A transport carries it; [`pump::run`](crate::pump::run) and
    /// [`Connection::receive`] refuse it, because a link between nodes is binary.
    Text(Bytes),
    /// A question whether we are there. The transport answers it by itself.
    Ping(Bytes),
    /// The answer to a ping.
    Pong(Bytes),
    /// The peer's last word (received), or ours (sent). The transport answers a received one by itself.
    Close(Goodbye),
}

/// Carries frames to and from one peer.
///
/// Both directions are in one object, polled from one task, so a WebSocket needs no lock between its halves and a
/// frame costs one virtual call. The contract:
///
/// 1. [`poll_receive`](Self::poll_receive) may be called at any time; after `None` or an error, never again.
/// 2. [`start_send`](Self::start_send) only right after [`poll_ready`](Self::poll_ready) was ready.
/// 3. What was sent may wait in a small buffer until [`poll_flush`](Self::poll_flush) is ready.
/// 4. [`poll_close`](Self::poll_close) comes last: it ends our direction, then throws away what still comes until the
///    peer ends too. Closing with unread bytes would reset the connection and could destroy our last word on its way.
///    The caller sets a deadline.
/// 5. Whoever ends a connection calls [`stop_receiving`](Self::stop_receiving) first, at any time. After it,
///    [`poll_receive`](Self::poll_receive) still gives the peer's last word.
pub trait Transport: Send + 'static {
    /// Reads the next frame; `None` when the peer has ended the connection.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, LinkError>>>;
    /// Waits until one more frame can be taken.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;
    /// Takes one frame.
    fn start_send(&mut self, frame: Frame) -> Result<(), LinkError>;
    /// Takes a message in two parts, like [`start_send`](Self::start_send). A transport that can do without puts them
    /// together only on the wire.
    fn start_send_parts(&mut self, head: Bytes, rest: Bytes) -> Result<(), LinkError> {
        self.start_send(Frame::Message([head, rest].concat().into()))
    }
    /// Waits until all taken frames are with the operating system.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;
    /// Tells whether the last [`poll_receive`](Self::poll_receive) left unread what the peer may have sent, because there
    /// is no room for it now. That time is not the peer's silence. A transport that wraps another must pass it on.
    fn is_waiting(&self) -> bool {
        false
    }
    /// Gives back at once what is held for messages on their way in. From now on they are thrown away as they come;
    /// what was taken to be sent stays. A transport that holds nothing needs none of this, and one that wraps another
    /// must pass it on.
    fn stop_receiving(&mut self) {}
    /// Ends the connection.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// What has moved so far: how the pump knows a slow peer from a dead one.
    fn meter(&self) -> &Meter;
}

/// One open, ordered, message-preserving connection.
pub struct Connection {
    /// Who is at the other end, for logs: an address or a URL.
    pub remote: String,
    /// The network that somebody opened it from.
    pub network: Option<Network>,
    pub(crate) transport: Box<dyn Transport>,
    pub(crate) goodbye: Option<oneshot::Receiver<Goodbye>>,
}

impl Connection {
    /// Wraps a transport.
    pub fn new(remote: impl Into<String>, transport: impl Transport) -> Self {
        Self { remote: remote.into(), network: None, transport: Box::new(transport), goodbye: None }
    }

    /// Lets the giver end the connection from outside: [`pump::run`](crate::pump::run) says this goodbye when it
    /// comes. Dropping the sender means nothing.
    pub fn with_goodbye(mut self, goodbye: oneshot::Receiver<Goodbye>) -> Self {
        self.goodbye = Some(goodbye);
        self
    }

    /// Puts a layer around what carries the connection.
    pub fn wrapped<T: Transport>(mut self, layer: impl FnOnce(Box<dyn Transport>) -> T) -> Self {
        self.transport = Box::new(layer(self.transport));
        self
    }

    /// Gives direct access to what carries the connection.
    pub fn transport(&mut self) -> &mut dyn Transport {
        &mut *self.transport
    }

    /// Receives one frame; the simple way, for handshakes and tests.
    pub async fn receive(&mut self) -> Option<Result<Frame, LinkError>> {
        match std::future::poll_fn(|cx| self.transport.poll_receive(cx)).await {
            Some(Ok(Frame::Text(_))) => Some(Err(LinkError::Text)),
            received => received,
        }
    }

    /// Sends one frame and flushes; the simple way, for handshakes and tests.
    pub async fn send(&mut self, frame: Frame) -> Result<(), LinkError> {
        std::future::poll_fn(|cx| self.transport.poll_ready(cx)).await?;
        self.transport.start_send(frame)?;
        std::future::poll_fn(|cx| self.transport.poll_flush(cx)).await
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("remote", &self.remote).finish_non_exhaustive()
    }
}

/// Says why a connection failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The operating system reported an error.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The peer sent a message longer than allowed.
    #[error("the peer sent a message of {size} bytes; at most {limit} are allowed (message_bytes_max)")]
    TooLong {
        /// Bytes announced or received.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The peer sent text; only binary messages are spoken.
    #[error("the peer sent a text message; only binary messages are spoken here")]
    Text,
    /// The peer sent text, or a close reason, that is not UTF-8.
    #[error("the peer sent text that is not UTF-8")]
    Utf8,
    /// The peer broke the WebSocket protocol.
    #[error("the peer broke the WebSocket protocol: {detail}")]
    Protocol {
        /// Which rule.
        detail: String,
    },
    /// Memory for messages on their way in was used up, and this connection held some of it for long.
    #[error("cut to make room: a long message came too slowly while others waited")]
    NoRoom,
    /// The peer makes us answer more than it reads.
    #[error("the peer sends pings but does not read the answers")]
    PingFlood,
    /// Sent after the end.
    #[error("the connection has ended")]
    Ended,
}

impl LinkError {
    /// Gives what the peer should be told, if telling it makes sense.
    pub fn goodbye(&self) -> Option<Goodbye> {
        use crate::close::code;
        match self {
            Self::TooLong { limit, .. } => {
                Some(Goodbye::new(code::TOO_LONG, format!("message too long: at most {limit} bytes")))
            }
            Self::Text => Some(Goodbye::new(code::UNSUPPORTED, "only binary messages are spoken here")),
            Self::Utf8 => Some(Goodbye::new(code::NOT_UTF8, "the text is not UTF-8")),
            Self::Protocol { detail } => Some(Goodbye::new(code::PROTOCOL, detail.clone())),
            Self::NoRoom => Some(Goodbye::try_later("no room for a long message now", NO_ROOM_WAIT)),
            Self::Io(_) | Self::PingFlood | Self::Ended => None,
        }
    }
}
