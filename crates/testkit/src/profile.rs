//! Fault profiles: what sort of trouble a world has.

use std::fmt;
use std::str::FromStr;

/// A kind of trouble. To add one, add a variant, its name, and its row in `conditions.rs`; then assert in
/// `tests/simulation.rs` that the trouble was really seen.
///
/// Under every profile people make, edit and read several documents, talk to each other, use another application, let
/// documents be evicted and compacted, back nodes up and restore them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Profile {
    /// Nothing else goes wrong.
    Calm,
    /// Links break at any moment and lose what is on its way.
    LinkReset,
    /// Messages arrive twice, at once or after later ones.
    Duplicate,
    /// Messages of different links overtake each other by seconds.
    Reorder,
    /// Messages are on their way for many seconds.
    LongDelay,
    /// A device is cut off for long and goes on working.
    Partition,
    /// One direction of a link loses everything, or one end does not notice that the link is gone.
    OneWay,
    /// Peers read slowly, or not at all for a while.
    SlowReader,
    /// The relay crashes, or stops in order, and comes back.
    RelayRestart,
    /// A device crashes, or stops in order, and comes back.
    DeviceCrash,
    /// Disks are full, refuse, tear and lose what was written.
    Disk,
    /// Clocks are years apart, jump and freeze.
    Clock,
}

/// Says that there is no such profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault profile {name:?}; there are {}", known())]
pub struct UnknownProfile {
    name: String,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 12] = [
        Self::Calm,
        Self::LinkReset,
        Self::Duplicate,
        Self::Reorder,
        Self::LongDelay,
        Self::Partition,
        Self::OneWay,
        Self::SlowReader,
        Self::RelayRestart,
        Self::DeviceCrash,
        Self::Disk,
        Self::Clock,
    ];

    /// Gives the name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::LinkReset => "link-reset",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::LongDelay => "long-delay",
            Self::Partition => "partition",
            Self::OneWay => "one-way",
            Self::SlowReader => "slow-reader",
            Self::RelayRestart => "relay-restart",
            Self::DeviceCrash => "device-crash",
            Self::Disk => "disk",
            Self::Clock => "clock",
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
