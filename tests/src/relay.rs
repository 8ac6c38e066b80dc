//! Relays: one in the process of the test, one as the real `comity relay`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use comity_relay::{Relay, RelayConfig};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::{comity, within};

/// A relay in the process of the test, on a free port and a folder of its own.
pub struct LocalRelay {
    relay: Relay,
    folder: TempDir,
}

impl LocalRelay {
    /// Starts one.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let relay = start(SocketAddr::from(([127, 0, 0, 1], 0)), folder.path()).await;
        Self { relay, folder }
    }

    /// Gives the URL to dial.
    pub fn url(&self) -> String {
        format!("ws://{}", self.relay.local_addr())
    }

    /// Gives the relay itself.
    pub fn relay(&self) -> &Relay {
        &self.relay
    }

    /// Shuts down in good order. The port and the folder wait for [`Stopped::start`].
    pub async fn stop(self) -> Stopped {
        let address = self.relay.local_addr();
        within("the relay shuts down", self.relay.shutdown()).await.expect("the relay's store closes");
        Stopped { address, folder: self.folder }
    }
}

/// A relay that has shut down.
pub struct Stopped {
    address: SocketAddr,
    folder: TempDir,
}

impl Stopped {
    /// Starts it again, where it was.
    pub async fn start(self) -> LocalRelay {
        LocalRelay { relay: start(self.address, self.folder.path()).await, folder: self.folder }
    }
}

async fn start(address: SocketAddr, folder: &Path) -> Relay {
    let mut config = RelayConfig::new(address, folder);
    // Clients of a test come back at once.
    config.server.retry_spread = std::time::Duration::from_secs(1);
    within("the relay starts", Relay::start(config)).await.unwrap_or_else(|error| panic!("relay: {error}"))
}

/// The real `comity relay`, as a process. Killed when it is dropped.
pub struct RelayProcess {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
    arguments: Vec<String>,
}

impl RelayProcess {
    /// Starts one on a free port.
    pub async fn start(folder: &Path, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let command = Command::new(comity::binary());
        Self::start_at(command, SocketAddr::from(([127, 0, 0, 1], 0)), folder.to_owned(), arguments).await
    }

    /// Starts one that may have only so many files open.
    pub async fn start_with_files(folder: &Path, arguments: &[&str], files_max: usize) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -n {files_max} && exec \"$0\" \"$@\"")).arg(comity::binary());
        Self::start_at(command, SocketAddr::from(([127, 0, 0, 1], 0)), folder.to_owned(), arguments).await
    }

    async fn start_at(mut command: Command, listen: SocketAddr, folder: PathBuf, arguments: Vec<String>) -> Self {
        let mut child = comity::without_own_settings(&mut command)
            .args(["relay", "--listen", &listen.to_string(), "--data"])
            .arg(&folder)
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the comity binary runs");
        // The address stands in a line of its output; the other lines are shown when a test fails.
        let (lines, mut said) = mpsc::unbounded_channel();
        tokio::spawn(forward(child.stdout.take().expect("stdout is piped"), lines.clone()));
        tokio::spawn(forward(child.stderr.take().expect("stderr is piped"), lines));
        let mut heard = Vec::new();
        let address = within("the relay process says where it listens", async {
            loop {
                let Some(line) = said.recv().await else { panic!("the relay process ended; it said {heard:#?}") };
                if let Some(address) = address_in(&line) {
                    return address;
                }
                heard.push(line);
            }
        })
        .await;
        // Goes on reading, so that the process never blocks on a full pipe.
        tokio::spawn(async move {
            while let Some(line) = said.recv().await {
                println!("relay: {line}");
            }
        });
        Self { child, address, folder, arguments }
    }

    /// Gives the URL to dial.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Gives where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives the process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the relay process runs")
    }

    /// Gives the data folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends it with SIGKILL, in the middle of whatever it does. Port and folder wait for [`Killed::start`].
    pub async fn kill(mut self) -> Killed {
        self.child.kill().await.expect("the relay process can be killed");
        Killed { address: self.address, folder: self.folder, arguments: self.arguments }
    }
}

/// A relay process that was killed.
pub struct Killed {
    address: SocketAddr,
    folder: PathBuf,
    arguments: Vec<String>,
}

impl Killed {
    /// Starts it again, where it was.
    pub async fn start(self) -> RelayProcess {
        RelayProcess::start_at(Command::new(comity::binary()), self.address, self.folder, self.arguments).await
    }
}

async fn forward(output: impl AsyncRead + Unpin, lines: mpsc::UnboundedSender<String>) {
    let mut output = BufReader::new(output).lines();
    while let Ok(Some(line)) = output.next_line().await {
        if lines.send(line).is_err() {
            return;
        }
    }
}

/// Finds `127.0.0.1:PORT` in a line.
fn address_in(line: &str) -> Option<SocketAddr> {
    let at = line.find("127.0.0.1:")?;
    let rest = &line[at..];
    let digits = rest["127.0.0.1:".len()..].chars().take_while(char::is_ascii_digit).count();
    let address: SocketAddr = rest[.."127.0.0.1:".len() + digits].parse().ok()?;
    (address.port() != 0).then_some(address)
}
