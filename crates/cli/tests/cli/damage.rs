//! A damaged disk, from the damage to the day when everything is back: named at every step, and nothing lost that a peer
//! has.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{Device, Ran, Running};

/// A value that stands in one change and nowhere else.
const NEEDLE: &[u8] = b"zebra crossing";

/// Longest wait for a relay.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a file below a folder holds the change with [`NEEDLE`].
fn holds_the_change(folder: &Path) -> bool {
    let mut found = false;
    for_each_file(folder, &mut |path| {
        // It may have given way to a new one just now.
        let bytes = std::fs::read(path).unwrap_or_default();
        found |= bytes.windows(NEEDLE.len()).any(|window| window == NEEDLE);
    });
    found
}

/// Damages the change that holds [`NEEDLE`], wherever a copy of it lies below a folder.
fn damage_the_change(folder: &Path) {
    let mut found = 0;
    for_each_file(folder, &mut |path| {
        let mut bytes = std::fs::read(path).unwrap();
        let places: Vec<usize> =
            bytes.windows(NEEDLE.len()).enumerate().filter(|(_, window)| *window == NEEDLE).map(|(at, _)| at).collect();
        for at in &places {
            bytes[*at] ^= 0x20;
        }
        if !places.is_empty() {
            found += places.len();
            std::fs::write(path, bytes).unwrap();
        }
    });
    assert!(found > 0, "the change is not in {}", folder.display());
}

/// Lets the device find out. A store that was closed well is not read whole when it is opened: then the first command
/// that reads the document names it and fails, and the next one finds it salvaged.
fn discover(device: &Device, line: &[&str]) -> Ran {
    let first = device.run(line);
    if first.code == 0 {
        return first;
    }
    assert_eq!(first.code, 9, "{first}");
    assert!(first.err.contains("is damaged on disk"), "{first}");
    device.run(line)
}

/// Damages everything that the engine holds.
fn damage_everything(store: &Path) {
    let file = store.join("sled/db");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.iter_mut().step_by(7).for_each(|byte| *byte ^= 0x55);
    std::fs::write(&file, bytes).unwrap();
}

fn for_each_file(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { for_each_file(&path, visit) } else { visit(&path) }
    }
}

/// Makes a device in a space, in step with the relay, with an audit whose last change holds the needle.
fn tablet(url: &str) -> Device {
    let tablet = Device::new();
    tablet.run(&["space", "create", "West"]).ok();
    tablet.run(&["doc", "new", "audit", "Roof 7", "--space", "West"]).ok();
    tablet.run(&["set", "Roof 7", "M001..M003", "status=ok"]).ok();
    tablet.run(&["sync", url, "--once"]).ok();
    let needle = format!("comment={}", str::from_utf8(NEEDLE).unwrap());
    tablet.run(&["set", "Roof 7", "M002", &needle]).ok();
    tablet
}

