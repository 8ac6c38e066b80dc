//! What may not stand in a source file.

use super::{
    Finding,
    layers::{PURE, SUPPORT},
    mask::{self, Line},
};
use std::collections::BTreeSet;

/// A file above this length is worth splitting.
const LINES_WARN: usize = 400;

/// A file above this length must be split, or stand in [`LONG_FILES`].
const LINES_FAIL: usize = 700;

/// Files that may be longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Where the trial data lies outside the tree; only what names the variable as well may look there.
const TRIAL_FOLDER: &str = concat!("..", "/shared");
const TRIAL_VARIABLE: &str = "COMITY_TRIAL_DATA";

/// Checks all files, each given as its path from the top and its text.
pub fn check(files: &[(String, String)]) -> Vec<Finding> {
    let masked: Vec<(&str, Vec<Line>)> = files
        .iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .map(|(path, text)| (path.as_str(), mask::lines(text)))
        .collect();
    let test_files: BTreeSet<String> = masked.iter().flat_map(|(path, lines)| declared_tests(path, lines)).collect();
    let mut findings = Vec::new();
    for (path, lines) in &masked {
        let file = File { path, lines, test: is_test_path(path, &test_files) };
        file.check(&mut findings);
    }
    for (path, text) in files {
        check_length(path, text, &mut findings);
        check_trial_folder(path, text, is_test_path(path, &test_files), &mut findings);
    }
    findings
}

/// A rule that forbids words in code.
struct Forbidden {
    rule: &'static str,
    words: &'static [&'static str],
    scope: Scope,
    why: &'static str,
}

enum Scope {
    /// The named crates, outside their tests.
    Crates(&'static [&'static str]),
    /// Everything but tests.
    Product,
    /// Tests too.
    Everywhere,
}

const FORBIDDEN: &[Forbidden] = &[
    Forbidden {
        rule: "clock",
        words: &["Instant::now", "SystemTime::now", ".elapsed("],
        scope: Scope::Crates(PURE),
        why: "a pure crate has no clock: `now` is an argument, or a seed replays differently",
    },
    Forbidden {
        rule: "randomness",
        words: &["thread_rng", "getrandom", "OsRng", "rand::rng(", "rand::random"],
        scope: Scope::Crates(PURE),
        why: "a pure crate asks for no randomness: it is an argument, or a seed replays differently",
    },
    Forbidden {
        rule: "global-state",
        words: &[
            "static mut",
            "thread_local!",
            "lazy_static!",
            ": Mutex<",
            ": RwLock<",
            ": Atomic",
            ": OnceLock<",
            ": LazyLock<",
        ],
        scope: Scope::Crates(PURE),
        why: "a pure crate keeps no global state: two worlds in one process must not know of each other",
    },
    Forbidden {
        rule: "hash-order",
        words: &["HashMap", "HashSet"],
        scope: Scope::Crates(&["engine"]),
        why: "the order of a hash map differs from run to run: use BTreeMap or BTreeSet in the engine",
    },
    Forbidden {
        rule: "unwrap",
        words: &[".unwrap()", ".unwrap_err()"],
        scope: Scope::Product,
        why: "return an error, or say with `expect` which invariant makes this impossible",
    },
    Forbidden {
        rule: "unfinished",
        words: &["todo!", "unimplemented!", "dbg!"],
        scope: Scope::Product,
        why: "what is not finished does not land",
    },
    Forbidden {
        rule: "ignored-test",
        words: &["#[ignore"],
        scope: Scope::Everywhere,
        why: "a test that does not run proves nothing: mend it or remove it",
    },
];

struct File<'a> {
    path: &'a str,
    lines: &'a [Line],
    test: bool,
}

