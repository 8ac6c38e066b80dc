//! Links between nodes: bytes only.
//!
//! A [`Connection`] is one open, ordered, message-preserving pipe to a peer, whatever carries it: a WebSocket that we
//! dialled ([`dial`]), one that somebody opened to us ([`upgraded`]), or two ends of memory in a test ([`pair`]).
//! What carries it is a [`Transport`]; a new kind of link is a new implementation of that trait and nothing else.
//!
//! [`pump::run`] drives one connection: it reads with backpressure, writes in batches, keeps the link alive, finds
//! half-open peers, and says why the link ended. Neither direction ever waits for the other.
//!
//! Nothing here knows what the bytes mean.

mod backoff;
mod close;
mod connection;
mod dial;
mod life;
mod memory;
mod meter;
mod network;
mod pieces;
pub mod pump;
mod race;
mod reason;
mod room;
mod tls;
mod url;
mod websocket;

pub use backoff::Backoff;
pub use close::{Goodbye, code};
pub use connection::{Connection, Frame, LinkError, Transport};
pub use dial::{DialError, DialOptions, DialStep, dial};
pub use memory::pair;
pub use meter::{Meter, Metered};
pub use network::Network;
pub use room::Room;
pub use url::{Url, UrlError};
pub use websocket::{SocketOptions, accept_key, upgraded};
