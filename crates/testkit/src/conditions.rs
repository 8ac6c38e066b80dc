//! What each profile does to the world.

use crate::Profile;
use crate::dice::Span;

/// How the world behaves. Times are in microseconds, chances in a thousand.
pub(crate) struct Conditions {
    /// How long a message is on its way.
    pub delay_us: Span,
    /// How often, and how long a message is on its way when it is late.
    pub late: (u64, Span),
    /// How often a message arrives twice.
    pub duplicates: u64,
    /// How long writing a message to its socket takes.
    pub write_us: Span,
    /// How many links write slowly, and how long that takes.
    pub slow: (u64, Span),
    /// How long a flush takes.
    pub flush_us: Span,
    /// How many flushes stall, and for how long.
    pub stall: (u64, Span),
    /// How far clocks may be off, in milliseconds.
    pub skew_ms: u64,
    /// Sorts of faults, and how many of each there are in one run.
    pub faults: &'static [(FaultKind, Span)],
}

/// A sort of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Reset,
    Partition,
    OneWay,
    HalfOpen,
    Stall,
    CrashRelay,
    StopRelay,
    CrashDevice,
    StopDevice,
    FillDisk,
    RefuseWrite,
    RefuseLoads,
    TearWrite,
    LoseTail,
    Rot,
    JumpClock,
    FreezeClock,
}

/// Milliseconds in a year, about.
pub(crate) const YEAR_MS: u64 = 365 * 86_400_000;

const CALM: Conditions = Conditions {
    delay_us: (500, 40_000),
    late: (20, (100_000, 400_000)),
    duplicates: 0,
    write_us: (50, 2_000),
    slow: (150, (20_000, 300_000)),
    flush_us: (500, 25_000),
    stall: (30, (100_000, 600_000)),
    skew_ms: 5_000,
    faults: &[],
};

/// Many flushes take long, so that a crash finds something that is not durable.
const LAZY_DISK: Conditions = Conditions { stall: (150, (100_000, 600_000)), ..CALM };

impl Profile {
    pub(crate) const fn conditions(self) -> Conditions {
        use FaultKind::{
            CrashDevice, CrashRelay, FillDisk, FreezeClock, HalfOpen, JumpClock, LoseTail, OneWay, Partition,
            RefuseLoads, RefuseWrite, Reset, Rot, Stall, StopDevice, StopRelay, TearWrite,
        };
        match self {
            Self::Calm => CALM,
            Self::LinkReset => Conditions { faults: &[(Reset, (6, 24))], ..CALM },
            Self::Duplicate => Conditions { duplicates: 150, faults: &[(Reset, (0, 3))], ..CALM },
            Self::Reorder => Conditions {
                delay_us: (500, 1_500_000),
                late: (150, (1_000_000, 5_000_000)),
                faults: &[(Reset, (0, 2))],
                ..CALM
            },
            Self::LongDelay => Conditions {
                delay_us: (300_000, 4_000_000),
                late: (100, (5_000_000, 20_000_000)),
                faults: &[(Reset, (0, 1))],
                ..CALM
            },
            Self::Partition => Conditions { faults: &[(Partition, (2, 4)), (Reset, (0, 4))], ..CALM },
            Self::OneWay => Conditions { faults: &[(OneWay, (2, 5)), (HalfOpen, (2, 6))], ..CALM },
            Self::SlowReader => {
                Conditions { slow: (500, (50_000, 1_000_000)), faults: &[(Stall, (3, 6)), (Reset, (0, 2))], ..CALM }
            }
            Self::RelayRestart => {
                Conditions { faults: &[(CrashRelay, (2, 5)), (StopRelay, (0, 2)), (Reset, (0, 4))], ..LAZY_DISK }
            }
            Self::DeviceCrash => {
                Conditions { faults: &[(CrashDevice, (3, 8)), (StopDevice, (0, 2)), (Reset, (0, 4))], ..LAZY_DISK }
            }
            Self::Disk => Conditions {
                faults: &[
                    (FillDisk, (1, 3)),
                    (RefuseWrite, (0, 2)),
                    (RefuseLoads, (0, 2)),
                    (TearWrite, (1, 3)),
                    (LoseTail, (0, 2)),
                    (Rot, (0, 2)),
                    (Reset, (0, 2)),
                ],
                ..LAZY_DISK
            },
            Self::Clock => Conditions {
                skew_ms: 30 * YEAR_MS,
                faults: &[(JumpClock, (3, 8)), (FreezeClock, (2, 5)), (CrashDevice, (0, 2))],
                ..CALM
            },
        }
    }
}
