//! Compacts a store at rest: writes the engine's files anew, since sled never gives space back.

use std::path::Path;

use crate::engine::Engine;
use crate::engine::sled::SledEngine;
use crate::error::OpenError;
use crate::folder::Folder;
use crate::options::Options;
use crate::report::{CompactReport, Progress};
use crate::store::Store;

/// Opens the store in a folder, writes its engine's files anew, and closes it. The rows are checked on the way, and the
/// old files go only when the new ones are complete and on disk.
///
/// # Errors
/// When the folder holds no store, is in use, or the disk fails or is too full for both copies.
pub fn compact(
    folder: &Path,
    options: Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<CompactReport, OpenError> {
    let missing = || OpenError::Missing { folder: folder.to_owned() };
    if !folder.is_dir() {
        return Err(missing());
    }
    let format = Folder::new(folder).format()?.ok_or_else(missing)?;
    match format.engine.as_str() {
        SledEngine::NAME => compact_with::<SledEngine>(folder, options, progress),
        #[cfg(feature = "redb")]
        crate::engine::redb::RedbEngine::NAME => {
            compact_with::<crate::engine::redb::RedbEngine>(folder, options, progress)
        }
        other => {
            let (folder, found) = (folder.to_owned(), other.to_owned());
            Err(OpenError::OtherEngine { folder, found, wanted: SledEngine::NAME })
        }
    }
}

fn compact_with<E: Engine>(
    folder: &Path,
    options: Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<CompactReport, OpenError> {
    let (store, opened) = crate::open::open::<E>(folder, options)?;
    let documents = store.documents()?.len() as u64;
    let (bytes_before, bytes_after) = store.compact(progress)?;
    store.close()?;
    Ok(CompactReport { engine: E::NAME.to_owned(), documents, bytes_before, bytes_after, opened })
}
