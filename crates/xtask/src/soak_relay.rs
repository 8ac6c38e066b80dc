//! `cargo xtask soak relay`: a relay process that is restarted again and again under clients that come and go.

use std::process::Command;

use crate::steps::{cargo, execute};

/// Builds the relay and the load program, both optimised, and runs the long run of `tests/load/soak` with the
/// arguments given; `--help` lists them.
///
/// # Errors
/// A bar that was missed, or anything that was lost.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    // Both at once, so that cargo settles on one set of features.
    execute(&mut cargo(&["build", "--release", "--package", "comity", "--package", "comity-tests", "--bins"]))?;
    // Not by `cargo run`: a path among the arguments is meant from where the user is.
    let load = crate::root().join("target/release/load");
    execute(Command::new(load).arg("soak").args(arguments))
}
