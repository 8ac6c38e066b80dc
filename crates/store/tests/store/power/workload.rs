//! The work that power losses interrupt: numbered batches, the same in every run, and what each must leave.

use std::path::Path;

use comity_store::{MemoryStore, Op, Options, Store};

use crate::common::{Engine, Random, append, document, noise, options, peer, replace};

const DOCUMENTS: u64 = 5;
/// Every batch writes its number here.
const NUMBER: &str = "batch";

/// Gives the ops of a batch.
pub fn batch(number: u64) -> Vec<Op> {
    let mut random = Random(number);
    let id = |random: &mut Random| u8::try_from(random.below(DOCUMENTS)).unwrap();
    let put = |key: &str, value| Op::PutMeta { key: key.to_owned(), value };
    let mut ops = vec![put(NUMBER, number.to_be_bytes().to_vec().into())];
    for part in 0..1 + random.below(3) {
        let seed = number * 16 + part;
        let len = usize::try_from(20 + random.below(500)).unwrap();
        ops.push(append(id(&mut random), &[noise(len, seed)], seed));
    }
    match number % 12 {
        3 => ops.push(replace(id(&mut random), noise(9_000, number), number)),
        6 => ops.push(replace(id(&mut random), noise(900, number), number)),
        8 => ops.push(append(id(&mut random), &[noise(12_000, number), noise(3, number)], number)),
        9 => ops.push(Op::SyncState { document: document(1), peer: peer("peer"), state: noise(60, number) }),
        10 => ops.push(put("other", noise(40, number))),
        11 => ops.push(Op::RemoveMeta { key: "other".to_owned() }),
        _ => {}
    }
    ops
}

/// What the store must hold after each number of batches.
#[derive(Default)]
pub struct Oracle(Vec<MemoryStore>);

impl Oracle {
    pub fn after(&mut self, batches: u64) -> &MemoryStore {
        let batches = usize::try_from(batches).unwrap();
        while self.0.len() <= batches {
            let next = self.0.last().map_or_else(MemoryStore::new, MemoryStore::image);
            if !self.0.is_empty() {
                next.commit(&batch(self.0.len() as u64)).unwrap();
            }
            self.0.push(next);
        }
        &self.0[batches]
    }
}

pub fn work_options() -> Options {
    Options { checkpoint_bytes: 20 << 10, ..options() }
}

/// Does the batches from `start` on, and says each number when it is acknowledged. Between them the store is
/// checkpointed, closed, dropped without closing, and rewritten, each at its turn.
pub fn work(engine: Engine, folder: &Path, start: u64, batches: u64) {
    let open = || engine.try_open(folder, work_options()).unwrap().0;
    let mut store = open();
    for number in start..start + batches {
        store.commit(&batch(number)).unwrap();
        println!("ack {number}");
        match number % 23 {
            7 => store.checkpoint().unwrap(),
            12 => {
                store.close().unwrap();
                drop(store);
                store = open();
            }
            17 => {
                drop(store);
                store = open();
            }
            21 => drop(store.compact().unwrap()),
            _ => {}
        }
    }
    if start.is_multiple_of(2) {
        store.close().unwrap();
    }
}

/// What opening the folder after a power loss gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survived {
    /// The last batch that is there, and all before it.
    pub batches: u64,
    /// The engine's files were not usable, and were built anew.
    pub rebuilt: bool,
}

/// Opens what a power loss left and compares it with the oracle: some whole number of batches, not below what was
/// acknowledged, and not a word of damage.
pub fn check(engine: Engine, folder: &Path, least: u64, most: u64, oracle: &mut Oracle) -> Result<Survived, String> {
    let (store, report) = engine.try_open(folder, work_options()).map_err(|error| format!("does not open: {error}"))?;
    let whole = report.damaged.is_empty() && report.meta_rows_lost == 0 && report.catalogue_rows_lost == 0;
    if !whole || report.journal.is_damaged() {
        return Err(format!("reported as damaged: {report:?}"));
    }
    let number = store.meta(NUMBER).map_err(|error| error.to_string())?;
    let batches = number.map_or(0, |bytes| u64::from_be_bytes(bytes[..].try_into().unwrap()));
    if batches < least || batches > most {
        return Err(format!("{least} were acknowledged and {most} begun, {batches} are there: {report:?}"));
    }
    same(&*store, oracle.after(batches)).map_err(|what| format!("after {batches}: {what}: {report:?}"))?;
    Ok(Survived { batches, rebuilt: report.set_aside.is_some() })
}

fn same(store: &dyn Store, oracle: &MemoryStore) -> Result<(), String> {
    let documents = oracle.documents().unwrap();
    if store.documents().map_err(|error| error.to_string())? != documents {
        return Err("other documents".to_owned());
    }
    for id in documents {
        if store.load(&id).map_err(|error| error.to_string())? != oracle.load(&id).unwrap() {
            return Err(format!("document {id} is another"));
        }
    }
    let keys = oracle.meta_keys().unwrap();
    if store.meta_keys().map_err(|error| error.to_string())? != keys {
        return Err("other node-level rows".to_owned());
    }
    let differs = |key: &String| store.meta(key).ok() != oracle.meta(key).ok();
    match keys.iter().find(|key| differs(key)) {
        Some(key) => Err(format!("the node-level row {key} is another")),
        None => Ok(()),
    }
}
