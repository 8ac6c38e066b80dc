//! Asking for a document before it exists.

use automerge::transaction::Transactable;
use automerge::{Automerge, ROOT};
use comity_model::{DocumentId, SpaceId};
use comity_node::{Change, Event, NewDocument};
use comity_tests::device::{self, Device};
use comity_tests::javascript::Driver;
use comity_tests::relay::LocalRelay;
use comity_tests::rust_client::Samod;
use comity_tests::within;
use serde_json::json;

/// A document of nobody yet. Each test has a relay of its own, so any constant does.
fn some_id() -> DocumentId {
    DocumentId::from_bytes([77; 16])
}

fn saved() -> Vec<u8> {
    let mut document = Automerge::new();
    let mut transaction = document.transaction();
    transaction.put(ROOT, "late", true).unwrap();
    transaction.commit();
    document.save()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_comes_later_reaches_the_javascript_client_that_asked() {
    let relay = LocalRelay::start().await;
    let driver = Driver::start().await;
    let (early, late) = (driver.open("early", &relay.url()).await, driver.open("late", &relay.url()).await);
    late.connected().await;
    let id = some_id().to_string();
    assert_eq!(early.find(&id).await, "unavailable");
    late.import(&id, &saved()).await;
    // No second `find`: the handle of the first one becomes ready.
    early.wait_for(&id, &["late"], json!(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comity_document_that_comes_later_reaches_the_javascript_client_that_asked() {
    let relay = LocalRelay::start().await;
    let driver = Driver::start().await;
    let js = driver.open("js", &relay.url()).await;
    let device = Device::online(&relay.url()).await;
    let space: SpaceId = device.node.create_space("Solar park").await.unwrap();
    let kind = "audit".parse().unwrap();
    let id = DocumentId::for_natural_key(space, &kind, "roof-7").to_string();
    assert_eq!(js.find(&id).await, "unavailable");
    let new = NewDocument::new(kind, "Roof 7").in_space(space).with_key("roof-7");
    let document = device.node.create(new).await.unwrap();
    assert_eq!(document.id().to_string(), id);
    js.wait_for(&id, &["about", "title"], json!("Roof 7")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_comes_later_reaches_samod_and_the_comity_device_that_asked() {
    let relay = LocalRelay::start().await;
    let driver = Driver::start().await;
    let js = driver.open("js", &relay.url()).await;
    js.connected().await;
    let samod = Samod::connect("samod", &relay.url()).await;
    let device = Device::online(&relay.url()).await;
    let id = some_id().to_string();

    let document = device.document(&id);
    let mut changes = document.subscribe();
    let waiting = tokio::spawn({
        let document = document.clone();
        async move { document.available(comity_tests::PATIENCE).await }
    });
    within("the relay says that nobody has it", async {
        while !matches!(changes.next().await, Some(Change::Event(Event::Unavailable { .. }))) {}
    })
    .await;
    assert!(samod.find(&id).await.is_none());

    js.import(&id, &saved()).await;
    assert!(within("the device gets it", waiting).await.unwrap().unwrap());
    device::wait_heads(&document, &js.heads(&id).await).await;
    samod.must_find(&id).await.wait_heads(&js.heads(&id).await).await;
    samod.stop().await;
}
