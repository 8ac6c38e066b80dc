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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::network::Network;

pub(crate) use self::seat::Seat;

/// Bytes of a message that take no room: more than most messages have.
pub(crate) const FREE_BYTES: usize = 16 * 1024;

/// Room is handed out in blocks of this size.
const BLOCK_BYTES: usize = 16 * 1024;

/// Who waits looks this often for somebody to cut, and all who wait together do not look more often: looking goes over
/// all guests.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Who waits and has not looked for so long has something else to do, such as ending: others come first. The same time
/// is enough for one that is cut to go.
const AWAY_AFTER: Duration = Duration::from_secs(1);

/// A message that has begun so long ago has a pace.
const PACE_AFTER: Duration = Duration::from_secs(1);

/// The least pace of a message while others wait for room. A mobile phone in a field does better.
const PACE_BYTES_PER_SECOND_MIN: u64 = 32 * 1024;

/// A message that has needed no further block for so long has no pace any more, however much of it came before. Less than
/// a block may have come meanwhile: that is no pace either.
const STALL_AFTER: Duration = Duration::from_secs(10);

/// While this part of the room is on its way back from those who were cut, nobody else is. Where many hold a little each,
/// to wait for each of them would take long.
const RETURNING_SHARE: usize = 8;

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
    /// The owners of those who wait, in the order in which they get something.
    queue: BTreeSet<(Rank, Owner)>,
    /// When somebody last looked for whom to cut.
    searched_at: Option<Instant>,
    /// Guests that were looked at to find somebody.
    #[cfg(test)]
    visited: usize,
}

#[derive(Debug, Default)]
struct Share {
    guests: usize,
    blocks: usize,
    /// Those of its guests who wait, with since when.
    waiting: BTreeSet<(Instant, u64)>,
}

/// Guests and blocks of an owner, and who of them has waited longest. The least gets the next block.
type Rank = (usize, usize, (Instant, u64));

impl Share {
    /// Gives where it stands in the queue, if anybody waits.
    fn rank(&self) -> Option<Rank> {
        Some((self.guests, self.blocks, *self.waiting.first()?))
    }
}

