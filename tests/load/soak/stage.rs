//! What all clients of a run share.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use comity_model::{DocumentId, Heads};
use comity_net::Url;
use tokio::sync::{Notify, watch};

use super::dice::Dice;
use super::ledger::Ledger;
use super::shelf::Shelf;

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
}

/// What all clients share.
pub struct Stage {
    pub seed: u64,
    pub url: Url,
    pub shelf: Shelf,
    pub ledger: Ledger,
    pub counters: Counters,
    /// Between two edits of one client.
    pub edit_pause: Duration,
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
            phase,
            settled: AtomicUsize::new(0),
            settles: Notify::new(),
        }
    }

    pub fn is_working(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Work)
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

/// How clients behave, in chance and time.
pub mod manners {
    use super::{Dice, Duration};

    /// How long a client stays, and how long it stays away.
    const PRESENT: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(150));
    const ABSENT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(25));

    /// How long a client works on one document.
    const VISIT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(40));

    /// How many clients out of a hundred that leave do so without a word.
    const CUT_PERCENT: u64 = 50;

    /// Longest text of a remark.
    const TEXT_BYTES: u64 = 240;

    pub fn present(dice: &mut Dice) -> Duration {
        dice.between(PRESENT.0, PRESENT.1)
    }

    pub fn absent(dice: &mut Dice) -> Duration {
        dice.between(ABSENT.0, ABSENT.1)
    }

    pub fn visit(dice: &mut Dice) -> Duration {
        dice.between(VISIT.0, VISIT.1)
    }

    pub fn cuts(dice: &mut Dice) -> bool {
        dice.percent(CUT_PERCENT)
    }

    /// What is written: one of some dozen modules, a field, and a text that is never the same.
    pub fn edit(dice: &mut Dice, who: &str, number: u64) -> (String, &'static str, String) {
        let entry = format!("M{:03}", dice.below(48));
        let field = ["status", "comment", "measured"][dice.index(3)];
        let length = usize::try_from(dice.below(TEXT_BYTES)).unwrap_or_default();
        let mut text = format!("{who} {number} ");
        while text.len() < length {
            text.push_str(["roof ", "string ", "cable ", "dust ", "glass ", "frame "][dice.index(6)]);
        }
        (entry, field, text)
    }
}
