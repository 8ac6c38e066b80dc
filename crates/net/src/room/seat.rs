//! One connection's part of the room.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep};

use super::{BLOCK_BYTES, FREE_BYTES, LOOK_AGAIN, NoRoom, Owner, Room};

/// Holds what one connection has taken; dropped, it gives it back.
#[derive(Debug)]
pub(crate) struct Seat {
    room: Arc<Room>,
    id: u64,
    owner: Owner,
    blocks: usize,
    /// While it waits.
    look_again: Option<Pin<Box<Sleep>>>,
}

impl Seat {
    pub(super) fn new(room: Arc<Room>, id: u64, owner: Owner) -> Self {
        Self { room, id, owner, blocks: 0, look_again: None }
    }

    /// Takes room until there is enough for a message of this length. Must be polled again when it is woken: it may
    /// have been cut meanwhile.
    pub(crate) fn poll_hold(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<Result<(), NoRoom>> {
        let wanted = bytes.saturating_sub(FREE_BYTES).div_ceil(BLOCK_BYTES);
        if wanted == 0 {
            return Poll::Ready(Ok(()));
        }
        if self.is_cut() {
            return Poll::Ready(Err(NoRoom));
        }
        while self.blocks < wanted {
            if self.room.take(self.id, self.owner, cx.waker())? {
                self.blocks += 1;
                self.look_again = None;
                continue;
            }
            let look_again = self.look_again.get_or_insert_with(|| Box::pin(sleep(LOOK_AGAIN)));
            if look_again.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            look_again.as_mut().reset(Instant::now() + LOOK_AGAIN);
        }
        Poll::Ready(Ok(()))
    }

    /// Whether it has room for a message that is not whole, or has not been taken.
    pub(crate) fn is_taken(&self) -> bool {
        self.blocks > 0
    }

    /// Whether it waits for room, and its connection therefore does not read.
    pub(crate) fn is_waiting(&self) -> bool {
        self.look_again.is_some()
    }

    /// The message is all there.
    pub(crate) fn is_whole(&self) {
        if self.blocks > 0
            && let Some(guest) = self.room.lock().guests.get_mut(&self.id)
        {
            guest.is_whole = true;
        }
    }

    /// The message has been taken.
    pub(crate) fn release(&mut self) {
        if self.blocks > 0 || self.look_again.is_some() {
            self.room.lock().leave(self.id);
        }
        self.blocks = 0;
        self.look_again = None;
    }

    pub(super) fn is_cut(&self) -> bool {
        self.room.lock().guests.get(&self.id).is_some_and(|guest| guest.cut_at.is_some())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.release();
    }
}
