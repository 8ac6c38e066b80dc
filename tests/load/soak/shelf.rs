//! Which documents are in use: a window that moves on.

use std::time::{Duration, Instant};

use comity_model::DocumentId;

use super::dice::Dice;

/// Documents in use at once, for each client: several people share one.
const FOR_EACH_CLIENT: f64 = 0.75;

/// How long a document is in use, as an audit is: then work moves on to another one. Short, so that the relay sees
/// many more documents than are in use at once, and none of them grows without end.
const IN_USE: Duration = Duration::from_secs(120);

/// How often somebody looks into an old one.
const OLD_PERCENT: u64 = 15;

/// The documents of a run, numbered in the order in which they come into use.
#[derive(Debug)]
pub struct Shelf {
    seed: u64,
    started: Instant,
    in_use: u64,
    each: Duration,
}

impl Shelf {
    pub fn new(seed: u64, clients: usize) -> Self {
        let in_use = ((clients as f64 * FOR_EACH_CLIENT) as u32).max(4);
        Self { seed, started: Instant::now(), in_use: u64::from(in_use), each: IN_USE / in_use }
    }

    /// Gives a document to work on now: mostly one in use, sometimes an old one.
    pub fn draw(&self, dice: &mut Dice) -> DocumentId {
        let old = u64::try_from(self.started.elapsed().as_nanos() / self.each.as_nanos()).unwrap_or(u64::MAX);
        let number = if old > 0 && dice.percent(OLD_PERCENT) { dice.below(old) } else { old + dice.below(self.in_use) };
        self.id(number)
    }

    /// Gives the id of a document: spread evenly, as ids are, because its first bytes choose the relay's thread.
    fn id(&self, number: u64) -> DocumentId {
        let mut dice = Dice::new(self.seed ^ 0x5348_454C_4600, number);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&dice.number().to_be_bytes());
        bytes[8..].copy_from_slice(&dice.number().to_be_bytes());
        DocumentId::from_bytes(bytes)
    }
}
