//! What all clients of a run share.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use comity_model::{DocumentId, Heads};
use comity_net::Url;
use tokio::sync::{Notify, watch};

use super::dice::Dice;
use super::ledger::Ledger;
use super::shelf::Shelf;

/// How many times less is written in a calm: what edits leave in memory, and must, is then lost in the noise.
const CALM_DIVISOR: u32 = 25;

/// How far the run is, as clients need to know.
#[derive(Clone, Debug)]
pub enum Phase {
    /// Write, come and go.
    Work,
    /// Stay, write no more, and wait until all is acknowledged.
    Settle,
    /// Compare all that is here with what a fresh client found at the relay.
    Compare(Arc<Truth>),
}

/// How documents are at the relay.
pub type Truth = BTreeMap<DocumentId, Sight>;

/// A document as a client sees it: equal heads must mean equal contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    pub heads: Heads,
    contents: u64,
}

impl Sight {
    pub fn of(document: &comity_crdt::Document) -> Self {
        let mut hasher = DefaultHasher::new();
        // All that a person can see: what stands in the entries, and what stands against it.
        format!("{:?} {:?}", document.entries(None), document.disagreements()).hash(&mut hasher);
        Self { heads: document.heads().clone(), contents: hasher.finish() }
    }
}

/// What a client found when it compared its documents.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    pub equal: usize,
    pub different: Vec<DocumentId>,
}

/// How often things happened.
#[derive(Debug, Default)]
pub struct Counters {
    /// Handshakes done.
    pub connections: AtomicUsize,
    /// Links that clients ended, with a goodbye.
    pub goodbyes: AtomicUsize,
    /// Links that clients ended without a word.
    pub cuts: AtomicUsize,
    /// Links that ended under a client, and dials that failed.
    pub losses: AtomicUsize,
    /// Devices that were closed and opened again.
    pub reopened: AtomicUsize,
    /// Devices that were replaced by new ones.
    pub replaced: AtomicUsize,
    /// Documents that clients turned to.
    pub visits: AtomicUsize,
    /// Strangers that came once, asked for a document and went.
    pub passers: AtomicUsize,
}

/// What all clients share.
pub struct Stage {
    pub seed: u64,
    pub url: Url,
    shelf: Shelf,
    pub ledger: Ledger,
    pub counters: Counters,
    /// Between two edits of one client in the rush.
    edit_pause: Duration,
    /// Since when it is calm.
    calm: Mutex<Option<Instant>>,
    pub phase: watch::Receiver<Phase>,
    settled: AtomicUsize,
    settles: Notify,
}

impl Stage {
    pub fn new(seed: u64, url: Url, clients: usize, edit_pause: Duration, phase: watch::Receiver<Phase>) -> Self {
        Self {
            seed,
            url,
            shelf: Shelf::new(seed, clients),
            ledger: Ledger::default(),
            counters: Counters::default(),
            edit_pause,
            calm: Mutex::default(),
            phase,
            settled: AtomicUsize::new(0),
            settles: Notify::new(),
        }
    }

    pub fn is_working(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Work)
    }

    /// Lets a calm begin, in which clients come and go as ever and write seldom, or end.
    pub fn set_calm(&self, is_calm: bool) {
        *self.calm.lock().unwrap_or_else(PoisonError::into_inner) = is_calm.then(Instant::now);
    }

    /// Says for how long it has been calm.
    pub fn calm_for(&self) -> Option<Duration> {
        self.calm.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }

    /// Gives the time between two edits of one client.
    pub fn edit_pause(&self) -> Duration {
        if self.calm_for().is_some() { self.edit_pause * CALM_DIVISOR } else { self.edit_pause }
    }

    /// Gives a document to work on.
    pub fn document(&self, dice: &mut Dice) -> DocumentId {
        self.shelf.draw(dice, self.ledger.totals().made)
    }

    /// Gives a document to look into.
    pub fn any_document(&self, dice: &mut Dice) -> DocumentId {
        self.shelf.draw_any(dice, self.ledger.totals().made)
    }

    /// Counts one more of something.
    pub fn count(&self, what: impl Fn(&Counters) -> &AtomicUsize) {
        what(&self.counters).fetch_add(1, Relaxed);
    }

    /// Says that a client writes no more and was told of all that it wrote.
    pub fn has_settled(&self) {
        self.settled.fetch_add(1, Relaxed);
        self.settles.notify_one();
    }

    pub fn settled(&self) -> usize {
        self.settled.load(Relaxed)
    }

    /// Waits until so many clients have settled.
    pub async fn until_settled(&self, clients: usize) {
        while self.settled() < clients {
            self.settles.notified().await;
        }
    }
}
