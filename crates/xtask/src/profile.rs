//! `cargo xtask profile`: where our relay spends its time in each scenario of the benchmark.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::bench;

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
const LEAST: &str = "2";

/// Longest line: names of generic functions go on for ever.
const LINE_MAX: usize = 140;

/// Runs each scenario once while `perf` samples the relay. Prints how its threads share the time, and the functions in
/// which most of it went by, with what they call. The samples stay in `target/profile`, for `perf report`.
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
            println!("\n{scenario}, {}", file.display());
            report(&file, &["--no-children", "--sort", "comm"])?;
            report(&file, &["--children", "--sort", "symbol", "--percent-limit", LEAST])?;
        }
    }
    Ok(())
}

fn report(file: &Path, flags: &[&str]) -> anyhow::Result<()> {
    let mut perf = Command::new("perf");
    perf.args(["report", "--stdio", "--quiet", "--call-graph", "none"]).args(flags).arg("-i").arg(file);
    let output = perf.output().context("cannot run perf; on Debian it is in the package linux-perf")?;
    ensure!(output.status.success(), "perf report: {}", String::from_utf8_lossy(&output.stderr));
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !words.is_empty() {
            println!("  {}", words.join(" ").chars().take(LINE_MAX).collect::<String>());
        }
    }
    Ok(())
}
