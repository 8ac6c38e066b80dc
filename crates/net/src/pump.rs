//! Drives one connection.
//!
//! One task, both directions: each time it is polled it hands on what has come, writes what is queued, and keeps the
//! link alive. Neither direction waits for the other: while the owner is slow to take a message, writing goes on and
//! reading rests; while the peer is slow to read, reading goes on and writing rests.

use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::close::{Goodbye, code};
use crate::connection::{Connection, Frame, LinkError, Transport};
use crate::life::Life;

/// Messages written before the rest of the work gets its turn.
const BATCH_MESSAGES: usize = 256;

/// Bytes written before their credit is reported.
const BATCH_BYTES: usize = 64 * 1024;

/// Messages read before the rest of the work gets its turn.
const READ_BATCH: usize = 64;

/// Longest wait for the peer to answer our goodbye.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// Something to write.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// One message.
    Message(Bytes),
    /// One message in two parts, of which the second may be shared with other links.
    Parts(Bytes, Bytes),
    /// The last word, said after all that was queued before it.
    Close(Goodbye),
}

/// Takes what a link brings.
///
/// Shared, because a message may still be being taken while credit is reported.
pub trait Handler: Send + Sync {
    /// Takes one message. Nothing more is read until this is done: here is the backpressure. `Break` ends the link
    /// with the goodbye.
    fn message(&self, message: Bytes) -> impl Future<Output = ControlFlow<Goodbye>> + Send;

    /// Learns how much has really been handed to the operating system since the last call: that many messages may be
    /// queued anew.
    fn written(&self, _written: Written) {}
}

impl Handler for mpsc::Sender<Bytes> {
    async fn message(&self, message: Bytes) -> ControlFlow<Goodbye> {
        match self.send(message).await {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(Goodbye::new(code::GOING_AWAY, "nobody listens any more")),
        }
    }
}

/// What has been handed to the operating system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Messages.
    pub messages: usize,
    /// Their bytes, without framing.
    pub bytes: usize,
}

/// When to ask whether a silent peer is there, and when to give it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before a ping.
    pub ping_interval: Duration,
    /// Silence before the link is given up. Any byte from the peer ends a silence, and so does room in a socket that
    /// was full. Time in which we did not read does not count.
    pub dead_after: Duration,
}

impl From<&comity_model::Limits> for Keepalive {
    fn from(limits: &comity_model::Limits) -> Self {
        Self { ping_interval: limits.ping_interval, dead_after: limits.dead_after }
    }
}

/// How a link ended, and what went through it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Closed {
    /// Why.
    pub reason: CloseReason,
    /// Messages received.
    pub messages_read: u64,
    /// Messages written.
    pub messages_written: u64,
    /// How often a batch was flushed: few for many messages, or something is wrong.
    pub flushes: u64,
}

/// Why a link ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// We ended it, with this goodbye.
    Local(Goodbye),
    /// The peer ended it, with this goodbye.
    Remote(Goodbye),
    /// The peer went without a goodbye.
    Vanished,
    /// The peer was silent for this long.
    Silent(Duration),
    /// It failed.
    Failed(LinkError),
}

/// Runs a connection until it ends, and ends it properly.
///
/// Messages for the peer come through `outbound`, a bounded channel; when all its senders are gone the link is closed
/// with code 1000. Dropping the future drops the connection at once.
pub async fn run<H: Handler>(
    connection: Connection,
    outbound: mpsc::Receiver<Outgoing>,
    handler: H,
    keepalive: Keepalive,
) -> Closed {
    let Connection { remote, transport, goodbye, .. } = connection;
    // A setting of zero would spin, and one of centuries would overflow the clock.
    let bounded = |wait: Duration| wait.clamp(Duration::from_millis(1), Duration::from_secs(24 * 3600));
    let keepalive =
        Keepalive { ping_interval: bounded(keepalive.ping_interval), dead_after: bounded(keepalive.dead_after) };
    let mut pump = Pump {
        transport,
        outbound,
        goodbye,
        handler: &handler,
        keepalive,
        life: Life::new(),
        unflushed: Written::default(),
        must_flush: false,
        closed: Closed { reason: CloseReason::Vanished, messages_read: 0, messages_written: 0, flushes: 0 },
    };
    let reason = {
        let mut delivery = pin!(None);
        let mut timer = pin!(sleep_until(pump.life.wake_at(keepalive)));
        poll_fn(|cx| {
            let taken = pump.poll_inbound(cx, delivery.as_mut(), |handler, message| handler.message(message));
            pump.poll(cx, taken, timer.as_mut())
        })
        .await
    };
    tracing::debug!(%remote, ?reason, "link ended");
    finish(&mut *pump.transport, &reason, keepalive.dead_after.min(CLOSE_DEADLINE)).await;
    Closed { reason, ..pump.closed }
}

