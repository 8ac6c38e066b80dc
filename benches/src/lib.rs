//! What the benchmarks share.

pub mod documents;
