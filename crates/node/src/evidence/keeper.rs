//! Writes records, within bounds.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use comity_model::{DocumentId, Limits, PeerId};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::folder::{self, DROPPED_FILE, Dropped, Role, TEMPORARY};
use super::record::{self, HEADER_BYTES_MAX, Kind, Record};
use crate::clock;

/// Messages that may wait to be written. Each may hold on to a whole message of a peer meanwhile.
const WAITING_MAX: usize = 8;

/// How long the count of what was not kept may be behind on disk: a flood writes it six times a minute.
const COUNT_DELAY: Duration = Duration::from_secs(10);

/// Something that was refused, to be kept.
pub(crate) struct Refused {
    pub kind: Kind,
    pub reason: String,
    pub document: Option<DocumentId>,
    pub peer: Option<PeerId>,
    pub address: Option<String>,
    /// How long it was, which may be more than the bytes at hand.
    pub size: u64,
    pub bytes: Bytes,
}

/// Keeps what was refused. Bounded in number, in bytes and in what is written in a minute; at the bounds, the oldest of
/// the kind that has most gives way, so that a flood of one kind does not push out the others.
pub(crate) struct Keeper {
    folder: PathBuf,
    /// What writes in the background; without it, whoever submits waits.
    runtime: Option<Handle>,
    limits: Bounds,
    /// Places for messages that wait to be written.
    places: Arc<Semaphore>,
    pace: Mutex<Pace>,
    writing: Mutex<Writing>,
    /// How many records there are: `writing` is held for as long as the disk takes.
    records: AtomicUsize,
}

struct Bounds {
    records_max: usize,
    record_bytes_max: usize,
    total_bytes_max: u64,
}

/// How fast records may be written, and what came faster.
struct Pace {
    /// Records that may be written at once now: a bucket that fills slowly.
    tokens: f64,
    tokens_max: f64,
    per_second: f64,
    filled: Instant,
    dropped: Dropped,
    /// Whether the count is about to be written.
    is_due: bool,
}

/// What is on disk. Held while a record is written.
struct Writing {
    next: u64,
    kept: BTreeMap<u64, OnDisk>,
}

struct OnDisk {
    /// `None` for one that cannot be read.
    kind: Option<Kind>,
    bytes: u64,
}

impl Keeper {
    /// Opens the folder, or makes it.
    pub fn open(folder: &Path, limits: &Limits, runtime: Option<Handle>) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut kept = BTreeMap::new();
        for path in folder::list(folder)? {
            match folder::role(&path) {
                Role::Record(number) => drop(kept.insert(number, on_disk(&path)?)),
                // Half of a record: nobody was told that it is kept.
                Role::Temporary => remove(&path)?,
                Role::Dropped | Role::Foreign => {}
            }
        }
        let next = kept.last_key_value().map_or(1, |(last, _)| last + 1);
        let dropped = folder::read_dropped(folder).unwrap_or_else(|reason| {
            tracing::warn!(folder = %folder.display(), reason, "counting begins anew");
            Dropped::default()
        });
        let tokens_max = limits.evidence_max as f64;
        let pace = Pace {
            tokens: tokens_max,
            tokens_max,
            per_second: f64::from(limits.evidence_per_minute) / 60.0,
            filled: Instant::now(),
            dropped,
            is_due: false,
        };
        Ok(Self {
            folder: folder.to_owned(),
            runtime,
            limits: Bounds {
                records_max: limits.evidence_max,
                record_bytes_max: limits.evidence_bytes_max,
                total_bytes_max: limits.evidence_total_bytes_max as u64,
            },
            places: Arc::new(Semaphore::new(WAITING_MAX)),
            pace: Mutex::new(pace),
            records: AtomicUsize::new(kept.len()),
            writing: Mutex::new(Writing { next, kept }),
        })
    }

    /// Keeps something, or counts it when too much comes. Does not block: it is written elsewhere.
    pub fn submit(self: &Arc<Self>, mut refused: Refused) {
        let Some(place) = self.admit(Instant::now()) else { return };
        refused.bytes.truncate(self.limits.record_bytes_max);
        let keeper = Arc::clone(self);
        let write = move || {
            keeper.keep(refused);
            drop(place);
        };
        match &self.runtime {
            Some(runtime) => drop(runtime.spawn_blocking(write)),
            None => write(),
        }
    }

    /// Keeps something now, whatever the pace. Trouble with the disk is logged: evidence is worth less than service.
    pub fn keep(&self, refused: Refused) {
        if let Err(error) = self.try_keep(refused) {
            tracing::warn!(%error, folder = %self.folder.display(), "evidence was not kept");
        }
    }

    /// Keeps something now, unless a record of the same kind has the same bytes.
    pub fn keep_once(&self, mut refused: Refused) -> io::Result<()> {
        refused.bytes.truncate(self.limits.record_bytes_max);
        let digest = record::sha256(&refused.bytes);
        let kept = lock(&self.writing).of_kind(refused.kind);
        let is_same = |number: &u64| {
            let record = read_header(&folder::file(&self.folder, *number)).ok().and_then(|(record, _)| record);
            record.is_some_and(|record| record.digest == digest)
        };
        if kept.iter().any(is_same) { Ok(()) } else { self.try_keep(refused) }
    }

    /// Gives how many records there are, and what was not kept. Never waits for the disk.
    pub fn counts(&self) -> (usize, Dropped) {
        (self.records.load(Ordering::Relaxed), lock(&self.pace).dropped)
    }

    /// Takes a place and a token, or counts one more that is not kept.
    fn admit(self: &Arc<Self>, now: Instant) -> Option<OwnedSemaphorePermit> {
        let mut pace = lock(&self.pace);
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        // In this order: what finds no place uses up no token.
        if let Some(place) = place
            && pace.take(now)
        {
            return Some(place);
        }
        pace.dropped.count += 1;
        pace.dropped.last = Some(clock::now());
        let is_due = std::mem::replace(&mut pace.is_due, true);
        drop(pace);
        if !is_due && let Some(runtime) = &self.runtime {
            let keeper = Arc::downgrade(self);
            runtime.spawn(async move {
                tokio::time::sleep(COUNT_DELAY).await;
                if let Some(keeper) = keeper.upgrade() {
                    // What remains to be counted is written when the keeper goes, if the runtime goes first.
                    let _ = tokio::task::spawn_blocking(move || keeper.write_count()).await;
                }
            });
        }
        None
    }

    fn write_count(&self) {
        let dropped = {
            let mut pace = lock(&self.pace);
            if !std::mem::take(&mut pace.is_due) {
                return;
            }
            pace.dropped
        };
        if let Err(error) =
            write_whole(&self.folder, &self.folder.join(DROPPED_FILE), &folder::encode_dropped(&dropped))
        {
            tracing::warn!(%error, folder = %self.folder.display(), "the count of evidence was not kept");
        }
    }

    fn try_keep(&self, refused: Refused) -> io::Result<()> {
        let mut writing = lock(&self.writing);
        // Whoever finds the file finds it counted.
        self.records.store((writing.kept.len() + 1).min(self.limits.records_max), Ordering::Relaxed);
        let written = self.write(&mut writing, refused);
        self.records.store(writing.kept.len(), Ordering::Relaxed);
        written
    }

    fn write(&self, writing: &mut Writing, refused: Refused) -> io::Result<()> {
        let Refused { kind, reason, document, peer, address, size, mut bytes } = refused;
        bytes.truncate(self.limits.record_bytes_max);
        let number = writing.next;
        writing.next += 1;
        let record = Record {
            number,
            time: clock::now(),
            kind,
            reason: record::one_line(&reason),
            document,
            peer,
            address,
            size,
            kept: bytes.len() as u64,
            digest: record::sha256(&bytes),
        };
        let file = record::encode(&record, &bytes);
        write_whole(&self.folder, &folder::file(&self.folder, number), &file)?;
        writing.kept.insert(number, OnDisk { kind: Some(kind), bytes: file.len() as u64 });
        while let Some(old) = writing.surplus(&self.limits) {
            remove(&folder::file(&self.folder, old))?;
            writing.kept.remove(&old);
        }
        Ok(())
    }
}

