//! A simulated disk: group commit, and every way in which a disk disappoints.
//!
//! It answers as the store does, whose rules it copies: a full disk refuses and goes on; any other refusal of a write
//! is final for the handle; a document that lost an append takes no further ones until a snapshot replaces it; what is
//! damaged is named, set aside when the store is opened again, and the rest goes on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use comity_crdt::{Document, LoadError};
use comity_engine::{Failure, FailureKind, Loaded, Ticket};
use comity_model::{DocumentId, Heads, StorageId};

use crate::trace;

/// One write. All of it becomes durable, or nothing.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    /// Whom to answer; nobody waits for a session.
    pub ticket: Option<Ticket>,
    pub document: DocumentId,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Append { chunks: Vec<Bytes>, heads: Heads },
    Replace { snapshot: Bytes, heads: Heads },
    Session { storage: StorageId, session: Bytes },
}

#[derive(Clone, Default)]
struct Stored {
    snapshot: Option<Bytes>,
    changes: Vec<Bytes>,
    sessions: BTreeMap<StorageId, Bytes>,
}

/// What a disk holds of each document.
#[derive(Clone, Default)]
pub(crate) struct Image(BTreeMap<DocumentId, Stored>);

/// A disk and its store.
#[derive(Default)]
pub(crate) struct Disk {
    /// What there was before the first write of the journal: nothing, or a restored backup.
    base: Image,
    /// Every write since that became durable.
    journal: Vec<Write>,
    /// What comes of both.
    durable: Image,
    /// Writes that the disk was only told of.
    queue: VecDeque<Write>,
    /// How many at the front of the queue the present flush is for.
    flushing: usize,
    /// The beginning of a write that a crash cut short, and the checksum of the whole.
    torn: Option<(Write, u64)>,
    pub trouble: Trouble,
}

/// What is wrong with a disk.
#[derive(Default)]
pub(crate) struct Trouble {
    /// There is no room for writes.
    pub full: bool,
    /// The next flush fails; true when what it was for is on the disk all the same.
    pub fails_next: Option<bool>,
    /// A write has failed: the store takes and gives nothing until it is opened again.
    pub stopped: bool,
    /// Reads fail and may work again.
    pub refuses_loads: bool,
    /// Documents that are not what was written, and how many of their writes can still be read.
    pub rotten: BTreeMap<DocumentId, usize>,
    /// Documents that lost an append.
    spoiled: BTreeMap<DocumentId, Failure>,
}

/// A write, and whether it is durable.
pub(crate) type Answer = (Write, Result<(), Failure>);

/// What opening a store found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The journal ended in a write that is not whole; nobody was told that it is saved.
    pub torn: bool,
    /// Documents of which something is lost.
    pub lost: BTreeSet<DocumentId>,
}

impl Disk {
    /// A new disk with what a backup holds.
    pub fn restored(backup: &Image) -> Self {
        Self { base: backup.clone(), durable: backup.clone(), ..Self::default() }
    }

    /// Takes a write. True when a flush must be started for it.
    pub fn submit(&mut self, write: Write) -> bool {
        self.queue.push_back(write);
        self.start_flush()
    }

    /// Ends the present flush. Gives what became of its writes, and whether another flush must be started.
    pub fn flushed(&mut self) -> (Vec<Answer>, bool) {
        let group: Vec<Write> = self.queue.drain(..self.flushing).collect();
        self.flushing = 0;
        if let Some(survives) = self.trouble.fails_next.take() {
            if survives {
                // On the disk, though nobody will be told.
                group.iter().for_each(|write| drop(self.commit(write)));
            }
            self.trouble.stopped = true;
        }
        let answers = group.into_iter().map(|write| {
            let result = self.commit(&write);
            (write, result)
        });
        (answers.collect(), self.start_flush())
    }

    fn commit(&mut self, write: &Write) -> Result<(), Failure> {
        let document = write.document;
        let is_append = matches!(write.content, Content::Append { .. });
        let trouble = &mut self.trouble;
        let refused = if trouble.stopped {
            Some(failure(FailureKind::Io, "the store has stopped"))
        } else if trouble.rotten.contains_key(&document) {
            Some(failure(FailureKind::Damaged, "the document is damaged on disk"))
        } else if trouble.full {
            Some(failure(FailureKind::Full, "the disk is full"))
        } else {
            trouble.spoiled.get(&document).filter(|_| is_append).cloned()
        };
        if let Some(failure) = refused {
            if is_append {
                trouble.spoiled.entry(document).or_insert_with(|| failure.clone());
            }
            return Err(failure);
        }
        if matches!(write.content, Content::Replace { .. }) {
            trouble.spoiled.remove(&document);
        }
        self.durable.apply(write);
        self.journal.push(write.clone());
        Ok(())
    }

    fn start_flush(&mut self) -> bool {
        if self.flushing > 0 || self.queue.is_empty() {
            return false;
        }
        self.flushing = self.queue.len();
        true
    }

