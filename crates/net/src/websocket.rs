//! A WebSocket as a transport.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{handshake, protocol::frame::Frame as WsFrame};

use crate::close::{Goodbye, code};
use crate::connection::{Connection, Frame, LinkError, Transport};
use crate::meter::Meter;

/// Bytes read from the socket at once.
const SOCKET_READ_BYTES: usize = 4096;

/// Bytes that the WebSocket library takes at once, from memory. Small, because it leaves up to this much behind a
/// large message in the same allocation, and the message stays in memory until that rest is used up (see [`Held`]).
const CHUNK_BYTES: usize = 256;

/// A longer message is sent in frames of this size. So the write buffer, which never shrinks, stays small; a blocked
/// write never moves megabytes; and a pong can go out in between.
const FRAGMENT_BYTES: usize = 16 * 1024;

/// Bytes that gather before a write.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// Most bytes that wait for the socket: a buffer, a fragment, and the answers to some pings.
const WRITE_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// A message from this size on is large.
const LARGE_BYTES: usize = 64 * 1024;

/// What a WebSocket accepts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SocketOptions {
    /// Longest message received.
    pub message_bytes_max: usize,
}

impl SocketOptions {
    /// Accepts messages up to this size.
    pub fn new(message_bytes_max: usize) -> Self {
        Self { message_bytes_max }
    }

    pub(crate) fn config(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(CHUNK_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
            .max_message_size(Some(self.message_bytes_max))
            .max_frame_size(Some(self.message_bytes_max))
    }
}

/// Makes a connection of a socket on which a client's upgrade to WebSocket has been answered.
///
/// `meter` counts the traffic of the innermost socket; see [`Metered`](crate::Metered).
pub async fn upgraded<S>(io: S, meter: Arc<Meter>, remote: impl Into<String>, options: &SocketOptions) -> Connection
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let socket = WebSocketStream::from_raw_socket(buffered(io), Role::Server, Some(options.config())).await;
    Connection::new(remote, WebSocketTransport::new(socket, meter))
}

/// Computes `Sec-WebSocket-Accept` from the client's `Sec-WebSocket-Key`.
pub fn accept_key(key: &[u8]) -> String {
    handshake::derive_accept_key(key)
}

pub(crate) fn buffered<S: AsyncRead>(io: S) -> BufReader<S> {
    BufReader::with_capacity(SOCKET_READ_BYTES, io)
}

pub(crate) struct WebSocketTransport<S> {
    socket: WebSocketStream<BufReader<S>>,
    meter: Arc<Meter>,
    /// What is left to send of a long message.
    rest: Option<Bytes>,
    held: Option<Held>,
    write_ended: bool,
}

/// Keeps the last large message alive a little longer, so that its memory is freed.
///
/// The read buffer of tungstenite shares the allocation of the last message and, when it is the only owner, keeps it
/// for good: one upload of 60 MiB would cost 60 MiB as long as the connection lives. While somebody else holds the
/// message, the buffer cannot have it back and makes a new small one as soon as it has used up what was behind the
/// message, which is at most [`CHUNK_BYTES`].
struct Held {
    _message: Bytes,
    remaining: usize,
}

impl<S> WebSocketTransport<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    pub(crate) fn new(socket: WebSocketStream<BufReader<S>>, meter: Arc<Meter>) -> Self {
        Self { socket, meter, rest: None, held: None, write_ended: false }
    }

    fn received(&mut self, message: Message) -> Result<Frame, LinkError> {
        let frame = match message {
            Message::Binary(bytes) => Frame::Message(bytes),
            Message::Ping(bytes) => Frame::Ping(bytes),
            Message::Pong(bytes) => Frame::Pong(bytes),
            Message::Close(Some(close)) => Frame::Close(Goodbye::new(close.code.into(), close.reason.as_str())),
            Message::Close(None) => Frame::Close(Goodbye::new(code::NONE, "")),
            Message::Text(_) => return Err(LinkError::Text),
            Message::Frame(_) => return Err(LinkError::Protocol { detail: "bare frame".into() }),
        };
        let bytes = match &frame {
            Frame::Message(bytes) if bytes.len() >= LARGE_BYTES => {
                self.held = Some(Held { _message: bytes.clone(), remaining: 2 * CHUNK_BYTES });
                return Ok(frame);
            }
            Frame::Message(bytes) | Frame::Ping(bytes) | Frame::Pong(bytes) => bytes.len(),
            Frame::Close(_) => 0,
        };
        if let Some(held) = &mut self.held {
            // At least this much has gone through the buffer: a frame has a header of two bytes or more.
            held.remaining = held.remaining.saturating_sub(bytes + 2);
            if held.remaining == 0 {
                self.held = None;
            }
        }
        Ok(frame)
    }

    fn start_fragment(&mut self, mut bytes: Bytes, first: bool) -> Result<(), LinkError> {
        let part = bytes.split_to(bytes.len().min(FRAGMENT_BYTES));
        let kind = OpCode::Data(if first { Data::Binary } else { Data::Continue });
        let last = bytes.is_empty();
        self.rest = (!last).then_some(bytes);
        self.start(Message::Frame(WsFrame::message(part, kind, last)))
    }

    fn start(&mut self, message: Message) -> Result<(), LinkError> {
        Pin::new(&mut self.socket).start_send(message).map_err(link_error)
    }
}

impl<S> Transport for WebSocketTransport<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, LinkError>>> {
        let next = ready!(Pin::new(&mut self.socket).poll_next(cx));
        Poll::Ready(next.map(|message| self.received(message.map_err(link_error)?)))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        loop {
            ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(link_error)?;
            match self.rest.take() {
                Some(rest) => self.start_fragment(rest, false)?,
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    fn start_send(&mut self, frame: Frame) -> Result<(), LinkError> {
        match frame {
            Frame::Message(bytes) if bytes.len() > FRAGMENT_BYTES => self.start_fragment(bytes, true),
            Frame::Message(bytes) => self.start(Message::Binary(bytes)),
            Frame::Ping(bytes) => self.start(Message::Ping(bytes)),
            Frame::Pong(bytes) => self.start(Message::Pong(bytes)),
            Frame::Close(goodbye) if goodbye.code == code::NONE => self.start(Message::Close(None)),
            Frame::Close(goodbye) => {
                let Goodbye { code, reason } = Goodbye::new(goodbye.code, goodbye.reason);
                self.start(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() })))
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.poll_ready(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx).map_err(link_error)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let io = self.socket.get_mut();
        if !self.write_ended {
            let ended = ready!(Pin::new(&mut *io).poll_shutdown(cx));
            self.write_ended = true;
            if ended.is_err() {
                return Poll::Ready(());
            }
        }
        let mut scratch = [0; SOCKET_READ_BYTES];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut *io).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }

    fn meter(&self) -> &Meter {
        &self.meter
    }
}

pub(crate) fn link_error(error: WsError) -> LinkError {
    match error {
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => LinkError::Ended,
        WsError::Io(error) => LinkError::Io(error),
        WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            LinkError::TooLong { size, limit: max_size }
        }
        WsError::WriteBufferFull(_) => LinkError::PingFlood,
        WsError::Utf8(_) => LinkError::Text,
        other => LinkError::Protocol { detail: other.to_string() },
    }
}
