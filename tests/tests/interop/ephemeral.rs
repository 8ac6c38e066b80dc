//! Short-lived messages: presence, cursors, typing.

use bytes::Bytes;
use comity_node::{Change, Document, Event};
use comity_tests::device::Device;
use comity_tests::javascript::Driver;
use comity_tests::relay::LocalRelay;
use comity_tests::within;
use serde_json::json;

use crate::documents::audit;

/// The text `hello` as JavaScript puts it on the wire: CBOR.
const HELLO: &[u8] = b"\x65hello";

async fn next_ephemeral(changes: &mut comity_node::Changes) -> (String, Bytes) {
    within("an ephemeral message comes", async {
        loop {
            if let Some(Change::Event(Event::Ephemeral { sender, data, .. })) = changes.next().await {
                return (sender.to_string(), data);
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javascript_clients_hear_each_other_through_the_relay() {
    let relay = LocalRelay::start().await;
    let driver = Driver::start().await;
    let (anna, bert) = (driver.open("anna", &relay.url()).await, driver.open("bert", &relay.url()).await);
    let id = anna.create(json!({})).await;
    bert.must_find(&id).await;
    for i in 0..5 {
        let message = json!({ "cursor": i });
        anna.ask("broadcast", json!({ "document_id": id, "message": message })).await;
        let wanted = json!({ "document_id": id, "equals": message, "from": anna.peer() });
        bert.ask("wait_ephemeral", wanted).await;
    }
    bert.ask("broadcast", json!({ "document_id": id, "message": "back" })).await;
    anna.ask("wait_ephemeral", json!({ "document_id": id, "equals": "back", "from": bert.peer() })).await;
    let heard = bert.ask("ephemerals", json!({ "document_id": id })).await;
    assert_eq!(heard["messages"], json!([]), "nobody hears a message twice, or their own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javascript_and_comity_hear_each_other() {
    let relay = LocalRelay::start().await;
    let driver = Driver::start().await;
    let js = driver.open("js", &relay.url()).await;
    let (device, other) = (Device::online(&relay.url()).await, Device::online(&relay.url()).await);
    let audit = audit(&device).await;
    let id = audit.id().to_string();
    device.synced().await;
    js.must_find(&id).await;
    let on_other: Document = other.fetch(&id).await;

    let (mut here, mut there) = (audit.subscribe(), on_other.subscribe());
    js.ask("broadcast", json!({ "document_id": id, "message": "hello" })).await;
    let expected = (js.peer().to_owned(), Bytes::from_static(HELLO));
    assert_eq!(next_ephemeral(&mut here).await, expected);
    assert_eq!(next_ephemeral(&mut there).await, expected);

    audit.broadcast(Bytes::from_static(HELLO)).await;
    let from = device.node.peer().to_string();
    js.ask("wait_ephemeral", json!({ "document_id": id, "equals": "hello", "from": from })).await;
    assert_eq!(next_ephemeral(&mut there).await, (from, Bytes::from_static(HELLO)));
}
