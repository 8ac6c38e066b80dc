//! The state of one link.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use comity_model::{DocumentId, Limits, PeerId, StorageId};
use comity_wire::Message;

/// Who is at the other end of a link, and how this node treats it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What it calls itself.
    pub id: PeerId,
    /// Its storage, when it keeps things for longer than this connection.
    pub storage: Option<StorageId>,
    /// Whether the heads it advertises are on its disk.
    pub durable: bool,
    /// Whether this node tells it of every document that it wants. A device announces to its relay; a relay does not
    /// announce to devices.
    pub announce: bool,
}

/// One open link. It is *pulled*: messages are made when it can take them, never queued up, so a slow peer costs
/// nobody memory and gets the newest news when it comes back.
pub(crate) struct Link {
    pub peer: Peer,
    /// Documents that this peer and this node both know the other has open.
    pub open: OpenDocuments,
    /// Documents that have news for it.
    pub news: BTreeSet<DocumentId>,
    /// Short answers and ephemerals, in order. Bounded by the link's queue limit.
    pub outbox: VecDeque<Message>,
    /// Documents that it asked for and that were not here, and when it is told so, the earliest first.
    absent: VecDeque<(Duration, DocumentId)>,
    /// Documents for which something that it sent was not taken.
    pub refused: BTreeSet<DocumentId>,
    /// How often a document had to be read again because of what it sent.
    pub broke: usize,
    /// Messages handed over and not reported as written.
    in_flight_messages: usize,
    in_flight_bytes: usize,
    /// How it turns over what it holds, while that is more than its share.
    turnover: Option<Turnover>,
    tokens: TokenBucket,
}

impl Link {
    pub fn new(peer: Peer, limits: &Limits, now: Duration) -> Self {
        Self {
            peer,
            open: OpenDocuments::default(),
            news: BTreeSet::new(),
            outbox: VecDeque::new(),
            absent: VecDeque::new(),
            refused: BTreeSet::new(),
            broke: 0,
            in_flight_messages: 0,
            in_flight_bytes: 0,
            turnover: None,
            tokens: TokenBucket::new(limits, now),
        }
    }

    /// Whether another message may be handed over. One message may always be on its way, however large.
    pub fn can_take(&self, limits: &Limits) -> bool {
        self.in_flight_messages == 0
            || (self.in_flight_messages < limits.link_queue_messages_max
                && self.in_flight_bytes < limits.link_queue_bytes_max)
    }

    pub fn handed_over(&mut self, bytes: usize) {
        self.in_flight_messages += 1;
        self.in_flight_bytes += bytes;
    }

    pub fn written(&mut self, messages: usize, bytes: usize) {
        self.in_flight_messages = self.in_flight_messages.saturating_sub(messages);
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(bytes);
        if let Some(turnover) = &mut self.turnover {
            turnover.left_bytes = turnover.left_bytes.saturating_sub(bytes);
        }
    }

    pub fn in_flight_messages(&self) -> usize {
        self.in_flight_messages
    }

    pub fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes
    }

    /// Takes note of whether it has more than its share on its way, at a time of the crowd, and for how long.
    pub fn measure(&mut self, share_bytes: usize, crowded: Duration) {
        let bytes = self.in_flight_bytes;
        if bytes <= share_bytes {
            self.turnover = None;
        } else if self.turnover.as_ref().is_none_or(|turnover| turnover.left_bytes == 0) {
            self.turnover = Some(Turnover { since: crowded, held_bytes: bytes, left_bytes: bytes });
        }
    }

    /// Gives how long it has had to write what it held, at a time of the crowd, when that was too long.
    pub fn overdue(&self, crowded: Duration, limits: &Limits) -> Option<Duration> {
        let turnover = self.turnover.as_ref()?;
        let patience = limits.dead_after.saturating_add(turnover.needs());
        (crowded.saturating_sub(turnover.since) >= patience).then_some(patience)
    }

    /// Takes note of a document that is not here, to say so at a given time. False when too many wait already.
    pub fn note_absent(&mut self, document: DocumentId, at: Duration, limits: &Limits) -> bool {
        let fits = self.absent.len() < limits.link_queue_messages_max;
        if fits {
            self.absent.push_back((at, document));
        }
        fits
    }

    /// Whether it is time to say that a document is not here.
    pub fn has_due_absence(&self, now: Duration) -> bool {
        self.absent.front().is_some_and(|(at, _)| *at <= now)
    }

    /// Takes the next document of which it is time to say that it is not here.
    pub fn due_absence(&mut self, now: Duration) -> Option<DocumentId> {
        self.has_due_absence(now).then(|| self.absent.pop_front()).flatten().map(|(_, document)| document)
    }

    pub fn has_work(&self) -> bool {
        !self.outbox.is_empty() || !self.news.is_empty()
    }

    /// Takes one ephemeral out of the peer's allowance; false when it has used it up.
    pub fn may_send_ephemeral(&mut self, limits: &Limits, now: Duration) -> bool {
        self.tokens.take(limits, now)
    }
}

