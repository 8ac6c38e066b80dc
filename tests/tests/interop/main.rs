//! The official clients, unmodified, with Comity: `@automerge/automerge-repo` 2.5.6 from npm and `samod` 0.16.
//!
//! `cargo xtask interop` installs the npm packages and runs this; without them every test here fails and says so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod acceptance;
mod concurrent;
mod documents;
mod ephemeral;
mod json;
mod large;
mod persisted;
mod restart;
mod unavailable;
