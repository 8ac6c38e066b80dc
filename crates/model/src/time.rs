//! Time: moments of the wall clock, the monotonic clock of the engine, and hybrid logical time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A moment of the wall clock: milliseconds since 1970-01-01 UTC. Prints as RFC 3339.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp {
    /// Milliseconds since 1970-01-01 UTC, negative before.
    pub unix_ms: i64,
}

impl Timestamp {
    /// Wraps milliseconds since 1970-01-01 UTC.
    pub const fn from_unix_ms(unix_ms: i64) -> Self {
        Self { unix_ms }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.unix_ms.div_euclid(86_400_000);
        let ms = self.unix_ms.rem_euclid(86_400_000);
        let (year, month, day) = civil_from_days(days);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            ms / 3_600_000,
            ms / 60_000 % 60,
            ms / 1_000 % 60,
            ms % 1_000
        )
    }
}

/// Converts days since 1970-01-01 to a date of the proleptic Gregorian calendar, counting in eras of 400 years that
/// begin on 1 March (so that the leap day is the last of its year).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// A moment as the engine is told it: a monotonic part for time-outs and the wall clock for people. Nothing pure ever
/// asks a clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instant {
    /// Since the node started; never goes back.
    pub monotonic: Duration,
    /// What the device's clock says; may jump.
    pub wall: Timestamp,
}

/// Says why a text is not a hybrid time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a hybrid time: expected MILLISECONDS.COUNTER")]
pub struct InvalidTime;

/// Hybrid logical time: close to the wall clock, yet never before anything its writer had seen. Prints as
/// `MILLISECONDS.COUNTER`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct HybridTime {
    /// Milliseconds since 1970, the greatest that the writer's clock or anything it had seen showed.
    pub wall_ms: i64,
    /// Orders what falls in one millisecond.
    pub counter: u32,
}

impl fmt::Display for HybridTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.wall_ms, self.counter)
    }
}

impl FromStr for HybridTime {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let (wall, counter) = text.split_once('.').ok_or(InvalidTime)?;
        Ok(Self { wall_ms: wall.parse().map_err(|_| InvalidTime)?, counter: counter.parse().map_err(|_| InvalidTime)? })
    }
}

/// Gives out hybrid times, each greater than all given or seen before.
#[derive(Clone, Debug, Default)]
pub struct HybridClock {
    latest: HybridTime,
}

impl HybridClock {
    /// How far ahead of our own clock a foreign time may pull ours: one day. A device whose clock runs years ahead
    /// would otherwise drag everybody's time with it for good.
    pub const AHEAD_MS_MAX: i64 = 86_400_000;

    /// Gives the next time, given what the device's clock says.
    pub fn tick(&mut self, wall: Timestamp) -> HybridTime {
        self.latest = if wall.unix_ms > self.latest.wall_ms {
            HybridTime { wall_ms: wall.unix_ms, counter: 0 }
        } else {
            match self.latest.counter.checked_add(1) {
                Some(counter) => HybridTime { counter, ..self.latest },
                None => HybridTime { wall_ms: self.latest.wall_ms.saturating_add(1), counter: 0 },
            }
        };
        self.latest
    }

    /// Takes note of a time in a change that was received. A time further ahead than [`Self::AHEAD_MS_MAX`] is not
    /// followed.
    pub fn observe(&mut self, seen: HybridTime, wall: Timestamp) {
        if seen.wall_ms <= wall.unix_ms.saturating_add(Self::AHEAD_MS_MAX) {
            self.latest = self.latest.max(seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_print_as_rfc_3339() {
        assert_eq!(Timestamp::from_unix_ms(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_unix_ms(951_782_399_999).to_string(), "2000-02-28T23:59:59.999Z");
        assert_eq!(Timestamp::from_unix_ms(951_782_400_000).to_string(), "2000-02-29T00:00:00.000Z");
        assert_eq!(Timestamp::from_unix_ms(-1).to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_unix_ms(1_795_262_400_000).to_string(), "2026-11-21T12:00:00.000Z");
    }

    #[test]
    fn hybrid_time_never_goes_back_when_the_clock_does() {
        let mut clock = HybridClock::default();
        let first = clock.tick(Timestamp::from_unix_ms(1_000));
        let after_jump_back = clock.tick(Timestamp::from_unix_ms(10));
        assert!(after_jump_back > first);
        clock.observe(HybridTime { wall_ms: 5_000, counter: 7 }, Timestamp::from_unix_ms(10));
        assert!(clock.tick(Timestamp::from_unix_ms(20)) > HybridTime { wall_ms: 5_000, counter: 7 });
    }

    #[test]
    fn a_clock_years_ahead_drags_nobody_along() {
        let mut clock = HybridClock::default();
        let now = Timestamp::from_unix_ms(1_000);
        clock.observe(HybridTime { wall_ms: 1_000 + HybridClock::AHEAD_MS_MAX + 1, counter: 0 }, now);
        assert_eq!(clock.tick(now), HybridTime { wall_ms: 1_000, counter: 0 });
    }
}
