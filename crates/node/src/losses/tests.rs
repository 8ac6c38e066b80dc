use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use comity_model::ChangeHash;
use comity_store::{Damage, DamagedDocument, DocumentSummary, MemoryStore, StoreStats, StoredDocument};

use super::*;

fn damaged(byte: u8, heads: &[u8], damage: Damage) -> DamagedDocument {
    let heads = heads.iter().map(|byte| ChangeHash([*byte; 32])).collect();
    DamagedDocument { document: DocumentId::from_bytes([byte; 16]), heads: Some(heads), damage: vec![damage] }
}

fn report() -> OpenReport {
    let mut report = OpenReport::default();
    report.damaged = vec![
        damaged(1, &[], Damage::Gone),
        damaged(2, &[], Damage::SyncStateLost),
        damaged(3, &[7, 8], Damage::ChangesLost { found: 2, expected: 5 }),
    ];
    report
}

fn keeper(folder: &Path) -> Keeper {
    Keeper::open(folder, &Limits::default(), None).unwrap()
}

/// A store in memory that can be told to wait or to refuse, and counts what was acknowledged.
#[derive(Default)]
struct Watched {
    store: MemoryStore,
    /// Each commit waits for a word.
    gate: Mutex<Option<mpsc::Receiver<()>>>,
    refuses: AtomicBool,
    groups: AtomicUsize,
    acknowledged: AtomicUsize,
}

impl Store for Watched {
    fn commit(&self, ops: &[Op]) -> Result<(), StoreError> {
        if let Some(gate) = &*self.gate.lock().unwrap() {
            gate.recv_timeout(Duration::from_secs(20)).expect("the thread that opens the gate is held up");
        }
        if self.refuses.load(Ordering::Relaxed) {
            return Err(StoreError::Stopped { cause: "told to refuse".into() });
        }
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.store.commit(ops)
    }

    fn acknowledge(&self) -> Result<(), StoreError> {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn load(&self, document: &DocumentId) -> Result<Option<StoredDocument>, StoreError> {
        self.store.load(document)
    }

    fn summary(&self, document: &DocumentId) -> Result<Option<DocumentSummary>, StoreError> {
        self.store.summary(document)
    }

    fn documents(&self) -> Result<Vec<DocumentId>, StoreError> {
        self.store.documents()
    }

    fn meta(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.store.meta(key)
    }

    fn meta_keys(&self) -> Result<Vec<String>, StoreError> {
        self.store.meta_keys()
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        self.store.checkpoint()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.store.close()
    }

    fn stats(&self) -> Result<StoreStats, StoreError> {
        self.store.stats()
    }
}

#[test]
fn what_was_lost_is_remembered_with_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = keeper(folder.path());
    let store = MemoryStore::new();
    let first = Losses::open(&report(), &store, &evidence).unwrap();
    let records = evidence::read(folder.path()).unwrap().records;
    assert_eq!(records[0].reason, "the store was damaged; 2 documents lost something");
    let again = Losses::open(&OpenReport::default(), &store, &evidence).unwrap();
    let (first, again) = (first.table(), again.table());
    assert_eq!(first.open, again.open, "the next run knows all of it");
    let losses: Vec<&Loss> = again.open.values().collect();
    assert_eq!(losses.len(), 2, "the state of a sync session is no loss");
    assert_eq!((losses[0].heads.as_ref(), losses[0].what.as_str()), (None, "nothing of it is left"));
    assert_eq!(losses[1].heads.as_ref().unwrap().as_slice(), [ChangeHash([7; 32]), ChangeHash([8; 32])]);
    assert_eq!(evidence::read(folder.path()).unwrap().records.len(), 1, "it is reported once");
}

#[test]
fn a_report_is_acknowledged_when_all_of_it_is_written_and_a_repeated_one_adds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = keeper(folder.path());
    let store = Watched::default();
    store.refuses.store(true, Ordering::Relaxed);
    let losses = Losses::open(&report(), &store, &evidence).unwrap();
    assert_eq!(losses.summary(9).documents, 2, "told, though the disk is full");
    assert_eq!(store.acknowledged.load(Ordering::Relaxed), 0, "the store must report it again");
    // The process dies, or the disk has room again: then nothing is written twice.
    store.refuses.store(false, Ordering::Relaxed);
    let again = Losses::open(&report(), &store, &evidence).unwrap();
    assert_eq!((store.acknowledged.load(Ordering::Relaxed), store.store.meta_keys().unwrap().len()), (1, 2));
    losses.write_now(&store);
    assert_eq!(store.acknowledged.load(Ordering::Relaxed), 2);
    assert!(!losses.table().has_work() && !again.table().has_work());
    assert_eq!(evidence::read(folder.path()).unwrap().records.len(), 1);
}

