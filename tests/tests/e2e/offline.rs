//! Working without a network.

use comity_node::NewDocument;
use comity_tests::comity;
use comity_tests::device::{self, Device};
use comity_tests::relay::RelayProcess;

/// `S1.3`: a thousand changes made offline are counted, outlive a restart of the device, and are delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_changes_made_offline_survive_a_restart_and_are_delivered() {
    const CHANGES: usize = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let relay = RelayProcess::start(folder.path(), &[]).await;
    let mut tablet = Device::online(&relay.url()).await;
    let audit = tablet.node.create(NewDocument::new("audit".parse().unwrap(), "Roof 7")).await.unwrap();
    let id = audit.id().to_string();
    tablet.synced().await;

    tablet.disconnect().await;
    for i in 0..CHANGES {
        audit.set(&format!("M{:03}", i % 242), "comment", format!("offline {i}")).await.unwrap();
    }
    assert_eq!(tablet.pending().await, CHANGES);
    drop(audit);
    let mut tablet = tablet.restart().await;
    assert_eq!(tablet.pending().await, CHANGES, "after the restart");

    tablet.connect(&relay.url()).await;
    tablet.synced().await;
    assert_eq!(tablet.pending().await, 0);
    let desktop = Device::online(&relay.url()).await;
    let there = desktop.fetch(&id).await;
    device::wait_heads(&there, &device::heads(&tablet.document(&id)).await).await;
    device::wait_for(&there, "M031/comment", "offline 999").await;
    // In causal order, and each one by itself.
    let history = there.read(|view| view.history(&comity_node::HistoryFilter::Document)).await.unwrap();
    assert!(history.len() >= CHANGES, "{} changes", history.len());
}

/// Two people begin the same audit while neither knows of the other's: it is one audit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_that_create_the_same_audit_offline_have_one_audit() {
    let base = tempfile::tempdir().unwrap();
    let (tablet, desktop) = (base.path().join("tablet"), base.path().join("desktop"));
    comity::run(&tablet, &["init"]).await.ok();
    comity::run(&desktop, &["init"]).await.ok();
    let space = comity::run(&tablet, &["space", "create", "Solar park"]).await.ok().stdout;
    let space = space.trim();
    comity::run(&desktop, &["space", "join", space]).await.ok();
    let new = ["doc", "new", "audit", "Roof 7", "--space", space, "--key", "roof-7"];
    let on_tablet = comity::run(&tablet, &new).await.ok().stdout;
    let on_desktop = comity::run(&desktop, &new).await.ok().stdout;
    assert_eq!(on_tablet, on_desktop);
    let id = on_tablet.trim();
    comity::run(&tablet, &["set", id, "M001", "status=dead"]).await.ok();
    comity::run(&desktop, &["set", id, "M002", "status=ok"]).await.ok();

    let relay = RelayProcess::start(&base.path().join("relay"), &[]).await;
    let url = relay.url();
    for device in [&tablet, &desktop, &tablet] {
        comity::run(device, &["sync", &url, "--once"]).await.ok();
    }
    let export = ["export", id, "--format", "csv"];
    let exported = comity::run(&tablet, &export).await.ok().stdout;
    assert_eq!(exported, comity::run(&desktop, &export).await.ok().stdout);
    assert!(exported.contains("M001") && exported.contains("M002"), "{exported}");
    let list = comity::run(&desktop, &["doc", "list"]).await.ok().stdout;
    assert_eq!(list.matches("Roof 7").count(), 1, "{list}");
}

/// A relay that is away is no reason to lose or refuse anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_without_a_relay_fails_in_time_and_the_next_one_delivers() {
    let base = tempfile::tempdir().unwrap();
    let (tablet, desktop) = (base.path().join("tablet"), base.path().join("desktop"));
    comity::run(&tablet, &["init"]).await.ok();
    comity::run(&desktop, &["init"]).await.ok();
    let space = comity::run(&tablet, &["space", "create", "Solar park"]).await.ok().stdout;
    comity::run(&tablet, &["doc", "new", "audit", "Roof 7", "--space", "Solar park"]).await.ok();
    comity::run(&tablet, &["set", "Roof 7", "M030..M040", "status=dead"]).await.ok();

    // A port where nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failed = comity::run(&tablet, &["sync", &format!("ws://{free}"), "--once", "--timeout", "1s"]).await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.stderr.contains("pending"), "{failed:?}");

    let relay = RelayProcess::start(&base.path().join("relay"), &[]).await;
    comity::run(&tablet, &["sync", &relay.url(), "--once"]).await.ok();
    comity::run(&desktop, &["space", "join", space.trim()]).await.ok();
    comity::run(&desktop, &["sync", &relay.url(), "--once"]).await.ok();
    let shown = comity::run(&desktop, &["export", "Roof 7", "--format", "csv"]).await.ok().stdout;
    assert_eq!(shown.matches("dead").count(), 11, "{shown}");
}
