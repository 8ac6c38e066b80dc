//! What each fuzz target does with its input, so that a stable compiler can replay the corpus.
//!
//! A target is a module with `run(data)`, which panics when a property does not hold; a binary in `fuzz_targets` that
//! hands it to libFuzzer; a folder in `corpus`; and a row in `tests/replay.rs`.

pub mod admission;
pub mod wire;