struct Pump<'a, H> {
    transport: Box<dyn Transport>,
    outbound: mpsc::Receiver<Outgoing>,
    goodbye: Option<oneshot::Receiver<Goodbye>>,
    handler: &'a H,
    keepalive: Keepalive,
    life: Life,
    unflushed: Written,
    must_flush: bool,
    closed: Closed,
}

/// Where the inbound direction stands after a poll.
enum Inbound {
    /// Nothing to read.
    Idle,
    /// There may be more: poll again soon.
    More,
    /// The owner has not taken the last message.
    Blocked,
    Ended(CloseReason),
}

impl<'a, H: Handler> Pump<'a, H> {
    /// Reads and hands on, until there is nothing to read or the owner is busy.
    ///
    /// The future of the message being taken lives in the caller's frame, so that no message costs an allocation.
    fn poll_inbound<F: Future<Output = ControlFlow<Goodbye>>>(
        &mut self,
        cx: &mut Context<'_>,
        mut delivery: Pin<&mut Option<F>>,
        deliver: impl Fn(&'a H, Bytes) -> F,
    ) -> Inbound {
        for _ in 0..READ_BATCH {
            if let Some(taking) = delivery.as_mut().as_pin_mut() {
                match taking.poll(cx) {
                    Poll::Pending => return Inbound::Blocked,
                    Poll::Ready(ControlFlow::Continue(())) => delivery.set(None),
                    Poll::Ready(ControlFlow::Break(goodbye)) => return Inbound::Ended(CloseReason::Local(goodbye)),
                }
            }
            match self.transport.poll_receive(cx) {
                Poll::Pending => return Inbound::Idle,
                Poll::Ready(None) | Poll::Ready(Some(Err(LinkError::Ended))) => {
                    return Inbound::Ended(CloseReason::Vanished);
                }
                Poll::Ready(Some(Err(error))) => return Inbound::Ended(CloseReason::Failed(error)),
                Poll::Ready(Some(Ok(Frame::Close(goodbye)))) => return Inbound::Ended(CloseReason::Remote(goodbye)),
                Poll::Ready(Some(Ok(Frame::Message(message)))) => {
                    self.closed.messages_read += 1;
                    delivery.set(Some(deliver(self.handler, message)));
                }
                Poll::Ready(Some(Ok(Frame::Text(_)))) => {
                    return Inbound::Ended(CloseReason::Failed(LinkError::Text));
                }
                // The answer waits in the transport.
                Poll::Ready(Some(Ok(Frame::Ping(_)))) => self.must_flush = true,
                Poll::Ready(Some(Ok(Frame::Pong(_)))) => {}
            }
        }
        Inbound::More
    }

    fn poll(&mut self, cx: &mut Context<'_>, inbound: Inbound, mut timer: Pin<&mut Sleep>) -> Poll<CloseReason> {
        let blocked = matches!(inbound, Inbound::Blocked);
        let mut again = matches!(inbound, Inbound::More);
        if let Inbound::Ended(reason) = inbound {
            if matches!(&reason, CloseReason::Failed(error) if error.goodbye().is_some()) {
                // A mistake of the peer does not undo what it asked before: the answers go first, as far as they are
                // queued and the socket takes them now.
                let _ = self.poll_outbound(cx);
            }
            return Poll::Ready(reason);
        }
        if let Some(goodbye) = self.poll_goodbye(cx) {
            return Poll::Ready(CloseReason::Local(goodbye));
        }
        match self.poll_outbound(cx) {
            Ok(ControlFlow::Continue(more)) => again |= more,
            Ok(ControlFlow::Break(goodbye)) => return Poll::Ready(CloseReason::Local(goodbye)),
            Err(error) => return Poll::Ready(self.why_not_writable(error, cx)),
        }
        self.life.see(self.transport.meter(), blocked || self.transport.is_waiting());
        while timer.as_mut().poll(cx).is_ready() {
            if let Err(silent) = self.check_life(cx) {
                return Poll::Ready(silent);
            }
            timer.as_mut().reset(self.life.wake_at(self.keepalive));
        }
        if again {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Option<Goodbye> {
        let receiver = self.goodbye.as_mut()?;
        match Pin::new(receiver).poll(cx) {
            Poll::Pending => None,
            Poll::Ready(said) => {
                self.goodbye = None;
                said.ok()
            }
        }
    }

    /// Feeds all that is queued, then flushes once: many small messages, one system call. Says whether more waits.
    fn poll_outbound(&mut self, cx: &mut Context<'_>) -> Result<ControlFlow<Goodbye, bool>, LinkError> {
        // A full batch gets its credit before the next one begins.
        if self.unflushed.bytes >= BATCH_BYTES {
            match self.transport.poll_flush(cx)? {
                Poll::Ready(()) => self.flushed(),
                Poll::Pending => return Ok(ControlFlow::Continue(false)),
            }
        }
        let mut last_word = None;
        let mut more = true;
        for _ in 0..BATCH_MESSAGES {
            if self.transport.poll_ready(cx)?.is_pending() {
                more = false;
                break;
            }
            match self.outbound.poll_recv(cx) {
                Poll::Pending => {
                    more = false;
                    break;
                }
                Poll::Ready(Some(Outgoing::Message(message))) => {
                    self.unflushed.messages += 1;
                    self.unflushed.bytes += message.len();
                    self.transport.start_send(Frame::Message(message))?;
                }
                Poll::Ready(Some(Outgoing::Parts(head, rest))) => {
                    self.unflushed.messages += 1;
                    self.unflushed.bytes += head.len() + rest.len();
                    self.transport.start_send_parts(head, rest)?;
                }
                Poll::Ready(Some(Outgoing::Close(goodbye))) => last_word = Some(goodbye),
                Poll::Ready(None) => last_word = Some(Goodbye::new(code::NORMAL, "")),
            }
            if last_word.is_some() || self.unflushed.bytes >= BATCH_BYTES {
                break;
            }
        }
        if self.unflushed.messages > 0 || self.must_flush {
            match self.transport.poll_flush(cx)? {
                Poll::Ready(()) => self.flushed(),
                // The socket wakes us.
                Poll::Pending => more = false,
            }
        }
        Ok(match last_word {
            Some(goodbye) => ControlFlow::Break(goodbye),
            None => ControlFlow::Continue(more),
        })
    }

    fn flushed(&mut self) {
        self.must_flush = false;
        if self.unflushed.messages > 0 {
            self.closed.flushes += 1;
            self.closed.messages_written += self.unflushed.messages as u64;
            self.handler.written(std::mem::take(&mut self.unflushed));
        }
    }

    /// A failed write is often the echo of a goodbye that waits to be read; that one says more.
    fn why_not_writable(&mut self, error: LinkError, cx: &mut Context<'_>) -> CloseReason {
        for _ in 0..READ_BATCH {
            match self.transport.poll_receive(cx) {
                Poll::Ready(Some(Ok(Frame::Close(goodbye)))) => return CloseReason::Remote(goodbye),
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Pending | Poll::Ready(None | Some(Err(_))) => break,
            }
        }
        match error {
            LinkError::Ended => CloseReason::Vanished,
            other => CloseReason::Failed(other),
        }
    }

    fn check_life(&mut self, cx: &mut Context<'_>) -> Result<(), CloseReason> {
        let now = Instant::now();
        let silence = now - self.life.heard;
        if silence >= self.keepalive.dead_after {
            return Err(CloseReason::Silent(silence));
        }
        if now - self.life.asked.max(self.life.heard) >= self.keepalive.ping_interval {
            self.life.asked = now;
            // Where writing is blocked, the question would not get through, and room in the socket is an answer.
            let asked = match self.transport.poll_ready(cx) {
                Poll::Ready(Ok(())) => self.transport.start_send(Frame::Ping(Bytes::new())),
                Poll::Ready(Err(error)) => Err(error),
                Poll::Pending => Ok(()),
            };
            self.must_flush = true;
            let flushed = asked.and_then(|()| match self.transport.poll_flush(cx) {
                Poll::Ready(result) => result.map(|()| self.flushed()),
                Poll::Pending => Ok(()),
            });
            flushed.map_err(|error| self.why_not_writable(error, cx))?;
        }
        Ok(())
    }
}

/// Says goodbye, waits a little for the answer, and ends the connection.
async fn finish(transport: &mut dyn Transport, reason: &CloseReason, deadline: Duration) {
    let goodbye = match reason {
        CloseReason::Local(goodbye) => Some(goodbye.clone()),
        CloseReason::Failed(error) => error.goodbye(),
        // The transport has the answer ready; it only needs a flush.
        CloseReason::Remote(_) => None,
        CloseReason::Vanished | CloseReason::Silent(_) => return,
    };
    // The peer has some seconds to hear us. Others need not wait for its room until then.
    transport.stop_receiving();
    let ending = async {
        if let Some(goodbye) = goodbye {
            poll_fn(|cx| transport.poll_ready(cx)).await?;
            transport.start_send(Frame::Close(goodbye))?;
        }
        poll_fn(|cx| transport.poll_flush(cx)).await?;
        if matches!(reason, CloseReason::Local(_)) {
            while let Some(Ok(frame)) = poll_fn(|cx| transport.poll_receive(cx)).await {
                if let Frame::Close(_) = frame {
                    break;
                }
            }
        }
        poll_fn(|cx| transport.poll_close(cx)).await;
        Ok::<(), LinkError>(())
    };
    // Whether the peer heard us or not, the connection is dropped now.
    let _ = timeout(deadline, ending).await;
}
