//! Sync states that outlive the connection.

use comity_tests::device::{self, Device};
use comity_tests::javascript::{Driver, Js, hex_list};
use comity_tests::relay::LocalRelay;
use serde_json::json;

use crate::documents::audit;

/// Changes of the long history. A Bloom filter over all of them takes ten bits for each: 2,500 bytes.
const HISTORY: usize = 2_000;

/// The most that may go over the wire for one new change, both ways, when both sides remember what they share.
const BYTES_MAX: u64 = 1_000;

async fn open(driver: &Driver, name: &str, url: &str, storage: &std::path::Path) -> Js {
    driver.open_with(name, json!({ "url": url, "storage": storage })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_both_restart_only_what_is_new_is_exchanged_and_then_there_is_quiet() {
    let relay = LocalRelay::start().await;
    let driver = Driver::start().await;
    let storage = tempfile::tempdir().unwrap();
    let js = open(&driver, "js", &relay.url(), storage.path()).await;
    let writer = Device::online(&relay.url()).await;
    let audit = audit(&writer).await;
    let id = audit.id().to_string();
    let mut edits = tokio::task::JoinSet::new();
    for i in 0..HISTORY {
        let audit = audit.clone();
        edits.spawn(async move { audit.set(&format!("M{:03}", i % 242), "comment", format!("note {i}")).await });
    }
    edits.join_all().await.into_iter().for_each(|edit| assert!(edit.unwrap().is_some()));
    js.must_find(&id).await;
    js.wait_heads(&id, &device::heads(&audit).await).await;
    // A round trip, so that each side knows that the other has all.
    js.set(&id, &["values", "M001/status"], json!("ok")).await;
    device::wait_for(&audit, "M001/status", "ok").await;
    writer.synced().await;
    let before = js.heads(&id).await;
    let relay_storage = relay.relay().node().storage().to_string();
    drop(writer);
    shut_down_knowing(&js, storage.path(), &id, &relay_storage, &before).await;
    let relay = relay.stop().await.start().await;

    let js = open(&driver, "js again", &relay.url(), storage.path()).await;
    js.must_find(&id).await;
    js.connected().await;
    js.set(&id, &["values", "M001/status"], json!("dead")).await;
    let on_relay = relay.relay().node().document(id.parse().unwrap());
    device::wait_for(&on_relay, "M001/status", "dead").await;
    let reader = driver.open("reader", &relay.url()).await;
    reader.must_find(&id).await;
    chat(&js, &reader, &id).await;
    let traffic = js.traffic().await;
    assert!(traffic.bytes < BYTES_MAX, "more than one change was sent: {}", traffic.details);

    // Quiet: while ten messages go back and forth over the same sockets, no sync message does.
    reader.traffic().await;
    chat(&js, &reader, &id).await;
    let (js_after, reader_after) = (js.traffic().await, reader.traffic().await);
    assert_eq!((js_after.messages, reader_after.messages), (0, 0), "{} {}", js_after.details, reader_after.details);
}

/// Shuts a client down once its disk says that the relay has these heads.
async fn shut_down_knowing(js: &Js, storage: &std::path::Path, id: &str, relay: &str, heads: &[String]) {
    comity_tests::within("the client notes on its disk what it shares with the relay", async {
        loop {
            js.ask("flush", json!({})).await;
            let stored = js.ask("storage", json!({ "storage": storage, "document_id": id })).await;
            let states = stored["sync_states"].as_array().unwrap();
            let of_relay = states.iter().find(|state| state["storage_id"] == json!(relay));
            if of_relay.is_some_and(|state| hex_list(&state["shared_heads"]) == heads) {
                return;
            }
        }
    })
    .await;
    js.ask("shutdown", json!({})).await;
}

/// Ten ephemeral messages each way, one after the other.
async fn chat(one: &Js, other: &Js, id: &str) {
    for i in 0..10 {
        for (from, to) in [(one, other), (other, one)] {
            from.ask("broadcast", json!({ "document_id": id, "message": i })).await;
            to.ask("wait_ephemeral", json!({ "document_id": id, "equals": i })).await;
        }
    }
}
