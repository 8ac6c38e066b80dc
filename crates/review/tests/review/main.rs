//! The review layer on real documents: stories, traps, and a brute-force oracle.

mod oracle;
mod random;
mod stories;
mod support;
mod traps;
