//! A relay process and two honest devices that share an audit.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use comity_model::DocumentId;
use comity_node::evidence;
use comity_node::{Document, NewDocument};
use comity_tests::device::{self, Device};
use comity_tests::memory::{self, Memory};
use comity_tests::relay::RelayProcess;
use comity_tests::{http, within};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// How much larger the relay may be after an attack.
pub const GROWTH_BYTES_MAX: u64 = 128 << 20;

/// How long an honest edit may take to the other device, during and after an attack.
pub const HONEST_WITHIN: Duration = Duration::from_secs(2);

/// Where monitors come from: neither the honest nor strangers.
const MONITOR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// One scene at a time: each measures memory and time, and has the machine to itself.
static STAGE: Mutex<()> = Mutex::const_new(());

pub struct Scene {
    pub relay: RelayProcess,
    pub audit: DocumentId,
    folder: TempDir,
    devices: [Device; 2],
    pub writer: Document,
    pub reader: Document,
    pid: u32,
    before: Memory,
    edits: u64,
    _stage: MutexGuard<'static, ()>,
}

impl Scene {
    /// Starts the relay with a config file of this content.
    pub async fn new(config: &str) -> Self {
        Self::with_files(config, None).await
    }

    /// Starts the relay with a config file, and lets it have only so many files open.
    pub async fn with_files(config: &str, files_max: Option<usize>) -> Self {
        let stage = STAGE.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("relay");
        std::fs::create_dir(&data).unwrap();
        let config_file = folder.path().join("relay.toml");
        // A question about a document that nobody has shows that a link is alive; it must not wait for its answer.
        let at_once = "[limits]\nunavailable_after = \"0s\"\n";
        let config = match config.split_once("[limits]\n") {
            Some((before, limits)) => format!("{before}{at_once}{limits}"),
            None => format!("{config}\n{at_once}"),
        };
        std::fs::write(&config_file, config).unwrap();
        let arguments = ["--config", config_file.to_str().unwrap()];
        let relay = match files_max {
            None => RelayProcess::start(&data, &arguments).await,
            Some(files) => RelayProcess::start_with_files(&data, &arguments, files).await,
        };
        let devices = [Device::online(&relay.url()).await, Device::online(&relay.url()).await];
        let new = NewDocument::new("audit".parse().unwrap(), "Roof 7");
        let writer = devices[0].node.create(new).await.unwrap();
        let audit = writer.id();
        let reader = devices[1].fetch(&audit.to_string()).await;
        let pid = relay.pid();
        let before = memory::of_process(pid);
        let mut scene = Self { relay, audit, folder, devices, writer, reader, pid, before, edits: 0, _stage: stage };
        scene.honest_people_go_on().await;
        scene.an_attack_begins();
        scene
    }

    /// Notes how large the relay is, to compare.
    pub fn an_attack_begins(&mut self) {
        memory::forget_peak(self.pid);
        self.before = memory::of_process(self.pid);
    }

    /// Both devices reach each other through the relay in time; gives how long it took.
    pub async fn honest_people_go_on(&mut self) -> Duration {
        let began = Instant::now();
        self.edits += 1;
        let text = format!("edit {}", self.edits);
        let edit = async {
            self.writer.set("M050", "comment", text.as_str()).await.unwrap();
            device::wait_for(&self.reader, "M050/comment", text.as_str()).await;
            self.reader.set("M051", "comment", text.as_str()).await.unwrap();
            device::wait_for(&self.writer, "M051/comment", text.as_str()).await;
        };
        let done = tokio::time::timeout(HONEST_WITHIN, edit).await;
        assert!(done.is_ok(), "honest edits took longer than {} s", HONEST_WITHIN.as_secs());
        began.elapsed()
    }

    /// Ends an attack: honest people are in step in time, it is the same process, and it is hardly larger. Tells what
    /// the relay answered.
    pub async fn ends_well(&mut self, attack: &str, answer: &str) {
        let took = self.honest_people_go_on().await;
        let (status, health) = http::health(MONITOR, self.relay.address()).await;
        assert!(status.contains("200") && health["status"] == "ok", "{attack}: {status}: {health}");
        assert_eq!(self.relay.pid(), self.pid);
        let now = memory::of_process(self.pid);
        let mib = |bytes: u64| bytes.saturating_sub(self.before.resident_bytes) as f64 / f64::from(1 << 20);
        let (peak, after) = (mib(now.peak_bytes), mib(now.resident_bytes));
        println!("| {attack} | {answer} | {peak:.1} | {after:.1} | {} |", took.as_millis());
        let grown = now.resident_bytes.saturating_sub(self.before.resident_bytes);
        assert!(grown <= GROWTH_BYTES_MAX, "{attack}: the relay grew by {after:.0} MiB");
        self.an_attack_begins();
    }

    /// The relay was never much larger than before the attack.
    pub fn memory_stayed(&self) {
        let now = memory::of_process(self.pid);
        let grown = now.peak_bytes.saturating_sub(self.before.resident_bytes);
        assert!(grown <= GROWTH_BYTES_MAX, "the relay grew by {} MiB: {now:?}, before {:?}", grown >> 20, self.before);
    }

    /// What `GET /health` says.
    pub async fn health(&self) -> serde_json::Value {
        http::health(MONITOR, self.relay.address()).await.1
    }

    /// One device goes and comes back.
    pub async fn a_device_reconnects(&mut self) {
        let url = self.relay.url();
        self.devices[1].disconnect().await;
        self.devices[1].connect(&url).await;
    }

    /// The bytes of an attack are kept, with a record that names the attacker and the reason.
    pub async fn is_evidence(&self, attacker: &str, bytes: &[u8]) {
        let folder = self.evidence();
        let limit = comity_model::Limits::default().evidence_bytes_max;
        let kept = &bytes[..bytes.len().min(limit)];
        within(&format!("evidence against {attacker}"), async {
            while !has_evidence(&folder, attacker, kept) {
                // Another process writes the file, and nothing tells when it has.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    fn evidence(&self) -> std::path::PathBuf {
        self.folder.path().join("relay").join(evidence::FOLDER)
    }
}

fn has_evidence(folder: &std::path::Path, attacker: &str, bytes: &[u8]) -> bool {
    let Ok(contents) = evidence::read(folder) else { return false };
    contents.records.iter().any(|record| {
        record.peer.as_ref().is_some_and(|peer| peer.as_str() == attacker)
            && record.reason.len() > 10
            && evidence::read_one(folder, record.number).is_ok_and(|kept| kept.is_some_and(|kept| kept.bytes == bytes))
    })
}
