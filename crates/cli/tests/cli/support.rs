//! A device: a data folder and a way to run `comity` on it.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What a run of the command gave.
pub struct Ran {
    /// How it was called.
    pub line: String,
    /// Its exit code.
    pub code: i32,
    /// Its data.
    pub out: String,
    /// Its messages.
    pub err: String,
}

impl Ran {
    /// Checks that it went well, and gives the data.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self}");
        self.out
    }

    /// Reads the data as JSON.
    pub fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "$ {}\n{}", self.line, self.out)?;
        if !self.err.is_empty() {
            write!(f, "--- stderr\n{}", self.err)?;
        }
        if self.code != 0 { writeln!(f, "--- exit code {}", self.code) } else { Ok(()) }
    }
}

/// A folder for everything of one device.
pub struct Device {
    root: tempfile::TempDir,
}

impl Device {
    /// Makes an empty home: nothing is initialised.
    pub fn bare() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    /// Makes an initialised device.
    pub fn new() -> Self {
        let device = Self::bare();
        device.run(&["init", "--name", "tablet"]).ok();
        device
    }

    /// Makes a device with an audit in which two modules are marked.
    pub fn with_audit() -> Self {
        let device = Self::new();
        device.run(&["doc", "new", "audit", "Roof 7"]).ok();
        device.run(&["set", "Roof 7", "M001", "status=ok", "comment=clean"]).ok();
        device.run(&["set", "Roof 7", "M002", "status=dead"]).ok();
        device
    }

    /// Gives a path in the device's home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a file into the device's home.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes the config file of a data folder that may not be there yet.
    pub fn write_config(&self, text: &str) {
        std::fs::create_dir_all(self.path("data")).unwrap();
        self.write("data/config.toml", text);
    }

    /// Gives the command, with nothing of this process's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_comity"));
        command.env_clear().env("HOME", self.root.path()).env("COMITY_DATA", self.path("data"));
        command.current_dir(self.root.path()).args(arguments);
        command
    }

    /// Runs the command.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[], b"")
    }

    /// Runs the command with more environment and an input.
    pub fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)], input: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        // Logs are for those who ask; what a command says by itself is tested.
        let log = if arguments.iter().any(|word| word.starts_with("-v")) { "info" } else { "error" };
        command.env("COMITY_LOG", log).envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that reads no input may have ended before it was given any.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let words = arguments
            .iter()
            .map(|word| if word.contains([' ', '{']) { format!("'{word}'") } else { (*word).to_owned() });
        let line = format!("comity {}", words.collect::<Vec<_>>().join(" "));
        Ran { line, code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Runs several commands and gives all that they printed, with what differs from run to run replaced.
    pub fn session(&self, lines: &[&[&str]]) -> String {
        lines.iter().map(|line| self.run(line).to_string()).collect::<Vec<_>>().join("\n")
    }
}

/// Compares with a snapshot, with what differs from run to run replaced.
pub fn check(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (pattern, replacement) in [
        (r"/[^\s,:;()]*/\.tmp[A-Za-z0-9]+", "[home]"),
        (r"\b[A-Z2-7]{6}(-[A-Z2-7]{6}){8}\b", "[device]"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "[storage]"),
        (r"\b[0-9a-f]{64}\b", "[hash]"),
        (r"\b[0-9a-f]{48}([0-9a-f]{8})?\b", "[actor]"),
        (r"\b[0-9a-f]{32}\b", "[conflict]"),
        (r"\b\d{4}-\d\d-\d\dT[0-9:.]+Z", "[time]"),
        (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b", "[moment]"),
        (r"\b[1-9A-HJ-NP-Za-km-z]{24,28}\b", "[document]"),
        // Ids are 27 or 28 letters, and the column is as wide.
        (r"(?m)^id {20,}", "id  "),
        (r"(?m)^[1-9A-HJ-NP-Za-km-z]{6,8}(  (audit|harvest|sale)  )", "[doc]$1"),
        (r"\b[0-9a-f]{8}\b", "[short]"),
        (r"process \d+", "process [pid]"),
        (r"127\.0\.0\.1:\d{5}", "127.0.0.1:[port]"),
    ] {
        settings.add_filter(pattern, replacement);
    }
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// A command that goes on, ended with the test.
pub struct Running {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// Starts a command; its messages go to the test's own.
    pub fn start(device: &Device, arguments: &[&str]) -> Self {
        let mut command = device.command(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// Starts a relay on a free port; gives its address too.
    pub fn relay(device: &Device) -> (Self, String) {
        let mut relay = Self::start(device, &["relay", "--listen", "127.0.0.1:0", "--quiet"]);
        let url = relay.line().strip_prefix("relay at ").unwrap().to_owned();
        (relay, url)
    }

    /// Waits for the next line of its data.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Presses Ctrl-C; gives the rest of its data and the exit code.
    pub fn interrupt(mut self) -> (String, i32) {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.finish()
    }

    /// Waits for its end.
    pub fn finish(&mut self) -> (String, i32) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (rest, self.child.wait().unwrap().code().unwrap_or(-1))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Finds a file of the trial data, which is not in the tree.
pub fn trial_data(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("COMITY_TRIAL_DATA").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = folder.unwrap_or_else(beside).join(file);
    if path.is_file() {
        return Some(path);
    }
    println!("skipped: there is no {}", path.display());
    None
}
