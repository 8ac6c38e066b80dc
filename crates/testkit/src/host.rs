//! One node: an engine, its disk, its clock, and what its user has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use comity_access::Everyone;
use comity_engine::{Config, Engine, LocalPeer};
use comity_model::{
    ActorId, ChangeHash, DeviceTag, DocumentId, Heads, Instant, Limits, LinkId, PeerId, StorageId, Timestamp,
};

use crate::disk::Disk;

/// Where the relay stands among the nodes.
pub(crate) const RELAY: usize = 0;

/// What the clocks show when a run begins: 2026-11-21 12:00 UTC.
const EPOCH_MS: i64 = 1_795_262_400_000;

pub(crate) struct Host {
    pub name: String,
    local: LocalPeer,
    tag: DeviceTag,
    session: [u8; 8],
    /// `None` while the node is down.
    pub engine: Option<Engine>,
    /// Counts starts, so that what was meant for an earlier run is not taken for this one.
    pub run: u32,
    started_us: u64,
    clock_skew_ms: i64,
    pub disk: Disk,
    pub settles: bool,
    next_link: u64,
    /// No link can be had.
    pub cut: bool,
    /// Edited while it was cut off: here, and anywhere else.
    pub cut_edits: (BTreeSet<DocumentId>, BTreeSet<DocumentId>),
    /// Documents that it wants.
    pub wants: BTreeSet<DocumentId>,
    /// Its own changes, as far as they have never been lost here.
    pub own: BTreeMap<DocumentId, BTreeSet<ChangeHash>>,
    /// Heads that its user has seen in this run.
    pub seen_heads: BTreeMap<DocumentId, Vec<Heads>>,
    /// Documents that were in memory in this run.
    pub loaded: BTreeSet<DocumentId>,
}

impl Host {
    pub fn new(name: String, number: u8, clock_skew_ms: i64) -> Self {
        let id = PeerId::new(&name).expect("a short name");
        let storage = StorageId::new(&format!("storage-of-{name}")).expect("a short name");
        Self {
            name,
            local: LocalPeer { id, storage },
            tag: DeviceTag([number; 16]),
            session: [0; 8],
            engine: None,
            run: 0,
            started_us: 0,
            clock_skew_ms,
            disk: Disk::default(),
            settles: false,
            next_link: 0,
            cut: false,
            cut_edits: Default::default(),
            wants: BTreeSet::new(),
            own: BTreeMap::new(),
            seen_heads: BTreeMap::new(),
            loaded: BTreeSet::new(),
        }
    }

    /// Starts the node on its disk, under a new actor if there is a session for one.
    pub fn start(&mut self, now_us: u64, session: Option<[u8; 8]>) {
        self.session = session.unwrap_or(self.session);
        self.run += 1;
        self.started_us = now_us;
        self.engine = Some(Engine::new(Config {
            peer: self.local.id.clone(),
            actor: ActorId::for_session(self.tag, self.session),
            session: format!("run-{}", self.run),
            policy: [0; 8],
            limits: limits(),
            decode: false,
            rulebook: Box::new(Everyone),
        }));
    }

    /// Ends the node.
    pub fn stop(&mut self) {
        self.engine = None;
        self.settles = false;
        self.seen_heads.clear();
        self.loaded.clear();
    }

    /// Takes note of what the disk holds after a stop.
    pub fn remember_from_disk(&mut self) {
        self.wants = self.disk.documents().into_iter().collect();
        let disk = &self.disk;
        self.own.retain(|document, changes| {
            if let Ok(content) = disk.durable(document) {
                changes.retain(|change| content.contains(change));
            }
            !changes.is_empty()
        });
    }

    pub fn local(&self) -> LocalPeer {
        self.local.clone()
    }

    pub fn storage(&self) -> &StorageId {
        &self.local.storage
    }

    pub fn instant(&self, now_us: u64) -> Instant {
        let wall_ms = EPOCH_MS + i64::try_from(now_us / 1_000).expect("a short run") + self.clock_skew_ms;
        Instant { monotonic: Duration::from_micros(now_us - self.started_us), wall: Timestamp::from_unix_ms(wall_ms) }
    }

    pub fn next_link(&mut self) -> LinkId {
        self.next_link += 1;
        LinkId(self.next_link)
    }
}

/// Bounds so small that they are met.
pub(crate) fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.link_queue_messages_max = 8;
    limits.documents_loaded_max = 3;
    limits.loads_max = 2;
    limits.waiting_inputs_max = 16;
    limits.sessions_per_document_max = 3;
    limits.ephemeral_sessions_max = 4;
    limits.ephemeral_per_second = 5;
    limits.ephemeral_burst = 5;
    limits.compaction_bytes_min = 1_024;
    limits.idle_after = Duration::from_secs(2);
    limits
}
