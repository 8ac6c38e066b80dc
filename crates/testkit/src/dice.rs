//! The only source of chance.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Least and greatest, both possible.
pub(crate) type Span = (u64, u64);

/// What the dice are thrown for. Each purpose has its own stream, so that a plan with an operation less meets the same
/// weather.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Plan = 1,
    World = 2,
}

/// Throws numbers that depend on the seed alone.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(purpose as u64);
        Self(random)
    }

    /// A number below `end`, or zero.
    pub fn below(&mut self, end: u64) -> u64 {
        let product = u128::from(self.0.next_u64()) * u128::from(end);
        u64::try_from(product >> 64).expect("the upper half of 128 bits")
    }

    pub fn within(&mut self, (least, greatest): Span) -> u64 {
        least + self.below(greatest - least + 1)
    }

    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }

    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}
