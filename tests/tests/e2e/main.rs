//! Whole stories with real `comity` processes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod crash;
mod damage;
mod demo;
mod offline;
mod soak;
mod trial;