    /// How many writes a crash could leave on the disk although nobody was told.
    pub fn in_flush(&self) -> usize {
        self.flushing
    }

    /// Whether nothing waits to be written.
    pub fn is_clean(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether only opening the store again can help.
    pub fn needs_reopening(&self) -> bool {
        self.trouble.stopped || self.trouble.fails_next.is_some() || !self.trouble.rotten.is_empty()
    }

    /// Loses what is not durable, save the first `kept` writes of the queue. Of the write after them its beginning
    /// stays on the disk if it is `torn`. Gives what is lost.
    pub fn crash(&mut self, kept: usize, torn: bool) -> Vec<Write> {
        let survivors: Vec<Write> = self.queue.drain(..kept).collect();
        // Nobody waits for the answers any more.
        survivors.iter().for_each(|write| drop(self.commit(write)));
        self.torn = self.queue.front().filter(|_| torn).and_then(tear);
        self.flushing = 0;
        self.queue.drain(..).collect()
    }

    /// Loses the last writes, durable ones.
    pub fn lose_tail(&mut self, writes: usize) {
        let left = self.journal.len().saturating_sub(writes);
        let lost: BTreeSet<DocumentId> = self.journal.drain(left..).map(|write| write.document).collect();
        self.trouble.rotten.extend(lost.into_iter().map(|document| (document, usize::MAX)));
    }

    /// Loses every change since the last snapshots, durable ones too, and says nothing of it.
    pub fn lose_changes(&mut self) {
        self.durable.0.values_mut().for_each(|stored| stored.changes.clear());
        self.base = self.durable.clone();
        self.journal.clear();
    }

    /// Opens the store again after a crash or a stop: drops a torn tail, sets aside what is damaged, and says so.
    /// Without `checks`, as a store without checksums would, it takes the torn write for a whole one.
    pub fn open(&mut self, checks: bool) -> Opened {
        let torn = self.torn.take();
        if let Some((write, sum)) = &torn
            && (!checks || checksum(write) == *sum)
        {
            self.journal.push(write.clone());
        }
        let Trouble { full, rotten, .. } = std::mem::take(&mut self.trouble);
        self.trouble.full = full;
        let lost: BTreeSet<DocumentId> = rotten.keys().copied().collect();
        for (document, mut readable) in rotten {
            if readable == 0 {
                self.base.0.remove(&document);
            }
            self.journal.retain(|write| {
                let is_kept = write.document != document || readable > 0;
                readable -= usize::from(write.document == document && readable > 0);
                is_kept
            });
        }
        self.durable = self.base.clone();
        self.journal.iter().for_each(|write| self.durable.apply(write));
        Opened { torn: torn.is_some(), lost }
    }

    /// Copies what a backup holds: the documents, and not what their peers are believed to have. `None` when something
    /// cannot be read.
    pub fn backup(&self) -> Option<Image> {
        if self.needs_reopening() || self.trouble.refuses_loads {
            return None;
        }
        let mut image = self.durable.clone();
        image.0.retain(|_, stored| stored.has_content());
        image.0.values_mut().for_each(|stored| stored.sessions.clear());
        Some(image)
    }

    /// Reads a document.
    pub fn load(&self, document: &DocumentId) -> Result<Option<Loaded>, Failure> {
        if self.trouble.stopped {
            return Err(failure(FailureKind::Io, "the store has stopped"));
        }
        if self.trouble.refuses_loads {
            return Err(failure(FailureKind::Io, "too many open files"));
        }
        if self.trouble.rotten.contains_key(document) {
            return Err(failure(FailureKind::Damaged, "the document is damaged on disk"));
        }
        let loaded = |stored: &Stored| Loaded {
            snapshot: stored.snapshot.clone(),
            changes: stored.changes.clone(),
            sessions: stored.sessions.iter().map(|(storage, bytes)| (storage.clone(), bytes.clone())).collect(),
        };
        Ok(self.durable.0.get(document).map(loaded))
    }

    /// Lists the documents of which something is durable.
    pub fn documents(&self) -> Vec<DocumentId> {
        self.durable.0.iter().filter(|(_, stored)| stored.has_content()).map(|(document, _)| *document).collect()
    }

    /// Counts the writes of a document since the base.
    pub fn writes_of(&self, document: &DocumentId) -> usize {
        self.journal.iter().filter(|write| write.document == *document).count()
    }

    /// Gives a document as it would be after a crash now.
    pub fn durable(&self, document: &DocumentId) -> Result<Document, LoadError> {
        match self.durable.0.get(document).filter(|stored| stored.has_content()) {
            Some(stored) => Document::load(stored.snapshot.as_deref(), &stored.changes),
            None => Ok(Document::new()),
        }
    }
}

impl Stored {
    fn has_content(&self) -> bool {
        self.snapshot.is_some() || !self.changes.is_empty()
    }
}

impl Image {
    fn apply(&mut self, write: &Write) {
        let stored = self.0.entry(write.document).or_default();
        match &write.content {
            Content::Append { chunks, .. } => stored.changes.extend(chunks.iter().cloned()),
            Content::Replace { snapshot, .. } => {
                stored.snapshot = Some(snapshot.clone());
                stored.changes.clear();
            }
            Content::Session { storage, session } => {
                stored.sessions.insert(storage.clone(), session.clone());
            }
        }
    }
}

fn failure(kind: FailureKind, message: &str) -> Failure {
    Failure { kind, message: message.to_owned() }
}

/// Leaves the beginning of a write, with the checksum of the whole; `None` for a session, which nobody misses.
fn tear(write: &Write) -> Option<(Write, u64)> {
    let sum = checksum(write);
    let mut torn = write.clone();
    let bytes = match &mut torn.content {
        Content::Append { chunks, .. } => chunks.last_mut()?,
        Content::Replace { snapshot, .. } => snapshot,
        Content::Session { .. } => return None,
    };
    bytes.truncate(bytes.len() * 2 / 3);
    Some((torn, sum))
}

fn checksum(write: &Write) -> u64 {
    match &write.content {
        Content::Append { chunks, .. } => trace::digest(&chunks.concat()),
        Content::Replace { snapshot, .. } => trace::digest(snapshot),
        Content::Session { session, .. } => trace::digest(session),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: DocumentId = DocumentId::from_bytes([1; 16]);

    fn append(text: &'static [u8]) -> Write {
        let content = Content::Append { chunks: vec![Bytes::from_static(text)], heads: Heads::default() };
        Write { ticket: None, document: DOCUMENT, content }
    }

    fn replace(text: &'static [u8]) -> Write {
        let content = Content::Replace { snapshot: Bytes::from_static(text), heads: Heads::default() };
        Write { ticket: None, document: DOCUMENT, content }
    }

    fn changes(disk: &Disk) -> Vec<Bytes> {
        disk.load(&DOCUMENT).unwrap().unwrap_or_default().changes
    }

    fn written(disk: &mut Disk, write: Write) -> Result<(), FailureKind> {
        disk.submit(write);
        let (answers, _) = disk.flushed();
        answers[0].1.clone().map_err(|failure| failure.kind)
    }

    #[test]
    fn a_crash_loses_what_was_not_flushed_and_drops_a_torn_tail() {
        let mut disk = Disk::default();
        assert!(disk.submit(append(b"a")), "the first write starts a flush");
        assert!(!disk.submit(append(b"b")), "the second waits for the next");
        let (done, again) = disk.flushed();
        assert_eq!((done.len(), again), (1, true));
        assert_eq!(disk.crash(0, true).len(), 1);
        assert_eq!(disk.open(true), Opened { torn: true, lost: BTreeSet::new() });
        assert_eq!(changes(&disk), [&b"a"[..]]);
    }

    #[test]
    fn a_full_disk_refuses_appends_until_a_snapshot_makes_good_for_them() {
        let mut disk = Disk::default();
        assert_eq!(written(&mut disk, append(b"a")), Ok(()));
        disk.trouble.full = true;
        assert_eq!(written(&mut disk, append(b"b")), Err(FailureKind::Full));
        disk.trouble.full = false;
        assert_eq!(written(&mut disk, append(b"c")), Err(FailureKind::Full), "it builds on what is missing");
        assert_eq!(written(&mut disk, replace(b"abc")), Ok(()));
        assert_eq!(written(&mut disk, append(b"d")), Ok(()));
        assert_eq!(changes(&disk), [&b"d"[..]]);
    }

    #[test]
    fn a_failed_write_stops_the_store_and_damage_is_named_when_it_is_opened_again() {
        let mut disk = Disk::default();
        for text in [b"a", b"b", b"c"] {
            assert_eq!(written(&mut disk, append(text)), Ok(()));
        }
        let backup = disk.backup().unwrap();
        disk.trouble.fails_next = Some(false);
        assert_eq!(written(&mut disk, append(b"d")), Err(FailureKind::Io));
        assert!(disk.load(&DOCUMENT).is_err() && disk.backup().is_none() && disk.needs_reopening());
        disk.crash(0, false);
        assert_eq!(disk.open(true), Opened::default());
        assert_eq!(changes(&disk).len(), 3);
        disk.lose_tail(1);
        assert!(disk.load(&DOCUMENT).is_err(), "what is not what was written is not given");
        assert_eq!(disk.open(true).lost, BTreeSet::from([DOCUMENT]));
        assert_eq!(changes(&disk), [&b"a"[..], b"b"]);
        disk.trouble.rotten.insert(DOCUMENT, 0);
        assert_eq!(disk.open(true).lost, BTreeSet::from([DOCUMENT]));
        assert!(disk.documents().is_empty());
        assert_eq!(changes(&Disk::restored(&backup)).len(), 3);
    }
}
