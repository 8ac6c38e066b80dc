//! What a damaged store is worth while somebody else has the rest.

use comity_node::{NewDocument, NodeEvent, STORE_FOLDER};
use comity_store::{Op, Options, SledStore, Store};
use comity_tests::device::{self, Device};
use comity_tests::relay::RelayProcess;
use comity_tests::within;

/// A store lost a change on which others depend. What is left can be read and written, what is missing comes back
/// from a relay, and nothing that was stored is dropped meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_with_a_hole_is_told_used_and_mended() {
    let base = tempfile::tempdir().unwrap();
    let relay = RelayProcess::start(base.path(), &[]).await;
    let tablet = Device::online(&relay.url()).await;
    let audit = tablet.node.create(NewDocument::new("audit".parse().unwrap(), "Roof 7")).await.unwrap();
    for module in ["M001", "M002", "M003"] {
        audit.set(module, "status", "ok").await.unwrap();
    }
    tablet.synced().await;
    let (id, folder) = (audit.id(), tablet.node.folder().to_owned());
    tablet.node.close().await.unwrap();
    let (store, _) = SledStore::open(&folder.join(STORE_FOLDER), Options::default()).unwrap();
    let whole = store.load(&id).unwrap().unwrap();
    store.close().unwrap();
    assert!(whole.snapshot.is_none() && whole.changes.len() >= 4);

    for lost in 0..whole.changes.len() - 1 {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = SledStore::open(&folder.path().join(STORE_FOLDER), Options::default()).unwrap();
        let mut chunks = whole.changes.clone();
        chunks.remove(lost);
        store.commit(&[Op::Append { document: id, chunks, heads: whole.heads.clone() }]).unwrap();
        store.close().unwrap();

        let mut holed = Device::on(folder).await;
        let audit = holed.node.document(id);
        let status = format!("written with change {lost} lost");
        if lost > 0 {
            audit.set("M009", "comment", status.as_str()).await.unwrap();
        } else {
            assert!(audit.read(|view| view.entries().is_empty()).await.unwrap(), "nothing stands by itself");
        }
        let loss = holed.node.loss(&id).expect("it is told");
        assert!(loss.what.contains("missing") && !loss.needs_restart, "{loss:?}");
        let mut events = holed.node.events();
        holed.connect(&relay.url()).await;
        let returned =
            async { while !matches!(events.recv().await, Ok(NodeEvent::Returned(loss)) if loss.document == id) {} };
        within("the document is whole again", returned).await;
        device::wait_for(&audit, "M003/status", "ok").await;
        let mut holed = holed.restart().await;
        let audit = holed.node.document(id);
        device::wait_for(&audit, "M003/status", "ok").await;
        assert_eq!(holed.node.losses(), [], "and on disk");
        if lost > 0 {
            device::wait_for(&audit, "M009/comment", status.as_str()).await;
        }
        holed.disconnect().await;
    }
}
