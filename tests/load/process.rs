//! A relay in a process of its own, and what the operating system says of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How long a relay may take to end in good order: its drain deadline, and time for the store.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// A relay process; killed when dropped.
pub struct RelayProcess {
    child: Child,
    /// Takes samples of what it does; ends by itself after it.
    recorder: Option<Child>,
    pub url: String,
}

impl RelayProcess {
    /// Starts `comity relay` from beside this program, in this folder, at this address, with these limits; blocks until
    /// it serves.
    pub fn start_in(folder: &Path, listen: &str, limits: &[&str], log: impl Into<Stdio>) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.args(["relay", "--listen", listen, "--json", "--data"]).arg(folder);
        // All clients of a load come from one address.
        for limit in ["connections_per_address_max=4096"].iter().chain(limits) {
            command.args(["--limit", limit]);
        }
        Self::start(without_own_settings(&mut command), log)
    }

    /// Starts any relay that prints one line of JSON with its `url` when it serves; blocks until then.
    pub fn start(command: &mut Command, log: impl Into<Stdio>) -> Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn();
        let program = command.get_program().to_string_lossy();
        let mut child = child.with_context(|| format!("cannot run {program}; is it built or installed?"))?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut line = String::new();
        // From here on it is killed when something goes wrong.
        let mut relay = Self { child, recorder: None, url: String::new() };
        lines.read_line(&mut line)?;
        let ready: serde_json::Value =
            serde_json::from_str(&line).with_context(|| format!("{program} did not start; it said {line:?}"))?;
        relay.url = ready["url"].as_str().context("the relay does not say its address")?.to_owned();
        Ok(relay)
    }

    /// Lets `perf` sample where it spends its time, from now on until it ends, into a file.
    pub fn record(&mut self, file: &Path) -> Result<()> {
        let mut perf = Command::new("perf");
        perf.args(["record", "--quiet", "-e", "cpu-clock", "-F", "999", "--call-graph", "dwarf,16384", "-p"]);
        perf.arg(self.pid().to_string());
        perf.arg("-o").arg(file).stdin(Stdio::null());
        let started = perf.spawn().context("cannot run perf; on Debian it is in the package linux-perf")?;
        self.recorder = Some(started);
        Ok(())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it with SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end with SIGTERM, and waits until it has.
    pub fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.ended(STOP_PATIENCE)?;
        ensure!(status.success(), "the relay ended with {status} after SIGTERM");
        Ok(())
    }

    fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(Instant::now() < until, "the relay runs {} s after SIGTERM", within.as_secs());
            // The standard library cannot wait for a process with a deadline.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Checks that it has not ended by itself.
    ///
    /// # Errors
    /// How it ended, when it has.
    pub fn check_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("the relay process ended by itself with {status}"),
            None => Ok(()),
        }
    }

    /// Gives the processor time that it has used.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit_once(')').context("an odd stat file")?.1;
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        // The kernel counts in hundredths of a second on every Linux in use.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Gives the memory that it occupies.
    pub fn resident_bytes(&self) -> Result<u64> {
        Ok(number_of(self.pid(), "status", "VmRSS:")? * 1024)
    }

    /// Gives the most memory that it has occupied so far.
    pub fn resident_bytes_most(&self) -> Result<u64> {
        Ok(number_of(self.pid(), "status", "VmHWM:")? * 1024)
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(recorder) = &mut self.recorder {
            // It writes its file before it ends.
            let _ = recorder.wait();
        }
    }
}

/// Gives the `comity` beside this program.
pub fn binary() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("comity"))
}

/// Takes the `COMITY_*` settings of whoever runs this away from a command.
pub fn without_own_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COMITY_")) {
        command.env_remove(name);
    }
    command
}

/// Gives the first number after a word in one of the files of a process.
pub fn number_of(pid: u32, file: &str, word: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/{file}");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let rest = text.lines().find_map(|line| line.strip_prefix(word)).with_context(|| format!("no {word} in {path}"))?;
    let number = rest.split_whitespace().next().with_context(|| format!("no number behind {word} in {path}"))?;
    Ok(number.parse()?)
}
