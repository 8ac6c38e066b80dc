//! Stories about what a store keeps, over every engine: one test binary.

// Helpers of tests are tests too; clippy allows `unwrap` only in the test functions themselves.
#![allow(clippy::unwrap_used)]

mod acknowledged;
mod backups;
mod basics;
mod common;
mod crash;
mod damage;
mod faults;
mod full_disk;
mod kills;
mod measured;
mod oracle;
mod power;
mod power_loss;
mod writers;
