//! `cargo xtask growth`: how cost grows with operations, readers and documents.

use std::process::Command;

use crate::steps::{cargo, execute};

/// Builds and runs the growth tables in an optimised build with the arguments given; `--help` lists them.
///
/// # Errors
/// When a cost grows faster than it may, or a table cannot be made.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    execute(&mut cargo(&["build", "--quiet", "--release", "--package", "comity-benches", "--bin", "growth"]))?;
    // Not by `cargo run` from the top: a path among the arguments is meant from where the user is.
    execute(Command::new(crate::root().join("target/release/growth")).args(arguments))
}
