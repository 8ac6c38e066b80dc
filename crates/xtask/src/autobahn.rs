//! `cargo xtask autobahn`: the WebSocket suite of the Autobahn project against the relay's own accept loop.
//!
//! The suite needs Python 2.7, which few systems still have; everything else it needs is pinned in
//! `tests/autobahn/requirements.txt` and lands below `target/autobahn`. What it talks to is the example `echo` of the
//! relay: the relay's accept loop, upgrade, WebSocket and pump, with an echo in place of a node.

use crate::{
    only_known, root,
    steps::{Steps, cargo, execute},
};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Cases that must be OK, of the 301 that are no compression. Of the others two are not strict: a text frame is checked
/// when it is whole, so a mistake in its first half is found when its second half has come (6.4.3, 6.4.4). Three only
/// inform.
const OK_MIN: usize = 296;

/// The chapters on compression, which is not offered: a compressed message is a bomb that looks small.
const COMPRESSION: [&str; 2] = ["12.", "13."];

/// How long the suite may run. It takes half a minute.
const DEADLINE: Duration = Duration::from_secs(600);

/// How long the echo may take to stop, drain included.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

const NO_PYTHON: &str = "the suite needs Python 2.7; put `python2.7` on the path, or `pyenv install 2.7.18`";

/// Installs the suite, runs it, and judges what it found.
///
/// # Errors
/// When there is no Python 2.7, something cannot be installed, or a case fails.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    only_known(arguments, &[])?;
    let mut steps = Steps::new();
    let python = python().context(NO_PYTHON)?;
    steps.step("suite from PyPI", || install(&python))?;
    steps.step("echo", || execute(&mut cargo(&ECHO_BUILD)))?;
    steps.step("autobahn", || test(&python))
}

/// Runs the suite as a step of `cargo xtask test`, where there is a Python 2.7.
///
/// # Errors
/// As [`run`], except that a missing Python is said and forgiven.
pub fn run_if_possible() -> anyhow::Result<()> {
    let Some(python) = python() else {
        println!("skipped: {NO_PYTHON}");
        return Ok(());
    };
    install(&python)?;
    execute(&mut cargo(&ECHO_BUILD))?;
    test(&python)
}

const ECHO_BUILD: [&str; 5] = ["build", "--package", "comity-relay", "--example", "echo"];
const ECHO_RUN: [&str; 8] = ["run", "--quiet", "--package", "comity-relay", "--example", "echo", "--", "127.0.0.1:0"];

/// Finds a Python 2.7 that runs: on the path, or among those of pyenv, whose shim refuses when another is selected.
fn python() -> Option<PathBuf> {
    let pyenv = env::var_os("PYENV_ROOT").map(PathBuf::from);
    let pyenv = pyenv.or_else(|| env::home_dir().map(|home| home.join(".pyenv")))?;
    let versions = fs::read_dir(pyenv.join("versions")).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin/python2.7")).collect();
    found.sort();
    found.insert(0, "python2.7".into());
    found.into_iter().find(|python| {
        let probe = Command::new(python).args(["-m", "pip", "--version"]).stdin(Stdio::null()).output();
        probe.is_ok_and(|output| output.status.success())
    })
}

/// Installs exactly the packages of `requirements.txt` below `target`, unless that was done already.
fn install(python: &Path) -> anyhow::Result<()> {
    let requirements = root().join("tests/autobahn/requirements.txt");
    let wanted = fs::read(&requirements).context("cannot read tests/autobahn/requirements.txt")?;
    let installed = packages().join("installed.txt");
    if fs::read(&installed).is_ok_and(|bytes| bytes == wanted) {
        println!("{} is in line with requirements.txt", packages().display());
        return Ok(());
    }
    let options = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-warn-script-location"];
    // The list is complete, so what is installed elsewhere counts for nothing.
    let exactly = ["--user", "--no-deps", "--ignore-installed", "--only-binary", "cryptography,cffi", "--requirement"];
    execute(suite(python).args(options).args(exactly).arg(requirements))?;
    fs::write(&installed, wanted).context("cannot note which requirements.txt was installed")
}

/// Runs the suite against the echo and judges its report.
fn test(python: &Path) -> anyhow::Result<()> {
    let folder = folder();
    let reports = folder.join("reports");
    if reports.exists() {
        fs::remove_dir_all(&reports).context("cannot remove the last report")?;
    }
    let mut echo = Echo::start()?;
    let spec = json!({
        "outdir": reports, "servers": [{ "agent": "comity", "url": format!("ws://{}", echo.address) }],
        "cases": ["*"], "exclude-cases": [], "exclude-agent-cases": {},
    });
    let spec_file = folder.join("spec.json");
    fs::write(&spec_file, spec.to_string()).context("cannot write the suite's configuration")?;
    let log_file = folder.join("log.txt");
    let log = fs::File::create(&log_file).context("cannot write the suite's log")?;
    let mut suite = suite(python);
    suite.args(["-m", "autobahntestsuite.wstest", "--mode", "fuzzingclient", "--spec"]).arg(spec_file);
    suite.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir(&folder);
    let mut running = suite.spawn().context("cannot start the suite")?;
    if !wait(&mut running, DEADLINE)?.is_some_and(|status| status.success()) {
        bail!("the suite did not end well; its log is {}", log_file.display());
    }
    echo.stop()?;
    let index = fs::read(reports.join("index.json")).context("the suite left no report")?;
    let counts = Counts::of(&serde_json::from_slice(&index)?, "comity")?;
    print!("{counts}");
    println!("report: {}", reports.join("index.html").display());
    counts.judge()
}

