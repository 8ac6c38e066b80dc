//! Device identity, grants and verdicts.
