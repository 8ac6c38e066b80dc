//! The sans-IO heart of Comity: inputs in, effects out.
//!
//! An [`Engine`] holds documents and the state of every link, and nothing else: no clock, no randomness, no threads,
//! no files, no sockets. A driver tells it what happened and carries out what it answers:
//!
//! ```text
//!             ┌───────── Input ──────────┐         ┌───────── Effect ─────────┐
//!  link up,   │ LinkUp LinkDown Received │         │ Send Close               │  to a link
//!  frames     │ Written                  │         │                          │
//!  store      │ Stored Loaded            │ Engine  │ Append Replace Load …    │  to the store
//!  people     │ Edit Want Fetch          │  ────►  │ Notify                   │  to whoever listens
//!  time       │ Tick Settle              │         │ Quarantine               │  evidence
//!             └──────────────────────────┘         └──────────────────────────┘
//! ```
//!
//! The contract is on [`Engine`]. A relay and a device run the same engine; they differ only in which links *announce*
//! (a device tells its relay of every document it wants; a relay answers for those it is asked about).

mod arrived;
mod edit;
mod effect;
mod engine;
mod ephemeral;
mod fair;
mod handshake;
mod in_flight;
mod in_memory;
mod input;
mod link;
mod load;
mod memory;
mod open;
mod pull;
mod receive;
mod slot;
mod storing;

pub use effect::{Answer, CloseReason, Effect, Event, Origin, PeerStanding, RefusedAt, RefusedEdit, Standing};
pub use engine::{Config, Engine};
pub use handshake::{Established, Handshake, HandshakeError, LocalPeer};
pub use input::{Edit, Failure, FailureKind, Input, Loaded, Ticket, Token};
pub use link::Peer;
pub use load::Load;
