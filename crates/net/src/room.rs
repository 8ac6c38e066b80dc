//! Room for messages on their way in, shared by all connections.
//!
//! One message may be long, and there may be thousands of connections: together they could fill any memory with
//! messages that never end. So what goes beyond a small allowance takes room from a common store. Who finds none waits
//! and does not read; its peer notices by TCP. What comes free goes to the network with the fewest long messages.
//!
//! Waiting alone would let a few peers that never finish keep everybody else waiting. So while somebody waits, one who
//! dawdles may be cut, first where the most is held. Where all wait for each other, one must be cut, first where the most
//! messages come from. Who uploads at a fair pace is not touched before that, and who sends short messages never needs
//! any of this.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::network::Network;

/// Bytes of a message that take no room: more than most messages have.
pub(crate) const FREE_BYTES: usize = 16 * 1024;

/// Room is handed out in blocks of this size.
const BLOCK_BYTES: usize = 16 * 1024;

/// Who waits looks this often for somebody to cut.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Who waits and has not looked for so long has something else to do, such as ending: others come first. The same time
/// is enough for one that is cut to go.
const AWAY_AFTER: Duration = Duration::from_secs(1);

/// A message that has begun so long ago has a pace.
const PACE_AFTER: Duration = Duration::from_secs(1);

/// The least pace of a message while others wait for room. A mobile phone in a field does better.
const PACE_BYTES_PER_SECOND_MIN: u64 = 32 * 1024;

/// The room of one relay.
#[derive(Debug)]
pub struct Room {
    blocks_max: usize,
    cut: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    taken: usize,
    next: u64,
    /// Who takes room or waits for some, by seat.
    guests: BTreeMap<u64, Guest>,
    /// What the guests of each owner have together.
    shares: BTreeMap<Owner, Share>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    guests: usize,
    blocks: usize,
}

#[derive(Debug)]
struct Guest {
    owner: Owner,
    blocks: usize,
    since: Instant,
    /// Since when it waits for more.
    waits_since: Option<Instant>,
    /// For how long it has waited before.
    waited: Duration,
    /// It is all there and will be taken.
    is_whole: bool,
    cut_at: Option<Instant>,
    /// When it last looked for room.
    looked_at: Instant,
    waker: Waker,
}

/// Whose holdings are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Network(Network),
    /// A connection of unknown origin.
    Seat(u64),
}

/// Says that a connection was cut to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no room for long messages that arrive this slowly")]
pub(crate) struct NoRoom;

impl Room {
    /// Makes room for so many bytes beyond what each connection has free. A message of `message_bytes_max` always has
    /// room when it is alone.
    pub fn new(bytes_max: usize, message_bytes_max: usize) -> Arc<Self> {
        let blocks_max = (bytes_max / BLOCK_BYTES).max(message_bytes_max.div_ceil(BLOCK_BYTES) + 1);
        Arc::new(Self { blocks_max, cut: AtomicU64::new(0), table: Mutex::default() })
    }

    /// Gives how many bytes are taken.
    pub fn taken_bytes(&self) -> usize {
        self.lock().taken * BLOCK_BYTES
    }

    /// Gives how many connections were cut since the start.
    pub fn cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    pub(crate) fn seat(self: &Arc<Self>, network: Option<Network>) -> Seat {
        let mut table = self.lock();
        let id = table.next;
        table.next += 1;
        drop(table);
        let owner = network.map_or(Owner::Seat(id), Owner::Network);
        Seat { room: Arc::clone(self), id, owner, blocks: 0, look_again: None }
    }

