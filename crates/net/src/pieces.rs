//! Cuts long frames into pieces on their way in.
//!
//! The WebSocket library reserves memory for the whole of a frame as soon as its header is there, keeps it for good
//! once it has been used, and knows no bound that is shared by connections. None of this matters for short frames. So
//! a long data frame is handed to it as a row of short ones, as if the peer had fragmented its message; only headers
//! are made up, the masked bytes pass as they are. The memory of a message is then that of the bytes that have really
//! come, and [`Seat`] bounds their sum over all connections.
//!
//! When a connection ends, what is still to come of messages is thrown away here, and only control frames pass.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader, ReadBuf};

use self::header::{Bytes14, HEAD_END, header, missing, parse, through_head};
use crate::room::Seat;

/// Longest data frame that the library sees. A multiple of 4, so that a masked frame can be cut with one mask.
pub(crate) const PIECE_BYTES: usize = 4096;

const FINAL: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const BINARY: u8 = 0x02;
const CONTROL: u8 = 0x08;

/// A stream of WebSocket frames in which no data frame is longer than [`PIECE_BYTES`]. Writing passes through.
pub(crate) struct Pieces<S> {
    inner: BufReader<S>,
    place: Place,
    /// What has come of a header.
    gathered: Bytes14,
    /// A header on its way out.
    header: Bytes14,
    frame_bytes_max: usize,
    /// Of the message that is being read, the frame or piece in progress included.
    message_bytes: usize,
    /// The message is complete; the next read says that it has been taken.
    is_whole: bool,
    seat: Option<Seat>,
    /// Data frames are skipped.
    is_stopped: bool,
    /// What is written goes to `unwritten`.
    gathers: bool,
    /// Written before anything else.
    unwritten: BytesMut,
}

/// Where in the stream the next byte is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the head of an HTTP answer, of whose end so many bytes have been seen.
    Head(usize),
    /// In a header.
    Header,
    /// In a frame, or a piece of one.
    Payload { left: usize, frame: Frame },
    /// In something that nobody will see.
    Skipped { left: u64 },
    /// In something that the library will refuse.
    Refused,
}

/// A frame in progress.
#[derive(Clone, Copy, Debug)]
struct Frame {
    first: u8,
    mask: Option<[u8; 4]>,
    /// What comes after this piece.
    rest: u64,
}

impl Frame {
    fn is_data(&self) -> bool {
        self.first & CONTROL == 0
    }

    fn ends_message(&self) -> bool {
        self.is_data() && self.first & FINAL != 0 && self.rest == 0
    }
}

impl<S: AsyncRead> Pieces<S> {
    /// Reads frames. Data frames announced as longer than the limit pass uncut: the library refuses them by their
    /// header.
    pub(crate) fn new(inner: BufReader<S>, frame_bytes_max: usize, seat: Option<Seat>) -> Self {
        Self {
            inner,
            place: Place::Header,
            gathered: Bytes14::default(),
            header: Bytes14::default(),
            frame_bytes_max,
            message_bytes: 0,
            is_whole: false,
            seat,
            is_stopped: false,
            gathers: false,
            unwritten: BytesMut::new(),
        }
    }

    /// Reads the head of an HTTP answer first.
    pub(crate) fn after_head(inner: BufReader<S>, frame_bytes_max: usize) -> Self {
        Self { place: Place::Head(0), ..Self::new(inner, frame_bytes_max, None) }
    }

    pub(crate) fn get_mut(&mut self) -> &mut BufReader<S> {
        &mut self.inner
    }

    /// Whether nothing is read because there is no room.
    pub(crate) fn is_waiting(&self) -> bool {
        self.seat.as_ref().is_some_and(Seat::is_waiting)
    }

    /// Skips data frames from now on, and gives the room back. True when there was some: then the library holds much of
    /// a message that will never be whole.
    pub(crate) fn stop_messages(&mut self) -> bool {
        self.is_stopped = true;
        self.seat.take().is_some_and(|seat| seat.is_taken())
    }

    /// Skips what is left of the frame in progress: whoever reads on has seen nothing of it.
    pub(crate) fn skip_frame(&mut self) {
        self.header = Bytes14::default();
        self.is_whole = false;
        if let Place::Payload { left, frame } = self.place {
            self.skip(left as u64 + frame.rest);
        }
    }

    /// Whether what is written is only gathered, to be written later.
    pub(crate) fn gather(&mut self, gathers: bool) {
        self.gathers = gathers;
    }

    fn skip(&mut self, left: u64) {
        self.place = if left == 0 { Place::Header } else { Place::Skipped { left } };
    }
}

