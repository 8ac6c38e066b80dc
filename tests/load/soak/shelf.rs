//! Which documents are in use: a window that moves on.

use comity_model::DocumentId;

use super::dice::Dice;

/// Documents in use at once, for each client: several people share one.
const FOR_EACH_CLIENT: f64 = 0.75;

/// Edits after which a document is full, as an audit is: then work moves on to another one. Few, so that the relay sees
/// many more documents than are in use at once, and none of them grows without end.
const EDITS_EACH: usize = 40;

/// How often somebody looks into an old one.
const OLD_PERCENT: u64 = 15;

/// How many old ones there are to look into, for each in use: more than the relay may have in memory, but not all there
/// ever were, or its caches would not be full before it has read them all.
const OLD_FOR_EACH: u64 = 2;

/// The documents of a run, numbered in the order in which they come into use.
#[derive(Debug)]
pub struct Shelf {
    seed: u64,
    in_use: u64,
}

impl Shelf {
    pub fn new(seed: u64, clients: usize) -> Self {
        let in_use = ((clients as f64 * FOR_EACH_CLIENT) as u32).max(4);
        Self { seed, in_use: u64::from(in_use) }
    }

    /// Gives a document to work on after so many edits of all clients: mostly one in use, sometimes an old one.
    pub fn draw(&self, dice: &mut Dice, edits: usize) -> DocumentId {
        let (oldest, first) = self.window(edits);
        let old = first - oldest;
        let number = if old > 0 && dice.percent(OLD_PERCENT) {
            oldest + dice.below(old)
        } else {
            first + dice.below(self.in_use)
        };
        self.id(number)
    }

    /// Gives a document to look into, old or in use.
    pub fn draw_any(&self, dice: &mut Dice, edits: usize) -> DocumentId {
        let (oldest, first) = self.window(edits);
        self.id(oldest + dice.below(first - oldest + self.in_use))
    }

    /// Gives the oldest document that anybody still looks into, and the first in use.
    fn window(&self, edits: usize) -> (u64, u64) {
        let first = (edits / EDITS_EACH) as u64;
        (first.saturating_sub(OLD_FOR_EACH * self.in_use), first)
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
