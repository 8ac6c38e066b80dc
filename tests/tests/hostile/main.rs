//! Attacks on a real relay process, over a raw socket.
//!
//! After each one the same is asked: the attacker is closed with a reason, the relay's memory is where it was, two
//! honest devices go on, and the bytes lie in the evidence folder.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admission;
mod manners;
mod scene;
