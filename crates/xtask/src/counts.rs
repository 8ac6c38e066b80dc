//! `cargo xtask counts`: how many instructions a round of each inner loop takes, compared with what is committed.
//!
//! Unlike time, that is almost the same in every run: another process beside it, the load of the machine and the size of
//! the environment change nothing. `benches/src/bin/counts.rs` has the loops; Valgrind counts.

use crate::{
    only_known, root,
    steps::{cargo, execute},
};
use anyhow::{Context, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// How much more than committed a loop may take, in percent. Two runs differ by 0.4 at most; the rest is for another
/// processor, another libc, another folder.
const TOLERANCE_PERCENT: u64 = 5;

/// The function in which instructions are counted, as callgrind writes its name.
const COUNTED: &str = "counts::counted*";

/// Keeps libc from choosing how to copy memory by the processor, which changed the figures by up to 2.6 %.
const PLAIN_LIBC: &str = "glibc.cpu.hwcaps=-AVX2,-AVX,-ERMS";

/// Whether the committed figures are of this sort of machine.
const IS_COMPARABLE: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

const NO_VALGRIND: &str = "`valgrind` does not run; `apt-get install valgrind`, or see https://valgrind.org";

/// What stands above the figures.
const HEAD: &str = "\
# Instructions of one round of each inner loop, written by `cargo xtask counts --update`. Do not edit.
#
# Of the optimised build on x86-64 Linux with glibc, as Valgrind counts them. They depend on the compiler and on the
# versions of the libraries, which are pinned, and a little on what the processor offers: Valgrind hides its SHA
# instructions and AVX-512, so hashes are always counted as computed in software; with AVX2 or without, memchr and zlib-rs
# take other ways. These figures are of a processor with AVX2, as all have been for ten years.
";

/// Builds the loops, counts, and compares with `benches/counts.txt`; with `--update`, writes that file.
///
/// # Errors
/// When Valgrind is missing, or a loop takes more than the committed figure and the tolerance.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    only_known(arguments, &["--update"])?;
    if !IS_COMPARABLE {
        println!("skipped: the figures in benches/counts.txt are of x86-64 Linux");
        return Ok(());
    }
    check_tools()?;
    execute(&mut cargo(&["build", "--release", "--package", "comity-benches", "--bin", "counts"]))?;
    let measured = measure()?;
    if !arguments.is_empty() {
        fs::write(file(), written(&measured)).with_context(|| format!("cannot write {}", file().display()))?;
        print!("{}", table(&measured, &measured));
        return Ok(());
    }
    let text = fs::read_to_string(file());
    let committed = read(&text.context("cannot read benches/counts.txt; `cargo xtask counts --update` writes it")?)?;
    print!("{}", table(&measured, &committed));
    judge(&measured, &committed)
}

/// Checks that Valgrind is here, where it is needed.
///
/// # Errors
/// Says how to get it.
pub fn check_tools() -> anyhow::Result<()> {
    if !IS_COMPARABLE {
        return Ok(());
    }
    let output = Command::new("valgrind").arg("--version").stdin(Stdio::null()).output().context(NO_VALGRIND)?;
    if !output.status.success() {
        bail!("{NO_VALGRIND}");
    }
    println!("{}", String::from_utf8_lossy(&output.stdout).trim());
    Ok(())
}

/// A loop and the instructions of one round of it.
#[derive(Debug, PartialEq)]
struct Count {
    name: String,
    instructions: u64,
}

fn file() -> PathBuf {
    root().join("benches/counts.txt")
}

/// Counts every loop that the program lists.
fn measure() -> anyhow::Result<Vec<Count>> {
    let programs = root().join("target/release");
    let profiles = root().join("target/counts");
    fs::create_dir_all(&profiles).with_context(|| format!("cannot make {}", profiles.display()))?;
    let names = output(&mut Command::new(programs.join("counts")))?;
    let count = |name: &str| {
        let instructions = count(&programs, name, &profiles.join(format!("{name}.callgrind")))?;
        Ok(Count { name: name.to_owned(), instructions })
    };
    names.lines().map(count).collect()
}

/// Counts one loop of the program in a folder. The profile stays, for `callgrind_annotate`.
fn count(folder: &Path, name: &str, profile: &Path) -> anyhow::Result<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind", "--cache-sim=no", "--branch-sim=no"]);
    command.arg(format!("--toggle-collect={COUNTED}")).arg(format!("--callgrind-out-file={}", profile.display()));
    // By a path that is the same in every checkout: its length alone, through what it makes of the heap, was worth 1 %.
    command.current_dir(folder).arg("./counts").arg(name).env("GLIBC_TUNABLES", PLAIN_LIBC);
    let rounds = output(&mut command)?.trim().parse::<u64>().context("`counts` prints how many rounds it took")?;
    let text = fs::read_to_string(profile).with_context(|| format!("cannot read {}", profile.display()))?;
    per_round(&text, rounds)
        .with_context(|| format!("nothing was counted in {name}: is there no `{COUNTED}` any more?"))
}

/// Runs a program and gives what it prints.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Reads the total from a profile and gives the share of one round; `None` when there is none.
fn per_round(profile: &str, rounds: u64) -> Option<u64> {
    let total: u64 = profile.lines().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()?;
    total.checked_div(rounds).filter(|instructions| *instructions > 0)
}

/// Writes the file of figures.
fn written(counts: &[Count]) -> String {
    let lines = counts.iter().map(|Count { name, instructions }| format!("{name} {instructions}\n"));
    HEAD.to_owned() + &lines.collect::<String>()
}

