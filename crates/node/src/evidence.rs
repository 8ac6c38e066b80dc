//! Bytes that were refused, kept in files: they are evidence.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use comity_model::{DocumentId, PeerId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Messages that may wait to be written. Each may hold on to a whole message of a peer meanwhile.
const WAITING_MAX: usize = 8;

/// A folder of refused messages: for each one a `.bin` with the bytes and a `.txt` that says whose they were and why
/// they were refused. Bounded: the oldest give way.
pub(crate) struct Evidence {
    folder: PathBuf,
    /// Places for messages that wait to be written.
    places: Arc<Semaphore>,
    kept_max: usize,
    /// The number of the next one. Also keeps two writers from pruning at once.
    next: Mutex<u64>,
}

impl Evidence {
    pub fn open(folder: &Path, kept_max: usize) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let next = numbers(folder)?.last().map_or(1, |last| last + 1);
        let places = Arc::new(Semaphore::new(WAITING_MAX));
        Ok(Self { folder: folder.to_owned(), places, kept_max, next: Mutex::new(next) })
    }

    /// Gives a place for a message that is to be written by [`keep`](Self::keep); `None` when too many wait. Who
    /// refuses messages faster than the disk takes them has enough evidence.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Keeps one message. Trouble with the disk is logged: evidence is worth less than service.
    pub fn keep(&self, peer: &PeerId, document: &DocumentId, reason: &str, bytes: &[u8]) {
        if let Err(error) = self.try_keep(peer, document, reason, bytes) {
            tracing::warn!(%error, folder = %self.folder.display(), "evidence was not kept");
        }
    }

    fn try_keep(&self, peer: &PeerId, document: &DocumentId, reason: &str, bytes: &[u8]) -> io::Result<()> {
        let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let number = *next;
        *next += 1;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let note = format!("time: {seconds}\npeer: {peer}\ndocument: {document}\nreason: {reason}\n");
        fs::File::create(self.file(number, "bin"))?.write_all(bytes)?;
        fs::File::create(self.file(number, "txt"))?.write_all(note.as_bytes())?;
        let kept = numbers(&self.folder)?;
        for old in &kept[..kept.len().saturating_sub(self.kept_max)] {
            remove(&self.file(*old, "bin"))?;
            remove(&self.file(*old, "txt"))?;
        }
        Ok(())
    }

    fn file(&self, number: u64, ending: &str) -> PathBuf {
        self.folder.join(format!("{number:08}.{ending}"))
    }
}

/// Removes a file. One that somebody else has removed is no reason to stop pruning.
fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives the numbers in use, ascending.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_suffix(".txt")).and_then(|stem| stem.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_evidence_waits_to_be_written_and_not_one_more() {
        let folder = tempfile::tempdir().unwrap();
        let evidence = Evidence::open(folder.path(), 3).unwrap();
        let places: Vec<_> = (0..WAITING_MAX).map(|_| evidence.place().unwrap()).collect();
        assert!(evidence.place().is_none());
        drop(places);
        assert!(evidence.place().is_some());
    }

    #[test]
    fn the_oldest_evidence_gives_way_at_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let evidence = Evidence::open(folder.path(), 3).unwrap();
        let peer = PeerId::new("stranger").unwrap();
        let document = DocumentId::from_bytes([1; 16]);
        for i in 0..4u8 {
            evidence.keep(&peer, &document, "too long", &[i]);
        }
        assert_eq!(numbers(folder.path()).unwrap(), [2, 3, 4]);
        assert_eq!(fs::read(folder.path().join("00000004.bin")).unwrap(), [3]);
        let note = fs::read_to_string(folder.path().join("00000004.txt")).unwrap();
        assert!(note.contains("peer: stranger") && note.contains("reason: too long"), "{note}");
        drop(evidence);
        let evidence = Evidence::open(folder.path(), 3).unwrap();
        evidence.keep(&peer, &document, "again", b"x");
        assert_eq!(numbers(folder.path()).unwrap(), [3, 4, 5], "numbers go on after a restart");
    }

    #[test]
    fn evidence_that_somebody_took_half_away_does_not_stop_the_pruning() {
        let folder = tempfile::tempdir().unwrap();
        let evidence = Evidence::open(folder.path(), 2).unwrap();
        let peer = PeerId::new("stranger").unwrap();
        let document = DocumentId::from_bytes([1; 16]);
        evidence.keep(&peer, &document, "too long", b"x");
        fs::remove_file(folder.path().join("00000001.bin")).unwrap();
        for _ in 0..4 {
            evidence.keep(&peer, &document, "too long", b"x");
        }
        assert_eq!(numbers(folder.path()).unwrap(), [4, 5]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }
}
