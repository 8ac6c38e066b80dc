//! `cargo xtask fuzz`: builds the fuzz targets as `cargo fuzz` would, with the stable compiler, and runs them.
//!
//! Nothing has to be installed: what makes a program a fuzz target are flags that the stable compiler knows too. A
//! sanitizer is not among them; our own code forbids `unsafe`, so panics, hangs and memory are what there is to find.
//! `cargo +nightly fuzz run TARGET` works as well, for who wants one.

use crate::{
    root,
    steps::{cargo, execute},
};
use anyhow::{Context, bail};
use std::{
    collections::VecDeque,
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

/// How long each target runs unless told.
const SECONDS: u64 = 20;
/// What a target may take beyond its time, to read its corpus and to end, until it is killed.
const GRACE: Duration = Duration::from_secs(180);
/// Above this memory a target has run away.
const MEMORY_MB_MAX: u32 = 3_000;
/// Lines of a failed target's log that are shown.
const SHOWN_LINES: usize = 25;

/// What makes the compiler count which branches an input reaches, and what it is compared with.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// How long one input may take, in seconds, and how long an input may be, in bytes, where the usual does not fit.
const SPECIAL: &[(&str, u32, u32)] =
    &[("hostile_peer", 25, 2_000), ("store_open", 60, 300), ("three_engines", 25, 600)];
const USUAL: (u32, u32) = (25, 4_096);

/// Builds and runs targets: all of them, or those that are named, each for `--seconds N`. With `--input FILE`, runs one
/// target on one input.
///
/// # Errors
/// When a target does not build, or an input makes one panic, hang, or take too much memory; with the command that
/// does it again.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let wanted = Wanted::parse(arguments, &names()?)?;
    build()?;
    if let Some(input) = &wanted.input {
        let [target] = &wanted.targets[..] else { bail!("--input needs exactly one target") };
        return execute(Command::new(program(target)?).arg(input).arg("-rss_limit_mb=0"));
    }
    fuzz(&wanted.targets, wanted.seconds, None)
}

/// Runs every target for a short time, as a step of `cargo xtask test`: with the same seed and the committed corpus
/// alone, so that a landing seldom fails for what has nothing to do with it. How far it gets depends on the machine.
///
/// # Errors
/// As [`run`].
pub fn run_briefly() -> anyhow::Result<()> {
    build()?;
    fuzz(&names()?, SECONDS, Some(1))
}

#[derive(Debug, PartialEq)]
struct Wanted {
    targets: Vec<String>,
    seconds: u64,
    input: Option<PathBuf>,
}

impl Wanted {
    fn parse(arguments: &[String], names: &[String]) -> anyhow::Result<Self> {
        let mut wanted = Self { targets: Vec::new(), seconds: SECONDS, input: None };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("`{argument}` needs a value"));
            match argument.as_str() {
                "--seconds" => wanted.seconds = value()?.parse().context("`--seconds` needs a whole number")?,
                "--input" => wanted.input = Some(value()?.into()),
                name if names.iter().any(|known| known == name) => wanted.targets.push(name.to_owned()),
                unknown => bail!("does not know `{unknown}`; it knows --seconds, --input and {}", names.join(", ")),
            }
        }
        if wanted.targets.is_empty() {
            wanted.targets = names.to_vec();
        }
        Ok(wanted)
    }
}

/// Lists the targets: each is a file.
fn names() -> anyhow::Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let stem = |path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| stem(entry.path())).collect();
    names.sort();
    Ok(names)
}

/// Builds all targets, apart from everything else, since the flags would make cargo build every dependency again.
fn build() -> anyhow::Result<()> {
    let host = host()?;
    let arguments = ["build", "--package", "comity-fuzz", "--bins", "--profile", "fuzz", "--target", &host];
    // With `--target`, the flags do not reach build scripts, which would not link.
    execute(cargo(&arguments).arg("--target-dir").arg(folder()).env("RUSTFLAGS", FLAGS))
}

