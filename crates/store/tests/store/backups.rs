//! Backups are whole or refused; a restored store knows that it is one.

use std::sync::Arc;

use comity_store::{
    BackupError, MemoryStore, Op, OpenError, Progress, RESTORED_META_KEY, SledStore, Store, backup, restore,
    verify_backup,
};

use crate::common::{Engine, append, document, noise, options, peer, replace, tempdir};

fn fill(store: &dyn Store) {
    for id in 0..20 {
        let seed = u64::from(id);
        store.commit(&[append(id, &[noise(100, seed), noise(9_000, seed)], seed)]).unwrap();
        if id % 3 == 0 {
            let ops = [replace(id, noise(500 * usize::from(id), seed), seed), append(id, &[noise(10, seed)], seed + 1)];
            store.commit(&ops).unwrap();
        }
        store.commit(&[Op::SyncState { document: document(id), peer: peer("p"), state: noise(9, seed) }]).unwrap();
    }
    store.commit(&[Op::PutMeta { key: "device".to_owned(), value: noise(32, 1) }]).unwrap();
}

#[test]
fn a_backup_of_any_store_restores_as_sled_with_all_but_sessions() {
    let mut stores: Vec<(Option<tempfile::TempDir>, Arc<dyn Store>)> = vec![(None, Arc::new(MemoryStore::new()))];
    for engine in Engine::ALL {
        let folder = tempdir().unwrap();
        let store = engine.open(folder.path()).shared();
        stores.push((Some(folder), store));
    }
    for (_folder, store) in &stores {
        fill(&**store);
        let place = tempdir().unwrap();
        let (file, into) = (place.path().join("backup"), place.path().join("restored"));
        let mut seen = Progress::default();
        let summary = backup(&**store, &file, &mut |progress| seen = progress).unwrap();
        assert_eq!((summary.documents, summary.meta_rows, seen.documents), (20, 1, 20));
        assert!(matches!(backup(&**store, &file, &mut |_| {}), Err(BackupError::Exists { .. })));
        assert_eq!(verify_backup(&file).unwrap(), summary);

        restore(&file, &into, options(), &mut |progress| seen = progress).unwrap();
        assert_eq!((seen.documents, seen.documents_total), (20, 20));
        let (restored, report) = SledStore::open(&into, options()).unwrap();
        assert!(report.clean && !report.is_damaged());
        assert!(restored.meta(RESTORED_META_KEY).unwrap().is_some());
        assert_eq!(restored.meta("device").unwrap(), Some(noise(32, 1)));
        assert_eq!(restored.documents().unwrap(), store.documents().unwrap());
        for id in store.documents().unwrap() {
            let mut held = store.load(&id).unwrap().unwrap();
            held.sync_states.clear();
            assert_eq!(restored.load(&id).unwrap().unwrap(), held);
        }
        let again = restore(&file, &into, options(), &mut |_| {});
        assert!(matches!(again, Err(BackupError::Open(OpenError::NotEmpty { .. }))), "{again:?}");
    }
}

#[test]
fn a_backup_that_was_cut_or_altered_is_refused_and_nothing_is_restored() {
    let store = MemoryStore::new();
    store.commit(&[append(1, &[noise(60, 1)], 1), replace(2, noise(40, 2), 2)]).unwrap();
    let place = tempdir().unwrap();
    let (file, into) = (place.path().join("backup"), place.path().join("restored"));
    backup(&store, &file, &mut |_| {}).unwrap();
    let whole = std::fs::read(&file).unwrap();
    for cut in 0..whole.len() {
        std::fs::write(&file, &whole[..cut]).unwrap();
        assert!(restore(&file, &into, options(), &mut |_| {}).is_err(), "cut at {cut}");
    }
    for at in 0..whole.len() {
        let mut altered = whole.clone();
        altered[at] ^= 0x10;
        std::fs::write(&file, altered).unwrap();
        assert!(restore(&file, &into, options(), &mut |_| {}).is_err(), "altered at {at}");
    }
    std::fs::write(&file, [whole.as_slice(), b"more"].concat()).unwrap();
    assert!(restore(&file, &into, options(), &mut |_| {}).is_err());
    assert!(!into.exists());
}
