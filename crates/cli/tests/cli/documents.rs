use crate::support::{Device, check};

#[test]
fn a_first_day_reads_well() {
    let device = Device::bare();
    check(
        "first_day",
        &device.session(&[
            &["doc", "list"],
            &["init", "--name", "tablet"],
            &["id"],
            &["doc", "list"],
            &["doc", "new", "audit", "Roof 7"],
            &["doc", "list"],
            &["show", "Roof 7"],
            &["set", "Roof 7", "M030..M040", "status=dead"],
            &["set", "Roof 7", "M050", "status=microcracks", "comment=two cells", "grade=0.33"],
            &["show", "Roof 7"],
            &["show", "Roof 7", "M050"],
            &["show", "Roof 7", "M050", "grade"],
            &["delete", "Roof 7", "M040"],
            &["show", "Roof 7", "M040"],
            &["set", "Roof 7", "M040", "comment=still broken"],
            &["show", "Roof 7", "--deleted"],
            &["restore", "Roof 7", "M040"],
            &["set", "Roof 7", "M050", "status=microcracks"],
            &["history", "Roof 7"],
            &["history", "Roof 7", "M040"],
            &["history", "Roof 7", "M050/status"],
            &["history", "Roof 7", "--limit", "1"],
            &["doc", "show", "Roof 7"],
            &["status"],
            &["space", "list"],
        ]),
    );
}

#[test]
fn json_is_versioned_and_keeps_its_shape() {
    let device = Device::with_audit();
    device.run(&["delete", "Roof 7", "M002"]).ok();
    check(
        "json",
        &device.session(&[
            &["init", "--json"],
            &["id", "--json"],
            &["doc", "list", "--json"],
            &["doc", "show", "Roof 7", "--json"],
            &["set", "Roof 7", "M003", "status=ok", "serial:=\"0042\"", "--json"],
            &["show", "Roof 7", "--json"],
            &["show", "Roof 7", "M003", "--json"],
            &["show", "Roof 7", "M003", "serial", "--json"],
            &["history", "Roof 7", "--json", "--limit", "2"],
            &["export", "Roof 7"],
            &["status", "--json"],
            &["space", "list", "--json"],
            &["show", "Roof 8", "--json"],
        ]),
    );
}

#[test]
fn a_range_is_one_change_in_the_history() {
    // S2.4
    let device = Device::new();
    device.run(&["doc", "new", "audit", "Roof 7"]).ok();
    device.run(&["set", "Roof 7", "M030..M040", "status=dead", "technician=Adrien"]).ok();
    let history = device.run(&["history", "Roof 7", "M035", "--json"]).json();
    assert_eq!(history["changes"].as_array().unwrap().len(), 1);
    let history = device.run(&["history", "Roof 7", "--json"]).json();
    let writes: Vec<usize> = history["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["writes"].as_array().unwrap().len())
        .collect();
    assert_eq!(writes, [22, 0], "eleven modules with two fields each, and before them the document");
}

#[test]
fn a_range_with_one_bad_value_changes_nothing() {
    let device = Device::with_audit();
    let before = device.run(&["export", "Roof 7"]).ok();
    assert_eq!(device.run(&["set", "Roof 7", "M001..M009", "comment=x", "status=ded"]).code, 2);
    assert_eq!(device.run(&["delete", "Roof 7", "M001..M009"]).code, 3, "M003 to M009 are not there");
    assert_eq!(device.run(&["export", "Roof 7"]).ok(), before);
}

#[test]
fn documents_are_named_by_title_id_or_its_beginning() {
    let device = Device::with_audit();
    let list = device.run(&["doc", "list", "--json"]).json();
    let id = list["documents"][0]["id"].as_str().unwrap().to_owned();
    for name in ["Roof 7", &id, &id[..6], &format!("automerge:{id}")] {
        assert!(device.run(&["show", name]).ok().contains("M001"), "{name}");
    }
    let listed = device.run(&["doc", "list"]).ok();
    let short = listed.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(id.starts_with(&short));
}

#[test]
fn a_write_can_be_bound_to_what_was_seen() {
    let device = Device::with_audit();
    let seen = device.run(&["show", "Roof 7", "--json"]).json();
    let heads = seen["document"]["heads"][0].as_str().unwrap().to_owned();
    device.run(&["set", "Roof 7", "M001", "status=dead", "--if-heads", &heads]).ok();
    let late = device.run(&["set", "Roof 7", "M001", "status=ok", "--if-heads", &heads]);
    assert_eq!(late.code, 4, "{late}");
    assert_eq!(device.run(&["show", "Roof 7", "M001", "status"]).ok(), "dead\n");
}

#[test]
fn the_same_key_in_a_space_is_the_same_document() {
    let device = Device::new();
    device.run(&["space", "create", "West"]).ok();
    let new: &[&str] = &["doc", "new", "audit", "Roof 7", "--space", "West", "--key", "roof-7"];
    assert_eq!(device.run(new).ok(), device.run(new).ok());
    check("space", &device.session(&[&["space", "list"], &["doc", "list"], &["doc", "show", "Roof 7"]]));
}

#[test]
fn restoring_what_nobody_deleted_changes_nothing() {
    let device = Device::with_audit();
    let restore = |expected: &str| {
        let ran = device.run(&["restore", "Roof 7", "M001"]);
        assert!(ran.err.contains(expected), "{ran}");
    };
    restore("nothing to change");
    device.run(&["delete", "Roof 7", "M001"]).ok();
    restore("restored, one change");
    restore("nothing to change");
    assert_eq!(device.run(&["restore", "Roof 7", "M999"]).code, 3);
}
