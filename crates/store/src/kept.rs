//! Evidence: what was found damaged is kept in `damaged-…` folders inside the store, the newest few of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use comity_model::Timestamp;

use crate::catalogue::Catalogue;
use crate::disk;
use crate::error::StoreError;
use crate::folder::Folder;

/// Most folders of evidence in one store: on a disk that fails again and again they would fill it. The oldest go.
pub(crate) const FOLDERS_MAX: usize = 8;
const PREFIX: &str = "damaged-";

/// Holds copies until they get their number: at most one such folder, however many openings fail.
const STAGED: &str = "damaged-new";

/// Copies of evidence that are on disk and not listed yet.
#[derive(Debug)]
pub(crate) struct Staged {
    staged: PathBuf,
    aside: PathBuf,
}

impl Staged {
    /// Tells where the evidence will be.
    pub(crate) fn aside(&self) -> &Path {
        &self.aside
    }

    /// Makes it a folder of evidence. The caller moves in the engine's files when those are damaged too, and calls
    /// [`prune`] once the repair is done.
    pub(crate) fn keep(self) -> Result<PathBuf, StoreError> {
        disk::rename_durably(&self.staged, &self.aside)?;
        Ok(self.aside)
    }
}

/// Copies the journal and the small files of a store.
pub(crate) fn stage(folder: &Folder) -> Result<Staged, StoreError> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let kept = folders(&folder.root)?;
    // Never a number that was given before, also when the clock goes back.
    let number = kept.last().map_or(seconds, |(newest, _)| seconds.max(newest + 1));
    let aside = folder.root.join(format!("{PREFIX}{number}"));
    let staged = folder.root.join(STAGED);
    if staged.exists() {
        fs::remove_dir_all(&staged).map_err(StoreError::io("remove", &staged))?;
    }
    disk::create_folder(&staged)?;
    disk::copy_below(&folder.journal(), &staged.join("journal"))?;
    for name in ["FORMAT", "FORMAT.copy", Catalogue::NAME] {
        let path = folder.root.join(name);
        if path.exists() {
            fs::copy(&path, staged.join(name)).map_err(StoreError::io("copy", &path))?;
        }
    }
    disk::sync_below(&staged)?;
    Ok(Staged { staged, aside })
}

/// Removes the oldest evidence when there is too much. Only after a repair: one that fails again and again must not push
/// out the evidence of those that did not.
pub(crate) fn prune(folder: &Folder) {
    let pruned = folders(&folder.root).and_then(|kept| {
        for (_, old) in kept.iter().take(kept.len().saturating_sub(FOLDERS_MAX)) {
            tracing::warn!(folder = %old.display(), "removing the oldest evidence of damage");
            fs::remove_dir_all(old).map_err(StoreError::io("remove", old))?;
        }
        Ok(())
    });
    if let Err(error) = pruned {
        // The store itself is whole by now; the next repair tries again.
        tracing::warn!(%error, "old evidence of damage stays");
    }
}

/// A folder of evidence inside a store: what an opening found damaged. [`salvage`](crate::salvage) reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is.
    pub folder: PathBuf,
    /// When it was made, as far as the clock was right.
    pub time: Timestamp,
    /// What its files take, in bytes.
    pub bytes: u64,
}

/// Lists what openings of the store in a folder have set aside, oldest first. Needs no lock: the store may be in use.
/// Empty when there is no such folder.
///
/// # Errors
/// When a folder cannot be listed.
pub fn set_aside(store: &Path) -> Result<Vec<SetAside>, StoreError> {
    let describe = |(number, folder): (u64, PathBuf)| {
        let time = Timestamp::from_unix_ms(i64::try_from(number.saturating_mul(1_000)).unwrap_or(i64::MAX));
        Ok(SetAside { bytes: disk::bytes_below(&folder)?, time, folder })
    };
    folders(store)?.into_iter().map(describe).collect()
}

/// Lists the folders of evidence with their numbers, oldest first.
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
        let keep = || stage(&folder).unwrap().keep().unwrap();
        let kept: Vec<PathBuf> = (0..FOLDERS_MAX).map(|_| keep()).collect();
        prune(&folder);
        assert!(kept.iter().all(|path| path.is_dir()), "{FOLDERS_MAX} fit");
        let one_more = keep();
        prune(&folder);
        assert!(one_more.is_dir() && !kept[0].exists(), "the oldest goes for one more");
        assert!(kept[1..].iter().all(|path| path.is_dir()));
    }

    #[test]
    fn what_was_set_aside_is_listed_with_when_and_how_much() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(set_aside(&root.path().join("nowhere")).unwrap(), []);
        for (name, bytes) in [("damaged-1795269301", 5), ("damaged-900", 2), ("damaged-x", 1), ("journal", 1)] {
            fs::create_dir_all(root.path().join(name).join("sled")).unwrap();
            fs::write(root.path().join(name).join("sled/db"), vec![0; bytes]).unwrap();
        }
        let at = |name: &str, seconds: i64, bytes| SetAside {
            folder: root.path().join(name),
            time: Timestamp::from_unix_ms(seconds * 1_000),
            bytes,
        };
        let listed = set_aside(root.path()).unwrap();
        assert_eq!(listed, [at("damaged-900", 900, 2), at("damaged-1795269301", 1_795_269_301, 5)]);
    }
}
