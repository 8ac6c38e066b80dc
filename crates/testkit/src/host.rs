//! One node: an engine or another application, its disk, its clock, and what its user has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use comity_access::Everyone;
use comity_engine::{Config, Effect, Engine, Input, LocalPeer};
use comity_model::{
    ActorId, ChangeHash, DeviceTag, DocumentId, Heads, HybridTime, Instant, Limits, LinkId, PeerId, StorageId,
    Timestamp,
};

use crate::disk::{Disk, Image};
use crate::foreign::Foreign;
use crate::reviews::Kept;

/// Where the relay stands among the nodes.
pub(crate) const RELAY: usize = 0;

/// The device tag of the relay.
const RELAY_TAG: DeviceTag = DeviceTag([RELAY_NUMBER; 16]);

/// The relay's number, far from those of devices.
pub(crate) const RELAY_NUMBER: u8 = 0xff;

/// What the clocks show when a run begins: 2026-11-21 12:00 UTC.
const EPOCH_MS: i64 = 1_795_262_400_000;

/// What runs on a node.
pub(crate) enum Mind {
    Down,
    Comity(Box<Engine>),
    Foreign(Box<Foreign>),
}

pub(crate) struct Host {
    pub name: String,
    local: LocalPeer,
    tag: DeviceTag,
    /// The session part of the actor id of the present or last run.
    session: [u8; 8],
    /// The last run ended in order with everything on disk: the session goes on.
    pub is_clean: bool,
    /// The disk was restored from a backup since the last run.
    pub is_restored: bool,
    pub mind: Mind,
    /// Counts starts, so that what was meant for an earlier run is not taken for this one.
    pub run: u32,
    started_us: u64,
    pub clock: Clock,
    pub disk: Disk,
    /// What the last backup holds.
    pub backup: Option<Image>,
    /// The disk has failed in this run: refusals are no surprise.
    pub is_troubled: bool,
    /// The disk has failed in this run or an earlier one.
    pub was_troubled: bool,
    /// Documents of which the store said that something is lost.
    pub lost: BTreeSet<DocumentId>,
    /// Documents whose trouble with the store was told, and not that it is over.
    pub failed: BTreeSet<DocumentId>,
    pub settles: bool,
    next_link: u64,
    /// No link can be had.
    pub cut: bool,
    /// What is written at this end of its links is lost.
    pub one_way: Option<usize>,
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
    /// What is known of the conflicts of each document, in this run.
    pub reviews: BTreeMap<DocumentId, Kept>,
}

/// What a node's clock shows.
#[derive(Default)]
pub(crate) struct Clock {
    pub skew_ms: i64,
    /// It stands still at this time.
    pub frozen_ms: Option<i64>,
    /// The greatest that it has shown in this run.
    pub greatest_ms: i64,
    /// The time of the last change that was made in this run.
    pub last_act: Option<HybridTime>,
}

impl Clock {
    pub fn wall_ms(&self, now_us: u64) -> i64 {
        let true_ms = EPOCH_MS + i64::try_from(now_us / 1_000).expect("a short run");
        // A real node gives no time before 1970 either.
        self.frozen_ms.unwrap_or(true_ms + self.skew_ms).max(0)
    }
}

impl Host {
    pub fn new(name: String, number: u8, skew_ms: i64) -> Self {
        let id = PeerId::new(&name).expect("a short name");
        let storage = StorageId::new(&format!("storage-of-{name}")).expect("a short name");
        Self {
            name,
            local: LocalPeer { id, storage },
            tag: DeviceTag([number; 16]),
            session: [0; 8],
            is_clean: false,
            is_restored: false,
            mind: Mind::Down,
            run: 0,
            started_us: 0,
            clock: Clock { skew_ms, ..Clock::default() },
            disk: Disk::default(),
            backup: None,
            is_troubled: false,
            was_troubled: false,
            lost: BTreeSet::new(),
            failed: BTreeSet::new(),
            settles: false,
            next_link: 0,
            cut: false,
            one_way: None,
            cut_edits: Default::default(),
            wants: BTreeSet::new(),
            own: BTreeMap::new(),
            seen_heads: BTreeMap::new(),
            loaded: BTreeSet::new(),
            reviews: BTreeMap::new(),
        }
    }