impl<S: AsyncRead + Unpin> Pieces<S> {
    /// Moves on by one step; `false` at the end of the stream.
    fn poll_step(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        if let Some(seat) = &mut self.seat {
            ready!(seat.poll_hold(cx, self.message_bytes)).map_err(io::Error::other)?;
        }
        let available = ready!(Pin::new(&mut self.inner).poll_fill_buf(cx))?;
        if available.is_empty() {
            return Poll::Ready(Ok(false));
        }
        let fits = available.len().min(buf.remaining());
        let used = match &mut self.place {
            Place::Refused => {
                buf.put_slice(&available[..fits]);
                fits
            }
            Place::Head(seen) => {
                let used = through_head(&available[..fits], seen);
                buf.put_slice(&available[..used]);
                if *seen == HEAD_END.len() {
                    self.place = Place::Header;
                }
                used
            }
            Place::Header => {
                let used = available.len().min(missing(self.gathered.as_slice()));
                self.gathered.push(&available[..used]);
                used
            }
            Place::Payload { left, .. } => {
                let used = fits.min(*left);
                buf.put_slice(&available[..used]);
                *left -= used;
                used
            }
            Place::Skipped { left } => {
                let used = usize::try_from(*left).map_or(available.len(), |left| left.min(available.len()));
                *left -= used as u64;
                used
            }
        };
        Pin::new(&mut self.inner).consume(used);
        match self.place {
            Place::Header if missing(self.gathered.as_slice()) == 0 => self.begin_frame(),
            Place::Payload { left: 0, frame } => self.end_piece(frame),
            Place::Skipped { left: 0 } => self.place = Place::Header,
            _ => {}
        }
        Poll::Ready(Ok(true))
    }

    fn begin_frame(&mut self) {
        let gathered = std::mem::take(&mut self.gathered);
        let header = gathered.as_slice();
        let (length, mask) = parse(header);
        let [first, ..] = *header else { return };
        let frame = Frame { first, mask, rest: length };
        let is_known = first & OPCODE <= BINARY;
        if self.is_stopped && frame.is_data() {
            self.skip(length);
        } else if length > self.frame_bytes_max as u64 {
            self.header = gathered;
            self.place = Place::Refused;
        } else if is_known && length > PIECE_BYTES as u64 {
            self.begin_piece(frame);
        } else {
            self.header = gathered;
            self.enter(Frame { rest: 0, ..frame }, length as usize);
        }
    }

    /// Hands on a piece of a frame, which has more than fits into one or is the last of several.
    fn begin_piece(&mut self, mut frame: Frame) {
        let length = frame.rest.min(PIECE_BYTES as u64);
        frame.rest -= length;
        let first = if frame.rest == 0 { frame.first } else { frame.first & !FINAL };
        self.header = header(first, length as u16, frame.mask);
        self.enter(frame, length as usize);
    }

    fn enter(&mut self, frame: Frame, length: usize) {
        if frame.is_data() {
            self.message_bytes += length;
        }
        if length == 0 {
            return self.end_piece(frame);
        }
        self.place = Place::Payload { left: length, frame };
    }

    fn end_piece(&mut self, frame: Frame) {
        if frame.rest > 0 && self.is_stopped {
            return self.skip(frame.rest);
        }
        if frame.rest > 0 {
            // From its second piece on, a frame continues.
            return self.begin_piece(Frame { first: frame.first & FINAL, ..frame });
        }
        self.place = Place::Header;
        if frame.ends_message() {
            self.is_whole = true;
            if let Some(seat) = &self.seat {
                seat.is_whole();
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Pieces<S> {
    /// Stops at the end of each message: who reads on has taken it.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.is_whole && this.header.as_slice().is_empty() {
            this.is_whole = false;
            this.message_bytes = 0;
            if let Some(seat) = &mut this.seat {
                seat.release();
            }
        }
        let before = buf.filled().len();
        loop {
            this.header.drain_into(buf);
            if buf.remaining() == 0 || (this.is_whole && this.header.as_slice().is_empty()) {
                return Poll::Ready(Ok(()));
            }
            match this.poll_step(cx, buf) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if buf.filled().len() > before => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pieces<S> {
    fn poll_unwritten(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unwritten.has_remaining() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.unwritten))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unwritten.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Pieces<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.gathers {
            self.unwritten.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        ready!(self.poll_unwritten(cx))?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gathers {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_unwritten(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_unwritten(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

mod header;
#[cfg(test)]
mod tests;
