//! Documents both ways between JavaScript, samod and Comity.

use automerge::transaction::Transactable;
use automerge::{Automerge, ROOT};
use comity_model::Value;
use comity_node::{Document, NewDocument};
use comity_tests::device::{self, Device};
use comity_tests::javascript::Driver;
use comity_tests::relay::LocalRelay;
use comity_tests::rust_client::Samod;
use serde_json::json;

pub async fn audit(device: &Device) -> Document {
    let audit = device.node.create(NewDocument::new("audit".parse().unwrap(), "Roof 7")).await.unwrap();
    audit.set("M050", "status", "ok").await.unwrap();
    audit
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_javascript_creates_reaches_a_comity_device_as_it_is() {
    let relay = LocalRelay::start().await;
    let driver = Driver::start().await;
    let js = driver.open("js", &relay.url()).await;
    let device = Device::online(&relay.url()).await;

    let id = js.create(json!({ "todo": ["bread", { "done": false }], "notes": "a shared text" })).await;
    let document = device.fetch(&id).await;
    device::wait_heads(&document, &js.heads(&id).await).await;
    assert!(!document.read(|view| view.is_comity()).await.unwrap());

    for i in 0..10 {
        js.set(&id, &["count"], json!(i)).await;
    }
    device::wait_heads(&document, &js.heads(&id).await).await;
    assert_eq!(driver.uncaught(), Vec::<serde_json::Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comity_document_is_read_and_edited_from_javascript() {
    let relay = LocalRelay::start().await;
    let driver = Driver::start().await;
    let js = driver.open("js", &relay.url()).await;
    let device = Device::online(&relay.url()).await;
    let audit = audit(&device).await;
    let id = audit.id().to_string();

    js.must_find(&id).await;
    js.wait_for(&id, &["values", "M050/status"], json!("ok")).await;
    assert_eq!(js.read(&id, &["about", "title"]).await, json!("Roof 7"));

    js.set(&id, &["values", "M050/status"], json!("dead")).await;
    js.set(&id, &["values", "M050/count"], json!(3)).await;
    device::wait_for(&audit, "M050/status", "dead").await;
    device::wait_for(&audit, "M050/count", 3).await;

    audit.set("M050", "status", "microcracks").await.unwrap();
    js.wait_for(&id, &["values", "M050/status"], json!("microcracks")).await;
    assert_eq!(js.heads(&id).await, device::heads(&audit).await);
    assert!(audit.read(|view| view.is_comity()).await.unwrap());
    assert_eq!(audit.read(|view| view.disagreements().len()).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comity_document_is_read_and_edited_from_samod() {
    let relay = LocalRelay::start().await;
    let samod = Samod::connect("samod", &relay.url()).await;
    let device = Device::online(&relay.url()).await;
    let audit = audit(&device).await;
    device.synced().await;

    let theirs = samod.must_find(&audit.id().to_string()).await;
    theirs.wait_for_text("values", "M050/status", "ok").await;
    theirs.set("values", "M050/status", "dead");
    device::wait_for(&audit, "M050/status", "dead").await;
    audit.set("M050", "status", "inequality").await.unwrap();
    theirs.wait_for_text("values", "M050/status", "inequality").await;
    assert_eq!(theirs.heads(), device::heads(&audit).await);
    samod.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_samod_creates_reaches_a_comity_device_as_it_is() {
    let relay = LocalRelay::start().await;
    let samod = Samod::connect("samod", &relay.url()).await;
    let device = Device::online(&relay.url()).await;
    let theirs = samod.create(of_samod()).await;
    let document = device.fetch(&theirs.id()).await;
    for i in 0..10 {
        theirs.set("", "count", i);
    }
    device::wait_heads(&document, &theirs.heads()).await;
    samod.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javascript_and_samod_meet_at_a_comity_relay() {
    let relay = LocalRelay::start().await;
    let driver = Driver::start().await;
    let js = driver.open("js", &relay.url()).await;
    let samod = Samod::connect("samod", &relay.url()).await;

    let id = js.create(json!({ "from": "js" })).await;
    js.set(&id, &["by"], json!("js")).await;
    let theirs = samod.must_find(&id).await;
    theirs.wait_heads(&js.heads(&id).await).await;
    theirs.set("", "by", "samod");
    js.wait_for(&id, &["by"], json!("samod")).await;

    let theirs = samod.create(of_samod()).await;
    js.must_find(&theirs.id()).await;
    js.wait_for(&theirs.id(), &["from"], json!("samod")).await;
    js.set(&theirs.id(), &["by"], json!("js")).await;
    theirs.wait_for_text("", "by", "js").await;
    samod.stop().await;
}

/// `S1.1`: one keystroke is everywhere, whoever types and whatever the others run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_of_any_client_reaches_all_others_while_they_watch() {
    let relay = LocalRelay::start().await;
    let driver = Driver::start().await;
    let (anna, bert) = (driver.open("anna", &relay.url()).await, driver.open("bert", &relay.url()).await);
    let samod = Samod::connect("samod", &relay.url()).await;
    let (tablet, desktop) = (Device::online(&relay.url()).await, Device::online(&relay.url()).await);
    let on_tablet = audit(&tablet).await;
    tablet.synced().await;
    let id = on_tablet.id().to_string();
    let on_desktop = desktop.fetch(&id).await;
    let theirs = samod.must_find(&id).await;
    anna.must_find(&id).await;
    bert.must_find(&id).await;

    for round in 0..5 {
        for writer in 0..4 {
            let (entry, text) = (format!("M{round:03}"), format!("by {writer} in {round}"));
            let register = format!("{entry}/comment");
            match writer {
                0 => assert!(on_tablet.set(&entry, "comment", text.as_str()).await.unwrap().is_some()),
                1 => anna.set(&id, &["values", &register], json!(text)).await,
                2 => theirs.set("values", &register, text.as_str()),
                _ => assert!(on_desktop.set(&entry, "comment", text.as_str()).await.unwrap().is_some()),
            }
            device::wait_for(&on_tablet, &register, text.as_str()).await;
            device::wait_for(&on_desktop, &register, text.as_str()).await;
            anna.wait_for(&id, &["values", &register], json!(text)).await;
            bert.wait_for(&id, &["values", &register], json!(text)).await;
            theirs.wait_for_text("values", &register, &text).await;
        }
    }
    let heads = device::heads(&on_tablet).await;
    assert_eq!([anna.heads(&id).await, bert.heads(&id).await, theirs.heads()], [heads.clone(), heads.clone(), heads]);
    assert_eq!(device::value(&on_desktop, "M004/comment").await, Some(Value::from("by 3 in 4")));
    samod.stop().await;
}

fn of_samod() -> Automerge {
    let mut document = Automerge::new();
    let mut transaction = document.transaction();
    transaction.put(ROOT, "from", "samod").unwrap();
    transaction.commit();
    document
}
