//! Where the relay lives: its folder, its port, its log; and copies of its folder to look into.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::dice::Dice;
use crate::process::{RelayProcess, binary, without_own_settings};

/// Bounds that are reached in the first minute or two, so that flat memory means something: documents that a thread of
/// the relay may have in memory, fewer than clients work with; how much they take and how long one without news stays
/// there; and how much of a document is written before it is compacted.
const LIMITS: &[&str] =
    &["documents_loaded_max=100", "loaded_bytes_max=8MiB", "idle_after=30s", "compaction_bytes_min=4KiB"];

/// Ports to choose from: below those that the system gives to clients. A client that dials while the relay is away
/// could be given the relay's own port, connect to itself, and keep the relay from coming back.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A relay's place.
#[derive(Clone, Debug)]
pub struct Place {
    top: PathBuf,
    pub address: SocketAddr,
}

/// What `comity store stats` counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreCounts {
    /// What the engine must hold.
    pub live_bytes: u64,
    /// What its files take.
    pub engine_bytes: u64,
}

impl Place {
    /// Chooses a port that is free.
    pub fn below(top: &Path) -> Result<Self> {
        let mut dice = Dice::new(u64::from(std::process::id()), 0);
        let mut ports = (0..100).map(|_| PORTS.start + dice.below(u64::from(PORTS.end - PORTS.start)) as u16);
        let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        let port = ports.find(is_free).context("no free port")?;
        Ok(Self { top: top.to_owned(), address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) })
    }

    /// The relay's data folder.
    pub fn data(&self) -> PathBuf {
        self.top.join("relay")
    }

    /// Starts the relay, always in the same folder and at the same address.
    pub async fn start(&self) -> Result<RelayProcess> {
        self.start_at(self.data(), self.address.to_string()).await
    }

    /// Starts another relay on a copy, where no client finds it.
    pub async fn start_on(&self, image: &Path) -> Result<RelayProcess> {
        self.start_at(image.to_owned(), "127.0.0.1:0".to_owned()).await
    }

    async fn start_at(&self, folder: PathBuf, address: String) -> Result<RelayProcess> {
        let log = File::options().create(true).append(true).open(self.log())?;
        tokio::task::spawn_blocking(move || RelayProcess::start_in(&folder, &address, LIMITS, log)).await?
    }

    /// Copies the folder of a relay that is not there.
    pub async fn image(&self, number: usize) -> Result<PathBuf> {
        let (from, to) = (self.data(), self.top.join(format!("image-{number}")));
        let copied = to.clone();
        tokio::task::spawn_blocking(move || copy(&from, &copied)).await??;
        Ok(to)
    }

    /// Counts what is in the store of a folder that no relay uses.
    pub async fn counts(&self, folder: &Path) -> Result<StoreCounts> {
        let stats = self.store(folder, "stats").await?;
        let number = |name: &str| stats[name].as_u64().with_context(|| format!("`store stats` does not say {name}"));
        Ok(StoreCounts { live_bytes: number("live_bytes")?, engine_bytes: number("engine_disk_bytes")? })
    }

    /// Checks every row in the store of a folder that no relay uses.
    pub async fn verify(&self, folder: &Path) -> Result<()> {
        self.store(folder, "verify").await.map(|_| ())
    }

    async fn store(&self, folder: &Path, what: &'static str) -> Result<serde_json::Value> {
        let mut command = Command::new(binary()?);
        command.arg("--data").arg(folder).args(["store", what, "--json"]).stdin(Stdio::null());
        without_own_settings(&mut command);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        if !output.status.success() {
            bail!("`comity store {what}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Gives the lines of the relay's log that tell of trouble.
    pub fn troubles(&self) -> Vec<String> {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let is_trouble = |line: &&str| ["ERROR", "WARN", "panicked"].iter().any(|word| line.contains(word));
        log.lines().filter(is_trouble).map(str::to_owned).collect()
    }

    fn log(&self) -> PathBuf {
        self.top.join("relay.log")
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}
