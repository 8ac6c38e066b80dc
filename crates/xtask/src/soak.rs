//! `cargo xtask soak`: the simulator, for as many seeds as wanted, or for one that failed.

use crate::steps::{cargo, execute};

/// Runs the simulator with the arguments given, in an optimised build.
///
/// # Errors
/// A seed that fails.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let mut command = cargo(&["run", "--quiet", "--release", "--package", "comity-testkit", "--bin", "soak", "--"]);
    execute(command.args(arguments))
}
