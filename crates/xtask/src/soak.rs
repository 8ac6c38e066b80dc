//! `cargo xtask soak`: the simulator, for as many seeds as wanted, or for one that failed.

use crate::steps::{cargo, execute};

/// Runs the simulator with the arguments given, in an optimised build; with `relay` in front, the long run of a real
/// relay instead, with `store` those of the store.
///
/// # Errors
/// A seed that fails, or what the long run finds.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    if arguments.first().is_some_and(|word| word == "store") {
        return store(&arguments[1..]);
    }
    if let Some((first, rest)) = arguments.split_first()
        && first == "relay"
    {
        return crate::soak_relay::run(rest);
    }
    let mut command = cargo(&["run", "--quiet", "--release", "--package", "comity-testkit", "--bin", "soak", "--"]);
    execute(command.args(arguments))
}

/// Runs the store under power losses, kills and one busy writer: `cargo xtask soak store power | kill | one-writer`.
fn store(arguments: &[String]) -> anyhow::Result<()> {
    let example = ["--package", "comity-store", "--features", "redb", "--example", "soak", "--"];
    let mut command = cargo(&["run", "--quiet", "--release"]);
    execute(command.args(example).args(arguments))
}
