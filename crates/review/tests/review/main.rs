//! The review layer on real documents: stories, traps, and a brute-force oracle.

mod back;
mod foreign;
mod oracle;
mod random;
mod stories;
mod support;
mod traps;
