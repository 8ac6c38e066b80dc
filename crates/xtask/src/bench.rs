//! `cargo xtask bench`: relays through the same work by the same clients, in turn.

use std::process::Command;

use crate::npm;
use crate::steps::{cargo, execute};

/// Builds the relays and the load program, optimised, installs the npm packages, and runs the benchmark of
/// `tests/load/bench` with the arguments given; `--help` lists them.
///
/// # Errors
/// When something is missing, our relay fails, or any replica ends with something else than the others.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    npm::check_tools()?;
    npm::install()?;
    load(arguments)
}

/// Builds and runs the benchmark.
pub fn load(arguments: &[String]) -> anyhow::Result<()> {
    // All at once, so that cargo settles on one set of features.
    execute(&mut cargo(&["build", "--release", "--package", "comity", "--package", "comity-tests", "--bins"]))?;
    // Not by `cargo run`: a path among the arguments is meant from where the user is.
    execute(Command::new(crate::root().join("target/release/load")).arg("bench").args(arguments))
}
