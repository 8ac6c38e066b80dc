//! `log`, `blame`, `diff` and `at`: what a document was, and who made it so.

use std::future::Future;

use comity_model::{ChangeHash, Heads};
use comity_node::{Document, HistoryFilter, Node, NodeConfig};
use comity_review::{Answer, DecisionId, Declarations, Note, Review};

use crate::support::{Device, check};

/// Opens the node of a device, as the next command would, and closes it again.
pub fn on_node<T, F: Future<Output = T>>(device: &Device, work: impl FnOnce(Node) -> F) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (node, _) = Node::open(NodeConfig::device(device.path("data"))).await.unwrap();
        let done = work(node.clone()).await;
        node.close().await.unwrap();
        done
    })
}

/// Gives the only document that is no space.
pub async fn only_document(node: &Node) -> Document {
    for id in node.documents().unwrap() {
        let document = node.document(id);
        let kind = document.read(|view| view.kind()).await.unwrap();
        if kind.is_some_and(|kind| kind.as_str() != "space") {
            return document;
        }
    }
    panic!("there is no document");
}

/// Writes two values of a status that do not know of each other; the second is shown, and written later.
pub async fn contradict(document: &Document, entry: &str, first: &'static str, second: &'static str) {
    let seen = document.read(|view| view.heads()).await.unwrap();
    let here = entry.to_owned();
    document.edit_at(seen.clone(), move |edit| edit.set(&here, "status", first)).await.unwrap();
    let begun = std::time::SystemTime::now();
    // Clocks that show the same millisecond could not tell which was the last.
    while begun.elapsed().unwrap_or_default().as_millis() < 2 {
        tokio::task::yield_now().await;
    }
    let here = entry.to_owned();
    document.edit_at(seen, move |edit| edit.set(&here, "status", second)).await.unwrap();
}

/// Accepts the side with a value in the conflict of an entry.
pub async fn decide(document: &Document, entry: &str, value: &'static str, reason: &str) {
    let (entry, reason) = (entry.to_owned(), reason.to_owned());
    let decided = document.edit(move |edit| {
        let review = Review::of(edit.document(), Declarations::default());
        let conflicts = review.conflicts(|state| state.is_open());
        let about =
            |conflict: &&comity_review::Conflict| conflict.subject.entry().map(|id| id.as_str()) == Some(&*entry);
        let conflict = conflicts.iter().find(about).unwrap();
        let side = conflict.sides.iter().position(|side| side.value() == Some(&value.into())).unwrap();
        let note = Note { reason: Some(reason), ..Note::default() };
        let id = DecisionId::new(&format!("decision-{entry}")).unwrap();
        edit.decide(review.decide(conflict, &Answer::Accept(side), &note, &id).unwrap());
        Ok(())
    });
    decided.await.unwrap();
}

/// Makes an audit with a story: edits, a deletion, a contradiction, a decision.
fn with_a_story() -> Device {
    let device = Device::with_audit();
    device.run(&["set", "Roof 7", "M003..M005", "status=ok", "technician=Adrien"]).ok();
    device.run(&["set", "Roof 7", "M001", "status=dead", "comment=burnt\nconnector"]).ok();
    device.run(&["delete", "Roof 7", "M002"]).ok();
    on_node(&device, |node| async move {
        let document = only_document(&node).await;
        contradict(&document, "M004", "microcracks", "dead").await;
        contradict(&document, "M005", "microcracks", "dead").await;
        decide(&document, "M005", "microcracks", "looked at it\tagain").await;
    });
    device
}