impl Drop for Keeper {
    /// Writes a count that waits to be written.
    fn drop(&mut self) {
        self.write_count();
    }
}

impl Pace {
    fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + elapsed * self.per_second).min(self.tokens_max);
        let may = self.tokens >= 1.0;
        if may {
            self.tokens -= 1.0;
        }
        may
    }
}

impl Writing {
    fn of_kind(&self, kind: Kind) -> Vec<u64> {
        self.kept.iter().filter(|(_, kept)| kept.kind == Some(kind)).map(|(number, _)| *number).collect()
    }

    /// Gives the record that has to go, if there is too much.
    fn surplus(&self, limits: &Bounds) -> Option<u64> {
        let bytes: u64 = self.kept.values().map(|kept| kept.bytes).sum();
        let is_over = self.kept.len() > limits.records_max || (bytes > limits.total_bytes_max && self.kept.len() > 1);
        if !is_over {
            return None;
        }
        let by_bytes = self.kept.len() <= limits.records_max;
        let mut kinds: BTreeMap<Option<Kind>, (u64, u64)> = BTreeMap::new();
        for (number, kept) in &self.kept {
            let (weight, _) = kinds.entry(kept.kind).or_insert((0, *number));
            *weight += if by_bytes { kept.bytes } else { 1 };
        }
        // Of kinds that are as heavy, the one with the oldest record.
        let heaviest = kinds.values().max_by_key(|(weight, oldest)| (*weight, std::cmp::Reverse(*oldest)));
        heaviest.map(|(_, oldest)| *oldest)
    }
}

fn on_disk(path: &Path) -> io::Result<OnDisk> {
    let (record, bytes) = read_header(path)?;
    Ok(OnDisk { kind: record.map(|record| record.kind), bytes })
}

/// Reads the header of a record, if it can be read, and the length of its file.
fn read_header(path: &Path) -> io::Result<(Option<Record>, u64)> {
    use std::io::Read;
    let mut head = Vec::new();
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    file.take(HEADER_BYTES_MAX as u64).read_to_end(&mut head)?;
    Ok((record::decode_header(&head).ok().map(|(record, _)| record), bytes))
}

/// Writes a file that is whole and on disk when it appears.
fn write_whole(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(TEMPORARY);
    let mut out = File::create(&temporary)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

/// Removes a file. One that somebody else has removed is no reason to stop pruning.
fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
