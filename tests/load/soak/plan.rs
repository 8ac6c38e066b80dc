//! When the relay ends, and how: drawn from the seed.

use std::fmt;
use std::time::Duration;

use super::dice::Dice;

/// The stream of the plan; clients have theirs from 1 on.
const STREAM: u64 = 0;

/// A slope needs time: one life is at least this long, if the run allows it.
const LONG_LIFE: Duration = Duration::from_secs(10 * 60);

/// A run in which most of the time can go to one life: the longer its calm, the closer its slope is known.
const LONG_RUN: Duration = Duration::from_secs(20 * 60);

/// A run in which there is no time for a calm.
const SHORT_RUN: Duration = Duration::from_secs(5 * 60);

/// How long the rush of a long life lasts: all sorts of work are done, and caches fill, the store's journal among them.
const RUSH: Duration = Duration::from_secs(120);

/// Shortest life of a relay: most clients are back by then.
const SHORT_LIFE: Duration = Duration::from_secs(4);

/// How long a relay stays away.
const AWAY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(4));

/// What a run does to the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// From start to end. The last life ends with the run.
    pub lives: Vec<Life>,
}

/// One process of the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// How long it lives.
    pub lasts: Duration,
    /// How much of that passes before a calm; all of it in most.
    pub rush: Duration,
    /// How it ends.
    pub end: End,
    /// How long there is no relay after it.
    pub away: Duration,
}

/// How a relay ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By SIGKILL, in the middle of whatever it does.
    Killed,
    /// By SIGTERM: it says goodbye and closes its store.
    Stopped,
}

impl Plan {
    /// Draws the lives that fill a time: a long one, and short ones around it.
    pub fn draw(seed: u64, total: Duration) -> Self {
        let mut dice = Dice::new(seed, STREAM);
        let is_short = total < SHORT_RUN;
        let most = if is_short { 0.6 } else { 0.8 };
        let share = if total >= LONG_RUN { 0.7 } else { 0.4 };
        let long = total.mul_f64(share).max(LONG_LIFE.min(total.mul_f64(most)));
        let mut left = total - long;
        let (least, most) = ((total / 60).max(SHORT_LIFE), (total / 12).max(SHORT_LIFE));
        let mut lengths = Vec::new();
        while left >= SHORT_LIFE {
            // One in four hardly comes up before it goes again.
            let length = if dice.percent(25) { least } else { dice.between(least, most) }.min(left);
            lengths.push((length, length));
            left = left.saturating_sub(length);
        }
        let rush = if is_short { long } else { RUSH.min(long.mul_f64(0.4)) };
        let at = dice.index(lengths.len() + 1);
        lengths.insert(at, (long, rush));
        let first = if dice.percent(50) { End::Killed } else { End::Stopped };
        let mut lives = Vec::new();
        for (number, (lasts, rush)) in lengths.into_iter().enumerate() {
            // Both ways occur, however few restarts there are.
            let end = match (number, first) {
                (0, first) => first,
                (1, End::Killed) => End::Stopped,
                (1, End::Stopped) => End::Killed,
                _ if dice.percent(60) => End::Killed,
                _ => End::Stopped,
            };
            lives.push(Life { lasts, rush, end, away: dice.between(AWAY.0, AWAY.1) });
        }
        Self { lives }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, life) in self.lives.iter().enumerate() {
            let end = match life.end {
                _ if number + 1 == self.lives.len() => "end of the run",
                End::Killed => "SIGKILL",
                End::Stopped => "SIGTERM",
            };
            let separator = if number == 0 { "" } else { ", " };
            write!(f, "{separator}{:.0} s", life.lasts.as_secs_f64())?;
            if life.rush < life.lasts {
                write!(f, " (calm from {:.0} s on)", life.rush.as_secs_f64())?;
            }
            write!(f, " then {end}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64, minutes: f64) -> Plan {
        Plan::draw(seed, Duration::from_secs_f64(minutes * 60.0))
    }

    #[test]
    fn half_an_hour_has_a_life_of_ten_minutes_a_long_calm_and_restarts_of_both_kinds() {
        for seed in 0..200 {
            let Plan { lives } = plan(seed, 30.0);
            let total: Duration = lives.iter().map(|life| life.lasts).sum();
            assert!(
                total <= Duration::from_secs(1_800) && total > Duration::from_secs(1_790),
                "seed {seed}: {total:?}"
            );
            assert!(lives.iter().any(|life| life.lasts >= LONG_LIFE), "seed {seed}");
            let calm: Duration = lives.iter().map(|life| life.lasts - life.rush).sum();
            assert!(calm >= LONG_LIFE, "seed {seed}: {calm:?}");
            assert!((6..40).contains(&lives.len()), "seed {seed}: {} lives", lives.len());
            let restarts = &lives[..lives.len() - 1];
            for end in [End::Killed, End::Stopped] {
                assert!(restarts.iter().any(|life| life.end == end), "seed {seed} has no {end:?}");
            }
        }
    }

    #[test]
    fn a_seed_gives_its_plan_again_and_even_half_a_minute_has_a_restart() {
        for seed in 0..200 {
            assert_eq!(plan(seed, 0.5), plan(seed, 0.5));
            assert!(plan(seed, 0.5).lives.len() >= 2, "seed {seed}");
        }
        assert_ne!(plan(1, 30.0), plan(2, 30.0));
    }
}