fn host() -> anyhow::Result<String> {
    let output = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` does not name its host")?.to_owned())
}

fn folder() -> PathBuf {
    root().join("target/fuzz")
}

fn program(target: &str) -> anyhow::Result<PathBuf> {
    Ok(folder().join(host()?).join("fuzz").join(target))
}

/// Runs targets, as many at once as there are processors, and prints a table.
fn fuzz(targets: &[String], seconds: u64, seed: Option<u32>) -> anyhow::Result<()> {
    let waiting = Mutex::new(targets.iter().collect::<VecDeque<_>>());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let next = || waiting.lock().expect("nobody panics with it").pop_front();
                while let Some(target) = next() {
                    let outcome = attempt(target, seconds, seed);
                    done.lock().expect("nobody panics with it").push((target, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("nobody panics with it");
    done.sort_by_key(|(target, _)| *target);
    println!("\n  {:<16} {:>10} {:>8} {:>8} {:>8}", "target", "runs", "runs/s", "branches", "features");
    for (target, outcome) in &done {
        match outcome {
            Ok(Tally { runs, rate, branches, features }) => {
                println!("  {target:<16} {runs:>10} {rate:>8} {branches:>8} {features:>8}");
            }
            Err(_) => println!("  {target:<16} FAILED"),
        }
    }
    let failed: Vec<_> = done.into_iter().filter_map(|(target, outcome)| Some((target, outcome.err()?))).collect();
    for (target, error) in &failed {
        println!("\n{target}: {error:#}");
    }
    if let Some((target, _)) = failed.first() {
        bail!("{} of {} targets failed, {target} for one", failed.len(), targets.len());
    }
    Ok(())
}

fn attempt(target: &str, seconds: u64, seed: Option<u32>) -> anyhow::Result<Tally> {
    let (corpus, artifacts) = (folder().join("corpus").join(target), folder().join("artifacts").join(target));
    if seed.is_some() && corpus.exists() {
        // What earlier runs have found would change what this one tries.
        fs::remove_dir_all(&corpus)?;
    }
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder)?;
    }
    // New inputs are written to a copy; those that are worth keeping are copied back by hand.
    for input in fs::read_dir(root().join("fuzz/corpus").join(target))?.flatten() {
        fs::copy(input.path(), corpus.join(input.file_name()))?;
    }
    let log = folder().join(format!("{target}.log"));
    let file = fs::File::create(&log)?;
    let mut command = Command::new(program(target)?);
    command.arg(&corpus).args(options(target, seconds, seed, &artifacts));
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let ended = wait(&mut command.spawn()?, Duration::from_secs(seconds) + GRACE)?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    match Tally::read(&text) {
        Some(tally) if ended => Ok(tally),
        _ => bail!(failure(target, &text)),
    }
}

fn options(target: &str, seconds: u64, seed: Option<u32>, artifacts: &Path) -> Vec<String> {
    let special = SPECIAL.iter().find(|(name, ..)| *name == target).map(|(_, time, length)| (*time, *length));
    let (time, length) = special.unwrap_or(USUAL);
    let mut options = vec![
        format!("-max_total_time={seconds}"),
        format!("-timeout={time}"),
        format!("-max_len={length}"),
        format!("-rss_limit_mb={MEMORY_MB_MAX}"),
        format!("-artifact_prefix={}/", artifacts.display()),
    ];
    // Where an input is a list of steps, short ones say little.
    options.extend(special.map(|_| "-len_control=0".to_owned()));
    options.extend(seed.map(|seed| format!("-seed={seed}")));
    options
}

/// Waits for a target; false when it ended badly or had to be killed.
fn wait(child: &mut Child, patience: Duration) -> anyhow::Result<bool> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if began.elapsed() > patience {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Says how a target failed, and how to see it again.
fn failure(target: &str, log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let tail = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n  ");
    let artifact = log.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path.trim());
    let advice = match artifact {
        Some(path) => format!(
            "again: cargo xtask fuzz {target} --input {path}\n\
             when mended, keep it: cp {path} fuzz/corpus/{target}/found_WHAT, with a line in the README beside it"
        ),
        None => "it left no input: it was killed, or could not start".to_owned(),
    };
    format!("…\n  {tail}\n{advice}")
}

/// What libFuzzer says at the end.
#[derive(Debug, PartialEq)]
struct Tally {
    runs: String,
    rate: String,
    branches: String,
    features: String,
}

impl Tally {
    fn read(log: &str) -> Option<Self> {
        let line = log.lines().rfind(|line| line.starts_with('#') && line.contains("DONE"))?;
        let after = |name: &str| Some(line.split_once(name)?.1.split_whitespace().next()?.to_owned());
        let runs = line.trim_start_matches('#').split_whitespace().next()?.to_owned();
        Some(Self { runs, rate: after("exec/s:")?, branches: after("cov:")?, features: after("ft:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> anyhow::Result<Wanted> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        Wanted::parse(&arguments, &["admission".to_owned(), "wire_decode".to_owned()])
    }

    #[test]
    fn without_names_all_targets_run_and_an_unknown_one_is_refused() {
        assert_eq!(parse(&[]).unwrap().targets.len(), 2);
        let wanted = parse(&["wire_decode", "--seconds", "600"]).unwrap();
        assert_eq!((wanted.targets, wanted.seconds), (vec!["wire_decode".to_owned()], 600));
        assert!(parse(&["wire"]).unwrap_err().to_string().contains("admission, wire_decode"));
        assert!(parse(&["--seconds"]).is_err());
    }

    #[test]
    fn what_libfuzzer_counts_is_read_from_its_last_line() {
        let log = "#2\tINITED cov: 3 ft: 3 corp: 1/1b exec/s: 0 rss: 40Mb\n\
                   #68899247\tDONE   cov: 1213 ft: 3043 corp: 653/78Kb lim: 4096 exec/s: 114641 rss: 29Mb\nDone";
        let tally = Tally::read(log).unwrap();
        assert_eq!((tally.runs.as_str(), tally.rate.as_str()), ("68899247", "114641"));
        assert_eq!((tally.branches.as_str(), tally.features.as_str()), ("1213", "3043"));
        assert_eq!(Tally::read("#2\tINITED cov: 3"), None);
    }

    #[test]
    fn a_failure_names_the_input_and_how_to_run_it_again() {
        let text = failure("admission", "panicked at x\nartifact_prefix='a/'; Test unit written to a/crash-1\n");
        assert!(text.contains("panicked at x") && text.contains("fuzz admission --input a/crash-1"), "{text}");
        assert!(failure("admission", "").contains("left no input"));
    }
}
