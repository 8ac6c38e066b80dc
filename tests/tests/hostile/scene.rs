//! A relay process and two honest devices that share an audit.

use std::path::Path;
use std::time::Duration;

use comity_model::DocumentId;
use comity_node::{Document, NewDocument};
use comity_tests::device::{self, Device};
use comity_tests::memory::{self, Memory};
use comity_tests::relay::RelayProcess;
use comity_tests::within;
use tempfile::TempDir;

/// How much the relay's memory may grow at any moment of an attack.
pub const GROWTH_BYTES_MAX: u64 = 80 << 20;

/// How long an honest edit may take to the other device, during and after an attack.
pub const HONEST_WITHIN: Duration = Duration::from_secs(2);

pub struct Scene {
    pub relay: RelayProcess,
    pub audit: DocumentId,
    _folder: TempDir,
    _devices: [Device; 2],
    writer: Document,
    reader: Document,
    before: Memory,
    edits: u64,
}

impl Scene {
    /// Starts the relay with a config file of this content.
    pub async fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("relay");
        std::fs::create_dir(&data).unwrap();
        let config_file = folder.path().join("relay.toml");
        std::fs::write(&config_file, config).unwrap();
        let relay = RelayProcess::start(&data, &["--config", config_file.to_str().unwrap()]).await;
        let devices = [Device::online(&relay.url()).await, Device::online(&relay.url()).await];
        let new = NewDocument::new("audit".parse().unwrap(), "Roof 7");
        let writer = devices[0].node.create(new).await.unwrap();
        let audit = writer.id();
        let reader = devices[1].fetch(&audit.to_string()).await;
        let before = memory::of_process(relay.pid());
        let mut scene = Self { relay, audit, _folder: folder, _devices: devices, writer, reader, before, edits: 0 };
        scene.honest_people_go_on().await;
        scene.before = memory::of_process(scene.relay.pid());
        scene
    }

    /// An edit of one device reaches the other in time.
    pub async fn honest_people_go_on(&mut self) {
        self.edits += 1;
        let text = format!("edit {}", self.edits);
        let edit = async {
            self.writer.set("M050", "comment", text.as_str()).await.unwrap();
            device::wait_for(&self.reader, "M050/comment", text.as_str()).await;
        };
        let took = tokio::time::timeout(HONEST_WITHIN, edit).await;
        assert!(took.is_ok(), "an honest edit took longer than {} s", HONEST_WITHIN.as_secs());
    }

    /// The relay never held much more than before.
    pub fn memory_stayed(&self) {
        let now = memory::of_process(self.relay.pid());
        let grown = now.peak_bytes.saturating_sub(self.before.resident_bytes);
        println!("the relay grew by {} KiB at most", grown >> 10);
        assert!(grown <= GROWTH_BYTES_MAX, "the relay grew by {} MiB: {now:?}, before {:?}", grown >> 20, self.before);
    }

    /// The bytes of an attack are in the evidence folder, with a note that names the attacker.
    pub async fn is_evidence(&self, attacker: &str, bytes: &[u8]) {
        let folder = self.relay.folder().join("evidence");
        let kept = &bytes[..bytes.len().min(comity_model::Limits::default().evidence_bytes_max)];
        within(&format!("evidence against {attacker}"), async {
            while !has_evidence(&folder, attacker, kept) {
                // Another process writes the file, and nothing tells when it has.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

fn has_evidence(folder: &Path, attacker: &str, bytes: &[u8]) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "txt")).any(
        |note| {
            let says = std::fs::read_to_string(&note).unwrap_or_default();
            says.lines().any(|line| line == format!("peer: {attacker}"))
                && says.lines().any(|line| line.starts_with("reason: ") && line.len() > 20)
                && std::fs::read(note.with_extension("bin")).is_ok_and(|kept| kept == bytes)
        },
    )
}
