//! Fault profiles: what the world does to the nodes.

use std::fmt;
use std::str::FromStr;

use crate::dice::Span;

/// A kind of trouble. To add one, add a variant, its name, and its row in `Profile::conditions`; then assert in
/// `tests/simulation.rs` that the trouble was really seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Profile {
    /// Nothing goes wrong.
    Calm,
    /// Links break at any moment and lose what is on its way.
    LinkReset,
    /// Messages of different links overtake each other by seconds.
    Reorder,
    /// A device is cut off for long and goes on working.
    Partition,
    /// The relay crashes, or stops in order, and comes back.
    RelayRestart,
    /// A device crashes, or stops in order, and comes back.
    DeviceCrash,
}

/// Says that there is no such profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault profile {name:?}; there are {}", known())]
pub struct UnknownProfile {
    name: String,
}

/// How the world behaves. Times are in microseconds.
pub(crate) struct Conditions {
    /// How long a message is on its way.
    pub delay_us: Span,
    /// How often, in a thousand, and how long a message is on its way when it is late.
    pub late: (u64, Span),
    /// How long writing a message to its socket takes.
    pub write_us: Span,
    /// How many links in a thousand write slowly, and how long that takes.
    pub slow: (u64, Span),
    /// How long a flush takes.
    pub flush_us: Span,
    /// How many flushes in a thousand stall, and for how long.
    pub stall: (u64, Span),
    /// Sorts of faults, and how many of each there are in one run.
    pub faults: &'static [(FaultKind, Span)],
}

/// A sort of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Reset,
    Partition,
    CrashRelay,
    StopRelay,
    CrashDevice,
    StopDevice,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 6] =
        [Self::Calm, Self::LinkReset, Self::Reorder, Self::Partition, Self::RelayRestart, Self::DeviceCrash];

    /// Gives the name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::LinkReset => "link-reset",
            Self::Reorder => "reorder",
            Self::Partition => "partition",
            Self::RelayRestart => "relay-restart",
            Self::DeviceCrash => "device-crash",
        }
    }

    pub(crate) const fn conditions(self) -> Conditions {
        let calm = Conditions {
            delay_us: (500, 40_000),
            late: (20, (100_000, 400_000)),
            write_us: (50, 2_000),
            slow: (150, (20_000, 300_000)),
            flush_us: (500, 25_000),
            stall: (30, (100_000, 600_000)),
            faults: &[],
        };
        match self {
            Self::Calm => calm,
            Self::LinkReset => Conditions { faults: &[(FaultKind::Reset, (6, 24))], ..calm },
            Self::Reorder => Conditions {
                delay_us: (500, 1_500_000),
                late: (150, (1_000_000, 5_000_000)),
                faults: &[(FaultKind::Reset, (0, 2))],
                ..calm
            },
            Self::Partition => {
                Conditions { faults: &[(FaultKind::Partition, (2, 4)), (FaultKind::Reset, (0, 4))], ..calm }
            }
            Self::RelayRestart => Conditions {
                stall: (150, (100_000, 600_000)),
                faults: &[(FaultKind::CrashRelay, (2, 5)), (FaultKind::StopRelay, (0, 2)), (FaultKind::Reset, (0, 4))],
                ..calm
            },
            Self::DeviceCrash => Conditions {
                stall: (150, (100_000, 600_000)),
                faults: &[
                    (FaultKind::CrashDevice, (3, 8)),
                    (FaultKind::StopDevice, (0, 2)),
                    (FaultKind::Reset, (0, 4)),
                ],
                ..calm
            },
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        let found = Self::ALL.into_iter().find(|profile| profile.name() == text);
        found.ok_or_else(|| UnknownProfile { name: text.chars().take(64).collect() })
    }
}

fn known() -> String {
    Profile::ALL.map(Profile::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_reads_back_from_its_name_and_others_are_refused() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        let error = "quiet".parse::<Profile>().unwrap_err().to_string();
        assert!(error.starts_with("there is no fault profile \"quiet\"; there are calm, "), "{error}");
    }
}
