//! The writer groups what waits, answers everybody once and in order, and stops for good after a final error.

use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use comity_model::{DocumentId, Heads};
use comity_store::{
    DocumentSummary, MemoryStore, Op, Store, StoreError, StoreStats, StoredDocument, Writer, WriterOptions,
};

use crate::common::{Engine, append, document, noise, tempdir};

/// A store in memory whose commits wait at a gate, and may fail.
#[derive(Default)]
struct Gated {
    inner: MemoryStore,
    open: Mutex<bool>,
    opened: Condvar,
    groups: Mutex<Vec<usize>>,
    fail: Mutex<Option<StoreError>>,
}

impl Gated {
    fn set_open(&self, open: bool) {
        *self.open.lock().unwrap() = open;
        self.opened.notify_all();
    }
}

impl Store for Gated {
    fn commit(&self, ops: &[Op]) -> Result<(), StoreError> {
        drop(self.opened.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
        self.groups.lock().unwrap().push(ops.len());
        match self.fail.lock().unwrap().clone() {
            Some(error) => Err(error),
            None => self.inner.commit(ops),
        }
    }

    fn load(&self, document: &DocumentId) -> Result<Option<StoredDocument>, StoreError> {
        self.inner.load(document)
    }

    fn summary(&self, document: &DocumentId) -> Result<Option<DocumentSummary>, StoreError> {
        self.inner.summary(document)
    }

    fn documents(&self) -> Result<Vec<DocumentId>, StoreError> {
        self.inner.documents()
    }

    fn meta(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.inner.meta(key)
    }

    fn meta_keys(&self) -> Result<Vec<String>, StoreError> {
        self.inner.meta_keys()
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn stats(&self) -> Result<StoreStats, StoreError> {
        self.inner.stats()
    }
}

type Answer = (u64, Result<(), StoreError>);

fn gated() -> (Arc<Gated>, Writer, mpsc::Sender<Answer>, mpsc::Receiver<Answer>) {
    let store = Arc::new(Gated::default());
    let options =
        WriterOptions { queue_submissions_max: 8, deadline: Duration::from_millis(300), ..Default::default() };
    let writer = Writer::start(Arc::clone(&store) as _, options).unwrap();
    let (send, receive) = mpsc::channel();
    (store, writer, send, receive)
}

fn submit(writer: &Writer, number: u64, ops: Vec<Op>, answers: &mpsc::Sender<Answer>) {
    let answers = answers.clone();
    writer.submit(ops, Box::new(move |result| answers.send((number, result)).unwrap()));
}

#[test]
fn what_waits_while_one_group_is_written_is_the_next_group() {
    let (store, writer, send, answers) = gated();
    store.set_open(true);
    submit(&writer, 0, vec![append(1, &[noise(10, 0)], 0)], &send);
    answers.recv().unwrap().1.unwrap();
    store.set_open(false);
    submit(&writer, 1, vec![append(1, &[noise(10, 1)], 1)], &send);
    // The first of these may be taken alone, before the others come.
    (2..7).for_each(|number| submit(&writer, number, vec![append(1, &[noise(10, number)], number)], &send));
    store.set_open(true);
    writer.flush().unwrap();
    let order: Vec<u64> = answers.try_iter().map(|(number, result)| result.map(|()| number).unwrap()).collect();
    assert_eq!(order, [1, 2, 3, 4, 5, 6]);
    assert!(store.groups.lock().unwrap().len() <= 4, "{:?}", store.groups);
    assert_eq!(store.load(&document(1)).unwrap().unwrap().changes.len(), 7);
    writer.close().unwrap();
}

#[test]
fn a_full_queue_makes_submit_wait_and_nothing_is_dropped() {
    let (store, writer, send, answers) = gated();
    let writer = Arc::new(writer);
    let feeding = {
        let (writer, send) = (Arc::clone(&writer), send.clone());
        std::thread::spawn(move || {
            (0..100).for_each(|number| submit(&writer, number, vec![append(1, &[noise(10, number)], number)], &send));
        })
    };
    assert!(!feeding.is_finished() || writer.waiting() <= 8);
    store.set_open(true);
    feeding.join().unwrap();
    writer.flush().unwrap();
    let order: Vec<u64> = answers.try_iter().map(|(number, result)| result.map(|()| number).unwrap()).collect();
    assert_eq!(order, (0..100).collect::<Vec<_>>());
}

#[test]
fn one_bad_submission_does_not_spoil_the_others_in_its_group() {
    let (store, writer, send, answers) = gated();
    submit(&writer, 0, vec![append(1, &[noise(10, 0)], 0)], &send);
    submit(&writer, 1, vec![Op::PutMeta { key: "k".to_owned(), value: Bytes::from(vec![0; 5_000]) }], &send);
    submit(&writer, 2, vec![append(2, &[noise(10, 0)], 0)], &send);
    store.set_open(true);
    writer.flush().unwrap();
    let results: Vec<bool> = answers.try_iter().map(|(_, result)| result.is_ok()).collect();
    assert_eq!(results, [true, false, true]);
    assert_eq!(store.documents().unwrap(), [document(1), document(2)]);
}

#[test]
fn after_a_final_error_everything_fails_with_its_name() {
    let (store, writer, send, answers) = gated();
    let broken = StoreError::Engine { engine: "sled", what: "write", message: "it broke".to_owned() };
    *store.fail.lock().unwrap() = Some(broken);
    store.set_open(true);
    submit(&writer, 0, vec![append(1, &[noise(10, 0)], 0)], &send);
    assert!(matches!(answers.recv().unwrap().1, Err(StoreError::Engine { .. })));
    assert!(writer.flush().is_err());
    *store.fail.lock().unwrap() = None;
    submit(&writer, 1, vec![append(1, &[noise(10, 0)], 0)], &send);
    let error = answers.recv().unwrap().1.unwrap_err();
    assert!(matches!(&error, StoreError::Stopped { cause } if cause.contains("it broke")), "{error}");
    assert!(writer.close().is_err());
}

#[test]
fn an_engine_that_hangs_is_given_up_at_the_deadline() {
    let (store, writer, send, answers) = gated();
    submit(&writer, 0, vec![append(1, &[noise(10, 0)], 0)], &send);
    assert!(matches!(answers.recv().unwrap().1, Err(StoreError::Deadline { .. })));
    submit(&writer, 1, vec![append(1, &[noise(10, 0)], 0)], &send);
    assert!(matches!(answers.recv().unwrap().1, Err(StoreError::Stopped { .. })));
    drop(writer);
    store.set_open(true);
}

#[test]
fn dropping_the_writer_waits_for_all_that_was_submitted() {
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let store = engine.open(folder.path()).shared();
        let writer = Writer::start(Arc::clone(&store), WriterOptions::default()).unwrap();
        for number in 0..200 {
            writer.submit(vec![append(1, &[noise(50, number)], number)], Box::new(|result| result.unwrap()));
        }
        drop(writer);
        assert_eq!(store.load(&document(1)).unwrap().unwrap().changes.len(), 200);
        let stats = store.stats().unwrap();
        assert!(stats.groups < 200 && stats.ops == 200, "{stats:?}");
    }
}

#[test]
fn nothing_is_appended_behind_a_gap_until_a_snapshot_closes_it() {
    // S1.8: a document that lost one append and got the next could not be read again.
    let store = Arc::new(MemoryStore::new());
    let writer = Writer::start(Arc::clone(&store) as _, WriterOptions::default()).unwrap();
    let (spoiled, other) = (DocumentId::from_bytes([1; 16]), DocumentId::from_bytes([2; 16]));
    let submit = |op: Op| {
        let (sender, receiver) = mpsc::channel();
        writer.submit(vec![op], Box::new(move |result| sender.send(result).unwrap()));
        receiver.recv().unwrap()
    };
    let text_append = |document, text: &'static str| Op::Append {
        document,
        chunks: vec![Bytes::from_static(text.as_bytes())],
        heads: Heads::default(),
    };
    store.set_full(true);
    assert!(matches!(submit(text_append(spoiled, "one")), Err(StoreError::Full { .. })));
    store.set_full(false);
    assert!(
        matches!(submit(text_append(spoiled, "two")), Err(StoreError::Full { .. })),
        "it builds on what is missing"
    );
    submit(text_append(other, "one")).unwrap();
    assert!(store.load(&spoiled).unwrap().is_none_or(|stored| stored.changes.is_empty()));
    submit(Op::Replace { document: spoiled, snapshot: Bytes::from_static(b"all"), heads: Heads::default() }).unwrap();
    submit(text_append(spoiled, "three")).unwrap();
    let stored = store.load(&spoiled).unwrap().unwrap();
    assert_eq!(stored.snapshot.as_deref(), Some(&b"all"[..]));
    assert_eq!(stored.changes, [Bytes::from_static(b"three")]);
}
