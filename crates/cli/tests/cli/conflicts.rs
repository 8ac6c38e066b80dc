//! Conflicts, as people meet and answer them: with two devices, a relay, and the real binary. S1.5, S1.7, S3.5.

use serde_json::Value as Json;

use crate::scene::{Scene, blurred, id, short, shown};
use crate::support::{Device, Ran, Running, check};

fn error(ran: &Ran) -> Json {
    let at = ran.err.find('{').unwrap_or_else(|| panic!("{ran}"));
    serde_json::from_str(&ran.err[at..]).unwrap()
}

#[test]
fn a_conflict_is_listed_shown_and_explained() {
    let scene = Scene::new();
    let (status, deleted) = (scene.about("M002/status"), scene.about("M003"));
    assert_eq!((&status["kind"], &deleted["kind"]), (&"concurrent-update".into(), &"delete-against-update".into()));
    let elsewhere = scene.desktop.run(&["conflicts", "list", "--json"]).json();
    let ids = |json: &Json| -> Vec<Json> {
        json["conflicts"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect()
    };
    let here = scene.tablet.run(&["conflicts", "list", "--json"]).json();
    assert_eq!(ids(&here), ids(&elsewhere), "S1.5: the same on every device");
    let text = scene.session(&[
        &["conflicts", "list"],
        &["conflicts", "list", "Roof 7", "--kind", "delete-against-update"],
        &["conflicts", "list", "--entry", "M002", "--field", "status"],
        &["conflicts", "list", "--field", "comment"],
        &["conflicts", "list", "--limit", "1"],
        &["conflicts", "list", "--state", "resolved"],
        &["conflicts", "list", "--exit-code"],
        &["conflicts", "show", short(&status)],
        &["conflicts", "show", id(&deleted)],
        &["conflicts", "why", short(&status)],
        &["conflicts", "stats"],
    ]);
    check("conflicts", &blurred(&text));
    let text = scene.session(&[
        &["conflicts", "list", "--entry", "M002", "--json"],
        &["conflicts", "show", short(&status), "--json"],
        &["conflicts", "why", short(&status), "--json"],
        &["conflicts", "stats", "--json"],
    ]);
    check("conflicts_json", &blurred(&text));
    scene.end();
}

#[test]
fn a_decision_is_one_change_that_every_device_knows_and_that_can_be_undone() {
    let scene = Scene::new();
    let conflict = scene.about("M002/status");
    let id = short(&conflict);
    assert_eq!(shown(&scene.tablet, "M002"), "inequality");
    let text = scene.session(&[
        &["conflicts", "resolve", id, "--accept", "1", "--dry-run"],
        &["conflicts", "resolve", id, "--accept", "1", "-m", "the second image is sharper", "--reviewer", "Ana"],
    ]);
    check("conflicts_resolve", &blurred(&text));
    assert_eq!(shown(&scene.tablet, "M002"), "microcracks");
    scene.sync();
    assert_eq!(shown(&scene.desktop, "M002"), "microcracks");
    let there = scene.desktop.run(&["conflicts", "show", id, "--json"]).json();
    let decision = &there["decisions"][0];
    assert_eq!((&decision["reviewer"], &decision["reason"]), (&"Ana".into(), &"the second image is sharper".into()));
    assert_eq!(there["conflict"]["state"], "resolved");
    let text = scene.desktop.run(&["conflicts", "show", id]).ok();
    assert!(text.contains("Ana on ") && text.contains("because: the second image is sharper"), "{text}");

    let undone = scene.desktop.run(&["undo", decision["id"].as_str().unwrap(), "-m", "wrong", "--json"]).json();
    assert_eq!((&undone["choice"], &undone["state"]), (&"undone".into(), &"reopened".into()));
    assert_eq!(shown(&scene.desktop, "M002"), "inequality");
    let twice = scene.desktop.run(&["undo", decision["id"].as_str().unwrap()]);
    assert_eq!(twice.code, 4, "another decision took its place: {twice}");
    scene.sync();
    assert_eq!(scene.about("M002/status")["state"], "reopened");
    scene.end();
}

#[test]
fn a_dismissal_writes_no_value_and_can_be_taken_back() {
    let scene = Scene::new();
    let (conflict, other) = (scene.about("M002/status"), scene.about("M003"));
    let (one, two) = (short(&conflict), short(&other));
    let text = scene.session(&[
        &["conflicts", "dismiss", one, "-m", "both mean the same"],
        &["conflicts", "list", "--state", "all"],
        &["conflicts", "show", one],
        &["conflicts", "reopen", one],
        &["conflicts", "confirm", one],
        &["conflicts", "resolve", two, "--keep", "current"],
        &["conflicts", "list"],
        &["conflicts", "list", "--exit-code"],
        &["conflicts", "stats"],
    ]);
    check("conflicts_dismiss", &blurred(&text));
    assert_eq!(shown(&scene.tablet, "M002"), "inequality");
    scene.end();
}

#[test]
fn a_plan_answers_what_still_stands_and_refuses_what_has_moved() {
    let scene = Scene::new();
    let plan = scene.tablet.run(&["conflicts", "plan", "--accept", "oldest", "-m", "first come"]);
    let planned: Json = serde_json::from_str(&plan.out).unwrap();
    assert_eq!((plan.code, planned["answers"].as_array().unwrap().len()), (0, 2), "{plan}");
    check("conflicts_plan", &scene.normal(&plan.to_string()));
    scene.tablet.write("plan.json", &plan.out);
    let dry = scene.tablet.run(&["conflicts", "apply", "plan.json", "--dry-run"]);
    assert_eq!(dry.code, 0, "{dry}");
    assert_eq!(shown(&scene.tablet, "M002"), "inequality", "nothing was written");

    // Somebody else is quicker about one of them.
    let id = short(&scene.about("M002/status")).to_owned();
    scene.desktop.run(&["conflicts", "resolve", &id, "--value", "string_open"]).ok();
    scene.sync();
    let ran = scene.tablet.run(&["conflicts", "apply", "plan.json"]);
    assert_eq!(ran.code, 8, "{ran}");
    check("conflicts_apply", &scene.normal(&ran.to_string()));
    assert_eq!(shown(&scene.tablet, "M002"), "string_open");
    let again = scene.tablet.run(&["conflicts", "apply", "plan.json", "--json"]);
    assert_eq!((again.code, &error(&again)["kind"]), (4, &"heads moved".into()), "all has moved: {again}");
    let log = scene.tablet.run(&["log", "Roof 7", "--json"]).json();
    let decisions = log["changes"].as_array().unwrap().iter().filter(|change| change["act"] == "decision").count();
    assert_eq!(decisions, 2, "one of the desktop, one of the tablet: {log}");
    let empty = scene.tablet.run(&["conflicts", "plan", "--keep", "current"]);
    scene.tablet.write("empty.json", empty.ok());
    scene.tablet.run(&["conflicts", "apply", "empty.json"]).ok();
    scene.end();
}

#[test]
fn all_answers_in_one_document_are_one_change() {
    let scene = Scene::new();
    let plan = scene.tablet.run(&["conflicts", "plan", "--keep", "current"]).ok();
    let ran = scene.tablet.run_with(&["conflicts", "apply", "-", "--json"], &[], plan.as_bytes());
    let applied = ran.json();
    assert_eq!(applied["applied"][0]["decisions"].as_array().unwrap().len(), 2);
    let log = scene.tablet.run(&["log", "Roof 7", "--json"]).json();
    let changes = log["changes"].as_array().unwrap();
    assert_eq!(changes.iter().filter(|change| change["act"] == "decision").count(), 1);
    assert_eq!(scene.tablet.run(&["conflicts", "list", "--exit-code"]).code, 0);
    scene.end();
}

#[test]
fn an_entry_goes_back_to_what_it_was() {
    let device = Device::with_audit();
    let log = device.run(&["log", "Roof 7", "M001", "--json"]).json();
    let then = log["changes"][0]["change"].as_str().unwrap()[..8].to_owned();
    device.run(&["set", "Roof 7", "M001", "status=dead", "power=12"]).ok();
    device.run(&["delete", "Roof 7", "M001"]).ok();
    let text = device.session(&[
        &["rollback", "Roof 7", "M001", "--to", &then, "--dry-run"],
        &["rollback", "Roof 7", "M001", "--to", &then, "-m", "the wrong module"],
        &["rollback", "Roof 7", "M001", "--to", &then],
        &["show", "Roof 7"],
    ]);
    check("rollback", &blurred(&text));
    let undone = device.run(&["conflicts", "list", "--state", "all", "--json"]).json();
    assert_eq!(undone["conflicts"], serde_json::json!([]), "a rollback is no conflict");
    let back = device.run(&["rollback", "Roof 7", "M002", "--to", &then, "--json"]);
    assert_eq!(back.code, 3, "it was not there yet: {back}");
    device.run(&["set", "Roof 7", "M001", "comment=dirty"]).ok();
    let done = device.run(&["rollback", "Roof 7", "M001", "--to", &then, "--json"]).json();
    assert_eq!(done["choice"], "rolled-back");
    let undone = device.run(&["undo", &done["decision"].as_str().unwrap()[..8], "--json"]).json();
    assert_eq!(undone["choice"], "undone");
    assert_eq!(device.run(&["show", "Roof 7", "M001", "comment"]).ok(), "dirty\n");
}

#[test]
fn exit_codes_say_why_an_answer_was_not_given() {
    let scene = Scene::new();
    let (status, deleted) = (scene.about("M002/status"), scene.about("M003"));
    let (one, two) = (short(&status), short(&deleted));
    for (code, line) in [
        (1, &["conflicts", "list", "--exit-code"][..]),
        (2, &["conflicts", "list", "--kind", "quarrel"]),
        (2, &["conflicts", "list", "--state", "shut"]),
        (2, &["conflicts", "show", "xyz"]),
        (2, &["conflicts", "resolve", one]),
        (2, &["conflicts", "resolve", one, "--keep", "current", "--accept", "1"]),
        (2, &["conflicts", "resolve", one, "--accept", "0"]),
        (2, &["conflicts", "resolve", one, "--accept", "3"]),
        (2, &["conflicts", "resolve", one, "--value", "ded"]),
        (2, &["conflicts", "resolve", two, "--value", "ok"]),
        (2, &["conflicts", "resolve", one, "--field", "comment=x"]),
        (2, &["conflicts", "link", one]),
        (2, &["conflicts", "plan"]),
        (3, &["conflicts", "show", "0123456789abcdef"]),
        (3, &["conflicts", "list", "Roof 9"]),
        (3, &["conflicts", "reopen", one]),
        (3, &["conflicts", "approve", one]),
        (3, &["conflicts", "apply", "gone.json"]),
        (3, &["undo", "0123"]),
        (3, &["rollback", "Roof 7", "M999", "--to", "now"]),
        (3, &["rollback", "Roof 7", "M002", "--to", "00000000"]),
        (4, &["conflicts", "dismiss", one, "--if-heads", "00000000"]),
        (2, &["conflicts", "show", ""]),
        (7, &["conflicts", "list", "--data", "nowhere"]),
    ] {
        let ran = scene.tablet.run(line);
        assert_eq!(ran.code, code, "{ran}");
        assert!(ran.err.contains("error: ") && (code == 2 || ran.err.contains("hint: ")), "{ran}");
    }
    scene.tablet.write("plan.json", "{}");
    assert_eq!(scene.tablet.run(&["conflicts", "apply", "plan.json"]).code, 2);
    assert!(scene.tablet.run(&["conflicts", "list"]).ok().contains("microcracks ≠ inequality"), "nothing was written");
    scene.end();
}

#[test]
fn an_answer_to_what_is_gone_says_what_happened_to_it() {
    let scene = Scene::new();
    let (status, deleted) = (scene.about("M002/status"), scene.about("M003"));
    scene.desktop.run(&["set", "Roof 7", "M002", "status=string_open"]).ok();
    scene.desktop.run(&["conflicts", "resolve", id(&deleted), "--accept", "2"]).ok();
    scene.sync();
    let gone = scene.tablet.run(&["conflicts", "resolve", short(&status), "--accept", "1"]);
    assert_eq!(gone.code, 4, "{gone}");
    assert!(gone.err.contains("it went with change") && gone.err.contains("implicit-resolution"), "{gone}");
    let decided = scene.tablet.run(&["conflicts", "resolve", short(&deleted), "--keep", "current"]);
    assert_eq!(decided.code, 4, "{decided}");
    assert!(decided.err.contains("resolved already") && decided.err.contains("accepted by"), "{decided}");
    scene.end();
}

#[test]
fn a_beginning_that_fits_several_conflicts_lists_them() {
    let scene = Scene::new();
    // More conflicts than there are digits: some begin alike.
    scene.tablet.run(&["set", "Roof 7", "M010..M026", "status=string_open"]).ok();
    scene.desktop.run(&["set", "Roof 7", "M010..M026", "status=inequality"]).ok();
    scene.sync();
    let all = scene.tablet.run(&["conflicts", "list", "--json"]).json();
    let first: Vec<char> = all["conflicts"].as_array().unwrap().iter().map(|c| id(c).chars().next().unwrap()).collect();
    let twice = first.iter().find(|digit| first.iter().filter(|other| other == digit).count() > 1).unwrap();
    let ran = scene.tablet.run(&["conflicts", "show", &twice.to_string()]);
    assert_eq!(ran.code, 6, "{ran}");
    assert!(ran.err.contains("concurrent-update M0") && ran.err.contains("give more digits"), "{ran}");
    let shorts = all["conflicts"].as_array().unwrap().iter().map(short);
    for short in shorts.take(3) {
        assert_eq!(scene.tablet.run(&["conflicts", "show", short]).code, 0);
    }
    scene.end();
}

#[test]
fn a_watcher_sees_conflicts_open_and_close() {
    let scene = Scene::new();
    let arguments = ["conflicts", "watch", "Roof 7", "--relay", &scene.url, "--count", "3", "--for", "60s", "--json"];
    let mut watching = Running::start(&scene.tablet, &arguments);
    let conflict = scene.desktop.run(&["conflicts", "list", "--entry", "M002", "--json"]).json();
    scene.desktop.run(&["conflicts", "resolve", id(&conflict["conflicts"][0]), "--accept", "1"]).ok();
    scene.desktop.run(&["sync", &scene.url, "--once"]).ok();
    let turn: Json = serde_json::from_str(&watching.line()).unwrap();
    assert_eq!((&turn["schema"], &turn["subject"]), (&"comity.conflict-turn/1".into(), &"M002/status".into()));
    assert_eq!((&turn["before"], &turn["now"], &turn["open"]), (&"open".into(), &"resolved".into(), &false.into()));
    let deleted = scene.desktop.run(&["conflicts", "list", "--entry", "M003", "--json"]).json();
    for (answer, state) in [("dismiss", "dismissed"), ("reopen", "reopened")] {
        scene.desktop.run(&["conflicts", answer, id(&deleted["conflicts"][0])]).ok();
        scene.desktop.run(&["sync", &scene.url, "--once"]).ok();
        assert_eq!(serde_json::from_str::<Json>(&watching.line()).unwrap()["now"], state);
    }
    assert_eq!(watching.finish().1, 0);
    scene.end();
}

#[test]
fn documents_that_were_written_alike_have_conflicts_of_one_id_and_are_told_apart_by_name() {
    let scene = Scene::new();
    for title in ["North", "South"] {
        scene.tablet.run(&["doc", "new", "audit", title, "--space", "West"]).ok();
        scene.tablet.run(&["set", title, "M001", "status=ok"]).ok();
    }
    scene.sync();
    for (device, status) in [(&scene.tablet, "status=inequality"), (&scene.desktop, "status=microcracks")] {
        device.run(&["set", "North", "M001", status]).ok();
        device.run(&["set", "South", "M001", status]).ok();
    }
    scene.sync();
    let twins = scene.tablet.run(&["conflicts", "list", "--entry", "M001", "--json"]).json();
    let (north, south) = (&twins["conflicts"][0], &twins["conflicts"][1]);
    assert_eq!(id(north), id(south), "an id says nothing of the document");
    let ran = scene.tablet.run(&["conflicts", "dismiss", id(north)]);
    assert!(ran.code == 6 && ran.err.contains("add --document DOC"), "{ran}");
    let shown = scene.tablet.run(&["conflicts", "show", id(north), "--document", "North"]).ok();
    assert!(shown.contains("audit in North"), "{shown}");
    scene.tablet.run(&["conflicts", "dismiss", id(north), "--document", "North"]).ok();
    assert_eq!(scene.tablet.run(&["conflicts", "list", "North", "--exit-code"]).code, 0);
    assert_eq!(scene.tablet.run(&["conflicts", "list", "South", "--exit-code"]).code, 1);
    scene.end();
}

#[test]
fn what_needs_a_second_reviewer_is_planned_once_and_approved_on_another_device() {
    let scene = Scene::new();
    scene.tablet.run(&["policy", "set", "West", "--example", "audits"]).ok();
    scene.sync();
    let plan = scene.tablet.run(&["conflicts", "plan", "--kind", "concurrent-update", "--keep", "current"]).ok();
    scene.tablet.write("plan.json", plan);
    scene.tablet.run(&["conflicts", "apply", "plan.json"]).ok();
    let conflict = scene.about("M002/status");
    assert_eq!(conflict["state"], "needs-second-reviewer", "{conflict}");
    let again = scene.tablet.run(&["conflicts", "apply", "plan.json"]);
    assert_eq!(again.code, 4, "it waits, but it has been answered: {again}");
    let alone = scene.tablet.run(&["conflicts", "approve", id(&conflict), "--json"]).json();
    assert_eq!(alone["state"], "needs-second-reviewer", "nobody is their own second reviewer");
    scene.sync();
    let approved = scene.desktop.run(&["conflicts", "approve", id(&conflict), "--json"]).json();
    assert_eq!(approved["state"], "resolved");
    scene.end();
}