/// Gives the changes of the audit, the oldest first.
fn changes(device: &Device) -> Vec<String> {
    let log = device.run(&["log", "Roof 7", "--json"]).json();
    let changes = log["changes"].as_array().unwrap().iter().rev();
    changes.map(|change| change["change"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_past_reads_well() {
    let device = with_a_story();
    let all = changes(&device);
    // Made; M001; M002; a range; M001 again; M002 deleted.
    let (before, after) = (&all[2][..10], &all[5][..12]);
    check(
        "past",
        &device.session(&[
            &["log", "Roof 7"],
            &["log", "Roof 7", "-n", "2"],
            &["log", "Roof 7", "M001"],
            &["log", "Roof 7", "M001", "status"],
            &["log", "Roof 7", "M005"],
            &["blame", "Roof 7"],
            &["blame", "Roof 7", "M002"],
            &["blame", "Roof 7", "M005"],
            &["at", "Roof 7", "2000-01-01"],
            &["at", "Roof 7", "now", "M004"],
        ]),
    );
    let run = |line: &[&str]| device.run(line).to_string().replace(before, "BEFORE").replace(after, "AFTER");
    let told = [
        run(&["diff", "Roof 7", before]),
        run(&["diff", "Roof 7", before, after]),
        run(&["diff", "Roof 7", after, before, "--entry", "M001"]),
        run(&["diff", "Roof 7", after, after]),
        run(&["at", "Roof 7", before]),
        run(&["at", "Roof 7", after, "--deleted"]),
        run(&["at", "Roof 7", after, "M002"]),
        run(&["log", "Roof 7", "--since", after]),
    ];
    check("moments", &told.join("\n"));
}

#[test]
fn the_past_as_json_keeps_its_shape() {
    let device = with_a_story();
    let all = changes(&device);
    check(
        "past_json",
        &device
            .session(&[
                &["log", "Roof 7", "M005", "--json", "-n", "1"],
                &["log", "Roof 7", "--since", &all[4], "--json", "-n", "1"],
                &["blame", "Roof 7", "M004", "--json"],
                &["blame", "Roof 7", "M005", "--json"],
                &["diff", "Roof 7", &all[1], &all[5], "--json"],
                &["diff", "Roof 7", "2000-01-01", &all[0], "--json"],
                &["at", "Roof 7", &all[1], "--json"],
                &["at", "Roof 7", "now", "M004", "--json"],
            ])
            .replace(&all[0], &"0".repeat(64)),
    );
}

#[test]
fn one_command_has_both_names() {
    let device = Device::with_audit();
    let of = |word: &str, more: &[&str]| device.run(&[&[word, "Roof 7"], more].concat()).ok();
    assert_eq!(of("history", &[]), of("log", &[]));
    assert_eq!(of("log", &["M001/status", "--json"]), of("log", &["M001", "status", "--json"]));
}

#[test]
fn the_same_moment_by_any_name_is_the_same_document() {
    let device = with_a_story();
    let at = |when: &str| device.run(&["at", "Roof 7", when, "--json"]).json();
    let exported = device.run(&["show", "Roof 7", "--json"]).json();
    for now in ["now", "2999-01-01T00:00Z"] {
        let now = at(now);
        assert_eq!(now["entries"], exported["entries"]);
        assert_eq!(now["disagreements"], exported["disagreements"]);
        assert_eq!(now["moment"]["heads"], exported["document"]["heads"]);
    }
    let log = device.run(&["log", "Roof 7", "--json"]).json();
    for change in log["changes"].as_array().unwrap().iter().rev().take(6) {
        // Until here nobody wrote at the same time as another, so the time of a change names it.
        let (by_hash, by_time) = (at(change["change"].as_str().unwrap()), at(change["time"].as_str().unwrap()));
        assert_eq!(by_hash["entries"], by_time["entries"]);
        assert_eq!(by_hash["moment"]["heads"], by_time["moment"]["heads"]);
    }
    let [first, second] = ["M004", "M005"].map(|entry| {
        let log = device.run(&["log", "Roof 7", entry, "status", "--json"]).json();
        log["changes"][1]["change"].as_str().unwrap()[..8].to_owned()
    });
    let both = at(&format!("{first}+{second}"));
    assert!(!both["moment"]["heads"].as_array().unwrap().is_empty());
}

#[test]
fn what_is_told_of_a_value_is_what_the_history_says() {
    let device = with_a_story();
    let blame = device.run(&["blame", "Roof 7", "--json"]).json();
    for field in blame["fields"].as_array().unwrap() {
        let (entry, name) = (field["entry"].as_str().unwrap(), field["field"].as_str().unwrap());
        let log = device.run(&["log", "Roof 7", entry, name, "--json"]).json();
        let changes = log["changes"].as_array().unwrap();
        let wrote = changes.iter().find(|change| change["change"] == field["change"]).unwrap();
        assert_eq!(wrote["writes"][0]["value"], field["value"], "{field}");
        // Whoever wrote over something has an older write of that value in the history.
        for before in field["before"].as_array().unwrap() {
            let older = changes.iter().any(|change| change["writes"][0]["value"] == before["value"]);
            assert!(older, "{field}");
        }
    }
    let decided: Vec<_> =
        blame["fields"].as_array().unwrap().iter().filter(|field| !field["decision"].is_null()).collect();
    assert_eq!(decided.len(), 1);
    assert_eq!(decided[0]["decision"]["reason"], "looked at it\tagain");
    assert_eq!(decided[0]["before"].as_array().unwrap().len(), 2, "it was written over both sides");
}

#[test]
fn a_diff_there_and_back_is_the_same_the_other_way_round() {
    let device = with_a_story();
    let all = changes(&device);
    let diff = |from: &str, to: &str| device.run(&["diff", "Roof 7", from, to, "--json"]).json();
    let (there, back) = (diff(&all[1], "now"), diff("now", &all[1]));
    assert_eq!(there["changes_more"], back["changes_fewer"]);
    let turned = |entry: &serde_json::Value| (entry["entry"].clone(), entry["after"].clone(), entry["before"].clone());
    let straight =
        |entry: &serde_json::Value| (entry["entry"].clone(), entry["before"].clone(), entry["after"].clone());
    let all_of = |diff: &serde_json::Value| diff["entries"].as_array().unwrap().clone();
    assert_eq!(
        all_of(&there).iter().map(straight).collect::<Vec<_>>(),
        all_of(&back).iter().map(turned).collect::<Vec<_>>()
    );
}

#[test]
fn moments_that_are_not_there_have_their_exit_codes() {
    let device = Device::with_audit();
    let unused = (0u16..).map(|number| format!("{number:04x}"));
    let all = changes(&device);
    let unused = unused.into_iter().find(|start| !all.iter().any(|hash| hash.starts_with(start))).unwrap();
    for line in [
        &["at", "Roof 7", &unused][..],
        &["diff", "Roof 7", &unused],
        &["diff", "Roof 7", "now", &unused],
        &["log", "Roof 7", "--since", &unused],
        &["at", "Roof 7", "now", "M999"],
        &["at", "Roof 7", "2000-01-01", "M001"],
        &["blame", "Roof 7", "M999"],
        &["diff", "Roof 7", "now", "--entry", "M999"],
        &["log", "Roof 7", "M999"],
        &["log", "Roof 7", "M001", "colour"],
        &["blame", "Roof 9"],
    ] {
        let ran = device.run(line);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{ran}");
        assert!(ran.err.contains("hint:"), "{ran}");
    }
    for line in [
        &["at", "Roof 7", "yesterday"][..],
        &["at", "Roof 7", "abc"],
        &["diff", "Roof 7", "2026-11-21T12:00"],
        &["log", "Roof 7", "--since", "2026-13-01"],
        &["blame", "Roof 7", "M/1"],
        &["log", "Roof 7", "M001", "sta/tus"],
    ] {
        let ran = device.run(line);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran}");
    }
}

#[test]
fn a_beginning_that_fits_several_changes_is_ambiguous() {
    let device = Device::with_audit();
    // Sooner or later two changes begin alike, and after 65,536 of them at the latest.
    let beginning = on_node(&device, |node| async move {
        let document = only_document(&node).await;
        let mut seen = std::collections::BTreeSet::new();
        for number in 0_i64.. {
            let hash: ChangeHash = document.set("M001", "number", number).await.unwrap().unwrap();
            let beginning: String = hash.to_string().chars().take(4).collect();
            if !seen.insert(beginning.clone()) {
                return beginning;
            }
        }
        unreachable!("there are no more numbers")
    });
    for line in
        [&["at", "Roof 7", &beginning][..], &["diff", "Roof 7", &beginning], &["log", "Roof 7", "--since", &beginning]]
    {
        let ran = device.run(line);
        assert_eq!((ran.code, ran.out.as_str()), (6, ""), "{ran}");
        assert!(ran.err.contains("use more digits"), "{ran}");
        let whole = ran.err.lines().filter_map(|line| line.strip_prefix("hint: ")).next().unwrap();
        assert_eq!(device.run(&["at", "Roof 7", whole]).code, 0);
    }
}

#[test]
fn looking_back_changes_nothing() {
    let device = with_a_story();
    let state = || {
        on_node(&device, |node| async move {
            let document = only_document(&node).await;
            let all = HistoryFilter::Document;
            document.read(move |view| (view.heads(), view.history(&all).len())).await.unwrap()
        })
    };
    let before: (Heads, usize) = state();
    for line in
        [&["log", "Roof 7"][..], &["blame", "Roof 7"], &["diff", "Roof 7", "2000-01-01"], &["at", "Roof 7", "now"]]
    {
        device.run(line).ok();
    }
    assert_eq!(state(), before);
}
