//! `cargo xtask interop`: only the tests with the official npm packages.

use crate::{
    npm, only_known,
    steps::{Steps, cargo, execute},
};

/// Installs the packages, proves the harness against the official server, then tests Comity with it.
///
/// # Errors
/// The first step that fails.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    only_known(arguments, &[])?;
    let mut steps = Steps::new();
    steps.step("tools", npm::check_tools)?;
    steps.step("npm packages", npm::install)?;
    steps.step("harness against the official server", npm::self_test)?;
    steps.step("interop", || execute(&mut cargo(&["test", "--package", "comity-tests", "--test", "interop*"])))
}
