//! A hardened WebSocket relay.
//!
//! [`Server`] is the door: it accepts connections under every limit of [`Limits`](comity_model::Limits), speaks TLS
//! when given a certificate, refuses origins that are not allowed, answers `GET /health` (503 when the process should be started again), and hands each WebSocket at
//! `/` or `/sync` to an [`Acceptor`]. When told to stop it stops accepting, tells each client when to come back, and
//! drains what is open.

mod accept;
mod admission;
mod config;
mod health;
mod open_files;
mod origin;
mod relay;
mod routes;
mod tls;

pub use accept::{Drained, Server};
pub use admission::Vitals;
pub use config::{ServeError, ServerConfig, TlsFiles};
pub use health::Health;
pub use relay::{Relay, RelayConfig, StartError};
pub use routes::{Accepted, Acceptor};
