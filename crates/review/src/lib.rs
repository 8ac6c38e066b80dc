//! Where a merge is correct for the data structure but not for the people.
//!
//! Disagreements are a pure function of a document: equal heads give equal disagreements on every peer, nothing about
//! them is stored, and nothing here writes.

mod disagreement;

pub use disagreement::{Disagreement, Side, disagreements};
