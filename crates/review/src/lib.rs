//! Semantic disagreements over a CRDT.
