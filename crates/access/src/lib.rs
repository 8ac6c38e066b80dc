//! Device identity and verdicts.
//!
//! A device has one Ed25519 key, made on its first start; its [`DeviceId`] is the public key. Every read and every
//! write is put to a [`Rulebook`], which answers with a [`Verdict`]: a value, not an error. The only rulebook so far
//! is [`Everyone`]: whoever knows a document's id may read and write it, as in automerge-repo. Grants and roles take
//! the same seam.

mod device;
mod verdict;

pub use device::{DeviceId, DeviceKey, InvalidDevice};
pub use verdict::{Everyone, Rulebook, Verdict, Who};
