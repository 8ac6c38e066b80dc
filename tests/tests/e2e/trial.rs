//! Real data through real processes.

use std::path::{Path, PathBuf};

use comity_tests::comity;
use comity_tests::relay::RelayProcess;

/// The labels of 2,624 photovoltaic cells; not part of the project.
fn labels() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("COMITY_TRIAL_DATA").map_or_else(beside, PathBuf::from);
    let file = folder.join("elpv/labels.csv");
    file.is_file().then_some(file)
}

/// Two people mark a different thousand of 2,624 cells each, without a network; afterwards both have the same, to the
/// byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_re_mark_a_thousand_real_cells_each_and_export_the_same_bytes() {
    let Some(labels) = labels() else {
        println!("skipped: no trial data; COMITY_TRIAL_DATA names its folder");
        return;
    };
    let base = tempfile::tempdir().unwrap();
    let (tablet, desktop) = (base.path().join("tablet"), base.path().join("desktop"));
    let relay = RelayProcess::start(&base.path().join("relay"), &[]).await;
    let url = relay.url();
    let sync = ["sync", &url, "--once"];

    comity::run(&tablet, &["init", "--name", "tablet"]).await.ok();
    comity::run(&desktop, &["init", "--name", "desktop"]).await.ok();
    let space = comity::run(&tablet, &["space", "create", "Trial"]).await.ok().stdout;
    let import = ["import", labels.to_str().unwrap(), "--new", "Cells", "--kind", "audit", "--space", "Trial"];
    let columns = ["--format", "blank", "--number", "M{:04}", "--map", "image=1,probability=2,type=3"];
    comity::run(&tablet, &[&import[..], &columns].concat()).await.ok();
    comity::run(&tablet, &sync).await.ok();
    comity::run(&desktop, &["space", "join", space.trim()]).await.ok();
    comity::run(&desktop, &sync).await.ok();

    // Offline, in ten steps each; nothing is connected between two commands.
    for step in 0..10 {
        let (first, second) = (step * 100 + 1, step * 100 + 1_501);
        let cells = |from: u32| format!("M{from:04}..M{:04}", from + 99);
        comity::run(&tablet, &["set", "Cells", &cells(first), "status=dead", "technician=Adrien"]).await.ok();
        comity::run(&desktop, &["set", "Cells", &cells(second), "status=microcracks", "technician=Zoe"]).await.ok();
    }
    let status = comity::run(&tablet, &["status"]).await.ok().stdout;
    assert!(status.contains("10 changes"), "{status}");

    comity::run(&tablet, &sync).await.ok();
    comity::run(&desktop, &sync).await.ok();
    comity::run(&tablet, &sync).await.ok();
    for format in ["json", "csv"] {
        let export = ["export", "Cells", "--format", format];
        let on_tablet = comity::run(&tablet, &export).await.ok().stdout;
        assert_eq!(on_tablet, comity::run(&desktop, &export).await.ok().stdout, "the exports as {format} differ");
        assert_eq!(on_tablet.matches("Adrien").count(), 1_000);
        assert_eq!(on_tablet.matches("microcracks").count(), 1_000);
        assert_eq!(on_tablet.matches("images/cell").count(), 2_624);
    }
}
