//! Node.js and the pinned npm packages in `tests/interop`.

use crate::{root, steps::execute};
use anyhow::{Context, bail};
use std::{fs, path::PathBuf, process::Command};

/// The oldest Node.js that the pinned packages run on.
const NODE_MAJOR_MIN: u32 = 20;

/// Checks that `node` and `npm` are here and new enough.
///
/// # Errors
/// Says what is missing and how to get it.
pub fn check_tools() -> anyhow::Result<()> {
    let advice =
        format!("install Node.js {NODE_MAJOR_MIN} or newer with npm (https://nodejs.org, or your package manager)");
    let node = output("node", "--version").with_context(|| format!("`node` does not run; {advice}"))?;
    let npm = output("npm", "--version").with_context(|| format!("`npm` does not run; {advice}"))?;
    match major(&node) {
        Some(major) if major >= NODE_MAJOR_MIN => {}
        _ => bail!("`node` is {node}, too old; {advice}"),
    }
    println!("node {node}, npm {npm}");
    Ok(())
}

/// Installs exactly the packages of `package-lock.json`, unless that was done already.
///
/// # Errors
/// When npm fails: no network, or a lock that does not fit `package.json`.
pub fn install() -> anyhow::Result<()> {
    let folder = folder();
    let lock = fs::read(folder.join("package-lock.json")).context("cannot read tests/interop/package-lock.json")?;
    // A copy of the lock that was installed; npm's own record inside node_modules is written in another form.
    let installed = folder.join("node_modules/.installed-lock.json");
    if fs::read(&installed).is_ok_and(|bytes| bytes == lock) {
        println!("node_modules is in line with package-lock.json");
        return Ok(());
    }
    execute(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder))?;
    fs::write(&installed, lock).context("cannot note which package-lock.json was installed")
}

/// Runs the harness's test of itself against the official server.
///
/// # Errors
/// When one of its tests fails.
pub fn self_test() -> anyhow::Result<()> {
    execute(Command::new("npm").args(["test", "--silent"]).current_dir(folder()))
}

fn folder() -> PathBuf {
    root().join("tests/interop")
}

fn output(program: &str, argument: &str) -> anyhow::Result<String> {
    let output = Command::new(program).arg(argument).output()?;
    if !output.status.success() {
        bail!("`{program} {argument}` ended with {}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Reads the major version from what `node --version` prints, as in `v20.20.2`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_of_node_is_read() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major("nonsense"), None);
    }
}
