//! What was refused, kept in files: it is evidence of what somebody tried, and of what went wrong.
//!
//! Each record is one file in the folder [`FOLDER`] of a data folder: a header in text, which says who sent what, when,
//! and why it was refused, then the bytes themselves, cut to a limit. A file appears under its name only when it is
//! whole and on disk. Reading needs no lock: [`read`] works while a relay runs.
//!
//! Number and bytes of the records are bounded, and so is how fast they are written: a flood of refused messages must
//! not wear out a disk. What is not kept is counted.

mod explain;
mod folder;
mod keeper;
mod record;

pub use explain::explain;
pub use folder::{Contents, Dropped, Unreadable, read, read_one};
pub(crate) use keeper::{Keeper, Refused};
pub use record::{Kept, Kind, Record, RecordError};

/// The folder of the records within a data folder.
pub const FOLDER: &str = "evidence";
