//! What was written, and what the relay has said it keeps: the promise that the run checks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use comity_model::{ChangeHash, DocumentId};

/// Changes by document.
pub type Changes = BTreeMap<DocumentId, Vec<ChangeHash>>;

/// An edit that its author has not been told is kept.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    pub hash: ChangeHash,
    pub made: Instant,
    /// Whether there was a link when it was made: only then does the time until the answer say something of the relay.
    pub online: bool,
}

/// Everything that clients wrote and were told.
#[derive(Default)]
pub struct Ledger(Mutex<Pages>);

#[derive(Default)]
struct Pages {
    made: usize,
    made_offline: usize,
    chunk_bytes: u64,
    chunks: u64,
    acknowledged: Changes,
    acknowledged_count: usize,
    /// Documents of which more was acknowledged since the last look.
    news: BTreeSet<DocumentId>,
    answers: Vec<Duration>,
}

/// Counts of a ledger.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub documents: usize,
    pub made: usize,
    pub made_offline: usize,
    pub acknowledged: usize,
    /// Average size of a change chunk.
    pub chunk_bytes: f64,
}

impl Ledger {
    /// Notes an edit; its size where the writer sees it.
    pub fn made(&self, pending: &Pending, chunk_bytes: Option<usize>) {
        let mut pages = self.pages();
        pages.made += 1;
        pages.made_offline += usize::from(!pending.online);
        if let Some(bytes) = chunk_bytes {
            pages.chunk_bytes += bytes as u64;
            pages.chunks += 1;
        }
    }

    /// Notes that the author of an edit was told that the relay has it on disk.
    pub fn acknowledged(&self, document: DocumentId, pending: &Pending) {
        let mut pages = self.pages();
        pages.acknowledged.entry(document).or_default().push(pending.hash);
        pages.acknowledged_count += 1;
        pages.news.insert(document);
        if pending.online {
            pages.answers.push(pending.made.elapsed());
        }
    }

    /// Gives all that was acknowledged in documents of which more was since this was asked last.
    pub fn news(&self) -> Changes {
        let mut pages = self.pages();
        let news = std::mem::take(&mut pages.news);
        news.into_iter().map(|document| (document, pages.acknowledged[&document].clone())).collect()
    }

    /// Gives all that was acknowledged.
    pub fn all(&self) -> Changes {
        self.pages().acknowledged.clone()
    }

    pub fn totals(&self) -> Totals {
        let pages = self.pages();
        Totals {
            documents: pages.acknowledged.len(),
            made: pages.made,
            made_offline: pages.made_offline,
            acknowledged: pages.acknowledged_count,
            chunk_bytes: if pages.chunks == 0 { 0.0 } else { pages.chunk_bytes as f64 / pages.chunks as f64 },
        }
    }

    /// Gives how long edits made with a link waited for their durable answer: the middle one, and all but a hundredth.
    pub fn answers(&self) -> (Duration, Duration) {
        let mut answers = self.pages().answers.clone();
        answers.sort_unstable();
        let at = |hundredth: usize| {
            let place = answers.len().saturating_sub(1) * hundredth / 100;
            answers.get(place).copied().unwrap_or_default()
        };
        (at(50), at(99))
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