#[derive(Debug)]
struct Guest {
    owner: Owner,
    blocks: usize,
    since: Instant,
    /// When it got a block last.
    given_at: Instant,
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
        Seat::new(Arc::clone(self), id, owner)
    }

    /// Takes a block, if there is one and nobody should have it first; else waits. Whoever waits may have somebody cut.
    fn take(&self, id: u64, owner: Owner, waker: &Waker) -> Result<bool, NoRoom> {
        let now = Instant::now();
        let mut table = self.lock();
        if !table.look(id, owner, now, waker) {
            return Err(NoRoom);
        }
        if table.taken < self.blocks_max {
            let first = table.first_waiter(now);
            if first == Some(id) {
                table.give(id, now);
                return Ok(true);
            }
            table.wake(first);
        } else if let Some(victim) = table.search_victim(now, self.blocks_max) {
            self.cut.fetch_add(1, Ordering::Relaxed);
            table.cut(victim, now);
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
    /// Notes that a guest, who may be new, looks for room. False when it was cut.
    fn look(&mut self, id: u64, owner: Owner, now: Instant, waker: &Waker) -> bool {
        if !self.guests.contains_key(&id) {
            self.change(owner, |share| share.guests += 1);
        }
        let guest = self.guests.entry(id).or_insert_with(|| Guest::new(owner, now, waker));
        guest.waker.clone_from(waker);
        guest.looked_at = now;
        if guest.cut_at.is_some() {
            return false;
        }
        let since = *guest.waits_since.get_or_insert(now);
        self.change(owner, |share| _ = share.waiting.insert((since, id)));
        true
    }

    /// Changes an owner's share, and with it the owner's place in the queue.
    fn change(&mut self, owner: Owner, change: impl FnOnce(&mut Share)) {
        let share = self.shares.entry(owner).or_default();
        if let Some(rank) = share.rank() {
            self.queue.remove(&(rank, owner));
        }
        change(share);
        if let Some(rank) = share.rank() {
            self.queue.insert((rank, owner));
        } else if share.guests == 0 {
            self.shares.remove(&owner);
        }
    }

    /// Gives how many guests and blocks an owner has.
    fn share(&self, owner: Owner) -> (usize, usize) {
        self.shares.get(&owner).map_or((0, 0), |share| (share.guests, share.blocks))
    }

    /// Gives who gets the next block: of the owner with the fewest messages and the least room, who came first. Who has
    /// gone away leaves the queue, and comes back to it with the next look.
    fn first_waiter(&mut self, now: Instant) -> Option<u64> {
        loop {
            let ((_, _, (since, id)), owner) = *self.queue.first()?;
            #[cfg(test)]
            {
                self.visited += 1;
            }
            if self.guests.get(&id).is_some_and(|guest| now - guest.looked_at < AWAY_AFTER) {
                return Some(id);
            }
            self.change(owner, |share| _ = share.waiting.remove(&(since, id)));
        }
    }

    /// Chooses who is cut, unless somebody has just looked.
    fn search_victim(&mut self, now: Instant, blocks_max: usize) -> Option<u64> {
        if self.searched_at.is_some_and(|last| now - last < LOOK_AGAIN) {
            return None;
        }
        self.searched_at = Some(now);
        #[cfg(test)]
        {
            self.visited += self.guests.len();
        }
        self.victim(now, blocks_max)
    }

    /// Chooses who is cut, if anybody deserves it.
    fn victim(&self, now: Instant, blocks_max: usize) -> Option<u64> {
        let returning = self.guests.values().filter(|guest| guest.cut_at.is_some_and(|cut| now - cut < AWAY_AFTER));
        let (cut, returning) = returning.fold((0, 0), |(cut, blocks), guest| (cut + 1, blocks + guest.blocks));
        let holders = || self.guests.iter().filter(|(_, guest)| guest.blocks > 0 && guest.cut_at.is_none());
        if holders().all(|(_, guest)| guest.waits_since.is_some()) {
            // Nobody will ever give anything back, save those who are cut already.
            let rank = |guest: &Guest| (self.share(guest.owner), guest.blocks);
            let victim = holders().max_by_key(|(_, guest)| rank(guest)).map(|(id, _)| *id);
            return victim.filter(|_| cut == 0);
        }
        // In a small room one block is a good part of it.
        if returning >= (blocks_max / RETURNING_SHARE).max(1) {
            return None;
        }
        let is_late = |guest: &Guest| guest.is_slow(now) || now - guest.given_at >= STALL_AFTER;
        let dawdles = |guest: &Guest| !guest.is_whole && guest.waits_since.is_none() && is_late(guest);
        // Who holds most: cutting those who hold little gives little back.
        let rank = |guest: &Guest| (self.share(guest.owner).1, guest.blocks, std::cmp::Reverse(guest.pace(now)));
        holders().filter(|(_, guest)| dawdles(guest)).max_by_key(|(_, guest)| rank(guest)).map(|(id, _)| *id)
    }

    fn cut(&mut self, id: u64, now: Instant) {
        let Some(guest) = self.guests.get_mut(&id) else { return };
        guest.cut_at = Some(now);
        guest.waker.wake_by_ref();
        let (owner, since) = (guest.owner, guest.waits_since);
        self.change(owner, |share| _ = since.map(|since| share.waiting.remove(&(since, id))));
    }

    fn give(&mut self, id: u64, now: Instant) {
        let Some(guest) = self.guests.get_mut(&id) else { return };
        let since = guest.waits_since.take();
        if guest.blocks == 0 {
            guest.since = now;
        } else {
            guest.waited += since.map_or(Duration::ZERO, |since| now - since);
        }
        guest.given_at = now;
        guest.blocks += 1;
        self.taken += 1;
        let owner = guest.owner;
        self.change(owner, |share| {
            share.blocks += 1;
            since.map(|since| share.waiting.remove(&(since, id)));
        });
        // There may be another block for another.
        let next = self.first_waiter(now);
        self.wake(next);
    }

    fn leave(&mut self, id: u64) {
        let Some(guest) = self.guests.remove(&id) else { return };
        self.taken -= guest.blocks;
        self.change(guest.owner, |share| {
            share.guests -= 1;
            share.blocks -= guest.blocks;
            guest.waits_since.map(|since| share.waiting.remove(&(since, id)));
        });
        let next = self.first_waiter(Instant::now());
        self.wake(next);
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
            given_at: now,
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

mod seat;
#[cfg(test)]
mod tests;
