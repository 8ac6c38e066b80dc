//! Counts what moves on a socket.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Counts of one connection since it opened.
#[derive(Debug, Default)]
pub struct Meter {
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    writes: AtomicU64,
    unblocked: AtomicU64,
}

impl Meter {
    /// Bytes that came from the peer.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Relaxed)
    }

    /// Bytes that the operating system took from us.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written.load(Relaxed)
    }

    /// Calls that wrote something: the cost of small messages.
    pub fn writes(&self) -> u64 {
        self.writes.load(Relaxed)
    }

    /// How often a full socket took bytes again. Only a peer that acknowledges makes room, so this is a sign of life
    /// where `bytes_written` is none: the first megabytes to a dead peer are taken by our own buffers.
    pub fn unblocked(&self) -> u64 {
        self.unblocked.load(Relaxed)
    }

    pub(crate) fn add_read(&self, bytes: usize) {
        self.bytes_read.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn add_write(&self, bytes: usize) {
        self.bytes_written.fetch_add(bytes as u64, Relaxed);
        self.writes.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_unblocked(&self) {
        self.unblocked.fetch_add(1, Relaxed);
    }
}

/// A socket whose traffic is counted. It must be the innermost layer: TLS above it takes bytes that the network has
/// not.
#[derive(Debug)]
pub struct Metered<S> {
    inner: S,
    meter: Arc<Meter>,
    blocked: bool,
}

impl<S> Metered<S> {
    /// Counts the traffic of `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner, meter: Arc::default(), blocked: false }
    }

    /// Gives the counts.
    pub fn meter(&self) -> Arc<Meter> {
        self.meter.clone()
    }

    fn count(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &polled {
            Poll::Pending => self.blocked = true,
            Poll::Ready(Ok(bytes)) => {
                self.meter.add_write(*bytes);
                if std::mem::take(&mut self.blocked) && *bytes > 0 {
                    self.meter.add_unblocked();
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.meter.add_read(buf.filled().len() - before);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.count(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.count(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
