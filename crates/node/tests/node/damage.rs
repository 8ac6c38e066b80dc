//! What a node makes of a damaged store.

use std::path::Path;

use comity_node::evidence::{self, Kind};
use comity_node::{Node, NodeConfig, OpenError, STORE_FOLDER};
use comity_store::{Op, Options, RESTORED_META_KEY, SledStore, Store};

use crate::{audit, open};

fn reports(folder: &Path) -> Vec<String> {
    let folder = folder.join(evidence::FOLDER);
    let records = evidence::read(&folder).unwrap().records;
    let of_store = records.into_iter().filter(|record| record.kind == Kind::Store);
    let bytes = of_store.map(|record| evidence::read_one(&folder, record.number).unwrap().unwrap().bytes);
    bytes.map(|bytes| String::from_utf8(bytes).unwrap()).collect()
}

#[tokio::test]
async fn damage_that_a_process_found_and_did_not_live_to_tell_is_told_by_the_next_once() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let document = audit(&node).await.id();
    node.close().await.unwrap();
    drop(node);
    std::fs::remove_dir_all(folder.path().join(STORE_FOLDER).join("sled")).unwrap();

    // The store is repaired, and whoever opened it ends before anything else happens.
    let (store, report) = SledStore::open(&folder.path().join(STORE_FOLDER), Options::default()).unwrap();
    assert!(report.is_damaged());
    drop(store);

    let (node, report) = Node::open(NodeConfig::device(folder.path())).await.unwrap();
    assert!(report.is_damaged(), "it is told again");
    assert_eq!(node.losses().iter().map(|loss| loss.document).collect::<Vec<_>>(), [document]);
    assert_eq!(node.loss_summary(5).first, [document]);
    let told = reports(folder.path());
    assert_eq!(told.len(), 1);
    assert!(told[0].contains(&document.to_string()), "{told:?}");
    // It ends without a word, too, but what it knew is on disk.
    drop(node);

    for _ in 0..2 {
        let (node, report) = Node::open(NodeConfig::device(folder.path())).await.unwrap();
        assert!(!report.is_damaged(), "it is written down: {report:?}");
        assert_eq!(node.loss(&document).map(|loss| loss.document), Some(document), "and known until it is back");
        assert_eq!(reports(folder.path()), told);
        node.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_relay_that_may_not_have_the_folder_still_leaves_word_that_the_next_session_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    audit(&node).await;
    node.close().await.unwrap();
    drop(node);
    let store_folder = folder.path().join(STORE_FOLDER);
    std::fs::remove_dir_all(store_folder.join("sled")).unwrap();
    let (store, report) = SledStore::open(&store_folder, Options::default()).unwrap();
    assert!(report.is_damaged());
    // As if the damage had spared the row that says whose folder it is.
    store.commit(&[Op::PutMeta { key: "role".to_owned(), value: "device".into() }]).unwrap();
    store.close().unwrap();
    drop(store);

    let refused = Node::open(NodeConfig::relay(folder.path())).await.err().unwrap();
    assert!(matches!(refused, OpenError::OfADevice { .. }), "{refused}");
    let (store, report) = SledStore::open(&store_folder, Options::default()).unwrap();
    assert!(!report.is_damaged(), "it has been written down, and nobody hears of it again: {report:?}");
    assert!(store.meta(RESTORED_META_KEY).unwrap().is_some());
}