/// Makes a Python that sees the suite's packages and no other user's.
fn suite(python: &Path) -> Command {
    let mut command = Command::new(python);
    // A user folder, not `--target`: the packages bring `.pth` files, which Python reads only in a site folder.
    command.env("PYTHONUSERBASE", packages()).env("PYTHONDONTWRITEBYTECODE", "1").env_remove("PYTHONPATH");
    command.env_remove("PIP_USER").env_remove("PIP_TARGET");
    command
}

fn folder() -> PathBuf {
    root().join("target/autobahn")
}

fn packages() -> PathBuf {
    folder().join("python")
}

/// Waits for a child; kills it when the deadline is over, and then gives `None`.
fn wait(child: &mut Child, deadline: Duration) -> anyhow::Result<Option<std::process::ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// The echo, in a process. It stops when its stdin ends, and so also when this process dies.
struct Echo {
    child: Child,
    address: String,
}

impl Echo {
    fn start() -> anyhow::Result<Self> {
        let mut command = cargo(&ECHO_RUN);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start the echo")?;
        let mut address = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut address)?;
        if address.is_empty() {
            bail!("the echo ended with {}", child.wait()?);
        }
        Ok(Self { child, address: address.trim().to_owned() })
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        match wait(&mut self.child, STOP_DEADLINE)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("the echo ended with {status}"),
            None => bail!("the echo did not stop"),
        }
    }
}

/// How many cases ended in each way, with the cases of the rarer ways.
struct Counts(BTreeMap<String, Vec<String>>);

impl Counts {
    /// Reads the suite's `index.json`. A case counts as the worse of its behaviour and its way of closing.
    fn of(index: &Value, agent: &str) -> anyhow::Result<Self> {
        let cases = index[agent].as_object().context("the report has no cases")?;
        let mut counts = BTreeMap::<String, Vec<String>>::new();
        for (case, result) in cases {
            let way = |key: &str| result[key].as_str().with_context(|| format!("case {case} has no {key}"));
            let (behaviour, close) = (way("behavior")?, way("behaviorClose")?);
            let ended = match (behaviour, close) {
                ("OK" | "NON-STRICT", close) if close != "OK" => format!("closed {close}"),
                (behaviour, _) => behaviour.to_owned(),
            };
            counts.entry(ended).or_default().push(case.clone());
        }
        Ok(Self(counts))
    }

    fn judge(&self) -> anyhow::Result<()> {
        let ok = self.0.get("OK").map_or(0, Vec::len);
        let compression = |case: &String| COMPRESSION.iter().any(|chapter| case.starts_with(chapter));
        for (ended, cases) in &self.0 {
            let fine = match ended.as_str() {
                "OK" | "NON-STRICT" | "INFORMATIONAL" => true,
                "UNIMPLEMENTED" => cases.iter().all(compression),
                _ => false,
            };
            if !fine {
                bail!("{ended}: {}", cases.join(", "));
            }
        }
        if ok < OK_MIN {
            bail!("{ok} cases are OK; there were {OK_MIN}");
        }
        Ok(())
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (ended, cases) in &self.0 {
            write!(f, "  {ended:<14} {:>4}", cases.len())?;
            // The rest is the rule, or compression.
            if cases.len() <= 30 {
                write!(f, "  {}", cases.join(", "))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(results: &[(&str, &str, &str)], ok: usize) -> Counts {
        let result = |behaviour: &str, close: &str| json!({ "behavior": behaviour, "behaviorClose": close });
        let mut cases: serde_json::Map<String, Value> =
            (0..ok).map(|number| (format!("1.{number}"), result("OK", "OK"))).collect();
        cases.extend(results.iter().map(|(case, behaviour, close)| ((*case).to_owned(), result(behaviour, close))));
        Counts::of(&json!({ "comity": cases }), "comity").unwrap()
    }

    #[test]
    fn what_the_suite_forgives_is_forgiven() {
        let fine = [
            ("6.4.3", "NON-STRICT", "OK"),
            ("7.1.6", "INFORMATIONAL", "INFORMATIONAL"),
            ("12.1.1", "UNIMPLEMENTED", "UNIMPLEMENTED"),
        ];
        counts(&fine, OK_MIN).judge().unwrap();
    }

    #[test]
    fn a_failure_a_bad_close_and_a_lost_case_are_refused() {
        for (case, behaviour, close) in
            [("9.1.1", "FAILED", "OK"), ("9.1.1", "OK", "UNCLEAN"), ("9.1.1", "UNIMPLEMENTED", "OK")]
        {
            let error = counts(&[(case, behaviour, close)], OK_MIN).judge().unwrap_err();
            assert!(error.to_string().ends_with(": 9.1.1"), "{error}");
        }
        let error = counts(&[], OK_MIN - 1).judge().unwrap_err();
        assert_eq!(error.to_string(), "295 cases are OK; there were 296");
    }
}
