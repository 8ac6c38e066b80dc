//! A WebSocket as a transport.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures_util::{FutureExt, Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{handshake, protocol::frame::Frame as WsFrame};

use crate::close::{Goodbye, code};
use crate::connection::{Connection, Frame, LinkError, Transport};
use crate::meter::Meter;
use crate::network::Network;
use crate::pieces::Pieces;
use crate::room::{NoRoom, Room};

/// Bytes read from the socket at once.
const SOCKET_READ_BYTES: usize = 4096;

/// Bytes that the WebSocket library takes at once, from memory.
const CHUNK_BYTES: usize = 1024;

/// A longer message is sent in frames of this size. So the write buffer, which never shrinks, stays small; a blocked
/// write never moves megabytes; and a pong can go out in between.
const FRAGMENT_BYTES: usize = 16 * 1024;

/// Bytes that gather before a write.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// Most bytes that wait for the socket: a buffer, a fragment, and the answers to some pings.
const WRITE_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// What a WebSocket accepts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SocketOptions {
    /// Longest message received.
    pub message_bytes_max: usize,
    /// Room for messages that have not wholly arrived, shared with other connections; without it there is no bound but
    /// that of each connection.
    pub room: Option<Arc<Room>>,
    /// Where the connection comes from.
    pub network: Option<Network>,
}

impl SocketOptions {
    /// Accepts messages up to this size.
    pub fn new(message_bytes_max: usize) -> Self {
        Self { message_bytes_max, room: None, network: None }
    }

    /// Shares room with other connections.
    pub fn in_room(mut self, room: Arc<Room>) -> Self {
        self.room = Some(room);
        self
    }

    /// Says where the connection comes from.
    pub fn from_network(mut self, network: Network) -> Self {
        self.network = Some(network);
        self
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
    let seat = options.room.as_ref().map(|room| room.seat(options.network));
    let io = Pieces::new(buffered(io), options.message_bytes_max, seat);
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(options.config())).await;
    let mut connection = Connection::new(remote, WebSocketTransport::new(socket, meter));
    connection.network = options.network;
    connection
}

/// Computes `Sec-WebSocket-Accept` from the client's `Sec-WebSocket-Key`.
pub fn accept_key(key: &[u8]) -> String {
    handshake::derive_accept_key(key)
}

pub(crate) fn buffered<S: AsyncRead>(io: S) -> BufReader<S> {
    BufReader::with_capacity(SOCKET_READ_BYTES, io)
}

pub(crate) struct WebSocketTransport<S> {
    /// `None` only while it is replaced.
    socket: Option<WebSocketStream<Pieces<S>>>,
    meter: Arc<Meter>,
    /// What is left to send of a long message.
    rest: Option<Bytes>,
    write_ended: bool,
}

impl<S> WebSocketTransport<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    pub(crate) fn new(socket: WebSocketStream<Pieces<S>>, meter: Arc<Meter>) -> Self {
        Self { socket: Some(socket), meter, rest: None, write_ended: false }
    }

    fn socket(&mut self) -> &mut WebSocketStream<Pieces<S>> {
        self.socket.as_mut().expect("whoever takes it puts one back")
    }

    fn start_fragment(&mut self, mut bytes: Bytes, kind: Data) -> Result<(), LinkError> {
        let part = bytes.split_to(bytes.len().min(FRAGMENT_BYTES));
        let last = bytes.is_empty();
        self.rest = (!last).then_some(bytes);
        self.start(Message::Frame(WsFrame::message(part, OpCode::Data(kind), last)))
    }

    fn start(&mut self, message: Message) -> Result<(), LinkError> {
        Pin::new(self.socket()).start_send(message).map_err(link_error)
    }
}

impl<S> Transport for WebSocketTransport<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, LinkError>>> {
        let next = ready!(Pin::new(self.socket()).poll_next(cx));
        Poll::Ready(next.map(|message| frame(message.map_err(link_error)?)))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        loop {
            ready!(Pin::new(self.socket()).poll_ready(cx)).map_err(link_error)?;
            match self.rest.take() {
                Some(rest) => self.start_fragment(rest, Data::Continue)?,
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    fn start_send(&mut self, frame: Frame) -> Result<(), LinkError> {
        match frame {
            Frame::Message(bytes) => self.start_fragment(bytes, Data::Binary),
            Frame::Text(bytes) => self.start_fragment(bytes, Data::Text),
            Frame::Ping(bytes) => self.start(Message::Ping(bytes)),
            Frame::Pong(bytes) => self.start(Message::Pong(bytes)),
            Frame::Close(goodbye) if goodbye.code == code::NONE => self.start(Message::Close(None)),
            Frame::Close(goodbye) => {
                let Goodbye { code, reason } = Goodbye::new(goodbye.code, goodbye.reason);
                self.start(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() })))
            }
        }
    }

    fn start_send_parts(&mut self, head: Bytes, rest: Bytes) -> Result<(), LinkError> {
        if rest.is_empty() || head.len() > FRAGMENT_BYTES {
            return self.start_send(Frame::Message([head, rest].concat().into()));
        }
        // A fragment for the head; the others as for any long message.
        self.rest = Some(rest);
        self.start(Message::Frame(WsFrame::message(head, OpCode::Data(Data::Binary), false)))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.poll_ready(cx))?;
        Pin::new(self.socket()).poll_flush(cx).map_err(link_error)
    }

    fn is_waiting(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.get_ref().is_waiting())
    }

    /// The library keeps what it has of a message for as long as it lives, so it is replaced when that is much. Only
    /// connections that were opened to us have a seat in a room, so its role is known.
    fn stop_receiving(&mut self) {
        if !self.socket().get_mut().stop_messages() {
            return;
        }
        let Some(mut old) = self.socket.take() else { return };
        // What it has taken and not written must be written all the same: a few fragments at most.
        old.get_mut().gather(true);
        let _ = Pin::new(&mut old).poll_flush(&mut Context::from_waker(Waker::noop()));
        let config = *old.get_config();
        let mut io = old.into_inner();
        io.gather(false);
        io.skip_frame();
        self.socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).now_or_never();
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.write_ended {
            let ended = ready!(Pin::new(self.socket().get_mut()).poll_shutdown(cx));
            self.write_ended = true;
            if ended.is_err() {
                return Poll::Ready(());
            }
        }
        let io = self.socket().get_mut().get_mut();
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

fn frame(message: Message) -> Result<Frame, LinkError> {
    Ok(match message {
        Message::Binary(bytes) => Frame::Message(bytes),
        Message::Text(text) => Frame::Text(text.into()),
        Message::Ping(bytes) => Frame::Ping(bytes),
        Message::Pong(bytes) => Frame::Pong(bytes),
        Message::Close(Some(close)) => Frame::Close(Goodbye::new(close.code.into(), close.reason.as_str())),
        Message::Close(None) => Frame::Close(Goodbye::new(code::NONE, "")),
        Message::Frame(_) => return Err(LinkError::Protocol { detail: "bare frame".into() }),
    })
}

pub(crate) fn link_error(error: WsError) -> LinkError {
    match error {
        WsError::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<NoRoom>()) => LinkError::NoRoom,
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => LinkError::Ended,
        WsError::Io(error) => LinkError::Io(error),
        WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            LinkError::TooLong { size, limit: max_size }
        }
        WsError::WriteBufferFull(_) => LinkError::PingFlood,
        WsError::Utf8(_) => LinkError::Utf8,
        other => LinkError::Protocol { detail: other.to_string() },
    }
}