#[test]
fn a_report_that_is_not_kept_as_evidence_is_not_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = keeper(folder.path());
    let store = Watched::default();
    std::fs::remove_dir_all(folder.path()).unwrap();
    Losses::open(&report(), &store, &evidence).unwrap();
    assert_eq!(store.acknowledged.load(Ordering::Relaxed), 0);
    std::fs::create_dir(folder.path()).unwrap();
    Losses::open(&report(), &store, &evidence).unwrap();
    assert_eq!(store.acknowledged.load(Ordering::Relaxed), 1);
}

/// One thread for everything: whoever blocks it, blocks who would let the disk go on.
#[tokio::test]
async fn nobody_else_waits_while_the_disk_takes_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let watched = Arc::new(Watched::default());
    let losses = Arc::new(Losses::open(&report(), &*watched, &keeper(folder.path())).unwrap());
    let store: Arc<dyn Store> = watched.clone();
    let (open, gate) = mpsc::channel();
    *watched.gate.lock().unwrap() = Some(gate);
    let one = DocumentId::from_bytes([1; 16]);
    let (three, four) = (DocumentId::from_bytes([3; 16]), DocumentId::from_bytes([4; 16]));
    losses.table().remove(&one);
    losses.found(four, "it cannot be read");
    let before = watched.groups.load(Ordering::Relaxed);
    let go_on = async {
        // What changes while others are written is written after them.
        losses.table().remove(&three);
        open.send(()).unwrap();
        open.send(()).unwrap();
    };
    tokio::join!(losses.write(&store), losses.write(&store), go_on);
    assert!(watched.groups.load(Ordering::Relaxed) - before <= 2);
    assert_eq!(watched.store.meta_keys().unwrap(), [format!("lost/{four}")]);
    assert!(!losses.table().has_work());
    losses.write(&store).await;
}

#[test]
fn a_summary_names_a_few_and_costs_the_same_however_many_there_are() {
    let many = |count: u32| {
        let losses = Losses { table: Mutex::default(), writing: Arc::default(), bell: Arc::default() };
        for number in 0..count {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            losses.found(DocumentId::from_bytes(id), "nothing of it is left");
        }
        losses
    };
    let quickest = |losses: &Losses| {
        let took = || {
            let since = Instant::now();
            assert_eq!(losses.summary(20).first.len(), 20);
            since.elapsed()
        };
        (0..200).map(|_| took()).min().unwrap()
    };
    let (few, plenty) = (many(20), many(100_000));
    let summary = plenty.summary(2);
    assert_eq!((summary.documents, summary.first.len(), summary.need_restart), (100_000, 2, 100_000));
    // A copy of all of it takes some thousand times as long.
    let (few, plenty) = (quickest(&few), quickest(&plenty));
    assert!(plenty < few * 20 + Duration::from_micros(50), "{plenty:?} for 100,000 losses, {few:?} for 20");
}

#[test]
fn what_needs_a_restart_is_counted_until_it_does_not() {
    let losses = Losses { table: Mutex::default(), writing: Arc::default(), bell: Arc::default() };
    let document = DocumentId::from_bytes([1; 16]);
    losses.found(document, "it cannot be read");
    assert_eq!(losses.summary(0).need_restart, 1);
    // The next opening saved what was left of it.
    let known = losses.table().open[&document].clone();
    losses.table().add(Loss { needs_restart: false, ..known });
    assert_eq!((losses.summary(0).need_restart, losses.summary(0).documents), (0, 1));
    assert!(losses.table().remove(&document).is_some());
    assert_eq!(losses.summary(9), LossSummary::default());
}

#[test]
fn in_step_means_with_a_peer_that_is_there_and_on_disk_and_with_something() {
    let peer = PeerStanding { link: Some(comity_model::LinkId(1)), storage: None, behind: 0, answer: Answer::InStep };
    let good = Standing { changes: 3, peers: vec![peer.clone()], ..Standing::default() };
    assert!(is_in_step(&good));
    assert!(!is_in_step(&Standing { unsaved: true, ..good.clone() }));
    assert!(!is_in_step(&Standing { changes: 0, ..good.clone() }));
    assert!(!is_in_step(&Standing { peers: vec![PeerStanding { link: None, ..peer.clone() }], ..good.clone() }));
    let differs = PeerStanding { answer: Answer::Differs, ..peer };
    assert!(!is_in_step(&Standing { peers: vec![differs], ..good }));
}