/// Slowest pace of a link that keeps others waiting: a quarter of a poor line of 2 Mbit/s, which others may use as well. And
/// who holds all that one link may be sent, 8 MiB, and reads none of it, has given it back after three minutes.
const PACE_BYTES_PER_SECOND: u64 = 64 * 1024;

/// What a link held when it came to have more than its share on its way, and what it has not written of it. Each byte has to
/// be written in its time, so that small reads buy little time, and a long message, of which nothing is reported until
/// all of it is written, has the time that it needs.
struct Turnover {
    /// By the time of the crowd: the time in which the bound was full.
    since: Duration,
    held_bytes: usize,
    left_bytes: usize,
}

impl Turnover {
    /// How long a slow line needs for it.
    fn needs(&self) -> Duration {
        let bytes = u64::try_from(self.held_bytes).unwrap_or(u64::MAX);
        Duration::from_millis(bytes.saturating_mul(1_000) / PACE_BYTES_PER_SECOND)
    }
}

/// The documents of a link, by when they were last spoken of.
#[derive(Default)]
pub(crate) struct OpenDocuments {
    spoken: BTreeMap<DocumentId, u64>,
    by_age: BTreeMap<u64, DocumentId>,
    next: u64,
}

impl OpenDocuments {
    pub fn len(&self) -> usize {
        self.spoken.len()
    }

    pub fn contains(&self, document: &DocumentId) -> bool {
        self.spoken.contains_key(document)
    }

    /// Gives the documents, the one last spoken of the longest ago first.
    pub fn iter(&self) -> impl Iterator<Item = DocumentId> {
        self.by_age.values().copied()
    }

    /// Opens a document, or takes note that it is spoken of.
    pub fn touch(&mut self, document: DocumentId) {
        if let Some(before) = self.spoken.insert(document, self.next) {
            self.by_age.remove(&before);
        }
        self.by_age.insert(self.next, document);
        self.next += 1;
    }

    pub fn remove(&mut self, document: &DocumentId) {
        if let Some(number) = self.spoken.remove(document) {
            self.by_age.remove(&number);
        }
    }
}

/// An allowance that fills at a steady rate up to a burst. Counted in thousandths, so that no rounding is lost.
struct TokenBucket {
    thousandths: u64,
    filled_at: Duration,
}

impl TokenBucket {
    fn new(limits: &Limits, now: Duration) -> Self {
        Self { thousandths: u64::from(limits.ephemeral_burst) * 1_000, filled_at: now }
    }

    fn take(&mut self, limits: &Limits, now: Duration) -> bool {
        let elapsed_ms = u64::try_from(now.saturating_sub(self.filled_at).as_millis()).unwrap_or(u64::MAX);
        let filled = elapsed_ms.saturating_mul(u64::from(limits.ephemeral_per_second));
        let full = u64::from(limits.ephemeral_burst) * 1_000;
        if filled > 0 {
            self.thousandths = self.thousandths.saturating_add(filled).min(full);
            self.filled_at = now;
        }
        let enough = self.thousandths >= 1_000;
        if enough {
            self.thousandths -= 1_000;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_ephemerals_passes_and_the_next_one_waits_for_the_rate() {
        let limits = Limits::default();
        let mut bucket = TokenBucket::new(&limits, Duration::ZERO);
        let passed = (0..150).filter(|_| bucket.take(&limits, Duration::ZERO)).count();
        assert_eq!(passed, 100);
        let passed = (0..150).filter(|_| bucket.take(&limits, Duration::from_secs(1))).count();
        assert_eq!(passed, 50);
    }

    #[test]
    fn a_link_takes_one_message_of_any_size_and_then_waits() {
        let limits = Limits::default();
        let peer = Peer { id: PeerId::new("p").unwrap(), storage: None, durable: false, announce: false };
        let mut link = Link::new(peer, &limits, Duration::ZERO);
        assert!(link.can_take(&limits));
        link.handed_over(limits.link_queue_bytes_max);
        assert!(!link.can_take(&limits), "the bytes are at their limit");
        link.written(1, limits.link_queue_bytes_max);
        for _ in 0..limits.link_queue_messages_max {
            assert!(link.can_take(&limits));
            link.handed_over(1);
        }
        assert!(!link.can_take(&limits), "the messages are at their limit");
    }
}
