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
        assert!(self.store.meta(RESTORED_META_KEY)?.is_some(), "the next session must be known to be a new one");
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
    assert_eq!((store.acknowledged.load(Ordering::Relaxed), loss_rows(&store).len()), (1, 2));
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
    assert_eq!(loss_rows(&*watched), [format!("lost/{four}")]);
    assert!(!losses.table().has_work());
    losses.write(&store).await;
}

#[test]
fn a_summary_names_a_few_and_costs_the_same_however_many_there_are() {
    let many = |count: u32| {
        let losses = nothing_lost();
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
    let losses = nothing_lost();
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

fn heads(range: std::ops::Range<u32>) -> Heads {
    let hash = |number: u32| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        ChangeHash(bytes)
    };
    range.map(hash).collect()
}

fn lost(byte: u8, heads: Option<Heads>) -> Loss {
    let (document, what) = (DocumentId::from_bytes([byte; 16]), "lost".to_owned());
    Loss { document, heads, what, since: Timestamp::from_unix_ms(5), needs_restart: false }
}

fn nothing_lost() -> Losses {
    Losses { table: Mutex::default(), writing: Arc::default(), bell: Arc::default() }
}

fn loss_rows(store: &dyn Store) -> Vec<String> {
    store.meta_keys().unwrap().into_iter().filter(|key| key.starts_with("lost/")).collect()
}

/// To demand more never takes a loss for made good too early; to demand less may.
#[test]
fn what_each_finding_says_of_the_heads_is_demanded_together() {
    let losses = nothing_lost();
    let document = lost(1, None).document;
    let known = || losses.table().open[&document].heads.clone();
    losses.table().add(lost(1, None));
    losses.table().add(lost(1, Some(heads(2..4))));
    assert_eq!(known(), Some(heads(2..4)), "known later, but known");
    losses.found(document, "it cannot be read");
    assert_eq!(known(), Some(heads(2..4)), "who knows nothing takes nothing away");
    losses.table().add(lost(1, Some(heads(3..6))));
    assert_eq!(known(), Some(heads(2..6)));
    losses.incomplete(document, &heads(1..2));
    assert_eq!(known(), Some(heads(1..6)));
    assert_eq!(losses.table().open[&document].what, "lost", "what was said of it before says more");
    for _ in 0..2 {
        losses.table().add(lost(1, Some(heads(0..1_000))));
        let known = known().unwrap();
        assert_eq!(known.as_slice(), &heads(0..1_000).as_slice()[..32], "as many as are kept, and not none");
    }
}

#[test]
fn of_a_document_with_very_many_heads_some_are_demanded() {
    for count in [32, 33, 10_000] {
        let damaged = DamagedDocument { heads: Some(heads(0..count)), ..damaged(1, &[], Damage::Stale) };
        let mut report = OpenReport::default();
        report.damaged = vec![damaged];
        let losses = report::losses(&report, Timestamp::from_unix_ms(5));
        assert_eq!(losses[0].heads.as_ref().map(|heads| heads.as_slice().len()), Some(32), "{count} heads");
    }
}

#[test]
fn a_hole_of_any_size_is_written_down() {
    for count in [1, 61, 10_000] {
        let store = Watched::default();
        let losses = nothing_lost();
        losses.table().must_acknowledge = true;
        let document = DocumentId::from_bytes([1; 16]);
        losses.incomplete(document, &heads(0..count));
        losses.found(DocumentId::from_bytes([2; 16]), "it cannot be read");
        losses.write_now(&store);
        assert!(!losses.table().has_work(), "{count} missing changes");
        assert_eq!(store.acknowledged.load(Ordering::Relaxed), 1);
        let recalled = rows::recall(&store).unwrap();
        assert_eq!((recalled.len(), &recalled[&document]), (2, &losses.table().open[&document]));
    }
}

#[test]
fn a_row_that_the_store_refuses_keeps_no_other_from_being_written() {
    let store = Watched::default();
    let losses = nothing_lost();
    losses.table().must_acknowledge = true;
    for byte in 0..=255 {
        losses.found(DocumentId::from_bytes([byte; 16]), "it cannot be read");
    }
    // One more than a group holds.
    let mut more = [255; 16];
    more[15] = 254;
    losses.found(DocumentId::from_bytes(more), "it cannot be read");
    // No row of ours is so long; another bound, or another reason, may come one day.
    losses.table().add(Loss { what: "x".repeat(5_000), ..lost(9, None) });
    losses.write_now(&store);
    assert_eq!(loss_rows(&store).len(), 256, "all but one of 257");
    assert!(losses.table().has_work());
    assert_eq!(store.acknowledged.load(Ordering::Relaxed), 0, "the store reports it again");
    losses.table().add(lost(9, None));
    losses.write_now(&store);
    assert_eq!(loss_rows(&store).len(), 257);
    assert_eq!(store.acknowledged.load(Ordering::Relaxed), 1);
    assert!(!losses.table().has_work());
}

/// Somebody may open a damaged store, and end before a session begins: a relay in the folder of a device does.
#[test]
fn the_next_session_is_new_however_many_opened_the_store_in_between() {
    let (folder, evidence) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Watched::default();
    let key = || comity_access::DeviceKey::from_random([5; 32]);
    let first = crate::identity::open(key(), folder.path(), &store, false).unwrap();
    crate::identity::close(&first, folder.path(), &store).unwrap();
    Losses::open(&report(), &store, &keeper(evidence.path())).unwrap();
    assert_eq!(store.acknowledged.load(Ordering::Relaxed), 1);
    // Acknowledged, so nobody hears of it again.
    Losses::open(&OpenReport::default(), &store, &keeper(evidence.path())).unwrap();
    let next = crate::identity::open(key(), folder.path(), &store, false).unwrap();
    assert_ne!(first.actor, next.actor);
}

#[test]
fn what_is_found_while_it_is_looked_at_is_not_taken_for_made_good() {
    let losses = nothing_lost();
    losses.table().add(lost(1, Some(heads(0..1))));
    let looked_at = losses.table().open[&DocumentId::from_bytes([1; 16])].clone();
    losses.heard(&looked_at.document, &in_step());
    assert!(losses.table().to_look_at.contains(&looked_at.document));
    losses.incomplete(looked_at.document, &heads(1..2));
    assert!(!losses.made_good(&looked_at));
    assert_eq!(losses.summary(0).documents, 1);
    assert!(losses.table().to_look_at.is_empty(), "a peer must be in step with it again");
    losses.heard(&looked_at.document, &in_step());
    assert!(losses.table().to_look_at.contains(&looked_at.document));
    let looked_at = losses.table().open[&looked_at.document].clone();
    assert!(losses.made_good(&looked_at));
    assert!(!losses.made_good(&looked_at), "it is told once");
    assert_eq!(losses.summary(0).documents, 0);
}

#[test]
fn one_damage_is_kept_once_whatever_the_folder_is_called() {
    let folder = tempfile::tempdir().unwrap();
    for root in ["data/store", "/home/one/data/store"] {
        let mut report = report();
        report.set_aside = Some(Path::new(root).join("damaged-12"));
        Losses::open(&report, &Watched::default(), &keeper(folder.path())).unwrap();
    }
    let records = evidence::read(folder.path()).unwrap().records;
    assert_eq!(records.len(), 1);
    let bytes = evidence::read_one(folder.path(), records[0].number).unwrap().unwrap().bytes;
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("damaged-12") && !text.contains("/home"), "{text}");
}

fn in_step() -> Standing {
    let peer = PeerStanding { link: Some(comity_model::LinkId(1)), storage: None, behind: 0, answer: Answer::InStep };
    Standing { changes: 3, peers: vec![peer], ..Standing::default() }
}

#[test]
fn in_step_means_with_a_peer_that_is_there_and_on_disk_and_with_something() {
    let good = in_step();
    let peer = good.peers[0].clone();
    assert!(is_in_step(&good));
    assert!(!is_in_step(&Standing { unsaved: true, ..good.clone() }));
    assert!(!is_in_step(&Standing { changes: 0, ..good.clone() }));
    assert!(!is_in_step(&Standing { peers: vec![PeerStanding { link: None, ..peer.clone() }], ..good.clone() }));
    let differs = PeerStanding { answer: Answer::Differs, ..peer };
    assert!(!is_in_step(&Standing { peers: vec![differs], ..good }));
}
