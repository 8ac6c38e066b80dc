//! `cargo xtask profile`: where our relay spends its time in each scenario of the benchmark.

use std::fs;
use std::process::Command;

use anyhow::Context;

use crate::bench;
use crate::steps::execute;

/// The scenarios, when none is named.
const ALL: &[&str] = &[
    "fan-out-50",
    "fan-out-200",
    "closed-loop",
    "in-flight-16",
    "idle",
    "catch-up",
    "stampede",
    "reunion-50",
    "reunion-200",
];

/// Share of the time, in percent, below which a function is not listed.
const LEAST: &str = "1";

/// Runs each scenario once while `perf` samples the relay, and prints the functions that took most of its time. The
/// samples stay in `target/profile`, for `perf annotate`.
///
/// # Errors
/// When `perf` is missing or may not sample, or a scenario fails.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let asked: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for scenario in if asked.is_empty() { ALL } else { &asked[..] } {
        let folder = crate::root().join("target/profile").join(scenario);
        // What an earlier run left.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let place = folder.to_string_lossy().into_owned();
        let flags = ["--rounds", "1", "--server", "comity", "--scenario", scenario, "--samples", &place];
        bench::load(&flags.map(str::to_owned))?;
        for entry in fs::read_dir(&folder)? {
            let file = entry?.path();
            let mut report = Command::new("perf");
            report.args(["report", "--stdio", "--quiet", "--percent-limit", LEAST, "--sort", "symbol", "-i"]);
            execute(report.arg(&file))?;
        }
    }
    Ok(())
}