/// Reads the file of figures.
fn read(text: &str) -> anyhow::Result<Vec<Count>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let count = |line: &str| {
        let (name, instructions) = line.split_once(' ')?;
        Some(Count { name: name.to_owned(), instructions: instructions.trim().parse().ok()? })
    };
    lines
        .map(|line| count(line).with_context(|| format!("benches/counts.txt: `{line}` is no name and number")))
        .collect()
}

fn committed_for<'a>(measured: &Count, committed: &'a [Count]) -> Option<&'a Count> {
    committed.iter().find(|count| count.name == measured.name)
}

fn table(measured: &[Count], committed: &[Count]) -> String {
    let mut text = format!("\n  {:<12} {:>14} {:>14} {:>8}\n", "loop", "committed", "now", "change");
    for count in measured {
        let Count { name, instructions } = count;
        let before = committed_for(count, committed).map(|before| before.instructions);
        let change = before.map(|before| format!("{:+.2} %", change_percent(before, *instructions)));
        let before = before.map(|before| before.to_string());
        let [before, change] = [before, change].map(|cell| cell.unwrap_or_else(|| "-".to_owned()));
        text.push_str(&format!("  {name:<12} {before:>14} {instructions:>14} {change:>8}\n"));
    }
    text
}

fn change_percent(before: u64, now: u64) -> f64 {
    (now as f64 / before as f64 - 1.0) * 100.0
}

/// Says which loops got slower, as an error, and which got faster, as a hint.
fn judge(measured: &[Count], committed: &[Count]) -> anyhow::Result<()> {
    const UPDATE: &str = "`cargo xtask counts --update`";
    let mut slower = Vec::new();
    for count in measured {
        let Count { name, instructions } = count;
        let Some(before) = committed_for(count, committed) else {
            bail!("benches/counts.txt has no figure for {name}: commit one with {UPDATE}");
        };
        let before = before.instructions;
        if *instructions * 100 > before * (100 + TOLERANCE_PERCENT) {
            slower.push(format!("{name} takes {instructions} instructions a round, {before} are committed"));
        } else if *instructions * 100 < before * (100 - TOLERANCE_PERCENT) {
            println!("{name} takes much less than committed: commit the new figure with {UPDATE}");
        }
    }
    if let Some(gone) = committed.iter().find(|before| committed_for(before, measured).is_none()) {
        bail!("benches/counts.txt names {}, which is no loop any more: {UPDATE} removes it", gone.name);
    }
    if !slower.is_empty() {
        bail!(
            "{}; {TOLERANCE_PERCENT} % more is allowed. See where: `callgrind_annotate --inclusive=yes \
             target/counts/LOOP.callgrind`. If it is worth it, commit the new figures with {UPDATE} and say why",
            slower.join("; ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(figures: &[(&str, u64)]) -> Vec<Count> {
        figures
            .iter()
            .map(|(name, instructions)| Count { name: (*name).to_owned(), instructions: *instructions })
            .collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let figures = counts(&[("change", 1_429_284), ("load", 134_206_515)]);
        let text = written(&figures);
        assert!(text.starts_with("# Instructions of one round"));
        assert_eq!(read(&text).unwrap(), figures);
        let error = read("change many\n").unwrap_err().to_string();
        assert!(error.contains("`change many` is no name and number"), "{error}");
    }

    #[test]
    fn the_total_of_a_profile_is_shared_among_the_rounds() {
        let profile = "events: Ir\nsummary: 1000\n\nfn=(1) counts::counted\n1 10\ntotals: 1000\n";
        assert_eq!(per_round(profile, 50), Some(20));
        assert_eq!(per_round("totals: 0\n", 50), None);
        assert_eq!(per_round("events: Ir\n", 50), None);
        assert_eq!(per_round(profile, 0), None);
    }

    #[test]
    fn a_loop_may_take_as_much_more_as_the_tolerance_and_no_more() {
        let committed = counts(&[("change", 1_000), ("load", 1_000)]);
        assert!(judge(&counts(&[("change", 1_050), ("load", 1_000)]), &committed).is_ok());
        let error = judge(&counts(&[("change", 1_051), ("load", 1_000)]), &committed).unwrap_err().to_string();
        assert!(error.contains("change takes 1051 instructions a round, 1000 are committed"), "{error}");
        assert!(!error.contains("load takes"), "{error}");
        assert!(error.contains("cargo xtask counts --update"), "{error}");
    }

    #[test]
    fn a_loop_that_takes_less_passes() {
        assert!(judge(&counts(&[("change", 500)]), &counts(&[("change", 1_000)])).is_ok());
    }

    #[test]
    fn a_loop_without_a_figure_and_a_figure_without_a_loop_are_refused() {
        let error = judge(&counts(&[("change", 1_000)]), &[]).unwrap_err().to_string();
        assert!(error.contains("no figure for change"), "{error}");
        let error = judge(&[], &counts(&[("change", 1_000)])).unwrap_err().to_string();
        assert!(error.contains("names change, which is no loop"), "{error}");
    }

    #[test]
    fn the_table_shows_what_changed() {
        let text = table(&counts(&[("change", 1_020), ("new", 7)]), &counts(&[("change", 1_000)]));
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[2], ["change", "1000", "1020", "+2.00", "%"]);
        assert_eq!(words[3], ["new", "-", "7", "-"]);
    }

    #[test]
    fn the_committed_file_can_be_read() {
        assert!(!read(&fs::read_to_string(file()).unwrap()).unwrap().is_empty());
    }
}
