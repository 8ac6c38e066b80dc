//! Vocabulary of Comity: what every other crate may name.
//!
//! A *space* holds *documents*; a document holds *entries* (`M050`) with *fields* (`status`); a field is one
//! register. Devices write *changes*; a set of changes is named by its *heads*. Nothing here does IO, and nothing
//! here knows Automerge: this crate is only ids, values, time, schemas and limits.

mod act;
mod hash;
mod id;
mod key;
mod limits;
mod schema;
mod time;
mod value;

pub use act::{Act, ActKind, Write};
pub use hash::{ChangeHash, Heads, InvalidHash};
pub use id::{ActorId, DeviceTag, DocumentId, InvalidId, LinkId, PeerId, SpaceId, StorageId};
pub use key::{EntryId, FieldName, InvalidKey, LIFE, RegisterKey};
pub use limits::Limits;
pub use schema::{FieldSchema, FieldType, InvalidSchema, InvalidValue, KindName, KindSchema};
pub use time::{HybridClock, HybridTime, Instant, InvalidTime, Timestamp};
pub use value::Value;
