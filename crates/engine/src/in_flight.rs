//! What all links together have on their way.
//!
//! Each link has an allowance of its own, but there may be thousands of links, and each may be sent a whole document. So
//! there is a bound on all of it. While less than half of it is used, everybody may go on. Beyond that there is a crowd:
//!
//! - A link that has less on its way than its share goes on, with documents that fit into a share. However many stall,
//!   they take nothing from it.
//! - All others wait in a queue. They go on, one after the other, when what was sent has been written.
//! - Who waits cannot be kept waiting for ever: a link that has more than its share on its way, and has written nothing
//!   meanwhile for as long as makes a silent one dead, gives way.
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
    /// In the order in which they came. Those that are gone are skipped.
    queue: VecDeque<LinkId>,
    queued: BTreeSet<LinkId>,
    /// Since when somebody has waited.
    since: Duration,
}

impl InFlight {
    /// Gives the bytes of data that were handed to links and not reported as written.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn handed_over(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    pub fn written(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
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
    pub fn wait(&mut self, link: LinkId, now: Duration) {
        if self.queued.is_empty() {
            self.since = now;
        }
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

    /// Forgets a link that is gone, and what was on its way.
    pub fn forget_link(&mut self, link: LinkId, bytes: usize) {
        self.written(bytes);
        if self.queued.remove(&link) {
            self.queue.retain(|queued| *queued != link);
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
        let Some(state) = self.links.get_mut(&link) else { return };
        let before = state.in_flight_bytes();
        state.written(messages, bytes, now.monotonic);
        self.in_flight.written(before - state.in_flight_bytes());
        if state.has_work() {
            self.busy.insert(link);
        }
    }

    /// Closes links that keep others waiting: they have more than their share on its way, and have written none of it for
    /// a long time in which others waited.
    pub(crate) fn let_give_way(&mut self, now: Duration) {
        if !self.in_flight.has_queue() {
            return;
        }
        let (share, after) = (share_bytes(&self.links, &self.config.limits), self.config.limits.dead_after);
        let since = self.in_flight.since;
        let stalls =
            |state: &Link| state.in_flight_bytes() > share && now.saturating_sub(state.moved_at().max(since)) >= after;
        let stalled: Vec<LinkId> =
            self.links.iter().filter(|(_, state)| stalls(state)).map(|(link, _)| *link).collect();
        for link in stalled {
            self.close(link, CloseReason::GaveWay { after });
        }
    }
}
