//! The inner loops, by the clock: `cargo bench -p comity-benches`.
//!
//! What a loop needs to go on (the writer's next edit, the answers of others) happens between two rounds and is not
//! timed. `cargo xtask counts` watches some of the same loops by their instructions, which do not depend on what else the
//! machine does.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use comity_benches::documents::{Room, Sheet, newcomer};
use comity_crdt::{Document, admit};
use comity_model::{ChangeHash, DocumentId, Heads, Limits, PeerId};
use comity_store::{Op, Options, SledStore, Store};
use comity_wire::Message;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Rounds after which a room or a store is made anew, so that what is measured keeps its size.
const ROUNDS_MAX: u32 = 200;
/// Operations of a small, a middling and a large document.
const SMALL: u32 = 1_000;
const MIDDLING: u32 = 10_000;
const LARGE: u32 = 100_000;
/// Peers that stand at the same point.
const READERS: usize = 50;
/// Appends that are made durable together, and bytes of a change of one field.
const GROUP: u64 = 64;
const CHANGE_BYTES: usize = 180;
/// Documents that the appends are for.
const DOCUMENTS: u64 = 100;

criterion_group!(benches, decode, admission, apply, generate, append, loading);
criterion_main!(benches);

fn decode(c: &mut Criterion) {
    let limits = Limits::default();
    let sync = |data: Bytes| {
        let peer = |name: &str| PeerId::new(name).expect("a short name is a peer id");
        let document = DocumentId::from_bytes([7; 16]);
        Message::Sync { sender: peer("tablet-17"), target: peer("relay"), document, data }.encode()
    };
    let mut group = c.benchmark_group("decode");
    let change = sync(Room::new(&Sheet::history(10)).written());
    let document = sync(whole(&mut Sheet::table(MIDDLING).load()));
    for (name, frame) in [("a change", change), ("a document of 10,000 operations", document)] {
        group.bench_function(name, |b| b.iter(|| Message::decode(black_box(&frame), &limits)));
    }
}

/// Makes the message that brings a newcomer the whole document.
fn whole(relay: &mut Document) -> Bytes {
    let mut session = newcomer(relay);
    relay.generate(&mut session).expect("a newcomer is answered")
}

fn admission(c: &mut Criterion) {
    let limits = Limits::default();
    let mut room = Room::new(&Sheet::history(SMALL));
    let one = room.written();
    room.deliver(&one);
    room.settle();
    (1..50).for_each(|_| room.edit());
    let fifty = room.written();
    let messages = [
        ("a change", one, 1),
        ("50 changes", fifty, 50),
        ("a document of 10,000 operations", whole(&mut Sheet::table(MIDDLING).load()), 1_001),
    ];
    let mut group = c.benchmark_group("admit");
    for (name, message, changes) in messages {
        let cost = admit(&message, &limits).expect("an honest message is admitted").cost();
        assert_eq!(cost.changes, changes, "{name}");
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(name, |b| b.iter_with_large_drop(|| admit(black_box(&message), &limits)));
    }
}

/// A room that is made anew from time to time.
struct Rooms {
    sheet: Sheet,
    room: Room,
}

/// Times one round.
type Body = fn(&mut Room) -> Duration;

impl Rooms {
    fn new(sheet: Sheet) -> Self {
        Self { room: Room::new(&sheet), sheet }
    }

    /// Times so many rounds; all are in step before and after each.
    fn time(&mut self, rounds: u64, round: Body) -> Duration {
        let mut total = Duration::ZERO;
        for _ in 0..rounds {
            if self.room.edits() >= ROUNDS_MAX {
                self.room = Room::new(&self.sheet);
            }
            total += round(&mut self.room);
            self.room.settle();
        }
        total
    }
}

fn apply(c: &mut Criterion) {
    let mut group = c.benchmark_group("apply");
    let bodies: [(&str, Body); 2] = [("a change", receive_change), ("an acknowledgement", receive_acknowledgement)];
    for operations in [SMALL, LARGE] {
        // Only when it is asked for: the large one takes long to write.
        let mut rooms = None;
        for (name, round) in bodies {
            group.bench_function(BenchmarkId::new(name, operations), |b| {
                let rooms = rooms.get_or_insert_with(|| Rooms::new(Sheet::table(operations)));
                b.iter_custom(|rounds| rooms.time(rounds, round));
            });
        }
    }
}

/// Times how the relay takes in an admitted change.
fn receive_change(room: &mut Room) -> Duration {
    let limits = Limits::default();
    let admitted = admit(&room.written(), &limits).expect("an honest message is admitted");
    let start = Instant::now();
    let received = room.document.receive(&mut room.writer.at_relay, admitted, &limits);
    let took = start.elapsed();
    assert_eq!(received.expect("an honest message is received").new_changes.len(), 1);
    took
}

/// Times how the relay takes in a reader's word that it has the change.
fn receive_acknowledgement(room: &mut Room) -> Duration {
    let limits = Limits::default();
    let message = room.written();
    room.deliver(&message);
    let reader = &mut room.reader;
    let news = room.document.generate(&mut reader.at_relay).expect("there is news for the reader");
    let admitted = admit(&news, &limits).expect("an honest message is admitted");
    reader.document.receive(&mut reader.session, admitted, &limits).expect("an honest message is received");
    let answer = reader.document.generate(&mut reader.session).expect("the reader answers");
    let admitted = admit(&answer, &limits).expect("an honest message is admitted");
    assert!(!admitted.has_changes());
    let start = Instant::now();
    let received = room.document.receive(&mut reader.at_relay, admitted, &limits);
    let took = start.elapsed();
    assert!(received.is_ok() && reader.at_relay.peer_heads() == Some(room.document.heads()));
    took
}

