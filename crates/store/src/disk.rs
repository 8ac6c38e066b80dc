//! Files and folders: writes that survive a power loss, locks, free space.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{OpenError, StoreError};

/// Makes the entries of a folder durable (new, renamed and removed files).
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    // The parent of a bare name is the empty path.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io("flush the folder", folder))
}

/// Creates a folder and makes its entry in the parent durable.
pub(crate) fn create_folder(folder: &Path) -> Result<(), StoreError> {
    if !folder.is_dir() {
        fs::create_dir_all(folder).map_err(StoreError::io("create the folder", folder))?;
        folder.parent().map_or(Ok(()), sync_folder)?;
    }
    Ok(())
}

/// Writes a whole file so that after a crash there is the old content, or the new, or none; never a part. The caller
/// flushes the folder.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write_whole_and_reserve(path, bytes, bytes.len() as u64)
}

/// As [`write_whole`], with zeros behind the bytes up to a length.
pub(crate) fn write_whole_and_reserve(path: &Path, bytes: &[u8], file_bytes: u64) -> Result<(), StoreError> {
    let temporary = path.with_extension("tmp");
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.set_len(file_bytes)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&temporary, path)).map_err(StoreError::io("write", path))
}

/// Renames and makes both folders' entries durable.
pub(crate) fn rename_durably(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(StoreError::io("rename", from))?;
    for folder in [to.parent(), from.parent()].into_iter().flatten() {
        sync_folder(folder)?;
    }
    Ok(())
}

/// Reads a whole file; `None` when it does not exist.
pub(crate) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

/// Lists the names in a folder, ascending; none when it does not exist.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut paths = Vec::new();
    match fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                paths.push(entry.map_err(StoreError::io("list", folder))?.path());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(StoreError::io("list", folder)(error)),
    }
    paths.sort();
    Ok(paths)
}

/// Lists the plain files under a folder, at any depth. Links are not followed.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in list(&folder)? {
            let kind = match fs::symlink_metadata(&path) {
                Ok(metadata) => metadata.file_type(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::io("read", &path)(error)),
            };
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Adds up the sizes of the files under a folder.
pub(crate) fn bytes_below(folder: &Path) -> Result<u64, StoreError> {
    let files = files_below(folder)?;
    Ok(files.iter().filter_map(|path| fs::metadata(path).ok()).map(|metadata| metadata.len()).sum())
}

/// Makes every file under a folder, and the folders, durable. sled never does this for its `conf`.
pub(crate) fn sync_below(folder: &Path) -> Result<(), StoreError> {
    for path in files_below(folder)? {
        match File::open(&path).and_then(|file| file.sync_all()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StoreError::io("flush", &path)(error)),
            _ => {}
        }
        if let Some(parent) = path.parent().filter(|parent| *parent != folder) {
            sync_folder(parent)?;
        }
    }
    sync_folder(folder)?;
    folder.parent().map_or(Ok(()), sync_folder)
}

/// Copies the plain files under a folder into another, which is created.
pub(crate) fn copy_below(from: &Path, to: &Path) -> Result<(), StoreError> {
    create_folder(to)?;
    for path in files_below(from)? {
        let relative = path.strip_prefix(from).expect("files_below lists paths below the folder");
        let target = to.join(relative);
        if let Some(parent) = target.parent() {
            create_folder(parent)?;
        }
        fs::copy(&path, &target).map_err(StoreError::io("copy", &path))?;
    }
    sync_below(to)
}

/// Gives the free bytes of the disk that a folder is on, as an unprivileged process may use them.
pub(crate) fn free_bytes(folder: &Path) -> Result<u64, StoreError> {
    let stat = rustix::fs::statvfs(folder)
        .map_err(|errno| StoreError::io("measure the free space of", folder)(io::Error::from(errno)))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Holds the folder of a store for one handle. The lock goes with the process, however it ends.
#[derive(Debug)]
pub(crate) struct FolderLock(#[expect(dead_code, reason = "holds the lock until it is dropped")] File);

impl FolderLock {
    /// Takes the lock, trying again for a short while, because a handle that was just dropped may still be going.
    pub(crate) fn take(folder: &Path, patience: Duration) -> Result<Self, OpenError> {
        let path = folder.join("LOCK");
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if start.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    let mut text = String::new();
                    let read = file.read_to_string(&mut text);
                    let pid = read.ok().and_then(|_| text.trim().parse().ok());
                    return Err(OpenError::InUse { folder: folder.to_owned(), pid });
                }
                Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path)(error).into()),
            }
        }
        let written = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).and_then(|_| {
            let pid = std::process::id();
            file.write_all(format!("{pid}\n").as_bytes())
        });
        written.map_err(StoreError::io("write", &path))?;
        Ok(Self(file))
    }
}
