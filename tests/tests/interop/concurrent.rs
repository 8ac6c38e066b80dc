//! Three clients of three makes write the same field without knowing of each other.

use comity_model::Value;
use comity_tests::device::{self, Device};
use comity_tests::javascript::Driver;
use comity_tests::relay::LocalRelay;
use comity_tests::rust_client::Samod;
use serde_json::json;

use crate::documents::audit;

/// `S1.5`: the same winner everywhere, and Comity shows that there are three opinions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_agree_on_the_winner_and_comity_shows_every_version() {
    let relay = LocalRelay::start().await;
    let driver = Driver::start().await;
    let js = driver.open("js", &relay.url()).await;
    let samod = Samod::connect("samod", &relay.url()).await;
    let device = Device::online(&relay.url()).await;
    let audit = audit(&device).await;
    device.synced().await;
    let id = audit.id().to_string();
    js.must_find(&id).await;
    let theirs = samod.must_find(&id).await;

    let stopped = relay.stop().await;
    js.disconnected().await;
    js.set(&id, &["values", "M050/status"], json!("dead")).await;
    theirs.set("values", "M050/status", "microcracks");
    audit.set("M050", "status", "inequality").await.unwrap();
    let _relay = stopped.start().await;

    device::wait(&audit, "the device sees all three", |view| {
        view.disagreements().first().is_some_and(|found| found.sides.len() == 3)
    })
    .await;
    let heads = device::heads(&audit).await;
    assert_eq!(heads.len(), 3);
    js.wait_heads(&id, &heads).await;
    theirs.wait_heads(&heads).await;

    let winner = device::value(&audit, "M050/status").await.unwrap();
    assert_eq!(js.read(&id, &["values", "M050/status"]).await, json!(winner.as_text().unwrap()));
    theirs.wait_for_text("values", "M050/status", winner.as_text().unwrap()).await;

    let found = audit.read(|view| view.disagreements()).await.unwrap();
    assert_eq!(found[0].register.to_string(), "M050/status");
    let mut ours: Vec<Value> = found[0].sides.iter().map(|side| side.value.clone()).collect();
    ours.sort_by_key(ToString::to_string);
    assert_eq!(ours, ["dead", "inequality", "microcracks"].map(Value::from));
    let conflicts = js.ask("conflicts", json!({ "document_id": id, "path": ["values", "M050/status"] })).await;
    assert_eq!(conflicts["values"].as_object().unwrap().len(), 3);
    samod.stop().await;
}
