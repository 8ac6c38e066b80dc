//! What all links together have on their way.
//!
//! Each link has an allowance of its own, but there may be thousands of links, and each may be sent a whole document. So
//! there is a bound on all of it. While less than half of it is used, everybody may go on. Beyond that there is a crowd:
//!
//! - A link that has less on its way than its share goes on, with documents that fit into a share. However many stall,
//!   they take nothing from it.
//! - All others wait in a queue. They go on, one after the other, when what was sent has been written.
//! - Who waits cannot be kept waiting for ever: a link that has more than its share on its way has to write what it holds,
//!   in the time that a slow line needs for it and as long as makes a silent one dead. Else it gives way once somebody
//!   waits. The time goes on only while the bound is full; who waits meanwhile, and whether anybody does, makes no odds.
//!
//! What a link was sent counts until it is written or the link has ended, also after the engine has closed it: whoever does
//! not read could evade the bound by having itself closed.
//!
//! A share is half of the other half, divided by the links: each may have one message on its way when it takes another.
//! So all together stay below the bound, but for the one message that began the crowd, which may be of any size.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use comity_model::{Instant, Limits, LinkId};

use crate::link::Link;
use crate::{CloseReason, Engine};

/// What all links together have on their way, and who waits for that to become less.
#[derive(Default)]
pub(crate) struct InFlight {
    bytes: usize,
    /// What is still queued for links that the engine has closed.
    of_closed: BTreeMap<LinkId, usize>,
    /// In the order in which they came. Those that are gone are skipped.
    queue: VecDeque<LinkId>,
    queued: BTreeSet<LinkId>,
    crowd: CrowdClock,
}

/// How long the bound has been full, all in all. It stands still while the bound is not full, and does not start over: a
/// moment in which one goes on is no new beginning for those that stall.
#[derive(Default)]
struct CrowdClock {
    before: Duration,
    full_since: Option<Duration>,
}

impl CrowdClock {
    fn read(&self, now: Duration) -> Duration {
        self.before + self.full_since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    fn run(&mut self, is_full: bool, now: Duration) {
        if is_full != self.full_since.is_some() {
            self.before = self.read(now);
            self.full_since = is_full.then_some(now);
        }
    }
}

impl InFlight {
    /// Gives the bytes of data that were handed to links and not reported as written.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives those of them that were handed to links that are closed and have not ended.
    pub fn bytes_of_closed(&self) -> usize {
        self.of_closed.values().sum()
    }

    pub fn handed_over(&mut self, bytes: usize, limits: &Limits, now: Duration) {
        self.bytes += bytes;
        self.crowd.run(self.is_full(limits), now);
    }

    pub fn written(&mut self, bytes: usize, limits: &Limits, now: Duration) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.crowd.run(self.is_full(limits), now);
    }

    /// Gives the time of the crowd: for how long the bound has been full.
    pub fn crowded(&self, now: Duration) -> Duration {
        self.crowd.read(now)
    }

    /// Whether so much is on its way that not everybody may go on.
    pub fn is_full(&self, limits: &Limits) -> bool {
        self.bytes >= (limits.queued_bytes_max / 2).max(1)
    }

    /// Whether somebody waits.
    pub fn has_queue(&self) -> bool {
        !self.queued.is_empty()
    }

    /// Lets a link wait for its turn.
    pub fn wait(&mut self, link: LinkId) {
        if self.queued.insert(link) {
            self.queue.push_back(link);
        }
    }

    /// Takes out the link whose turn it is.
    pub fn next(&mut self) -> Option<LinkId> {
        while let Some(link) = self.queue.pop_front() {
            if self.queued.remove(&link) {
                return Some(link);
            }
        }
        None
    }

    /// Takes note that a link is closed. What is on its way to it stays counted until it [has ended](Self::ended).
    pub fn closed(&mut self, link: LinkId, bytes: usize) {
        if bytes > 0 {
            self.of_closed.insert(link, bytes);
        }
        if self.queued.remove(&link) {
            self.queue.retain(|queued| *queued != link);
        }
    }

    /// Takes note of what a closed link has written.
    pub fn written_after_close(&mut self, link: LinkId, bytes: usize, limits: &Limits, now: Duration) {
        let Some(left) = self.of_closed.get_mut(&link) else { return };
        let bytes = bytes.min(*left);
        *left -= bytes;
        self.written(bytes, limits, now);
    }

    /// Forgets a link that has ended, and what was on its way to it.
    pub fn ended(&mut self, link: LinkId, limits: &Limits, now: Duration) {
        if let Some(bytes) = self.of_closed.remove(&link) {
            self.written(bytes, limits, now);
        }
    }
}

/// What each link may have on its way in a crowd when it takes another message, in bytes.
pub(crate) fn share_bytes(links: &BTreeMap<LinkId, Link>, limits: &Limits) -> usize {
    limits.queued_bytes_max / 4 / links.len().max(1)
}

impl Engine {
    /// Takes note of what a link has written.
    pub(crate) fn written(&mut self, now: Instant, link: LinkId, messages: usize, bytes: usize) {
        let (limits, now) = (&self.config.limits, now.monotonic);
        let share = share_bytes(&self.links, limits);
        let Some(state) = self.links.get_mut(&link) else {
            return self.in_flight.written_after_close(link, bytes, limits, now);
        };
        let before = state.in_flight_bytes();
        state.written(messages, bytes);
        self.in_flight.written(before - state.in_flight_bytes(), limits, now);
        state.measure(share, self.in_flight.crowded(now));
        if state.has_work() {
            self.busy.insert(link);
        }
    }

    /// Takes note of what was handed to a link.
    pub(crate) fn handed_over(&mut self, now: Instant, link: LinkId, bytes: usize) {
        let (limits, now) = (&self.config.limits, now.monotonic);
        let share = share_bytes(&self.links, limits);
        let Some(state) = self.links.get_mut(&link) else { return };
        state.handed_over(bytes);
        self.in_flight.handed_over(bytes, limits, now);
        state.measure(share, self.in_flight.crowded(now));
    }

    /// Closes links that keep others waiting: they have more than their share on its way, and have not written what they
    /// held in the time for it.
    pub(crate) fn let_give_way(&mut self, now: Duration) {
        let limits = &self.config.limits;
        let (share, crowded) = (share_bytes(&self.links, limits), self.in_flight.crowded(now));
        // A share is another one when links come and go.
        self.links.values_mut().for_each(|state| state.measure(share, crowded));
        if !self.in_flight.has_queue() {
            return;
        }
        let overdue = |(link, state): (&LinkId, &Link)| Some((*link, state.overdue(crowded, limits)?));
        let stalled: Vec<(LinkId, Duration)> = self.links.iter().filter_map(overdue).collect();
        for (link, after) in stalled {
            self.close(link, CloseReason::GaveWay { after });
        }
    }
}
