//! Runs steps one after the other, with a headline, the time that each took, and a table at the end.

use anyhow::{Context, bail};
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The steps of one run.
///
/// The first step that fails ends the run: [`Steps::step`] returns its error, and dropping the value prints the table.
pub struct Steps {
    started: Instant,
    done: Vec<(String, Duration, Outcome)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Passed,
    Failed,
}

impl Steps {
    /// Starts the clock.
    pub fn new() -> Self {
        Self { started: Instant::now(), done: Vec::new() }
    }

    /// Runs one step under its headline.
    ///
    /// # Errors
    /// What the step said, with its name in front.
    pub fn step(&mut self, name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        println!("\n=== {name} ({} since the start)", seconds(self.started.elapsed()));
        let began = Instant::now();
        let result = work();
        let outcome = if result.is_ok() { Outcome::Passed } else { Outcome::Failed };
        self.done.push((name.to_owned(), began.elapsed(), outcome));
        result.with_context(|| format!("the step `{name}` failed"))
    }

    fn table(&self) -> String {
        let width = self.done.iter().map(|(name, ..)| name.len()).max().unwrap_or(0).max("total".len());
        let mut text = String::from("\n");
        for (name, took, outcome) in &self.done {
            let word = if *outcome == Outcome::Passed { "passed" } else { "FAILED" };
            text.push_str(&format!("  {name:<width$}  {:>9}  {word}\n", seconds(*took)));
        }
        text + &format!("  {:<width$}  {:>9}\n", "total", seconds(self.started.elapsed()))
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        print!("{}", self.table());
    }
}

/// Runs a program from the top of the workspace; its output goes straight through, and it gets no stdin.
///
/// # Errors
/// When it cannot be started or does not end with 0; the message has the command to run again by hand.
pub fn execute(command: &mut Command) -> anyhow::Result<()> {
    let line = written(command);
    println!("$ {line}");
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Makes a `cargo` command that runs at the top of the workspace.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(crate::root());
    command
}

/// Writes a command as a person would type it.
fn written(command: &Command) -> String {
    let mut words: Vec<String> = Vec::new();
    for (key, value) in command.get_envs() {
        let value = value.unwrap_or_default().to_string_lossy();
        words.push(format!("{}='{value}'", key.to_string_lossy()));
    }
    let program = std::path::Path::new(command.get_program());
    words.push(program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned());
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_returned_with_the_name_of_its_step_and_stands_in_the_table() {
        let mut steps = Steps::new();
        steps.step("first", || Ok(())).unwrap();
        let error = steps.step("second", || bail!("no disk")).unwrap_err();
        assert_eq!(format!("{error:#}"), "the step `second` failed: no disk");
        let table = steps.table();
        let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[1].last(), Some(&"passed"));
        assert_eq!(words[2].last(), Some(&"FAILED"));
    }

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["doc", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(written(&command), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
    }

    #[test]
    fn a_program_that_fails_is_an_error_with_its_command_line() {
        let error = execute(Command::new("false").arg("--now")).unwrap_err();
        assert!(error.to_string().starts_with("`false --now` ended with"), "{error}");
    }
}
