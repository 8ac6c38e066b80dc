//! What other implementations send is read, what they read is sent, and nothing that a stranger sends does harm.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod golden;
mod limits;
mod malformed;
mod round_trip;
mod samples;