fn generate(c: &mut Criterion) {
    let mut group = c.benchmark_group("generate");
    let mut rooms = Rooms::new(Sheet::table(MIDDLING));
    let bodies: [(&str, Body); 3] = [
        ("for a peer one change behind", tell_first),
        ("for the 2nd to 50th such peer", tell_others),
        ("for a newcomer", tell_newcomer),
    ];
    for (name, round) in bodies {
        group.bench_function(name, |b| b.iter_custom(|rounds| rooms.time(rounds, round)));
    }
}

/// Times how the message for the first reader is made.
fn tell_first(room: &mut Room) -> Duration {
    let message = room.written();
    room.deliver(&message);
    let start = Instant::now();
    let news = room.document.generate(&mut room.reader.at_relay.clone());
    let took = start.elapsed();
    assert!(news.is_some());
    took
}

/// Times how all other readers get the message that was made for the first.
fn tell_others(room: &mut Room) -> Duration {
    tell_first(room);
    let mut sessions = vec![room.reader.at_relay.clone(); READERS - 1];
    let start = Instant::now();
    for session in &mut sessions {
        black_box(room.document.generate(session));
    }
    start.elapsed()
}

/// Times how a message with the whole document is made.
fn tell_newcomer(room: &mut Room) -> Duration {
    // The change makes the relay forget the message that it made for the newcomer before this one.
    let message = room.written();
    room.deliver(&message);
    let mut session = newcomer(&mut room.document);
    let start = Instant::now();
    let document = room.document.generate(&mut session);
    let took = start.elapsed();
    assert!(document.is_some());
    took
}

fn append(c: &mut Criterion) {
    let mut stores = Stores::new();
    let mut group = c.benchmark_group("append");
    group.throughput(Throughput::Elements(GROUP));
    group.bench_function("64 changes to sled, durable", |b| {
        b.iter_custom(|rounds| (0..rounds).map(|_| stores.commit()).sum());
    });
}

/// A store on the disk that holds the build, made anew from time to time.
struct Stores {
    groups: u64,
    store: SledStore,
    /// Removed when it is dropped, after the store.
    folder: tempfile::TempDir,
}

impl Stores {
    fn new() -> Self {
        // The usual place for temporary files may be memory, where nothing has to become durable.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be made in target/tmp");
        Self { groups: 0, store: open(folder.path()), folder }
    }

    /// Times one group.
    fn commit(&mut self) -> Duration {
        if self.groups >= u64::from(ROUNDS_MAX) {
            self.store.close().expect("the store can be closed");
            *self = Self::new();
        }
        let first = self.groups * GROUP;
        let ops: Vec<Op> = (first..first + GROUP).map(append_op).collect();
        self.groups += 1;
        let start = Instant::now();
        self.store.commit(&ops).unwrap_or_else(|error| panic!("{}: {error}", self.folder.path().display()));
        start.elapsed()
    }
}

fn open(folder: &Path) -> SledStore {
    let (store, report) = SledStore::open(folder, Options::default()).expect("a store can be made in an empty folder");
    assert!(!report.is_damaged());
    store
}

fn append_op(number: u64) -> Op {
    let mixed = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&mixed(number % DOCUMENTS).to_be_bytes());
    let mut head = [0; 32];
    head[..8].copy_from_slice(&number.to_be_bytes());
    let chunk: Bytes = (0..CHANGE_BYTES as u64).map(|at| (mixed(number + at) >> 56) as u8).collect();
    let heads = Heads::new(vec![ChangeHash(head)]);
    Op::Append { document: DocumentId::from_bytes(id), chunks: vec![chunk], heads }
}

fn loading(c: &mut Criterion) {
    let mut group = c.benchmark_group("load");
    let sheet = Sheet::table(MIDDLING);
    let mut edited = sheet.load();
    // As they are stored until the next snapshot.
    let changes: Vec<Bytes> = (0..50).flat_map(|number| sheet.edit(&mut edited, 1_000_000 + number).chunks).collect();
    let snapshot = sheet.snapshot;
    assert!(Document::load(Some(&snapshot), &changes).is_ok_and(|document| document.heads() == edited.heads()));
    group.bench_function("a document of 10,000 operations", |b| {
        b.iter_with_large_drop(|| Document::load(Some(black_box(&snapshot)), &changes));
    });
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be made in target/tmp");
    let store = open(folder.path());
    let document = DocumentId::from_bytes([7; 16]);
    let replace = Op::Replace { document, snapshot, heads: Heads::default() };
    store
        .commit(&[replace, Op::Append { document, chunks: changes, heads: Heads::default() }])
        .expect("the disk works");
    group.bench_function("its bytes from sled", |b| {
        b.iter_with_large_drop(|| store.load(black_box(&document)));
    });
    assert!(matches!(store.load(&document), Ok(Some(stored)) if stored.changes.len() == 50));
    store.close().expect("the store can be closed");
}
