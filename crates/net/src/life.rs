//! Tells a slow peer from a dead one.

use tokio::time::Instant;

use crate::meter::Meter;
use crate::pump::Keepalive;

/// When the peer was last known to be there.
pub(crate) struct Life {
    pub(crate) heard: Instant,
    pub(crate) asked: Instant,
    evidence: (u64, u64),
}

impl Life {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { heard: now, asked: now, evidence: (0, 0) }
    }

    pub(crate) fn see(&mut self, meter: &Meter, reading_rests: bool) {
        let evidence = (meter.bytes_read(), meter.unblocked());
        if evidence != self.evidence || reading_rests {
            self.evidence = evidence;
            self.heard = Instant::now();
        }
    }

    pub(crate) fn wake_at(&self, keepalive: Keepalive) -> Instant {
        let ping = self.asked.max(self.heard) + keepalive.ping_interval;
        ping.min(self.heard + keepalive.dead_after)
    }
}