impl File<'_> {
    fn check(&self, findings: &mut Vec<Finding>) {
        for (index, line) in self.lines.iter().enumerate() {
            let test = self.test || line.test;
            for forbidden in FORBIDDEN {
                let word = forbidden.words.iter().find(|word| has_word(&line.code, word));
                if let Some(word) = word
                    && forbidden.scope.covers(self.path, test)
                    && (forbidden.rule != "global-state" || is_static(&line.code))
                    && !self.allowed(index, forbidden.rule)
                {
                    let why = format!("`{word}`: {}", forbidden.why);
                    findings.push(self.finding(index, forbidden.rule, why));
                }
            }
            if (test || is_support(self.path)) && is_sleep(&line.code) && !self.has_reason(index) {
                let why = "a test that sleeps is slow or flaky: await the event, or say why not in a comment here";
                findings.push(self.finding(index, "sleep", why.into()));
            }
        }
    }

    fn finding(&self, index: usize, rule: &'static str, why: String) -> Finding {
        Finding { file: self.path.into(), line: index + 1, rule, why, warning: false }
    }

    /// Tells whether the line or the one before it carries `tidy-allow(rule): reason`.
    fn allowed(&self, index: usize, rule: &str) -> bool {
        let mark = format!("tidy-allow({rule}):");
        let reason = |line: &Line| line.comment.split_once(&mark).is_some_and(|(_, reason)| !reason.trim().is_empty());
        reason(&self.lines[index]) || index.checked_sub(1).is_some_and(|before| reason(&self.lines[before]))
    }

    fn has_reason(&self, index: usize) -> bool {
        let words = |line: &Line| line.comment.trim_matches(['/', '!', '*', ' ']).split_whitespace().count() >= 3;
        words(&self.lines[index]) || index.checked_sub(1).is_some_and(|before| words(&self.lines[before]))
    }
}

impl Scope {
    fn covers(&self, path: &str, test: bool) -> bool {
        match self {
            // A crate's own examples and benchmarks may look at the clock.
            Self::Crates(crates) => {
                let inside = path.contains("/src/") && crate_of(path).is_some_and(|name| crates.contains(&name));
                inside && !test
            }
            Self::Product => !test,
            Self::Everywhere => true,
        }
    }
}

/// Finds a word that is not the end of a longer one: `todo!` is not in `my_todo!`.
fn has_word(code: &str, word: &str) -> bool {
    let joins = |letter: char| letter.is_alphanumeric() || letter == '_';
    let starts_a_word = word.starts_with(joins);
    code.match_indices(word).any(|(at, _)| !starts_a_word || !code[..at].ends_with(joins))
}

/// Tells a static (or what makes one) from a field or argument of the same type.
fn is_static(code: &str) -> bool {
    has_word(&code.replace("'static", ""), "static ") || code.contains("thread_local!") || code.contains("lazy_static!")
}

fn is_sleep(code: &str) -> bool {
    let called = ["sleep(", "sleep_until("].iter().any(|word| has_word(code, word));
    called && !has_word(code, "fn sleep") && !has_word(code, "fn sleep_until")
}

/// Returns `engine` for `crates/engine/src/lib.rs`.
fn crate_of(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.split('/').next()
}

fn is_support(path: &str) -> bool {
    let folder = crate_of(path).or_else(|| path.split('/').next());
    folder.is_some_and(|folder| SUPPORT.contains(&folder))
}

/// Tells whether a whole file is test code: by its place, by its name, or because a module says so.
fn is_test_path(path: &str, declared: &BTreeSet<String>) -> bool {
    let by_place = path.starts_with("tests/") || path.contains("/tests/") || path.contains("/benches/");
    let by_name = path.ends_with("/tests.rs") || path.ends_with("_tests.rs");
    let inside = |module: &String| path == format!("{module}.rs") || path.starts_with(&format!("{module}/"));
    by_place || by_name || declared.iter().any(inside)
}

/// Returns the paths, without ending, of the modules that a file declares only for tests.
fn declared_tests(path: &str, lines: &[Line]) -> Vec<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let base = match name {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        other => format!("{folder}/{}", other.trim_end_matches(".rs")),
    };
    mask::test_modules(lines).into_iter().map(|module| format!("{base}/{module}")).collect()
}

fn check_length(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let count = text.lines().count();
    let code = path.ends_with(".rs") || path.ends_with(".mjs");
    if !code || count <= LINES_WARN || LONG_FILES.iter().any(|(file, _)| *file == path) {
        return;
    }
    let why = format!(
        "{count} lines: nobody reads more than about {LINES_WARN} at a time, and {LINES_FAIL} is the end; split it"
    );
    findings.push(Finding { file: path.into(), line: 0, rule: "length", why, warning: count <= LINES_FAIL });
}

fn check_trial_folder(path: &str, text: &str, test: bool, findings: &mut Vec<Finding>) {
    let reads_trial_data = test || (path.ends_with(".rs") && text.contains(TRIAL_VARIABLE));
    for (index, line) in text.lines().enumerate() {
        if line.contains(TRIAL_FOLDER) && !reads_trial_data {
            let why =
                format!("names a folder that is not in the tree; only what reads trial data ({TRIAL_VARIABLE}) may");
            findings.push(Finding { file: path.into(), line: index + 1, rule: "outside", why, warning: false });
        }
    }
}

#[cfg(test)]
mod tests;
