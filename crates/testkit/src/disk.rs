//! A simulated disk: group commit, and forgetfulness.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use comity_crdt::{Document, LoadError};
use comity_engine::{Loaded, Ticket};
use comity_model::{DocumentId, Heads, StorageId};

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

/// What a disk holds, and what it was only told.
#[derive(Default)]
pub(crate) struct Disk {
    durable: BTreeMap<DocumentId, Stored>,
    /// The durable part and everything in the queue: what a reader sees.
    applied: BTreeMap<DocumentId, Stored>,
    queue: VecDeque<Write>,
    /// How many at the front of the queue the present flush is for.
    flushing: usize,
}

impl Disk {
    /// Takes a write. True when a flush must be started for it.
    pub fn submit(&mut self, write: Write) -> bool {
        apply(&mut self.applied, &write);
        self.queue.push_back(write);
        self.start_flush()
    }

    /// Ends the present flush. Gives what is durable now, and whether another flush must be started.
    pub fn flushed(&mut self) -> (Vec<Write>, bool) {
        let done: Vec<Write> = self.queue.drain(..self.flushing).collect();
        for write in &done {
            apply(&mut self.durable, write);
        }
        self.flushing = 0;
        (done, self.start_flush())
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

    /// Whether everything is durable.
    pub fn is_clean(&self) -> bool {
        self.queue.is_empty()
    }

    /// Loses what is not durable, save the first `kept` writes of the queue. Gives what is lost.
    pub fn crash(&mut self, kept: usize) -> Vec<Write> {
        for write in self.queue.drain(..kept) {
            apply(&mut self.durable, &write);
        }
        self.flushing = 0;
        self.applied = self.durable.clone();
        self.queue.drain(..).collect()
    }

    /// Loses every change since the last snapshots, durable ones too.
    pub fn lose_changes(&mut self) {
        self.durable.values_mut().for_each(|stored| stored.changes.clear());
        self.applied = self.durable.clone();
    }

    /// Reads a document, with what is not durable yet.
    pub fn load(&self, document: &DocumentId) -> Option<Loaded> {
        let stored = self.applied.get(document)?;
        Some(Loaded {
            snapshot: stored.snapshot.clone(),
            changes: stored.changes.clone(),
            sessions: stored.sessions.iter().map(|(storage, bytes)| (storage.clone(), bytes.clone())).collect(),
        })
    }

    /// Lists the documents of which something is durable.
    pub fn documents(&self) -> Vec<DocumentId> {
        let has_content = |stored: &Stored| stored.snapshot.is_some() || !stored.changes.is_empty();
        self.durable.iter().filter(|(_, stored)| has_content(stored)).map(|(document, _)| *document).collect()
    }

    /// Gives a document as it would be after a crash now.
    pub fn durable(&self, document: &DocumentId) -> Result<Document, LoadError> {
        match self.durable.get(document) {
            Some(stored) => Document::load(stored.snapshot.as_deref(), &stored.changes),
            None => Ok(Document::new()),
        }
    }
}

fn apply(documents: &mut BTreeMap<DocumentId, Stored>, write: &Write) {
    let stored = documents.entry(write.document).or_default();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loses_what_was_not_flushed_and_a_reader_sees_it_before() {
        let document = DocumentId::from_bytes([1; 16]);
        let append = |text: &'static [u8]| {
            let content = Content::Append { chunks: vec![Bytes::from_static(text)], heads: Heads::default() };
            Write { ticket: None, document, content }
        };
        let mut disk = Disk::default();
        assert!(disk.submit(append(b"a")), "the first write starts a flush");
        assert!(!disk.submit(append(b"b")), "the second waits for the next");
        let (done, again) = disk.flushed();
        assert_eq!((done.len(), again), (1, true));
        assert_eq!(disk.load(&document).unwrap().changes.len(), 2);
        assert_eq!(disk.crash(0).len(), 1);
        assert_eq!(disk.load(&document).unwrap().changes.len(), 1);
    }
}
