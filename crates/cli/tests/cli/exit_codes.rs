//! One story for each row of `comity help exit-codes`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::{Device, check};

#[test]
fn the_table_is_data() {
    let device = Device::bare();
    check("exit_codes", &device.session(&[&["exit-codes"], &["exit-codes", "--json"]]));
    assert!(device.run(&["help", "exit-codes"]).ok().contains("heads moved"));
}

#[test]
fn code_1_not_done() {
    let device = Device::with_audit();
    let ran = device.run(&["sync", "ws://127.0.0.1:1", "--once", "--timeout", "100ms"]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.err.contains("not synced within 100ms: offline, ") && ran.err.contains("refused"), "{ran}");
}

#[test]
fn code_2_usage() {
    let device = Device::with_audit();
    for line in [
        &["set", "Roof 7", "M001"][..],
        &["set", "Roof 7", "M001", "status"],
        &["set", "Roof 7", "M001", "status=ded"],
        &["set", "Roof 7", "M001", "status=ok", "status=dead"],
        &["set", "Roof 7", "M040..M030", "status=ok"],
        &["set", "Roof 7", "M001", "life=deleted"],
        &["set", "Roof 7", "M001", "a/b=1"],
        &["show", "Roof 7", "M/1"],
        &["history", "Roof 7", "M001/"],
        &["doc", "new", "Audit", "x"],
        &["doc", "new", "audit", ""],
        &["doc", "new", "audit", "x", "--key", "k"],
        &["space", "join", "nonsense"],
        &["sync", "--once"],
        &["sync", "http://relay", "--once"],
        &["relay", "--limit", "nothing=1"],
        &["relay", "--limit", "headers_max=0"],
        &["relay", "--listen", "127.0.0.1"],
        &["watch", "Roof 7", "--relay", "ws://127.0.0.1:1", "--for", "soon"],
        &["fly"],
    ] {
        let ran = device.run(line);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran}");
        assert!(ran.err.starts_with("error:"), "{ran}");
    }
}

#[test]
fn code_3_not_found() {
    let device = Device::with_audit();
    for line in [
        &["show", "Roof 9"][..],
        &["show", "Roof 7", "M999"],
        &["show", "Roof 7", "M001", "colour"],
        &["delete", "Roof 7", "M999"],
        &["history", "Roof 7", "M999"],
        &["import", "gone.csv", "Roof 7"],
        &["store", "restore", "gone.comity", "--data", "new"],
    ] {
        let ran = device.run(line);
        assert_eq!(ran.code, 3, "{ran}");
        assert!(ran.err.contains("hint:"), "{ran}");
    }
}

#[test]
fn code_4_heads_moved() {
    let device = Device::with_audit();
    let ran = device.run(&["delete", "Roof 7", "M001", "--if-heads", "0000000000"]);
    assert_eq!(ran.code, 4, "{ran}");
    assert_eq!(device.run(&["show", "Roof 7", "M001", "status"]).ok(), "ok\n");
    let mistyped = device.run(&["delete", "Roof 7", "M001", "--if-heads", "latest"]);
    assert_eq!(mistyped.code, 2, "what names no heads has not moved: {mistyped}");
}

#[test]
fn mistakes_in_the_command_line_are_json_for_those_who_ask_for_it() {
    let device = Device::new();
    for line in [&["statsu", "--json"][..], &["--json", "set", "Roof 7"], &["relay", "--listen", "here", "--json"]] {
        let ran = device.run(line);
        let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
        assert_eq!((ran.code, &error["code"]), (2, &serde_json::json!(2)), "{ran}");
        assert_eq!(error["schema"], "comity.error/1", "{ran}");
    }
    assert!(device.run(&["set", "Roof 7", "--", "--json"]).err.starts_with("error: "));
}

#[test]
fn code_5_not_allowed() {
    let device = Device::new();
    let space = device.run(&["space", "create", "West"]).ok();
    let ran = device.run(&["set", space.trim(), "x", "title=mine"]);
    assert_eq!(ran.code, 5, "{ran}");
    assert_eq!(device.run(&["doc", "new", "space", "East"]).code, 5);
}

#[test]
fn code_6_ambiguous() {
    let device = Device::with_audit();
    let twin = device.run(&["doc", "new", "audit", "Roof 7"]);
    assert!(twin.err.contains("another document has this title"), "{twin}");
    let ran = device.run(&["show", "Roof 7"]);
    assert_eq!(ran.code, 6, "{ran}");
    assert!(ran.err.contains(twin.out.trim()), "the candidates are listed: {ran}");
}

#[test]
fn code_7_missing() {
    let bare = Device::bare();
    for line in [&["doc", "list"][..], &["store", "verify"], &["status", "--config", "gone.toml"]] {
        let ran = bare.run(line);
        assert_eq!(ran.code, 7, "{ran}");
    }
    assert!(!bare.path("data").exists(), "looking makes no folder");
    let device = Device::new();
    assert_eq!(device.run(&["doc", "new", "audti", "x"]).code, 7, "a kind that nobody declared");
    let elsewhere = Device::with_audit().run(&["doc", "list", "--json"]).json();
    let ran = device.run(&["show", elsewhere["documents"][0]["id"].as_str().unwrap()]);
    assert_eq!(ran.code, 7, "a document that is not here yet: {ran}");
}

#[test]
fn code_8_partly() {
    let device = Device::with_audit();
    device.write("rows.csv", "entry,status\nM003,ok\nM004,ded\n");
    let ran = device.run(&["import", "rows.csv", "Roof 7", "--skip-bad"]);
    assert_eq!(ran.code, 8, "{ran}");
    assert_eq!(device.run(&["show", "Roof 7", "M003", "status"]).ok(), "ok\n");
}

#[test]
fn code_9_integrity() {
    let device = Device::with_audit();
    device.run(&["store", "backup", "b.comity"]).ok();
    device.run(&["store", "verify", "--backup", "b.comity"]).ok();
    let whole = std::fs::read(device.path("b.comity")).unwrap();
    device.write("cut.comity", &whole[..whole.len() - 1]);
    for line in
        [&["store", "verify", "--backup", "cut.comity"][..], &["store", "restore", "cut.comity", "--data", "new"]]
    {
        let ran = device.run(line);
        assert_eq!(ran.code, 9, "{ran}");
    }
}

#[test]
fn code_130_interrupted() {
    let device = Device::with_audit();
    let mut command = device.command(&["sync", "ws://127.0.0.1:1", "--once", "--timeout", "60s", "-vv"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut messages = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(messages.any(|line| line.unwrap().contains("will dial again")));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = messages.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("what arrived is kept")), "{rest:?}");
    let next = device.run(&["-v", "status"]);
    assert!(!next.err.contains("did not end properly"), "Ctrl-C closes the node cleanly: {next}");
}