    /// Takes a block, if there is one and nobody should have it first; else waits. Whoever waits may have somebody cut.
    fn take(&self, id: u64, owner: Owner, waker: &Waker) -> Result<bool, NoRoom> {
        let now = Instant::now();
        let mut table = self.lock();
        let guest = table.guest(id, owner, now, waker);
        guest.waker.clone_from(waker);
        guest.looked_at = now;
        guest.waits_since.get_or_insert(now);
        if table.taken < self.blocks_max {
            let first = table.first_waiter(now);
            if first == Some(id) {
                table.give(id, now);
                return Ok(true);
            }
            table.wake(first);
        } else if let Some(victim) = table.victim(now) {
            self.cut.fetch_add(1, Ordering::Relaxed);
            if let Some(guest) = table.guests.get_mut(&victim) {
                guest.cut_at = Some(now);
                guest.waker.wake_by_ref();
            }
            if victim == id {
                return Err(NoRoom);
            }
        }
        Ok(false)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it is held.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn guest(&mut self, id: u64, owner: Owner, now: Instant, waker: &Waker) -> &mut Guest {
        self.guests.entry(id).or_insert_with(|| {
            self.shares.entry(owner).or_default().guests += 1;
            Guest::new(owner, now, waker)
        })
    }

    fn share(&self, owner: Owner) -> Share {
        self.shares.get(&owner).copied().unwrap_or_default()
    }

    /// Gives who gets the next block: of the owner with the fewest messages and the least room, who came first.
    fn first_waiter(&self, now: Instant) -> Option<u64> {
        let waits =
            |guest: &Guest| guest.waits_since.is_some() && guest.cut_at.is_none() && now - guest.looked_at < AWAY_AFTER;
        let waiting = self.guests.iter().filter(|(_, guest)| waits(guest));
        let rank = |guest: &Guest| {
            let Share { guests, blocks } = self.share(guest.owner);
            (guests, blocks, guest.waits_since)
        };
        waiting.min_by_key(|(_, guest)| rank(guest)).map(|(id, _)| *id)
    }

    /// Chooses who is cut, if anybody deserves it.
    fn victim(&self, now: Instant) -> Option<u64> {
        if self.guests.values().any(|guest| guest.cut_at.is_some_and(|cut| now - cut < AWAY_AFTER)) {
            // Its room is on its way back.
            return None;
        }
        let holders = || self.guests.iter().filter(|(_, guest)| guest.blocks > 0 && guest.cut_at.is_none());
        if holders().all(|(_, guest)| guest.waits_since.is_some()) {
            // Nobody will ever give anything back.
            let rank = |guest: &Guest| {
                let Share { guests, blocks } = self.share(guest.owner);
                (guests, blocks, guest.blocks)
            };
            return holders().max_by_key(|(_, guest)| rank(guest)).map(|(id, _)| *id);
        }
        let dawdles = |guest: &Guest| !guest.is_whole && guest.waits_since.is_none() && guest.is_slow(now);
        // Who holds most: cutting those who hold little gives little back.
        let rank = |guest: &Guest| (self.share(guest.owner).blocks, guest.blocks, std::cmp::Reverse(guest.pace(now)));
        holders().filter(|(_, guest)| dawdles(guest)).max_by_key(|(_, guest)| rank(guest)).map(|(id, _)| *id)
    }

    fn give(&mut self, id: u64, now: Instant) {
        let Some(guest) = self.guests.get_mut(&id) else { return };
        if guest.blocks == 0 {
            guest.since = now;
        } else {
            guest.waited += guest.waits_since.map_or(Duration::ZERO, |since| now - since);
        }
        guest.waits_since = None;
        guest.blocks += 1;
        self.taken += 1;
        self.shares.entry(guest.owner).or_default().blocks += 1;
        // There may be another block for another.
        self.wake(self.first_waiter(now));
    }

    fn leave(&mut self, id: u64) {
        let Some(guest) = self.guests.remove(&id) else { return };
        self.taken -= guest.blocks;
        if let Some(share) = self.shares.get_mut(&guest.owner) {
            share.guests -= 1;
            share.blocks -= guest.blocks;
            if share.guests == 0 {
                self.shares.remove(&guest.owner);
            }
        }
        self.wake(self.first_waiter(Instant::now()));
    }

    fn wake(&self, id: Option<u64>) {
        if let Some(guest) = id.and_then(|id| self.guests.get(&id)) {
            guest.waker.wake_by_ref();
        }
    }
}

impl Guest {
    fn new(owner: Owner, now: Instant, waker: &Waker) -> Self {
        Self {
            owner,
            blocks: 0,
            since: now,
            waits_since: None,
            waited: Duration::ZERO,
            is_whole: false,
            cut_at: None,
            looked_at: now,
            waker: waker.clone(),
        }
    }

    /// For how long it could have sent.
    fn age(&self, now: Instant) -> Duration {
        let waits = self.waits_since.map_or(Duration::ZERO, |since| now - since);
        (now - self.since).saturating_sub(self.waited + waits)
    }

    /// Bytes a second.
    fn pace(&self, now: Instant) -> u64 {
        let ms = u64::try_from(self.age(now).as_millis()).unwrap_or(u64::MAX).max(1);
        (self.blocks * BLOCK_BYTES) as u64 * 1_000 / ms
    }

    fn is_slow(&self, now: Instant) -> bool {
        self.age(now) >= PACE_AFTER && self.pace(now) < PACE_BYTES_PER_SECOND_MIN
    }
}

/// One connection's part of the room.
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

    fn is_cut(&self) -> bool {
        self.room.lock().guests.get(&self.id).is_some_and(|guest| guest.cut_at.is_some())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests;
