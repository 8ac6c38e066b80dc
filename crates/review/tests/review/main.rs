//! The review layer on real documents: stories, traps, and a brute-force oracle.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

mod back;
mod foreign;
mod hostile;
mod oracle;
mod random;
mod stories;
mod support;
mod traps;
