//! What only shows with a relay and a second device.

use crate::support::{Device, Running, check};

/// Makes two devices in one space, in step, with one audit.
fn two_devices(url: &str) -> (Device, Device) {
    let (tablet, desktop) = (Device::new(), Device::new());
    let space = tablet.run(&["space", "create", "West"]).ok();
    tablet.run(&["doc", "new", "audit", "Roof 7", "--space", "West"]).ok();
    tablet.run(&["set", "Roof 7", "M001..M003", "status=ok"]).ok();
    tablet.run(&["sync", url, "--once"]).ok();
    desktop.run(&["init", "--name", "desktop"]).ok();
    desktop.run(&["space", "join", space.trim()]).ok();
    desktop.run(&["sync", url, "--once"]).ok();
    (tablet, desktop)
}

#[test]
fn a_disagreement_is_marked_with_every_side() {
    let home = Device::bare();
    let (relay, url) = Running::relay(&home);
    let (tablet, desktop) = two_devices(&url);
    let label = |device: &Device| device.run(&["id", "--json"]).json()["short"].as_str().unwrap().to_owned();
    let labels = format!("name = \"desktop\"\n[devices]\n{} = \"tablet\"\n", label(&tablet));
    tablet.run(&["set", "Roof 7", "M002", "status=microcracks"]).ok();
    desktop.run(&["set", "Roof 7", "M002", "status=dead"]).ok();
    for device in [&tablet, &desktop, &tablet] {
        device.run(&["sync", &url, "--once"]).ok();
    }
    for form in ["json", "csv"] {
        let export = |device: &Device| device.run(&["export", "Roof 7", "--format", form]).ok();
        assert_eq!(export(&tablet), export(&desktop), "{form}: equal changes, equal bytes");
    }
    desktop.write("data/config.toml", labels);
    let shown = desktop.run(&["show", "Roof 7", "M002", "status"]);
    let winner = shown.out.trim().to_owned();
    assert!(shown.err.contains("tablet") && shown.err.contains("desktop"), "who: {shown}");
    assert!(shown.err.contains("microcracks") && shown.err.contains("dead"), "what: {shown}");
    // Which one Automerge shows is chance: the snapshot has whichever it is.
    let text =
        desktop.session(&[&["show", "Roof 7"], &["show", "Roof 7", "M002"], &["export", "Roof 7", "--format", "csv"]]);
    let sides =
        |text: String| text.replace("microcracks", "[side]").replace("dead       ", "[side]").replace("dead", "[side]");
    let devices = |text: String| text.replace("tablet [", "[").replace("desktop [", "[");
    assert!(text.contains(&format!("M002   {winner} ≠")), "{text}");
    check("disagreement", &devices(sides(normal(&text))));
    let (_, code) = relay.interrupt();
    assert_eq!(code, 0, "Ctrl-C is how a relay ends");
}

/// Takes away what depends on which side is shown: names, and the blanks that line them up.
fn normal(text: &str) -> String {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = |line: &str| words(line).replace("desktop ", "").replace("tablet ", "");
    text.lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn a_watcher_sees_a_batch_as_one_line_and_can_wait_for_it() {
    // S2.5
    let home = Device::bare();
    let (_relay, url) = Running::relay(&home);
    let (tablet, desktop) = two_devices(&url);
    let mut watching =
        Running::start(&desktop, &["watch", "Roof 7", "--relay", &url, "--count", "1", "--for", "60s", "--quiet"]);
    tablet.run(&["set", "Roof 7", "M030..M040", "status=dead"]).ok();
    tablet.run(&["sync", &url, "--once"]).ok();
    let line = watching.line();
    assert!(line.starts_with("M030..M040 → status = dead ("), "{line}");
    assert_eq!(watching.finish().1, 0);
    let late = desktop.run(&["watch", "Roof 7", "--relay", &url, "--count", "1", "--for", "200ms"]);
    assert_eq!(late.code, 1, "nothing came: {late}");
}

#[test]
fn what_is_pending_is_counted_and_delivered() {
    // S1.9
    let home = Device::bare();
    let (relay, url) = Running::relay(&home);
    let (tablet, _desktop) = two_devices(&url);
    let pending = |device: &Device| device.run(&["status", "--json"]).json()["pending"].as_u64();
    assert_eq!(pending(&tablet), Some(0));
    tablet.run(&["set", "Roof 7", "M001", "comment=a"]).ok();
    tablet.run(&["set", "Roof 7", "M002", "comment=b"]).ok();
    assert_eq!(pending(&tablet), Some(2));
    let synced = tablet.run(&["sync", &url, "--once", "--json"]).json();
    assert_eq!((synced["state"].as_str(), synced["delivered"].as_u64()), (Some("synced"), Some(2)));
    assert_eq!(pending(&tablet), Some(0));
    let mut staying = Running::start(&tablet, &["sync", &url]);
    while staying.line() != "synced" {}
    assert_eq!(relay.interrupt().1, 0);
    while !staying.line().starts_with("offline, nothing pending") {}
    assert_eq!(staying.interrupt().1, 0);
}

#[test]
fn a_wrong_space_id_is_noticed() {
    let home = Device::bare();
    let (_relay, url) = Running::relay(&home);
    let (tablet, desktop) = two_devices(&url);
    let audits = tablet.run(&["doc", "list", "--json"]).json();
    let audit = audits["documents"][0]["id"].as_str().unwrap().to_owned();
    let ran = tablet.run(&["space", "join", &audit]);
    assert_eq!(ran.code, 2, "an audit is no space: {ran}");
    // Another device cannot know what it is before it has it.
    let elsewhere = Device::new().run(&["space", "create", "East"]).ok();
    desktop.run(&["space", "join", elsewhere.trim()]).ok();
    let ran = desktop.run(&["sync", &url, "--once"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.err.contains(&format!("space {} is not at the relay yet", elsewhere.trim())), "{ran}");
    let list = desktop.run(&["space", "list"]).ok();
    assert!(list.contains(elsewhere.trim()) && list.contains("(not here yet)"), "{list}");
}
