//! Documents, registers, sync sessions, and the only door for foreign bytes.
//!
//! A [`Document`] wraps one Automerge document and gives it the shape that `ARCHITECTURE.md` describes: a few flat
//! maps of registers that come from one constant *genesis* change. It is written by [`Document::edit`], read by
//! [`Document::entries`], [`Document::register`] and [`Document::history`], and kept in step with other peers through
//! one [`SyncSession`] for each of them.
//!
//! Foreign bytes pass three types in a row: received bytes, then [`Admitted`], made only by [`admit()`], then applied
//! by [`Document::receive`]. Automerge is not safe on hostile input, so nothing else takes bytes from a peer, and each
//! call into it that foreign bytes can steer runs under `catch_unwind`.
//!
//! This is the only crate that names Automerge.
//!
//! ```
//! use comity_crdt::{Document, SyncSession, admit};
//! use comity_model::{Act, ActKind, ActorId, DeviceTag, HybridTime, Limits, Write};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let limits = Limits::default();
//! let actor = ActorId::for_session(DeviceTag([1; 16]), [0; 8]);
//! let act = Act { time: HybridTime::default(), policy: [0; 8], kind: ActKind::Edit };
//! let write = Write::Set { key: "M050/status".parse()?, value: "dead".into() };
//!
//! let (mut here, mut there) = (Document::new(), Document::new());
//! here.edit(&actor, act, None, &[write], &limits)?;
//!
//! let (mut to_there, mut to_here) = (SyncSession::new(), SyncSession::new());
//! for _ in 0..4 {
//!     if let Some(bytes) = here.generate(&mut to_there) {
//!         there.receive(&mut to_here, admit(&bytes, &limits)?, &limits)?;
//!     }
//!     if let Some(bytes) = there.generate(&mut to_here) {
//!         here.receive(&mut to_there, admit(&bytes, &limits)?, &limits)?;
//!     }
//! }
//! assert_eq!(here.heads(), there.heads());
//! assert_eq!(there.entries(None).len(), 1);
//! # Ok(())
//! # }
//! ```

mod admit;
mod chunk;
mod convert;
mod crowd;
mod decode;
mod document;
mod edit;
mod genesis;
mod history;
mod intake;
mod load;
#[cfg(test)]
mod oracle;
mod outline;
mod read;
mod receive;
mod replay;
mod session;
mod size;
mod stranded;
mod sync;
mod waiting;

pub use admit::{
    Admitted, AdmittedDocument, ColumnFault, Cost, Place, Quantity, Refusal, RowFault, admit, admit_document,
};
pub use chunk::ChunkError;
pub use decode::{DecodedChange, DecodedOp, ObjectId, ObjectKind, OpAction, OpId, OpKey};
pub use document::Document;
pub use edit::{EditError, Edited};
pub use history::{HistoryFilter, HistoryItem};
pub use load::LoadError;
pub use outline::outline;
pub use read::{Entry, Register, Remark, Version};
pub use receive::{ReceiveError, Received};
pub use session::{InvalidSession, SyncSession};
pub use size::TooLarge;
