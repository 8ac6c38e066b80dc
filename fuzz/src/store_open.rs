//! Opening a store whose files somebody, or something, wrote over.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use comity_model::{ChangeHash, DocumentId, Heads, StorageId};
use comity_store::{ChildCommand, Op, OpenReport, Options, SledStore, Store, StoredDocument};

use crate::choices::Choices;

/// Damages taken of one input.
const DAMAGES_MAX: usize = 8;
const DOCUMENTS: u8 = 4;
/// How long an engine may take until it is given up.
const OPEN_DEADLINE: Duration = Duration::from_secs(5);
/// How long opening may take in all: the engine may be given up in the child, here, and once more when it is closed.
const DEADLINE: Duration = Duration::from_secs(30);

/// How to run this program as the child that tries out an engine, for a program that is not its own child.
pub static CHILD: OnceLock<ChildCommand> = OnceLock::new();

/// A store that was closed properly, and one that was not.
static STORES: LazyLock<[Image; 2]> = LazyLock::new(|| [Image::make(true), Image::make(false)]);

/// Takes the bytes as damages to the files of a small store, then opens it, with a child process that tries out the
/// engine first. Asserts that it opens or says why not, in time; and that whatever is not as it was stored is named, at
/// opening or when it is read.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    let image = &STORES[choices.below(2)];
    let mut files = image.files.clone();
    for _ in 0..DAMAGES_MAX {
        if choices.is_empty() {
            break;
        }
        damage(&mut files, &mut choices);
    }
    let folder = crate::scratch();
    write(folder.path(), &files);
    open(folder.path(), image);
}

fn open(folder: &Path, image: &Image) {
    let began = Instant::now();
    let opened = SledStore::open(folder, options());
    assert!(began.elapsed() < DEADLINE, "opening took {:?}", began.elapsed());
    match opened {
        Ok((store, report)) => {
            compare(&store, &report, image);
            // A damaged engine may fail to close; it says so.
            let _ = store.close();
        }
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
}

fn compare(store: &SledStore, report: &OpenReport, image: &Image) {
    // A group that is not whole at the end may be one that nobody was told is saved.
    let told = report.is_damaged() || report.journal.tail_bytes > 0 || report.created;
    for (id, held) in &image.held {
        let same = match store.load(id) {
            Ok(Some(found)) => {
                (&found.snapshot, &found.changes, &found.heads) == (&held.snapshot, &held.changes, &held.heads)
            }
            Ok(None) => false,
            // It is named now.
            Err(error) => !error.to_string().is_empty(),
        };
        assert!(same || told, "{id} is not what was stored, and nobody was told: {report:?}");
    }
    match store.meta("device") {
        Ok(found) => assert!(told || found == Some(image.meta.clone()), "a node-level row was lost in silence"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// All files of a store, by their path in its folder, and what it holds.
struct Image {
    files: Vec<(PathBuf, Vec<u8>)>,
    held: Vec<(DocumentId, StoredDocument)>,
    meta: Bytes,
}

impl Image {
    fn make(closed: bool) -> Self {
        let folder = crate::scratch();
        let (store, _) = SledStore::open(folder.path(), options()).expect("an empty folder becomes a store");
        let meta = noise(32, 1);
        for round in 0..6 {
            let mut ops: Vec<Op> = (1..=DOCUMENTS).map(|id| append(id, round)).collect();
            if round == 2 {
                // One so small that it stands in rows, and one in a file.
                ops.push(Op::Replace { document: document(1), snapshot: noise(900, 8), heads: heads(round) });
                ops.push(Op::Replace { document: document(2), snapshot: noise(6_000, 9), heads: heads(round) });
                ops.push(Op::PutMeta { key: "device".to_owned(), value: meta.clone() });
                let peer = StorageId::new("a peer").expect("a short name");
                ops.push(Op::SyncState { document: document(3), peer, state: noise(64, 10) });
            }
            store.commit(&ops).expect("there is room");
            if round == 3 {
                store.checkpoint().expect("there is room");
            }
        }
        let load = |id| store.load(&document(id)).ok().flatten().expect("it was just stored");
        let held = (1..=DOCUMENTS).map(|id| (document(id), load(id))).collect();
        if closed {
            store.close().expect("a whole store closes");
        }
        drop(store);
        let mut files = Vec::new();
        gather(folder.path(), folder.path(), &mut files);
        Self { files, held, meta }
    }
}

fn gather(root: &Path, folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("the folder is there").flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            gather(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("it lies below").to_owned();
            files.push((name, fs::read(&path).expect("the file is there")));
        }
    }
}

fn write(folder: &Path, files: &[(PathBuf, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("there is room");
        fs::write(path, bytes).expect("there is room");
    }
}

fn damage(files: &mut Vec<(PathBuf, Vec<u8>)>, choices: &mut Choices<'_>) {
    if files.is_empty() {
        return;
    }
    let (kind, at) = (choices.byte(), choices.below(files.len()));
    let (offset, new) = (choices.number(), choices.take(usize::from(kind >> 3)));
    let other = files[offset % files.len()].1.clone();
    let bytes = &mut files[at].1;
    // Files are long and mostly zeros; what matters begins at their front and at round numbers.
    let offset = (if kind & 8 == 0 { offset } else { offset * 64 }) % bytes.len().max(1);
    match kind % 8 {
        0 | 1 => bytes.iter_mut().skip(offset).zip(new).for_each(|(byte, new)| *byte = *new),
        2 => bytes.truncate(offset),
        3 => bytes.iter_mut().skip(offset).take(512).for_each(|byte| *byte = 0),
        4 => bytes.extend(new),
        5 => bytes.iter_mut().skip(offset).zip(&other).for_each(|(byte, new)| *byte = *new),
        6 => bytes.iter_mut().skip(offset).take(1).for_each(|byte| *byte ^= 1 << (kind >> 5)),
        _ => drop(files.remove(at)),
    }
}

fn options() -> Options {
    Options { free_bytes_floor: 0, open_deadline: OPEN_DEADLINE, child: CHILD.get().cloned(), ..Options::default() }
}

fn document(id: u8) -> DocumentId {
    DocumentId::from_bytes([id; 16])
}

fn heads(round: u8) -> Heads {
    Heads::new(vec![ChangeHash([round; 32])])
}

fn append(id: u8, round: u8) -> Op {
    let chunks = vec![noise(120, id.wrapping_mul(31).wrapping_add(round))];
    Op::Append { document: document(id), chunks, heads: heads(round) }
}

/// Gives bytes that do not compress.
fn noise(length: usize, seed: u8) -> Bytes {
    let mut state = u32::from(seed) + 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}
