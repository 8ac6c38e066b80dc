//! Attacks on a real relay process, over raw sockets.
//!
//! After each one the same is asked ([`scene::Scene::ends_well`]): two honest devices are in step within 2 s, it is the
//! same process, it says that it is well, and it is at most 128 MiB larger. `--nocapture` shows the table: the attack,
//! the relay's answer, the greatest and the lasting growth in MiB, and the milliseconds that the honest took.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admission;
mod cbor;
mod crowds;
mod frames;
mod half_messages;
mod http;
mod manners;
mod mutation;
mod readers;
mod scene;
