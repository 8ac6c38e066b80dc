//! The automerge-repo network protocol, version 1: CBOR messages with every length bounded.
//!
//! One binary WebSocket message holds one CBOR map, and [`Message`] is that map. [`Message::decode`] is the only door
//! for foreign frames: it takes any key order, skips what it does not know, and refuses with a [`DecodeError`] that
//! says what and where. [`Message::encode`] writes what the official JavaScript and Rust clients read.
//!
//! The shapes follow what `@automerge/automerge-repo` 2.5 sends rather than its protocol document: document ids are
//! base58check text, numbers above 2³² are float64, and an absent option may be missing, null or undefined.
//!
//! The document data inside a message stays foreign bytes; this crate neither reads nor trusts it.
//!
//! ```
//! use bytes::Bytes;
//! use comity_model::{DocumentId, Limits, PeerId};
//! use comity_wire::Message;
//!
//! let message = Message::Sync {
//!     sender: PeerId::new("tablet")?,
//!     target: PeerId::new("relay")?,
//!     document: DocumentId::from_bytes([7; 16]),
//!     data: Bytes::from_static(b"an automerge sync message"),
//! };
//! let frame = message.encode();
//! assert_eq!(Message::decode(&frame, &Limits::default())?, message);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decode;
mod encode;
mod error;
mod message;
mod reader;

pub use error::DecodeError;
pub use message::{Abilities, Message, PROTOCOL_VERSION, PeerMetadata, RemoteHeads};
