//! How long to wait before trying again.

use std::time::Duration;

/// Gives ever longer, random waits between attempts.
///
/// Exponential with full jitter: the bound doubles from `min` to `max`, and each wait is drawn evenly from
/// `min ..= bound`, so that a thousand clients that lost one relay do not come back in step. Pure: the caller brings
/// the randomness.
///
/// ```
/// # use std::time::Duration;
/// let mut backoff = comity_net::Backoff::default();
/// assert_eq!(backoff.next(u64::MAX), Duration::from_millis(200));
/// assert_eq!(backoff.next(u64::MAX), Duration::from_millis(400));
/// assert_eq!(backoff.next(0), Duration::from_millis(200));
/// backoff.reset();
/// assert_eq!(backoff.next(u64::MAX), Duration::from_millis(200));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    bound: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(200), Duration::from_secs(30))
    }
}

impl Backoff {
    /// Starts at `min`; no wait is longer than `max` (or `min`, if that is more).
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max: max.max(min), bound: min }
    }

    /// Gives the next wait. `random` is any even random number.
    pub fn next(&mut self, random: u64) -> Duration {
        let span = (self.bound - self.min).as_nanos();
        // A span of nanoseconds fits 64 bits for 584 years; the product fits 128.
        let part = (span.min(u128::from(u64::MAX)) * (u128::from(random) + 1)) >> 64;
        let wait = self.min + Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX));
        self.bound = self.bound.saturating_mul(2).min(self.max);
        wait
    }

    /// Begins again at the shortest wait: call it after a link has proved itself, not when it merely opened.
    pub fn reset(&mut self) {
        self.bound = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // S1.4
    proptest! {
        #[test]
        fn every_wait_is_within_bounds(randoms in proptest::collection::vec(any::<u64>(), 1..40)) {
            let mut backoff = Backoff::default();
            for (attempt, random) in randoms.into_iter().enumerate() {
                let wait = backoff.next(random);
                let bound = Duration::from_millis(200).saturating_mul(1 << attempt.min(20)).min(Duration::from_secs(30));
                prop_assert!(wait >= Duration::from_millis(200) && wait <= bound);
            }
        }
    }

    #[test]
    fn the_longest_wait_is_reached_and_kept() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..10).map(|_| backoff.next(u64::MAX)).collect();
        assert_eq!(waits[9], Duration::from_secs(30));
        assert!(waits.is_sorted());
    }

    #[test]
    fn a_minimum_above_the_maximum_wins() {
        let mut backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(1));
        assert_eq!(backoff.next(0), Duration::from_secs(2));
        assert_eq!(backoff.next(u64::MAX), Duration::from_secs(2));
    }
}
