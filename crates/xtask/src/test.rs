//! `cargo xtask test`: everything that must pass before a change lands, from nothing but cargo, a C++ compiler,
//! Node.js and Valgrind.

use crate::{
    autobahn, counts, fuzz, npm, only_known,
    steps::{Steps, cargo, execute},
    tidy,
};

/// Runs the steps, cheap ones first; the first that fails ends the run.
///
/// `--fast` is for the time between two edits: formatting, tidy, clippy and the unit tests; no npm, no simulation, no
/// crash and interoperation tests, no documentation.
///
/// # Errors
/// The first step that fails, by name, with the command to run again by hand.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    only_known(arguments, &["--fast"])?;
    let fast = !arguments.is_empty();
    let mut steps = Steps::new();
    if !fast {
        steps.step("tools", || {
            npm::check_tools()?;
            counts::check_tools()
        })?;
    }
    steps.step("formatting", || execute(&mut cargo(&["fmt", "--all", "--", "--check"])))?;
    steps.step("tidy", || tidy::run(&[]))?;
    if !fast {
        steps.step("npm packages", npm::install)?;
        steps.step("interop harness", npm::self_test)?;
    }
    steps
        .step("clippy", || execute(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])))?;
    if fast {
        // The same packages as below, so that cargo settles on the same features and nothing is built twice.
        return steps.step("unit tests", || execute(&mut cargo(&["test", "--workspace", "--lib", "--bins"])));
    }
    // Unit, property, simulation, crash and interoperation tests, and doctests.
    steps.step("tests", || execute(&mut cargo(&["test", "--workspace"])))?;
    steps
        .step("store on redb", || execute(&mut cargo(&["test", "--package", "comity-store", "--features", "redb"])))?;
    steps.step("instruction counts", || counts::run(&[]))?;
    steps.step("autobahn", autobahn::run_if_possible)?;
    steps.step("fuzzing", fuzz::run_briefly)?;
    steps.step("documentation", || {
        // RUSTFLAGS stays alone: changing it would build every dependency again.
        execute(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
    })
}
