//! A relay in a process of its own, and what the operating system says of it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

/// A relay process; killed when dropped.
pub struct RelayProcess {
    child: Child,
    pub url: String,
    _folder: tempfile::TempDir,
}

impl RelayProcess {
    /// Starts `comity relay` from beside this program, on a free port, with its data in a temporary folder.
    pub fn start() -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("comity");
        let folder = tempfile::tempdir()?;
        let mut child = Command::new(&program)
            .args(["relay", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path())
            .args(["--limit", "connections_per_address_max=4096", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}; build it first", program.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let ready: serde_json::Value = serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))?;
        let url = ready["url"].as_str().context("the relay does not say its address")?.to_owned();
        Ok(Self { child, url, _folder: folder })
    }

    /// Gives the processor time that it has used.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit_once(')').context("an odd stat file")?.1;
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        // The kernel counts in hundredths of a second on every Linux in use.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Gives the memory that it occupies.
    pub fn resident_bytes(&self) -> Result<usize> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib: usize = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
