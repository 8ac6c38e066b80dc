//! A connection in memory, for tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::connection::{Connection, Frame, LinkError, Transport};
use crate::meter::Meter;

/// Makes two connected ends. Each direction holds at most `capacity` frames that nobody has received.
pub fn pair(capacity: usize) -> (Connection, Connection) {
    let (one, two) = (Arc::new(Direction::default()), Arc::new(Direction::default()));
    let end = |incoming: &Arc<Direction>, outgoing: &Arc<Direction>| MemoryTransport {
        incoming: incoming.clone(),
        outgoing: outgoing.clone(),
        capacity: capacity.max(1),
        meter: Meter::default(),
        blocked: false,
    };
    (Connection::new("memory:one", end(&one, &two)), Connection::new("memory:two", end(&two, &one)))
}

#[derive(Default)]
struct Direction(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    frames: VecDeque<Frame>,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Direction {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        let mut queue = self.lock();
        queue.ended = true;
        let wakers = [queue.reader.take(), queue.writer.take()];
        drop(queue);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

struct MemoryTransport {
    incoming: Arc<Direction>,
    outgoing: Arc<Direction>,
    capacity: usize,
    meter: Meter,
    blocked: bool,
}

impl MemoryTransport {
    fn push(&self, frame: Frame) -> Result<(), LinkError> {
        let mut queue = self.outgoing.lock();
        if queue.ended {
            return Err(LinkError::Ended);
        }
        queue.frames.push_back(frame);
        self.meter.add_write(1);
        let reader = queue.reader.take();
        drop(queue);
        reader.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

impl Transport for MemoryTransport {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, LinkError>>> {
        let mut queue = self.incoming.lock();
        let Some(frame) = queue.frames.pop_front() else {
            if queue.ended {
                return Poll::Ready(None);
            }
            queue.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let writer = queue.writer.take();
        drop(queue);
        writer.into_iter().for_each(Waker::wake);
        self.meter.add_read(1);
        if let Frame::Ping(payload) = &frame {
            // A full queue holds frames that prove us alive as well as a pong does.
            if self.outgoing.lock().frames.len() < self.capacity {
                let _ = self.push(Frame::Pong(payload.clone()));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let mut queue = self.outgoing.lock();
        if queue.ended {
            return Poll::Ready(Err(LinkError::Ended));
        }
        if queue.frames.len() >= self.capacity {
            queue.writer = Some(cx.waker().clone());
            self.blocked = true;
            return Poll::Pending;
        }
        if std::mem::take(&mut self.blocked) {
            self.meter.add_unblocked();
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(&mut self, frame: Frame) -> Result<(), LinkError> {
        self.push(frame)
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        self.outgoing.end();
        Poll::Ready(())
    }

    fn meter(&self) -> &Meter {
        &self.meter
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        self.outgoing.end();
        self.incoming.end();
    }
}
