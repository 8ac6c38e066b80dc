//! automerge-repo's own acceptance tests, through a relay process.
//!
//! Its network suite runs as it comes (`tests/interop/acceptance/network.test.mjs` says which of its tests do not apply
//! to peers that meet at a relay). Its storage suite tests a key-value store inside a repo; a relay is none, so that
//! suite does not apply. What it promises does: a repo without any storage gets back from the relay what it wrote,
//! whatever happened to the relay.

use std::path::Path;
use std::process::Stdio;

use comity_tests::javascript::{Driver, Js};
use comity_tests::relay::RelayProcess;
use comity_tests::{http, within};
use data_encoding::BASE64;
use serde_json::json;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_suite_of_automerge_repo_passes_where_it_applies() {
    let folder = tempfile::tempdir().unwrap();
    let relay = RelayProcess::start(folder.path(), &[]).await;
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
    let mut vitest = Command::new("node");
    vitest.arg("node_modules/vitest/vitest.mjs").args(["run", "--config", "acceptance/vitest.config.mjs"]);
    vitest.current_dir(packages).env("COMITY_RELAY", relay.url()).env("CI", "1").env("NO_COLOR", "1");
    vitest.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = within("the suite", vitest.output()).await.expect("`node` runs; install Node.js 20 or newer");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("4 passed | 3 skipped"), "which tests apply is known: {text}");
}

/// The tests of the storage suite by name, as far as a repo can tell: the relay is its only storage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repo_without_storage_has_the_relay_as_its_storage() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = RelayProcess::start(folder.path(), &[]).await;
    let driver = Driver::start().await;

    // "should return undefined if there is no data"
    let js = driver.open("nobody", &relay.url()).await;
    js.connected().await;
    assert_eq!(js.find("4NMNnkMhL8jXrdJ9jamS58PAVdXu").await, "unavailable");

    // "should return data that was saved", "should work with a large payload"
    let large = json!({ "$bytes": BASE64.encode(&[0x5a; 100_000]) });
    let id = js.create(json!({ "small": "Roof 7", "large": large })).await;
    relay = saved(js, &id, relay).await;
    let js = driver.open("second", &relay.url()).await;
    js.must_find(&id).await;
    assert_eq!(js.read(&id, &["small"]).await, json!("Roof 7"));
    assert_eq!(js.read(&id, &["large"]).await, large);

    // "should overwrite data saved with the same key"
    js.set(&id, &["small"], json!("Roof 8")).await;
    relay = saved(js, &id, relay).await;
    let js = driver.open("third", &relay.url()).await;
    js.must_find(&id).await;
    assert_eq!(js.read(&id, &["small"]).await, json!("Roof 8"));
}

/// Waits until the relay says that it has what the client has, ends the client, and kills and restarts the relay.
async fn saved(js: Js, id: &str, relay: RelayProcess) -> RelayProcess {
    js.connected().await;
    let (_, health) = http::health(relay.address().ip(), relay.address()).await;
    let (heads, storage) = (js.heads(id).await, &health["storage"]);
    js.ask("wait_remote_heads", json!({ "document_id": id, "storage_id": storage, "heads": heads })).await;
    js.ask("shutdown", json!({})).await;
    relay.kill().await.start().await
}
