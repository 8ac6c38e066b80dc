//! Every rule finds a planted violation, and leaves alone what only looks like one.

use super::*;

fn findings(files: &[(&str, &str)]) -> Vec<(usize, &'static str)> {
    let files: Vec<(String, String)> = files.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
    check(&files).into_iter().map(|finding| (finding.line, finding.rule)).collect()
}

fn in_file(path: &str, text: &str) -> Vec<(usize, &'static str)> {
    findings(&[(path, text)])
}

const ENGINE: &str = "crates/engine/src/lib.rs";
const NODE: &str = "crates/node/src/lib.rs";

#[test]
fn a_pure_crate_has_no_clock_and_no_randomness() {
    assert_eq!(in_file(ENGINE, "fn f() {\n    let now = std::time::Instant::now();\n}"), [(2, "clock")]);
    assert_eq!(in_file("crates/crdt/src/lib.rs", "let t = SystemTime::now();"), [(1, "clock")]);
    assert_eq!(in_file("crates/access/src/key.rs", "getrandom::fill(&mut seed)"), [(1, "randomness")]);
    assert_eq!(in_file(NODE, "let now = Instant::now();"), []);
    assert_eq!(in_file("crates/crdt/examples/sync_cost.rs", "let now = Instant::now();"), []);
}

#[test]
fn the_engine_has_no_hash_maps_and_no_global_state() {
    assert_eq!(in_file(ENGINE, "use std::collections::HashMap;"), [(1, "hash-order")]);
    assert_eq!(in_file("crates/crdt/src/lib.rs", "use std::collections::HashMap;"), []);
    assert_eq!(in_file(ENGINE, "static COUNT: AtomicU64 = AtomicU64::new(0);"), [(1, "global-state")]);
    assert_eq!(in_file(ENGINE, "static mut COUNT: u64 = 0;"), [(1, "global-state")]);
    assert_eq!(in_file(ENGINE, "struct S { name: &'static str, lock: Mutex<u8> }"), []);
}

#[test]
fn words_in_comments_and_literals_are_not_code() {
    assert_eq!(in_file(ENGINE, "// Instant::now is forbidden\nlet a = \"HashMap.unwrap()\";"), []);
}

#[test]
fn unwrap_and_unfinished_work_are_found_outside_tests() {
    assert_eq!(in_file(NODE, "a.unwrap();\ntodo!()"), [(1, "unwrap"), (2, "unfinished")]);
    assert_eq!(in_file(NODE, "a.unwrap_or(1); my_todo!()"), []);
    assert_eq!(in_file(NODE, "#[cfg(test)]\nmod tests {\n    fn f() { a.unwrap(); }\n}\nb.unwrap();"), [(5, "unwrap")]);
    assert_eq!(in_file("crates/node/tests/story.rs", "a.unwrap();"), []);
}

#[test]
fn a_test_module_in_a_file_of_its_own_is_test_code() {
    let parent = ("crates/node/src/link.rs", "#[cfg(test)]\nmod story;\n");
    let child = ("crates/node/src/link/story.rs", "a.unwrap();");
    assert_eq!(findings(&[parent, child]), []);
    assert_eq!(findings(&[child]), [(1, "unwrap")]);
}

#[test]
fn an_ignored_test_is_found_even_in_tests() {
    assert_eq!(in_file("tests/tests/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}"), [(2, "ignored-test")]);
}

#[test]
fn a_line_may_break_a_rule_with_a_reason_only() {
    assert_eq!(in_file(ENGINE, "// tidy-allow(hash-order): never iterated\nuse std::collections::HashMap;"), []);
    assert_eq!(in_file(ENGINE, "// tidy-allow(hash-order):\nuse std::collections::HashMap;"), [(2, "hash-order")]);
    assert_eq!(in_file(ENGINE, "// tidy-allow(clock): no\nuse std::collections::HashMap;"), [(2, "hash-order")]);
}

#[test]
fn a_test_that_sleeps_says_why() {
    let path = "tests/tests/relay.rs";
    assert_eq!(in_file(path, "sleep(SECOND).await;"), [(1, "sleep")]);
    assert_eq!(in_file(path, "// The kernel tells nobody when.\nsleep(SECOND).await;"), []);
    assert_eq!(in_file(path, "sleep(SECOND).await; // ok"), [(1, "sleep")]);
    assert_eq!(in_file(path, "async fn sleep(time: Duration) {}"), []);
    assert_eq!(in_file("crates/testkit/src/world.rs", "thread::sleep(SECOND);"), [(1, "sleep")]);
    assert_eq!(in_file(NODE, "sleep(backoff).await;"), []);
}

#[test]
fn a_long_file_is_warned_of_and_a_very_long_one_refused() {
    let found = |lines: usize| {
        let files = [(NODE.to_owned(), "// x\n".repeat(lines))];
        check(&files).into_iter().map(|finding| (finding.rule, finding.warning)).collect::<Vec<_>>()
    };
    assert_eq!(found(400), []);
    assert_eq!(found(401), [("length", true)]);
    assert_eq!(found(700), [("length", true)]);
    assert_eq!(found(701), [("length", false)]);
}

#[test]
fn only_what_reads_trial_data_names_the_folder_outside_the_tree() {
    let line = format!("let path = \"{TRIAL_FOLDER}/data\";");
    assert_eq!(in_file("crates/cli/src/import.rs", &line), [(1, "outside")]);
    assert_eq!(in_file("README.md", &line), [(1, "outside")]);
    assert_eq!(in_file("crates/cli/src/demo.rs", &format!("{line} env::var(\"{TRIAL_VARIABLE}\")")), []);
    assert_eq!(in_file("tests/tests/import.rs", &line), []);
}
