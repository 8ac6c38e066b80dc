//! Suggestions: measured on the decisions made here, silent without skill, and shown only when asked for.

use serde_json::{Value as Json, json};

use crate::support::{Device, check};

/// A device with so many conflicts, each about one module, all of one import. Which value is shown changes from one to
/// the next, and so says nothing of which is right.
fn with_conflicts(number: usize) -> Device {
    let device = Device::new();
    let lines = (0..number).map(|i| {
        let status = |status: &str| json!({ "status": status });
        let mut sides = [status("dead"), status("microcracks")];
        sides.rotate_left(i % 2);
        json!({ "id": format!("M{i:02}"), "base": status("ok"), "ours": sides[0], "theirs": sides[1] }).to_string()
    });
    device.write("merges.jsonl", lines.collect::<Vec<_>>().join("\n"));
    device.run(&["import", "--three-way", "merges.jsonl", "--new", "Roof 7", "--kind", "audit"]).ok();
    device
}

/// The ids of the open conflicts, by module.
fn open(device: &Device) -> Vec<String> {
    let listed = device.run(&["conflicts", "list", "--json", "--limit", "1000"]).json();
    listed["conflicts"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn without_decisions_nothing_is_measured_and_nothing_suggested() {
    let device = with_conflicts(1);
    let id = open(&device).remove(0);
    let text = device.session(&[
        &["suggest", "eval"],
        &["suggest", "eval", "--json"],
        &["suggest", "eval", "Roof 7"],
        &["conflicts", "show", &id, "--suggest"],
    ]);
    check("suggest_nothing", &blurred(&text, &id));
    let shown = device.run(&["conflicts", "show", &id, "--suggest", "--json"]).json();
    assert_eq!(shown["suggestion"]["made"], false, "{shown}");
    let blind = device.run(&["conflicts", "show", &id]).ok();
    assert!(!blind.contains("suggest"), "nobody is shown what they did not ask for: {blind}");
    assert_eq!(device.run(&["conflicts", "show", &id, "--json"]).json()["suggestion"], json!(null));
    assert_eq!(device.run(&["suggest", "eval", "Roof 9"]).code, 3);
    assert_eq!(device.run(&["suggest", "eval", "--space", "West"]).code, 3);
    assert_eq!(device.run(&["suggest", "eval", "Roof 7", "--space", "West"]).code, 2);
}

#[test]
fn what_people_choose_is_learned_and_once_that_shows_skill_suggested() {
    let device = with_conflicts(48);
    let ids = open(&device);
    let (last, before) = ids.split_last().unwrap();
    let (read, blind) = before.split_last().unwrap();
    for (i, id) in blind.iter().enumerate() {
        // Nearly always the better of two words, whichever is shown.
        let wanted = if i % 12 == 11 { "dead" } else { "microcracks" };
        device.run(&["conflicts", "resolve", id, "--value", wanted]).ok();
    }
    device.run(&["conflicts", "resolve", read, "--value", "dead", "--suggestion-shown", "before"]).ok();
    let measured = device.run(&["suggest", "eval", "--json"]).json()["evaluations"][0].clone();
    assert_eq!((&measured["acts"], &measured["passed_over"]), (&json!(46), &json!(1)), "what was read is not learned");
    assert_eq!(measured["has_skill"], true, "{measured}");
    let bins = measured["calibration"].as_array().unwrap();
    assert_eq!(bins.iter().map(|bin| bin["cases"].as_u64().unwrap()).sum::<u64>(), 46);

    let text = device.session(&[&["suggest", "eval"], &["conflicts", "show", last, "--suggest"]]);
    check("suggest", &blurred(&text, last));
    let suggestion = device.run(&["conflicts", "show", last, "--suggest", "--json"]).json()["suggestion"].clone();
    assert_eq!((&suggestion["value"], &suggestion["removed"]), (&json!("microcracks"), &json!(false)));
    // No other test has the members of a suggestion that is made.
    let schema: Json = serde_json::from_str(include_str!("../../schemas/conflict.json")).unwrap();
    let made = &schema["properties"]["suggestion"]["oneOf"][2]["properties"];
    let terms = &made["terms"]["items"]["properties"];
    assert_eq!((members(&suggestion), members(&suggestion["terms"][0])), (members(made), members(terms)));
}

fn members(json: &Json) -> Vec<&String> {
    let mut members: Vec<&String> = json.as_object().unwrap().keys().collect();
    members.sort_unstable();
    members
}

/// Replaces ids, and numbers that depend a little on how long the import took.
fn blurred(text: &str, id: &str) -> String {
    let mut text = (0..=100)
        .fold(text.replace(id, "[id]"), |text, percent| text.replace(&format!(" {percent} % sure"), " [n] % sure"));
    // Some of the ids may begin alike, so more digits are printed.
    for length in (4..=id.len()).rev() {
        for word in ["resolve", "dismiss"] {
            text = text.replace(&format!("{word} {} ", &id[..length]), &format!("{word} [id] "));
            text = text.replace(&format!("{word} {}\n", &id[..length]), &format!("{word} [id]\n"));
        }
    }
    let number = |word: &str| {
        let bare = word.trim_matches(|c: char| "+-()".contains(c));
        bare.contains('.') && bare.parse::<f64>().is_ok()
    };
    let blur = |line: &str| {
        let words: Vec<String> = line
            .split(' ')
            .map(|word| if number(word) { word.replace(|c: char| c.is_ascii_digit(), "0") } else { word.to_owned() })
            .collect();
        words.join(" ")
    };
    let kept = text.lines().filter(|line| !line.trim_start().starts_with("0.")).map(blur);
    kept.collect::<Vec<_>>().join("\n").replace("+0.", "0.").replace("-0.", "0.")
}