fn health(url: &str) -> serde_json::Value {
    let mut stream = TcpStream::connect(url.strip_prefix("ws://").unwrap()).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_device_names_what_its_disk_lost_and_says_when_the_relay_has_brought_it_back() {
    let home = Device::bare();
    let (_relay, url) = Running::relay(&home);
    let tablet = tablet(&url);
    tablet.run(&["sync", &url, "--once"]).ok();
    let before = tablet.run(&["export", "Roof 7"]).ok();
    damage_the_change(&tablet.path("data/store"));

    let found = discover(&tablet, &["show", "Roof 7"]);
    assert_eq!(found.code, 0, "what is left can be used: {found}");
    assert!(found.err.contains("the store was damaged"), "{found}");
    assert!(found.err.contains("lost: Roof 7 ("), "{found}");
    assert!(found.err.contains("data/store/damaged-"), "the damaged files are kept: {found}");
    assert!(!found.out.contains("zebra"), "the loss is real: {found}");

    let status = tablet.run(&["status"]);
    assert!(status.out.contains("lost       Roof 7 ("), "told until it is back: {status}");
    assert_eq!(tablet.run(&["status", "--json"]).json()["lost"][0]["title"], "Roof 7");
    let listed = tablet.run(&["evidence", "list", "--json"]).json();
    assert_eq!(listed["records"][0]["kind"], "store", "{listed}");
    assert_eq!(listed["records"][0]["reason"], "the store was damaged; 1 document lost something");
    assert!(listed["set_aside"][0]["bytes"].as_u64().unwrap() > 0, "{listed}");
    let report = tablet.run(&["evidence", "show", "1"]).ok();
    assert!(report.contains("  document ") && report.contains("damaged files are in"), "{report}");

    let synced = tablet.run(&["sync", &url, "--once"]);
    assert_eq!(synced.code, 0, "{synced}");
    assert!(synced.err.contains("back: Roof 7 ("), "{synced}");
    assert_eq!(tablet.run(&["export", "Roof 7"]).ok(), before, "equal again");
    assert!(!tablet.run(&["status"]).ok().contains("lost"), "and told no more");
    assert_eq!(tablet.run(&["store", "verify"]).code, 0);
    // Edits after the damage are new changes and not ones that the relay has under the same number.
    tablet.run(&["set", "Roof 7", "M003", "status=dead"]).ok();
    let after = tablet.run(&["sync", &url, "--once"]);
    assert!(after.code == 0 && after.err.contains("1 change delivered"), "{after}");
}

#[test]
fn heads_that_only_the_check_of_the_store_knows_must_come_back_too() {
    let home = Device::bare();
    let (_relay, url) = Running::relay(&home);
    let tablet = Device::bare();
    tablet.write_config("[limits]\ncompaction_bytes_min = \"1KiB\"\n");
    tablet.run(&["init"]).ok();
    tablet.run(&["doc", "new", "audit", "Roof 7"]).ok();
    // Text that does not deflate: the snapshot is a file of its own.
    let mut number = 1_u64;
    let mut text = || {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{number:016x}")
    };
    let rows: Vec<String> = (0..500).map(|row| format!("M{row:03},ok,{}{}", text(), text())).collect();
    tablet.write("roof.csv", format!("entry,status,comment\n{}\n", rows.join("\n")));
    tablet.run(&["import", "roof.csv", "Roof 7"]).ok();
    tablet.run(&["sync", &url, "--once"]).ok();
    let before = tablet.run(&["export", "Roof 7"]).ok();
    let mut snapshots = 0;
    for_each_file(&tablet.path("data/store/snapshots"), &mut |path| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[100] ^= 1;
        std::fs::write(path, bytes).unwrap();
        snapshots += 1;
    });
    assert_eq!(snapshots, 1);

    // Whoever reads the document first cannot tell its heads; the next start can.
    let first = tablet.run(&["show", "Roof 7"]);
    assert!(first.code == 9 && first.err.contains("its snapshot was altered"), "{first}");
    assert!(tablet.run(&["status"]).ok().contains("lost       "));
    let synced = tablet.run(&["sync", &url, "--once"]);
    assert!(synced.err.contains("back: ") && synced.err.contains("has all that it had"), "{synced}");
    assert_eq!(tablet.run(&["export", "Roof 7"]).ok(), before);
}

#[test]
fn a_device_that_lost_everything_gets_it_back_by_name_and_is_in_its_spaces_again() {
    let home = Device::bare();
    let (_relay, url) = Running::relay(&home);
    let tablet = tablet(&url);
    tablet.run(&["sync", &url, "--once"]).ok();
    let before = tablet.run(&["export", "Roof 7"]).ok();
    let id = tablet.run(&["doc", "list", "--json"]).json()["documents"][0]["id"].as_str().unwrap().to_owned();
    damage_everything(&tablet.path("data/store"));

    let found = discover(&tablet, &["doc", "list"]);
    assert!(found.err.contains(&format!("lost: document {id}: nothing of it is left")), "{found}");
    let synced = tablet.run(&["sync", &url, "--once", "--json"]).json();
    assert_eq!(
        (synced["lost"].as_array().unwrap().len(), synced["back"].as_array().unwrap().len()),
        (0, 2),
        "{synced}"
    );
    assert_eq!(tablet.run(&["export", "Roof 7"]).ok(), before);
    assert!(tablet.run(&["space", "list"]).ok().contains("West"));
}

