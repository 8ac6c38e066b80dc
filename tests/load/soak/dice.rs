//! The only source of chance: numbers that depend on the seed alone.

use std::time::Duration;

/// Throws SplitMix64 numbers. Whoever throws has a stream of its own, so that one more throw here changes nothing there.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Takes the stream of this number.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Self(seed ^ stream.wrapping_mul(0xD134_2543_DE82_EF95));
        // Seeds and streams are small numbers; a throw spreads them over all bits.
        Self(dice.number())
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, or zero.
    pub fn below(&mut self, end: u64) -> u64 {
        let product = u128::from(self.number()) * u128::from(end);
        u64::try_from(product >> 64).expect("the upper half of 128 bits")
    }

    /// A place in a list of this length, or zero.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }

    /// Whether something happens that happens so many times out of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time between two.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        least + most.saturating_sub(least).mul_f64(self.fraction())
    }

    /// A time until the next of many events that are this long apart on average and know nothing of each other.
    pub fn pause(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.fraction()).ln())
    }

    /// From 0 up to, but not, 1.
    fn fraction(&mut self) -> f64 {
        // 53 bits are all that such a number holds.
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_numbers_again_and_streams_differ() {
        let throw = |seed, stream| Dice::new(seed, stream).number();
        assert_eq!(throw(1, 2), throw(1, 2));
        assert_ne!(throw(1, 2), throw(2, 1));
        assert_ne!(throw(1, 2), throw(1, 3));
    }

    #[test]
    fn pauses_have_the_mean_asked_for() {
        let mut dice = Dice::new(7, 0);
        let mean: f64 = (0..20_000).map(|_| dice.pause(Duration::from_secs(4)).as_secs_f64()).sum::<f64>() / 20_000.0;
        assert!((3.9..4.1).contains(&mean), "{mean}");
    }
}
