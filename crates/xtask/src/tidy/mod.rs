//! `cargo xtask tidy`: the rules of the house that neither the compiler nor clippy checks.
//!
//! [`layers`] looks at who depends on whom, [`sources`] at what stands in the files. A finding says where, which rule,
//! and why the rule is there. Where a line must break a rule, it says so and gives its reason in a comment on the same
//! or the previous line: `tidy-allow(rule): reason`.

mod layers;
mod mask;
mod sources;

use crate::{metadata, only_known, root};
use anyhow::{Context, bail};
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// Folders that are not ours, or not source.
const SKIPPED_FOLDERS: &[&str] = &["target", "node_modules", ".git", "corpus", "artifacts", "proptest-regressions"];

/// Endings of the files that are read.
const ENDINGS: &[&str] = &["rs", "toml", "md", "mjs", "js", "ts", "sh", "yml", "yaml", "html", "css"];

/// A rule that was broken.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, from the top of the workspace.
    pub file: String,
    /// The line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// The rule's short name.
    pub rule: &'static str,
    /// What is wrong, and why that matters.
    pub why: String,
    /// Whether it is only a warning.
    pub warning: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, rule, why, warning } = self;
        let kind = if *warning { "warning" } else { "error" };
        match line {
            0 => write!(out, "{file}: {kind}[{rule}]: {why}"),
            line => write!(out, "{file}:{line}: {kind}[{rule}]: {why}"),
        }
    }
}

/// Checks the whole workspace.
///
/// # Errors
/// When a rule is broken, after all findings have been printed; warnings alone pass.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    only_known(arguments, &[])?;
    let workspace = metadata::load()?;
    let files = read_files(&root())?;
    let mut findings = layers::check(&workspace);
    findings.extend(sources::check(&files));
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    let errors = findings.iter().filter(|finding| !finding.warning).count();
    println!("tidy: {} packages, {} files, {errors} errors", workspace.members.len(), files.len());
    if errors > 0 {
        bail!("{errors} rules are broken; each line above says where and why");
    }
    Ok(())
}

/// Reads every source file below a folder, with paths from that folder.
fn read_files(top: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    let mut folders = vec![top.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if is_source(&path) {
                let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                files.push((relative(&path, top), text));
            }
        }
    }
    files.sort();
    Ok(files)
}

fn is_source(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.contains(&ending)) || path.ends_with(".ci/run")
}

fn relative(path: &Path, top: &Path) -> String {
    let path: PathBuf = path.strip_prefix(top).unwrap_or(path).to_path_buf();
    path.to_string_lossy().replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_the_place_the_rule_and_the_reason() {
        let mut finding = Finding {
            file: "crates/engine/src/lib.rs".into(),
            line: 7,
            rule: "clock",
            why: "time is an argument".into(),
            warning: false,
        };
        assert_eq!(finding.to_string(), "crates/engine/src/lib.rs:7: error[clock]: time is an argument");
        finding.line = 0;
        finding.warning = true;
        assert_eq!(finding.to_string(), "crates/engine/src/lib.rs: warning[clock]: time is an argument");
    }
}
