//! The real `comity` binary.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::SystemTime;

use tokio::process::Command;

use crate::within;

/// What a command printed and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Fails the test unless the command ended with 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

/// Runs `comity --data FOLDER ARGUMENTS` to its end.
pub async fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("--data").arg(folder).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    without_own_settings(&mut command).env("NO_COLOR", "1");
    let output = within(&format!("comity {arguments:?}"), command.output()).await.expect("the comity binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the command prints text");
    Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Takes the `COMITY_*` settings of whoever runs the tests away from a command.
pub fn without_own_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COMITY_")) {
        command.env_remove(name);
    }
    command
}

/// Gives the path of the binary, after building it when it is missing or older than its sources.
///
/// Cargo names the binary only to tests of its own package. A build of the whole workspace has made it already; it is
/// not asked again, because for one package alone it would choose other features and build every dependency anew.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("a test knows its own path");
        let profile = test.parent().and_then(Path::parent).expect("a test lies in target/PROFILE/deps");
        let binary = profile.join(format!("comity{}", std::env::consts::EXE_SUFFIX));
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace");
        let built = binary.metadata().and_then(|metadata| metadata.modified());
        if built.is_ok_and(|built| built >= newest_source(root)) {
            return binary;
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = std::process::Command::new(cargo);
        build.args(["build", "--package", "comity", "--bin", "comity"]).current_dir(root);
        if profile.file_name().is_some_and(|name| name == "release") {
            build.arg("--release");
        }
        let status = build.status().expect("cargo runs");
        assert!(status.success(), "cargo build --package comity: {status}");
        binary
    })
}

/// Gives when the youngest source of the binary was changed.
fn newest_source(root: &Path) -> SystemTime {
    let mut newest = SystemTime::UNIX_EPOCH;
    let mut folders = vec![root.join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the sources can be listed") {
            let entry = entry.expect("the sources can be listed");
            let (path, name) = (entry.path(), entry.file_name());
            // What the binary does not hold: support crates and tests.
            if ["testkit", "xtask", "tests", "examples", "benches"].iter().any(|other| name == *other) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "toml") {
                newest = newest.max(path.metadata().and_then(|file| file.modified()).expect("a file has a date"));
            }
        }
    }
    newest
}
