//! Evidence: what was found damaged is kept in `damaged-…` folders inside the store, the newest few of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::catalogue::Catalogue;
use crate::disk;
use crate::error::StoreError;
use crate::folder::Folder;

/// Most folders of evidence in one store: on a disk that fails again and again they would fill it. The oldest go.
pub(crate) const FOLDERS_MAX: usize = 8;
const PREFIX: &str = "damaged-";

/// Copies the journal and the small files of a store into a new folder of evidence, and gives it. The caller moves in
/// the engine's files when those are damaged too.
pub(crate) fn keep(folder: &Folder) -> Result<PathBuf, StoreError> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let kept = folders(&folder.root)?;
    // Never a number that was given before, also when the clock goes back.
    let number = kept.last().map_or(seconds, |(newest, _)| seconds.max(newest + 1));
    let aside = folder.root.join(format!("{PREFIX}{number}"));
    disk::create_folder(&aside)?;
    disk::copy_below(&folder.journal(), &aside.join("journal"))?;
    for name in ["FORMAT", "FORMAT.copy", Catalogue::NAME] {
        let path = folder.root.join(name);
        if path.exists() {
            fs::copy(&path, aside.join(name)).map_err(StoreError::io("copy", &path))?;
        }
    }
    disk::sync_below(&aside)?;
    for (_, old) in kept.iter().take((kept.len() + 1).saturating_sub(FOLDERS_MAX)) {
        tracing::warn!(folder = %old.display(), "removing the oldest evidence of damage");
        fs::remove_dir_all(old).map_err(StoreError::io("remove", old))?;
    }
    Ok(aside)
}

/// Lists the folders of evidence, oldest first.
fn folders(root: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let number = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix(PREFIX)?.parse().ok();
    let mut folders: Vec<(u64, PathBuf)> =
        disk::list(root)?.into_iter().filter_map(|path| Some((number(&path)?, path))).collect();
    folders.sort_unstable();
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_evidence_is_kept_up_to_the_limit() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path());
        let kept: Vec<PathBuf> = (0..FOLDERS_MAX).map(|_| keep(&folder).unwrap()).collect();
        assert!(kept.iter().all(|path| path.is_dir()), "{FOLDERS_MAX} fit");
        let one_more = keep(&folder).unwrap();
        assert!(one_more.is_dir() && !kept[0].exists(), "the oldest goes for one more");
        assert!(kept[1..].iter().all(|path| path.is_dir()));
    }
}
