//! The relays that are compared.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::{RelayProcess, binary};

/// A relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    Comity,
    Samod,
    JavaScript,
}

impl Server {
    pub const ALL: [Self; 3] = [Self::Comity, Self::Samod, Self::JavaScript];

    /// What the command line calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Comity => "comity",
            Self::Samod => "samod",
            Self::JavaScript => "javascript",
        }
    }

    /// What a table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Comity => "Comity",
            Self::Samod => "samod 0.16",
            Self::JavaScript => "JavaScript 2.5.6",
        }
    }

    pub fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|server| server.name() == name);
        found.with_context(|| format!("there is no server {name:?}; there are comity, samod and javascript"))
    }

    /// Starts it on a free port, with its data in a folder that may hold some already.
    pub fn start(self, folder: &Path) -> Result<RelayProcess> {
        let log = Stdio::null();
        match self {
            // Its log is for people, and none of the others writes one.
            Self::Comity => RelayProcess::start_in(folder, "127.0.0.1:0", &[], log),
            Self::Samod => RelayProcess::start(Command::new(binary()?.with_file_name("samod-relay")).arg(folder), log),
            Self::JavaScript => {
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/server.mjs");
                let packages = script.with_file_name("node_modules");
                if !packages.is_dir() {
                    bail!("no npm packages in {}; `cargo xtask interop` installs them", packages.display());
                }
                RelayProcess::start(Command::new("node").arg(script).arg(folder), log)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_titles_name_the_versions_that_are_installed() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains("name = \"samod\"\nversion = \"0.16."), "{}", Server::Samod.title());
        let packages = include_str!("../../interop/package.json");
        assert!(packages.contains("\"@automerge/automerge-repo\": \"2.5.6\""), "{}", Server::JavaScript.title());
    }
}
