use crate::support::{Device, check, trial_data};

const MODULES: &str = "id,status,comment,grade\r\nM001,ok,,1\r\nM002,dead,\"burnt, twice\",0.25\r\n";

#[test]
fn a_table_with_a_header_needs_no_mapping() {
    let device = Device::new();
    device.write("modules.csv", MODULES);
    check(
        "import",
        &device.session(&[
            &["import", "modules.csv", "--new", "Roof 8", "--kind", "audit", "--dry-run"],
            &["import", "modules.csv", "--new", "Roof 8", "--kind", "audit"],
            &["show", "Roof 8"],
            &["import", "modules.csv", "Roof 8"],
            &["import", "modules.csv", "Roof 8", "--map", "entry=id,status=2,technician=:Adrien", "--json"],
            &["export", "Roof 8", "--format", "csv"],
            &["export", "Roof 8", "-o", "roof-8.csv"],
            &["history", "Roof 8"],
        ]),
    );
    let written = std::fs::read_to_string(device.path("roof-8.csv")).unwrap();
    assert_eq!(written, device.run(&["export", "Roof 8", "--format", "csv"]).ok());
}

#[test]
fn bad_rows_are_told_by_line_and_nothing_is_imported_half_way() {
    let device = Device::with_audit();
    let before = device.run(&["export", "Roof 7"]).ok();
    device.write(
        "bad.csv",
        b"entry,status,comment\nM003,ok,fine\nM004,ded,x\nM005\n\nM003,dead,again\nM/6,ok,x\n,ok,x\nM007,,\n\"M008,ok,x\nM009,ok,\xff\nM010,dead,good\n",
    );
    device.write("none.csv", "entry,status\nM003,ded\n");
    device.write("empty.csv", "");
    device.write("plain.csv", "M003,ok\n");
    let refused = device.session(&[
        &["import", "bad.csv", "Roof 7"],
        &["import", "bad.csv", "Roof 7", "--json"],
        &["import", "none.csv", "Roof 7", "--skip-bad"],
        &["import", "empty.csv", "Roof 7"],
        &["import", "gone.csv", "Roof 7"],
        &["import", "plain.csv", "Roof 7"],
        &["import", "plain.csv", "Roof 7", "--no-header"],
        &["import", "plain.csv", "Roof 7", "--map", "entry=1,status=3"],
        &["import", "plain.csv", "Roof 7", "--map", "entry=module"],
        &["import", "plain.csv", "Roof 7", "--number", "M"],
        &["import", "plain.csv", "--new", "Roof 8", "--kind", "audti"],
        &["import", "bad.csv", "--new", "Roof 8", "--kind", "audit"],
    ]);
    assert_eq!(device.run(&["export", "Roof 7"]).ok(), before, "nothing was imported");
    assert!(!device.run(&["doc", "list"]).ok().contains("Roof 8"), "no document was made for a bad file");
    let skipped = device.session(&[&["import", "bad.csv", "Roof 7", "--skip-bad"], &["show", "Roof 7"]]);
    check("import_bad", &format!("{refused}\n{skipped}"));
}

#[test]
fn an_import_is_as_few_changes_as_the_limit_allows() {
    let device = Device::with_audit();
    device.write("data/config.toml", "[limits]\nedit_writes_max = 4\n");
    let rows =
        |count: usize| (0..count).fold("entry,status,comment\n".to_owned(), |text, i| format!("{text}N{i},ok,x\n"));
    for (count, changes) in [(2, 1), (3, 2), (5, 3)] {
        device.write("rows.csv", rows(count).replace('x', &count.to_string()).replace('N', &format!("N{count}-")));
        let report = device.run(&["import", "rows.csv", "Roof 7", "--json"]).json();
        assert_eq!(report["changes"].as_array().unwrap().len(), changes, "{count} rows of two values");
    }
}

#[test]
fn the_standard_input_is_a_file_too() {
    let device = Device::with_audit();
    let table = device.run(&["export", "Roof 7", "--format", "csv"]).ok();
    device.run_with(&["import", "-", "--new", "Copy", "--kind", "audit"], &[], table.as_bytes()).ok();
    assert_eq!(device.run(&["export", "Copy", "--format", "csv"]).ok(), table);
}

#[test]
fn an_imported_audit_of_photovoltaic_cells() {
    let Some(labels) = trial_data("elpv/labels.csv") else { return };
    let device = Device::new();
    let labels = labels.to_str().unwrap();
    let map = "image=1,probability=2,type=3";
    let report = device
        .run(&["import", labels, "--new", "Cells", "--kind", "audit", "--number", "M{:04}", "--map", map, "--json"])
        .json();
    assert_eq!((report["entries"].as_u64(), report["values"].as_u64()), (Some(2_624), Some(7_872)));
    assert_eq!(report["changes"].as_array().unwrap().len(), 1, "one atomic change");
    let table = device.run(&["export", "Cells", "--format", "csv"]).ok();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("entry,image,probability,type"));
    assert_eq!(lines.next(), Some("M0001,images/cell0001.png,1.0,mono"));
    assert_eq!(lines.count(), 2_623);
    // Without the mapping, the mistakes that newcomers make with this file are explained.
    let slashes = device.run(&["import", labels, "Cells", "--map", "entry=1,type=3"]);
    assert!(slashes.code == 1 && slashes.err.contains("number the entries with --number"), "{slashes}");
}
