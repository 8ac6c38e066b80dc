//! What the operating system says of the relay, every few seconds.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::stage::Stage;
use crate::process::number_of;

/// Between two samples.
const PAUSE: Duration = Duration::from_secs(5);

/// How long the relay may take to say how it is.
const HEALTH_PATIENCE: Duration = Duration::from_secs(5);

/// One look at the relay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Which process of the relay, from 0.
    pub life: usize,
    /// Since it came up.
    pub age_s: f64,
    /// Since the run began.
    pub at_s: f64,
    pub resident_bytes: u64,
    pub descriptors: u64,
    pub threads: u64,
    /// Pages that the process has made dirty and the disk must write, the file system's own among them.
    pub disk_written_bytes: u64,
    /// What the process has given to `write`: to files, and, where a message goes out in parts, to sockets.
    pub given_bytes: u64,
    /// Whether clients still came and went: the comparison in the end, which reads all documents, is another load.
    pub is_work: bool,
    /// For how long it had been calm.
    pub calm_s: Option<f64>,
    /// Open sockets, as the relay counts them; none when it did not answer.
    pub connections: Option<u64>,
    /// What its folder takes.
    pub folder_bytes: u64,
    /// What its journal takes, which the store holds in memory too until the next checkpoint.
    pub journal_bytes: u64,
    /// Edits acknowledged since the run began.
    pub acknowledged: usize,
    /// Handshakes done since the run began.
    pub handshakes: usize,
}

/// Looks at the relay while there is one, from a thread of its own.
#[derive(Clone)]
pub struct Watch(Arc<Inner>);

struct Inner {
    started: Instant,
    folder: PathBuf,
    address: SocketAddr,
    stage: Arc<Stage>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    relay: Option<(usize, u32, Instant)>,
    samples: Vec<Sample>,
    is_over: bool,
}

impl Watch {
    pub fn start(folder: PathBuf, address: SocketAddr, stage: Arc<Stage>) -> Self {
        let state = Mutex::default();
        let watch = Self(Arc::new(Inner { started: Instant::now(), folder, address, stage, state }));
        let own = watch.clone();
        std::thread::spawn(move || own.run());
        watch
    }

    /// A relay has come up.
    pub fn begin(&self, life: usize, pid: u32) {
        self.state().relay = Some((life, pid, Instant::now()));
    }

    /// The relay is about to end: one last look.
    pub fn end(&self) {
        self.look();
        self.state().relay = None;
    }

    /// Looks no more.
    pub fn stop(&self) {
        self.state().is_over = true;
    }

    pub fn samples(&self) -> Vec<Sample> {
        self.state().samples.clone()
    }

    pub fn last(&self) -> Option<Sample> {
        self.state().samples.last().copied()
    }

    fn run(&self) {
        while !self.state().is_over {
            self.look();
            // A sample now and then is what this thread is for.
            std::thread::sleep(PAUSE);
        }
    }

    fn look(&self) {
        let Some((life, pid, since)) = self.state().relay else { return };
        // A process that is just going has nothing to say.
        if let Ok(sample) = self.sample(life, pid, since) {
            let mut state = self.state();
            if state.relay.is_some_and(|(now, ..)| now == life) {
                state.samples.push(sample);
            }
        }
    }

    fn sample(&self, life: usize, pid: u32, since: Instant) -> Result<Sample> {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
        Ok(Sample {
            life,
            age_s: since.elapsed().as_secs_f64(),
            at_s: self.0.started.elapsed().as_secs_f64(),
            resident_bytes: number_of(pid, "status", "VmRSS:")? * 1024,
            descriptors,
            threads: number_of(pid, "status", "Threads:")?,
            disk_written_bytes: number_of(pid, "io", "write_bytes:")?,
            given_bytes: number_of(pid, "io", "wchar:")?,
            is_work: self.0.stage.is_working(),
            calm_s: self.0.stage.calm_for().map(|calm| calm.as_secs_f64()),
            connections: connections(self.0.address).ok(),
            folder_bytes: bytes_below(&self.0.folder),
            journal_bytes: bytes_below(&self.0.folder.join("store/journal")),
            acknowledged: self.0.stage.ledger.totals().acknowledged,
            handshakes: self.0.stage.counters.connections.load(Relaxed),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the relay how many sockets are open, without the one that asks.
fn connections(address: SocketAddr) -> Result<u64> {
    let mut stream = TcpStream::connect_timeout(&address, HEALTH_PATIENCE)?;
    stream.set_read_timeout(Some(HEALTH_PATIENCE))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").context("no body")?.1;
    let health: serde_json::Value = serde_json::from_str(body)?;
    Ok(health["connections"].as_u64().context("no count of connections")?.saturating_sub(1))
}

/// Adds up the files below a folder. What goes while this looks counts as nothing.
pub fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
