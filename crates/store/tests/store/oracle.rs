//! Whatever is done, and however often the store is opened again, it holds what the oracle in memory holds.

use comity_store::{MemoryStore, Op, Options, Store};
use proptest::prelude::*;

use crate::common::{Engine, document, heads, noise, options, peer, tempdir};

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Op>),
    /// Close and open.
    Reopen,
    /// Drop and open: replay and verification.
    Crash,
    Checkpoint,
    Compact,
}

fn op() -> impl Strategy<Value = Op> {
    let id = 0_u8..4;
    let len = prop_oneof![4 => 0_usize..300, 1 => 3_900_usize..4_100, 1 => 8_000_usize..20_000];
    let count = prop_oneof![8 => 0_u64..4, 1 => 60_u64..70, 1 => 200_u64..300];
    prop_oneof![
        6 => (id.clone(), prop::collection::vec((len.clone(), any::<u64>()), 0..4), count.clone()).prop_map(
            |(id, chunks, count)| Op::Append {
                document: document(id),
                chunks: chunks.into_iter().map(|(len, seed)| noise(len, seed)).collect(),
                heads: heads(0..count),
            }
        ),
        2 => (id.clone(), len, any::<u64>(), count).prop_map(|(id, len, seed, count)| Op::Replace {
            document: document(id),
            snapshot: noise(len, seed),
            heads: heads(0..count),
        }),
        1 => (id, 0_u8..3, 0_usize..9_000).prop_map(|(id, name, len)| Op::SyncState {
            document: document(id),
            peer: peer(&format!("peer {name}")),
            state: noise(len, 1),
        }),
        1 => (0_u8..3, 0_usize..4_000)
            .prop_map(|(key, len)| Op::PutMeta { key: format!("key {key}"), value: noise(len, 2) }),
        1 => (0_u8..3).prop_map(|key| Op::RemoveMeta { key: format!("key {key}") }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => prop::collection::vec(op(), 1..6).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
        2 => Just(Step::Crash),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Compact),
    ]
}

fn compare(store: &dyn Store, oracle: &MemoryStore) {
    assert_eq!(store.documents().unwrap(), oracle.documents().unwrap());
    for id in oracle.documents().unwrap() {
        assert_eq!(store.load(&id).unwrap(), oracle.load(&id).unwrap());
        assert_eq!(store.summary(&id).unwrap(), oracle.summary(&id).unwrap());
    }
    assert_eq!(store.meta_keys().unwrap(), oracle.meta_keys().unwrap());
    for key in oracle.meta_keys().unwrap() {
        assert_eq!(store.meta(&key).unwrap(), oracle.meta(&key).unwrap());
    }
}

fn play(engine: Engine, steps: &[Step]) {
    let folder = tempdir().unwrap();
    let options = || Options { checkpoint_bytes: 40_000, rewrite_bytes_min: 1 << 20, ..options() };
    let open = || {
        let (store, report) = engine.try_open(folder.path(), options()).unwrap();
        assert!(!report.is_damaged(), "{report:?}");
        store
    };
    let oracle = MemoryStore::new();
    let mut store = open();
    for step in steps {
        match step {
            Step::Commit(ops) => {
                store.commit(ops).unwrap();
                oracle.commit(ops).unwrap();
            }
            Step::Checkpoint => store.checkpoint().unwrap(),
            Step::Compact => drop(store.compact().unwrap()),
            Step::Reopen | Step::Crash => {
                if matches!(step, Step::Reopen) {
                    store.close().unwrap();
                }
                drop(store);
                store = open();
                compare(&*store, &oracle);
            }
        }
    }
    compare(&*store, &oracle);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_engine_agrees_with_the_oracle(steps in prop::collection::vec(step(), 1..30)) {
        Engine::ALL.iter().for_each(|engine| play(*engine, &steps));
    }
}
