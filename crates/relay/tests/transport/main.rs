//! The relay's door over real sockets.

// Helpers of tests are not marked as tests, so the exception for tests does not reach them.
#![allow(clippy::unwrap_used)]

mod hostile;
mod losses;
mod serving;
mod support;
mod tls;
