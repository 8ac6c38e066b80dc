//! Three-way merges of other tools, as concurrent changes: what is found, and what of a file is refused. S1.5, S2.4.

use serde_json::{Value as Json, json};

use crate::support::{Device, check, trial_data};

/// Two records: one with every fate of a leaf, one that only one side changed.
const MERGES: &str = r#"{"id":"web-share","base":{"title":"T","stats":{"a":"n","b":"n","c":"n","d":"n"}},"ours":{"title":"T","stats":{"a":"y","b":"y","c":"n","d":"y"}},"theirs":{"title":"T","stats":{"a":"p","b":"y","c":"y"}},"merged":{}}
{"id":"cryptography","base":{"title":"C","links":[1,2]},"ours":{"title":"C","links":[1,2,3]},"theirs":{"title":"C","links":[1,2]}}
"#;

fn device() -> Device {
    let device = Device::new();
    device.write(
        "data/config.toml",
        "[[kind]]\nname = \"feature\"\nfields = [{ name = \"shown\", type = \"boolean\" }]\n",
    );
    device
}

fn line(id: &str, base: Json, ours: Json, theirs: Json) -> String {
    json!({ "id": id, "base": base, "ours": ours, "theirs": theirs }).to_string() + "\n"
}

fn subjects(device: &Device, state: &str) -> Vec<String> {
    let listed = device.run(&["conflicts", "list", "--state", state, "--json"]).json();
    listed["conflicts"].as_array().unwrap().iter().map(|one| one["subject"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_both_changed_differently_is_a_conflict_and_nothing_is_lost() {
    let device = device();
    device.write("merges.jsonl", MERGES);
    let new = ["import", "--three-way", "merges.jsonl", "--new", "Features", "--kind", "feature"];
    let text = device.session(&[
        &[&new[..], &["--dry-run"]].concat(),
        &new,
        &["show", "Features"],
        &["import", "--three-way", "merges.jsonl", "Features"],
    ]);
    assert_eq!(subjects(&device, "open"), ["web-share.stats/a", "web-share.stats/d"]);
    assert_eq!(subjects(&device, "agreed"), ["web-share.stats/b"]);
    let report = device.run(&["import", "--three-way", "merges.jsonl", "Features", "--json"]);
    check("three_way", &format!("{text}\n{report}"));
    let changes = device.run(&["log", "Features", "--json"]).json();
    let imports = changes["changes"].as_array().unwrap().iter().filter(|change| change["act"] == "import").count();
    assert_eq!(imports, 3, "the base, ours, theirs: {changes}");
}

#[test]
fn a_conflict_of_an_import_is_decided_like_any_other() {
    let device = device();
    device.write("merges.jsonl", MERGES);
    device.run(&["import", "--three-way", "merges.jsonl", "--new", "Features", "--kind", "feature"]).ok();
    let listed = device.run(&["conflicts", "list", "--field", "a", "--json"]).json();
    let id = listed["conflicts"][0]["id"].as_str().unwrap();
    let shown = device.run(&["conflicts", "show", id, "--json"]).json();
    assert_eq!(shown["conflict"]["base"][0]["values"][0]["value"], "n", "what both had seen: {shown}");
    device.run(&["conflicts", "resolve", id, "--value", "z"]).ok();
    assert_eq!(subjects(&device, "open"), ["web-share.stats/d"]);
    let again = device.run(&["import", "--three-way", "merges.jsonl", "Features"]);
    assert_eq!(again.code, 1, "it is not as the file has it any more: {again}");
    let others = device.run(&["import", "--three-way", "merges.jsonl", "Features", "--skip-bad"]);
    assert_eq!(others.code, 8, "{others}");
    assert_eq!(subjects(&device, "open"), ["web-share.stats/d"], "a decision is never imported over");
}

#[test]
fn an_import_that_was_cut_short_is_finished_and_finds_the_same_conflicts() {
    let (base, ours, theirs) = (json!({"a": 1, "b": 1}), json!({"a": 2, "b": 1}), json!({"a": 3}));
    // As if it had ended after the base, or after ours.
    for (before, changes) in [(&base, 2), (&ours, 1)] {
        let device = device();
        device.write("cut.jsonl", line("r", base.clone(), before.clone(), base.clone()));
        device.run(&["import", "--three-way", "cut.jsonl", "--new", "F", "--kind", "feature"]).ok();
        assert_eq!(subjects(&device, "all"), [""; 0]);
        device.write("whole.jsonl", line("r", base.clone(), ours.clone(), theirs.clone()));
        let report = device.run(&["import", "--three-way", "whole.jsonl", "F", "--json"]).json();
        assert_eq!(report["changes"].as_array().unwrap().len(), changes, "{report}");
        assert_eq!((&report["conflicts"], &report["silent_losses"]), (&json!(1), &json!(0)));
        assert_eq!(subjects(&device, "open"), ["r/a"]);
    }
}

#[test]
fn bad_lines_are_told_by_number_and_nothing_is_imported_half_way() {
    let device = device();
    let object = json!({"a": 1});
    let deep = (0..40).fold(json!(1), |inner, _| json!({ "x": inner }));
    let mut file = line("good", object.clone(), json!({"a": 2}), object.clone());
    file += "{\"id\": \"cut\", \n\n[1]\n";
    file += &line("good", object.clone(), object.clone(), object.clone());
    file += &line("deep", deep, object.clone(), object.clone());
    file += &line("typed", object.clone(), json!({"shown": "yes"}), object.clone());
    file += &line("gone", object.clone(), object.clone(), Json::Null);
    file += &line(&"x".repeat(300), object.clone(), object.clone(), object.clone());
    device.write("bad.jsonl", &file);
    device.write("none.jsonl", "[]\n");
    device.write("empty.jsonl", "");
    device.write("cut.jsonl.gz", [0x1f, 0x8b, 8, 0, 0]);
    let new = |file| ["import", "--three-way", file, "--new", "F", "--kind", "feature"];
    let text = device.session(&[
        &new("bad.jsonl"),
        &[&new("bad.jsonl")[..], &["--json"]].concat(),
        &new("none.jsonl"),
        &new("empty.jsonl"),
        &new("cut.jsonl.gz"),
        &new("gone.jsonl"),
    ]);
    assert!(!device.run(&["doc", "list"]).ok().contains("feature"), "no document was made for a bad file");
    let skipped = device.session(&[&[&new("bad.jsonl")[..], &["--skip-bad"]].concat(), &["show", "F"]]);
    check("three_way_bad", &format!("{text}\n{skipped}"));
    for wrong in [&["import", "x", "F", "--by-position"][..], &["import", "x", "F", "--three-way", "--map", "a=1"]] {
        assert_eq!(device.run(wrong).code, 2);
    }
}

#[test]
fn a_round_is_as_large_as_the_limit_allows_and_divides_no_record() {
    let device = device();
    let config = "[limits]\nedit_writes_max = 4\n[[kind]]\nname = \"feature\"\nfields = []\n";
    device.write("data/config.toml", config);
    let one = |id: &str, leaves: usize| {
        let record = |value: usize| Json::Object((0..leaves).map(|i| (format!("f{i}"), json!(value))).collect());
        line(id, record(0), record(1), record(2))
    };
    device.write("rows.jsonl", one("a", 2) + &one("b", 2) + &one("c", 3));
    let new = ["import", "--three-way", "rows.jsonl", "--new", "F", "--kind", "feature", "--json"];
    let report = device.run(&new).json();
    assert_eq!((report["changes"].as_array().unwrap().len(), &report["conflicts"]), (6, &json!(7)), "{report}");
    assert_eq!(report["silent_losses"], 0);
    device.write("rows.jsonl", one("d", 5));
    let ran = device.run(&["import", "--three-way", "rows.jsonl", "F"]);
    assert!(ran.code == 1 && ran.err.contains("more than 4 leaves"), "{ran}");
}

#[test]
fn lists_are_compared_whole_unless_their_places_mean_something() {
    let device = device();
    let file = line("r", json!({"row": [1, 2]}), json!({"row": [9, 2]}), json!({"row": [1, 8]}));
    let add = line("r", Json::Null, json!({"x": 1}), json!({"x": {"y": 2}}));
    for (title, file, more, conflicts, clashes) in
        [("whole", &file, None, 1, 0), ("places", &file, Some("--by-position"), 0, 0), ("both new", &add, None, 0, 1)]
    {
        let arguments = ["import", "--three-way", "-", "--new", title, "--kind", "feature", "--json"];
        let arguments: Vec<&str> = arguments.into_iter().chain(more).collect();
        let report = device.run_with(&arguments, &[], file.as_bytes()).json();
        let found = (&report["conflicts"], &report["clashes"], &report["silent_losses"]);
        assert_eq!(found, (&json!(conflicts), &json!(clashes), &json!(0)), "{title}: {report}");
    }
}

#[test]
fn real_merges_of_a_repository_lose_nothing() {
    let Some(file) = trial_data("caniuse/merges.jsonl.gz") else { return };
    let device = device();
    let arguments = ["import", "--three-way", file.to_str().unwrap(), "--new", "F", "--kind", "feature", "--json"];
    let report = device.run(&arguments).json();
    let number = |name: &str| report[name].as_u64().unwrap();
    assert_eq!((number("records"), number("conflicts"), number("silent_losses")), (128, 5, 0), "{report}");
    assert_eq!(report["changes"].as_array().unwrap().len(), 3);
    assert_eq!(subjects(&device, "open").len(), 5);
}