#[test]
fn a_sync_that_meets_damage_says_so_at_once_and_the_next_one_goes_on() {
    let home = Device::bare();
    let (_relay, url) = Running::relay(&home);
    let tablet = tablet(&url);
    damage_the_change(&tablet.path("data/store"));
    let synced = discover(&tablet, &["sync", &url, "--once"]);
    assert_eq!(synced.code, 0, "{synced}");
    assert!(synced.err.contains("lost: Roof 7 ("), "{synced}");
}

#[test]
fn what_a_damaged_journal_lost_is_lost_until_a_peer_that_has_it_is_met() {
    let (home, elsewhere) = (Device::bare(), Device::bare());
    let (_relay, url) = Running::relay(&home);
    let (_other_relay, other_url) = Running::relay(&elsewhere);
    let desktop = tablet(&url);
    let space = desktop.run(&["space", "list", "--json"]).json()["spaces"][0]["id"].as_str().unwrap().to_owned();
    let tablet = Device::new();
    tablet.run(&["space", "join", &space]).ok();
    tablet.run(&["sync", &url, "--once"]).ok();
    // What a running process was told is in its journal until the next checkpoint, and stays there when it is killed.
    let running = Running::start(&tablet, &["sync", &url, "--json"]);
    desktop.run(&["sync", &url, "--once"]).ok();
    let journal = tablet.path("data/store/journal");
    let deadline = Instant::now() + PATIENCE;
    while !holds_the_change(&journal) {
        assert!(Instant::now() < deadline, "the change did not come");
        // Another process writes it: there is no event to await here.
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(running);
    damage_the_change(&journal);

    let is_lost = || tablet.run(&["status"]).ok().contains("lost       Roof 7 (");
    assert!(is_lost(), "named by the first command, whichever it is");
    assert!(!tablet.run(&["export", "Roof 7"]).ok().contains("zebra"), "the loss is real");
    let synced = tablet.run(&["sync", &other_url, "--once"]);
    assert!(synced.code == 0 && synced.err.contains("still lost: Roof 7 ("), "nobody there has it: {synced}");
    assert!(synced.err.contains("no relay had all of it") && is_lost(), "{synced}");

    let synced = tablet.run(&["sync", &url, "--once"]);
    assert!(synced.code == 0 && synced.err.contains("back: Roof 7 ("), "{synced}");
    assert!(synced.err.contains("has all that it had"), "what it had is known: {synced}");
    assert!(!is_lost() && !tablet.run(&["sync", &other_url, "--once"]).err.contains("lost"), "told no more");
    assert_eq!(tablet.run(&["export", "Roof 7"]).ok(), desktop.run(&["export", "Roof 7"]).ok());
    let listed = tablet.run(&["evidence", "list", "--kind", "store", "--json"]).json();
    assert_eq!(listed["records"].as_array().unwrap().len(), 1, "reported once: {listed}");
}

#[test]
fn a_tool_that_meets_the_damage_first_hides_nothing_from_the_next_run() {
    let home = Device::bare();
    let (_relay, url) = Running::relay(&home);
    let tablet = tablet(&url);
    tablet.run(&["sync", &url, "--once"]).ok();
    let before = tablet.run(&["export", "Roof 7"]).ok();
    let actor = |device: &Device| {
        let history = device.run(&["history", "Roof 7", "--json", "--limit", "1"]).json();
        history["changes"][0]["actor"].as_str().unwrap().to_owned()
    };
    let lost = actor(&tablet);
    damage_the_change(&tablet.path("data/store"));
    // Whether the opening finds it depends on where sled looks; after a read that did, it surely does.
    if tablet.run(&["show", "Roof 7"]).code == 9 {
        let stats = tablet.run(&["store", "stats"]);
        assert!(stats.err.contains("lost: document "), "{stats}");
    }
    assert!(tablet.run(&["status"]).ok().contains("lost       Roof 7 ("));
    // The relay has a change of the old session under the next number.
    tablet.run(&["set", "Roof 7", "M001", "comment=after"]).ok();
    assert_ne!(actor(&tablet), lost, "a new session");
    let synced = tablet.run(&["sync", &url, "--once"]);
    assert!(synced.code == 0 && synced.err.contains("back: Roof 7 ("), "{synced}");
    let after = tablet.run(&["export", "Roof 7"]).ok();
    assert!(after.contains("zebra") && after.contains("after") && before.contains("zebra"), "{after}");
}

#[test]
fn a_salvaged_folder_tells_what_was_lost_until_it_is_back() {
    let home = Device::bare();
    let (_relay, url) = Running::relay(&home);
    let tablet = tablet(&url);
    tablet.run(&["sync", &url, "--once"]).ok();
    damage_the_change(&tablet.path("data/store"));
    let salvaged = tablet.run(&["store", "salvage", "--into", "rescued", "--quiet"]);
    assert_eq!(salvaged.code, 8, "{salvaged}");

    let verified = tablet.run(&["store", "verify", "--data", "rescued"]);
    assert!(verified.code == 0 && verified.out.contains("reported     "), "{verified}");
    assert!(verified.err.contains("reported and not yet written down"), "{verified}");
    let verified = tablet.run(&["store", "verify", "--data", "rescued", "--json"]).json();
    assert_eq!((&verified["sound"], verified["unacknowledged"].as_array().unwrap().len()), (&true.into(), 1));
    let found = tablet.run(&["status", "--data", "rescued"]);
    assert!(found.code == 0 && found.err.contains("lost: Roof 7 ("), "{found}");
    let verified = tablet.run(&["store", "verify", "--data", "rescued", "--json"]).json();
    assert!(verified["unacknowledged"].is_null(), "{verified}");
    let synced = tablet.run(&["sync", &url, "--once", "--data", "rescued"]);
    assert!(synced.err.contains("back: Roof 7 (") && synced.err.contains("has all that it had"), "{synced}");
}

#[test]
fn a_relay_tells_monitors_what_it_lost_and_devices_bring_it_back() {
    let home = Device::bare();
    let (relay, url) = Running::relay(&home);
    let tablet = tablet(&url);
    tablet.run(&["sync", &url, "--once"]).ok();
    let before = tablet.run(&["export", "Roof 7"]).ok();
    relay.interrupt();
    damage_everything(&home.path("data/store"));

    let (_relay, url) = Running::relay(&home);
    let told = health(&url);
    assert_eq!((told["status"].as_str(), told["lost_documents"].as_u64()), (Some("ok"), Some(2)), "{told}");
    assert_eq!(told["lost"].as_array().unwrap().len(), 2, "{told}");
    assert_eq!(told["evidence"]["kept"], 1, "the report: {told}");
    tablet.run(&["sync", &url, "--once"]).ok();
    let deadline = Instant::now() + PATIENCE;
    while health(&url)["lost_documents"] != 0 {
        assert!(Instant::now() < deadline, "the relay still lacks it: {}", health(&url));
        // Another process fetches it: there is no event to await here.
        std::thread::sleep(Duration::from_millis(20));
    }
    let desktop = Device::new();
    let space = tablet.run(&["space", "list", "--json"]).json()["spaces"][0]["id"].as_str().unwrap().to_owned();
    desktop.run(&["space", "join", &space]).ok();
    desktop.run(&["sync", &url, "--once"]).ok();
    assert_eq!(desktop.run(&["export", "Roof 7"]).ok(), before, "another device has it from the relay");
}
