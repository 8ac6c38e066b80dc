//! Stories of the engine: one value, driven by hand, without any IO.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod arrived;
mod counters;
mod crowd;
mod durability;
mod exhaustion;
mod failures;
mod limits;
mod replay;
mod support;
mod sync;