    /// A node with another application, which never ends.
    pub fn foreign(name: String, number: u8) -> Self {
        let mut host = Self::new(name, number, 0);
        host.mind = Mind::Foreign(Box::new(Foreign::new(host.local.id.clone(), number)));
        host.run = 1;
        host
    }

    /// Starts the node on its disk. The actor of the last run goes on if `goes_on`, else one of a new session begins.
    pub fn start(&mut self, now_us: u64, goes_on: bool, new_session: [u8; 8]) {
        if !goes_on {
            self.session = new_session;
        }
        self.is_clean = false;
        self.is_restored = false;
        self.is_troubled = self.disk.trouble.full || self.disk.trouble.refuses_loads;
        self.run += 1;
        self.started_us = now_us;
        self.clock.greatest_ms = 0;
        self.clock.last_act = None;
        self.mind = Mind::Comity(Box::new(Engine::new(Config {
            peer: self.local.id.clone(),
            actor: ActorId::for_session(self.tag, self.session),
            session: format!("run-{}", self.run),
            policy: [0; 8],
            limits: limits(),
            // As in a real node, a relay is not told what the changes hold.
            decode: self.tag != RELAY_TAG,
            rulebook: Box::new(Everyone),
        })));
    }

    /// Ends the node.
    pub fn stop(&mut self) {
        self.mind = Mind::Down;
        self.settles = false;
        self.seen_heads.clear();
        self.loaded.clear();
        self.reviews.clear();
        self.failed.clear();
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

    pub fn is_up(&self) -> bool {
        !matches!(self.mind, Mind::Down)
    }

    pub fn engine(&self) -> Option<&Engine> {
        match &self.mind {
            Mind::Comity(engine) => Some(engine),
            Mind::Down | Mind::Foreign(_) => None,
        }
    }

    pub fn app(&self) -> Option<&Foreign> {
        match &self.mind {
            Mind::Foreign(foreign) => Some(foreign),
            Mind::Down | Mind::Comity(_) => None,
        }
    }

    pub fn app_mut(&mut self) -> Option<&mut Foreign> {
        match &mut self.mind {
            Mind::Foreign(foreign) => Some(foreign),
            Mind::Down | Mind::Comity(_) => None,
        }
    }

    /// Hands an input to whatever runs here; `None` while the node is down.
    pub fn handle(&mut self, now_us: u64, input: Input) -> Option<Vec<Effect>> {
        let now = self.instant(now_us);
        self.clock.greatest_ms = self.clock.greatest_ms.max(now.wall.unix_ms);
        match &mut self.mind {
            Mind::Down => None,
            Mind::Comity(engine) => Some(engine.handle(now, input)),
            Mind::Foreign(foreign) => Some(foreign.handle(input)),
        }
    }

    /// Whether the memory of what runs here holds a change.
    pub fn remembers(&self, document: &DocumentId, change: &ChangeHash) -> bool {
        match &self.mind {
            Mind::Down => false,
            Mind::Comity(engine) => engine.document(document).is_some_and(|content| content.contains(change)),
            Mind::Foreign(foreign) => foreign.contains(document, change),
        }
    }

    pub fn local(&self) -> LocalPeer {
        self.local.clone()
    }

    pub fn storage(&self) -> &StorageId {
        &self.local.storage
    }

    pub fn instant(&self, now_us: u64) -> Instant {
        Instant {
            monotonic: Duration::from_micros(now_us - self.started_us),
            wall: Timestamp::from_unix_ms(self.clock.wall_ms(now_us)),
        }
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
