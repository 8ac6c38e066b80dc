//! `cargo xtask profile`: where our relay spends its time in each scenario of the benchmark.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::bench;

/// Share of the time, in percent, below which a function is not listed.
const LEAST: &str = "2";

/// Longest line: names of generic functions go on for ever.
const LINE_MAX: usize = 140;

/// Runs each scenario, or those named, once while `perf` samples the relay. Prints how its threads share the time, and the functions in
/// which most of it went by, with what they call. The samples stay in `target/profile`, for `perf report`.
///
/// # Errors
/// When `perf` is missing or may not sample, or a scenario fails.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let folder = crate::root().join("target/profile");
    // What an earlier run left.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let place = folder.to_string_lossy().into_owned();
    let mut flags = ["--rounds", "1", "--server", "comity", "--samples", &place].map(str::to_owned).to_vec();
    flags.extend(arguments.iter().flat_map(|scenario| ["--scenario".to_owned(), scenario.clone()]));
    bench::load(&flags)?;
    let files: Result<Vec<_>, _> = fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files = files?;
    files.sort();
    for file in files {
        println!("\n{}", file.display());
        report(&file, &["--no-children", "--sort", "comm"])?;
        report(&file, &["--children", "--sort", "symbol", "--percent-limit", LEAST])?;
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
