//! Policies: checked, set, shown, explained, and tried over what happened.

use serde_json::Value as Json;

use crate::past::{contradict, decide, on_node, only_document};
use crate::support::{Device, check};

const MANUAL: &str = "epoch = 1\n[kind.audit]\ndefault = [\"manual\"]\n";

const LAST: &str = "epoch = 2
[kind.audit]
default = [\"last-write-wins\", \"manual\"]
clock-uncertainty = \"0s\"
";

const NO_CRACKS: &str = "
[[kind.audit.invariant]]
name = \"no-cracks\"
expr = 'every(status != \"microcracks\")'
";

const WRONG: &str = "epoch = -1
[kind.audit]
default = [\"last-write\"]
groups = \"status\"
[kind.audit.field.status]
polcy = [\"manual\"]
";

/// Makes a device with a space that has a policy and an audit, and three contradictions, of which two were decided.
fn with_contradictions() -> Device {
    let device = Device::new();
    device.run(&["space", "create", "West"]).ok();
    device.write("manual.toml", MANUAL);
    device.write("last.toml", LAST);
    device.run(&["policy", "set", "West", "manual.toml"]).ok();
    device.run(&["doc", "new", "audit", "Roof 7", "--space", "West"]).ok();
    device.run(&["set", "Roof 7", "M001..M004", "status=ok"]).ok();
    on_node(&device, |node| async move {
        let document = only_document(&node).await;
        for entry in ["M001", "M002", "M003"] {
            contradict(&document, entry, "microcracks", "dead").await;
        }
        decide(&document, "M002", "dead", "it is dead").await;
        decide(&document, "M003", "microcracks", "it is not").await;
    });
    device
}

#[test]
fn a_policy_from_its_file_to_the_space() {
    let device = Device::new();
    device.write("manual.toml", MANUAL);
    device.write("last.toml", format!("{LAST}{NO_CRACKS}"));
    device.write("wrong.toml", WRONG);
    check(
        "policy",
        &device.session(&[
            &["policy", "example"],
            &["policy", "example", "preferences"],
            &["policy", "check", "wrong.toml"],
            &["policy", "check", "last.toml"],
            &["policy", "explain", "last.toml"],
            &["space", "create", "West"],
            &["policy", "show", "West"],
            &["policy", "show", "West", "--all"],
            &["policy", "set", "West", "manual.toml"],
            &["policy", "set", "West", "manual.toml"],
            &["policy", "set", "West", "last.toml"],
            &["policy", "set", "West", "manual.toml"],
            &["policy", "show", "West"],
            &["policy", "show", "West", "--all"],
            &["policy", "set", "West", "--example", "harvests", "--example", "preferences"],
            &["policy", "set", "West", "--example", "harvests", "--example", "preferences"],
            &["policy", "explain", "West", "--kind", "preference"],
            &["space", "list"],
            &["doc", "list"],
        ]),
    );
}

#[test]
fn policies_as_json_keep_their_shape() {
    let device = Device::new();
    device.write("last.toml", LAST);
    device.write("wrong.toml", WRONG);
    device.run(&["space", "create", "West"]).ok();
    check(
        "policy_json",
        &device.session(&[
            &["policy", "example", "preferences", "--json"],
            &["policy", "check", "wrong.toml", "--json"],
            &["policy", "check", "last.toml", "--json"],
            &["policy", "set", "West", "last.toml", "--json"],
            &["policy", "set", "West", "last.toml", "--json"],
            &["policy", "show", "West", "--json"],
            &["policy", "explain", "West", "--json"],
        ]),
    );
}

#[test]
fn every_shipped_policy_is_one_and_all_of_them_together_too() {
    let device = Device::new();
    let list = device.run(&["policy", "example", "--json"]).json();
    let names: Vec<&str> =
        list["examples"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.len() >= 6, "{names:?}");
    for name in &names {
        let text = device.run(&["policy", "example", name]).ok();
        let checked = device.run_with(&["policy", "check", "-"], &[], text.as_bytes());
        assert_eq!(checked.code, 0, "{checked}");
        device.run(&["policy", "check", "--example", name]).ok();
    }
    let all = device.run(&[&["policy", "example"], names.as_slice()].concat()).ok();
    device.run_with(&["policy", "explain", "-"], &[], all.as_bytes()).ok();
    device.write("all.toml", all);
    device.run(&["policy", "check", "all.toml"]).ok();
}

#[test]
fn what_is_shown_can_be_set_elsewhere() {
    let device = Device::new();
    device.write("last.toml", LAST);
    for space in ["West", "East"] {
        device.run(&["space", "create", space]).ok();
    }
    device.run(&["policy", "set", "West", "last.toml"]).ok();
    let shown = device.run(&["policy", "show", "West"]).ok();
    assert_eq!(shown, LAST);
    let set = device.run_with(&["policy", "set", "East", "-", "--json"], &[], shown.as_bytes()).json();
    let west = device.run(&["policy", "show", "West", "--json"]).json();
    assert_eq!(set["policy"], west["policies"][0]["policy"]);
}

#[test]
fn a_simulation_says_what_would_change_and_what_people_had_decided() {
    let device = with_contradictions();
    let before = device.run(&["log", "Roof 7", "--json"]).ok();
    check(
        "simulate",
        &device.session(&[
            &["policy", "simulate", "Roof 7", "last.toml"],
            &["policy", "simulate", "Roof 7", "manual.toml"],
            &["policy", "simulate", "Roof 7", "--example", "harvests"],
        ]),
    );
    let report = device.run(&["policy", "simulate", "Roof 7", "last.toml", "--json"]).json();
    let numbers =
        |of: &Json| ["conflicts", "by_rule", "by_people", "compared", "agreed"].map(|name| of[name].as_u64().unwrap());
    assert_eq!(numbers(&report["in_force"]), [3, 0, 3, 0, 0]);
    assert_eq!(numbers(&report["other"]), [3, 3, 0, 2, 1], "the last write was right once");
    check("simulate_json", &format!("{:#}\n", without_chance(report)));
    assert_eq!(device.run(&["log", "Roof 7", "--json"]).ok(), before, "nothing is written");
}

/// Takes away ids, and reasons that hold times.
fn without_chance(mut report: Json) -> Json {
    for case in report["cases"].as_array_mut().unwrap() {
        for policy in ["in_force", "other"] {
            let why = case[policy]["why"].as_array().unwrap().len();
            case[policy]["why"] = format!("[{why} reasons]").into();
        }
    }
    report
}

#[test]
fn a_document_in_no_space_has_no_policy_to_compare_with() {
    let device = Device::with_audit();
    device.write("last.toml", format!("{LAST}{NO_CRACKS}"));
    let report = device.run(&["policy", "simulate", "Roof 7", "last.toml", "--json"]).json();
    assert_eq!(report["in_force"]["policy"], Json::Null);
    assert_eq!(report["cases"], serde_json::json!([]));
    assert_eq!(report["invariants"]["other"][0]["verdict"], "holds");
    device.run(&["set", "Roof 7", "M001", "status=microcracks"]).ok();
    let ran = device.run(&["policy", "simulate", "Roof 7", "last.toml"]).ok();
    assert!(ran.contains("\nno-cracks: every(status != \"microcracks\") is false"), "{ran}");
}

#[test]
fn what_cannot_be_read_here_is_said() {
    let device = Device::new();
    device.write("last.toml", LAST);
    device.run(&["space", "create", "West"]).ok();
    device.run(&["policy", "set", "West", "last.toml"]).ok();
    on_node(&device, |node| async move {
        let list = node.document(node.spaces()[0].document());
        let future = |edit: &mut comity_node::Editor<'_>| {
            edit.set("policy:00000000000000aa", "epoch", 9_i64)?;
            edit.set("policy:00000000000000aa", "text", "epoch = 9\nrules = \"\u{1b}[2J\"\n")
        };
        list.edit(future).await.unwrap();
    });
    for line in [&["policy", "show", "West"][..], &["policy", "explain", "West"]] {
        let ran = device.run(line);
        assert!(ran.err.contains("policy 00000000000000aa of epoch 9 cannot be read here"), "{ran}");
        assert_eq!(ran.code, 0, "{ran}");
    }
    let all = device.run(&["policy", "show", "West", "--all"]);
    assert!(all.out.contains("cannot be read: line 2, column 1"), "{all}");
    assert!(!all.out.contains('\u{1b}') && !all.err.contains('\u{1b}'), "{all}");
    let json = device.run(&["policy", "show", "West", "--json"]).json();
    assert_eq!(json["policies"][1]["standing"], "unreadable");
}

#[test]
fn mistakes_have_their_exit_codes() {
    let device = with_contradictions();
    device.write("wrong.toml", WRONG);
    device.write("long.toml", "#".repeat(256 * 1024 + 1));
    device.write("binary.toml", [0xff, 0xfe]);
    device.run(&["policy", "set", "West", "last.toml"]).ok();
    for title in ["North", "North", "East"] {
        device.run(&["space", "create", title]).ok();
    }
    for (code, line) in [
        (2, &["policy", "check", "wrong.toml"][..]),
        (2, &["policy", "check", "long.toml"]),
        (2, &["policy", "check", "binary.toml"]),
        (2, &["policy", "check"]),
        (2, &["policy", "check", "last.toml", "--example", "audits"]),
        (2, &["policy", "set", "West", "wrong.toml"]),
        (2, &["policy", "set", "West"]),
        (2, &["policy", "simulate", "Roof 7", "wrong.toml"]),
        (2, &["policy", "explain", "wrong.toml"]),
        (3, &["policy", "check", "gone.toml"]),
        (3, &["policy", "check", "--example", "weather"]),
        (3, &["policy", "example", "weather"]),
        (3, &["policy", "set", "South", "last.toml"]),
        (3, &["policy", "show", "South"]),
        (3, &["policy", "explain", "South"]),
        (3, &["policy", "explain", "West", "--kind", "harvest"]),
        (3, &["policy", "simulate", "Roof 9", "last.toml"]),
        (5, &["policy", "set", "West", "manual.toml"]),
        (6, &["policy", "set", "North", "last.toml"]),
        (6, &["policy", "show", "North"]),
        (7, &["policy", "show", "East"]),
        (7, &["policy", "explain", "East"]),
    ] {
        let ran = device.run(line);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{ran}");
        assert!(ran.err.starts_with("error:"), "{ran}");
    }
    let late = device.run(&["policy", "set", "West", "manual.toml"]);
    assert!(late.err.contains("use 3"), "it says which to use: {late}");
    let whole = format!("epoch = 3\n#{}\n", "x".repeat(255 * 1024));
    device.write("whole.toml", whole);
    device.run(&["policy", "check", "whole.toml"]).ok();
    assert_eq!(device.run(&["policy", "set", "West", "whole.toml"]).code, 5, "longer than a value may be");
    let json = device.run(&["policy", "check", "wrong.toml", "--json"]);
    let error: Json = serde_json::from_str(&json.err).unwrap();
    assert_eq!(error["details"]["faults"][0]["line"], 1, "{error}");
}
