//! What the tests of the whole share: relays, devices, the official clients, and a peer that says whatever it likes.
//!
//! One test binary per tier: `interop` (the official JavaScript and Rust clients), `e2e` (real processes), `hostile`
//! (attacks on a real relay). Nothing here sleeps: every wait is for an event and has a deadline, [`PATIENCE`].
//!
//! A helper that cannot do its work panics: it fails the test that called it, and says what was waited for.

pub mod attacks;
pub mod comity;
pub mod device;
pub mod frames;
pub mod http;
pub mod javascript;
pub mod memory;
pub mod raw;
pub mod relay;
pub mod rust_client;
mod waiting;

pub use waiting::{PATIENCE, within};
