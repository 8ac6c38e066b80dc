//! Connections over real sockets, with an independent WebSocket implementation at the other end.

// Helpers of tests are not marked as tests, so the exception for tests does not reach them.
#![allow(clippy::unwrap_used)]

mod dialing;
mod ending;
mod keepalive;
mod moving;
mod raw;
mod support;
