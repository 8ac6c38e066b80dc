use crate::support::{Device, Running, check};

#[test]
fn the_store_is_verified_backed_up_and_restored() {
    let device = Device::with_audit();
    let before = device.run(&["export", "Roof 7"]).ok();
    let ran = device.session(&[
        &["store", "verify"],
        &["store", "verify", "--json"],
        &["store", "backup", "b.comity", "--quiet"],
        &["store", "backup", "b.comity"],
        &["store", "restore", "b.comity", "--data", "copy", "--quiet"],
        &["store", "restore", "b.comity"],
        &["store", "salvage", "--into", "rescued"],
    ]);
    check("store", &ran);
    assert_eq!(device.run(&["export", "Roof 7", "--data", "copy"]).ok(), before);
    assert_eq!(device.run(&["export", "Roof 7", "--data", "rescued"]).ok(), before);
    let id = |folder: &str| device.run(&["id", "--json", "--data", folder]).json()["device"].clone();
    assert_ne!(id("copy"), id("data"), "a restored copy is a device of its own");
    let stats = device.run(&["store", "stats", "--json"]).json();
    assert_eq!((stats["schema"].as_str(), stats["documents"].as_u64()), (Some("comity.stats/1"), Some(1)));
}

#[test]
fn damage_is_found_told_and_survived() {
    let device = Device::with_audit();
    let file = device.path("data/store/sled/db");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.iter_mut().step_by(7).for_each(|byte| *byte ^= 0x55);
    std::fs::write(&file, bytes).unwrap();
    let verified = device.run(&["store", "verify"]);
    assert_eq!(verified.code, 9, "{verified}");
    assert!(verified.err.contains("sync RELAY --once"), "{verified}");
    let next = device.run(&["doc", "list"]);
    assert!(next.code == 0 && next.err.contains("the store was damaged"), "{next}");
    assert!(next.err.contains("data/store/damaged-"), "the evidence is kept: {next}");
    assert_eq!(device.run(&["store", "verify"]).code, 0);
}

#[test]
fn one_process_at_a_time_has_a_folder_open_and_the_error_says_which() {
    let device = Device::with_audit();
    let mut other = Running::start(&device, &["sync", "ws://127.0.0.1:1"]);
    assert!(other.line().starts_with("offline, "));
    let ran = device.run(&["doc", "list"]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.err.contains("is in use by process") && ran.err.contains("stop it first"), "{ran}");
    assert_eq!(other.interrupt().1, 0, "Ctrl-C is how it ends");
    device.run(&["doc", "list"]).ok();
}
