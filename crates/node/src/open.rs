//! Opens the parts of a node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use bytes::Bytes;
use comity_access::{Everyone, Rulebook};
use comity_engine::{Config as EngineConfig, Event, FailureKind};
use comity_model::{DocumentId, KindName, KindSchema, Limits};
use comity_store::{Op, OpenReport, SledStore, Store, StoreError, Writer, WriterOptions};
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast};

use crate::config::{NodeConfig, OpenError, Role, STORE_FOLDER};
use crate::evidence::{self, Keeper};
use crate::identity;
use crate::losses::Losses;
use crate::node::{Inner, NodeEvent};
use crate::shard::{EventSink, Shard, Surroundings};
use crate::status::Board;

/// Events that a slow listener may fall behind before it misses some (and is told so).
const EVENTS: usize = 4_096;

/// The row of the store that says what the data folder is for.
const ROLE_ROW: &str = "role";

impl Inner {
    pub fn open(config: NodeConfig, runtime: Handle) -> Result<(Self, OpenReport, bool), OpenError> {
        let NodeConfig { folder, role, limits, shards, wants_all, decode, schemas } = config;
        // Before anything runs that would have to be stopped again.
        let schemas = merge_schemas(schemas)?;
        std::fs::create_dir_all(&folder).map_err(|error| OpenError::io("make", &folder, error))?;
        let (store, report) = open_store(&folder, &limits)?;
        // First of all: what the store lost is written down before anybody uses what is left.
        let evidence_folder = folder.join(evidence::FOLDER);
        let keeper = Keeper::open(&evidence_folder, &limits, Some(runtime.clone()))
            .map_err(|error| OpenError::io("use", &evidence_folder, error))?;
        let evidence = Arc::new(keeper);
        let losses = Losses::open(&report, &*store, &evidence).map_err(OpenError::Store)?;
        check_role(&folder, role, &*store, report.created)?;
        let key = identity::device_key(&folder.join("device.key"))?;
        // Damage that was acknowledged, by whomever, is marked in the store. What was found now counts even where the mark
        // could not be written; and after a crash nobody knows what the last session sent.
        let is_doubtful = report.is_damaged() || !report.clean;
        let identity = identity::open(key, &folder, &*store, is_doubtful)?;
        let writer = Writer::start(Arc::clone(&store), WriterOptions::default()).map_err(OpenError::Store)?;
        let writer = Arc::new(writer);
        let (events, _) = broadcast::channel(EVENTS);
        let (board, losses) = (Arc::new(Board::default()), Arc::new(losses));
        let spaces = Arc::new(RwLock::new(BTreeSet::new()));
        let space_changed = Arc::new(Notify::new());
        let has_lost = Arc::new(AtomicBool::new(false));
        let surroundings = Surroundings {
            store: Arc::clone(&store),
            writer: Arc::clone(&writer),
            evidence: Arc::clone(&evidence),
            events: event_sink(&events, &board, &losses, &spaces, &space_changed),
            runtime,
            has_lost: Arc::clone(&has_lost),
            started: Instant::now(),
            index: 0,
        };
        let engine = || EngineConfig {
            peer: identity.peer.clone(),
            actor: identity.actor.clone(),
            session: identity.run.clone(),
            policy: [0; 8],
            limits: limits.clone(),
            decode,
            rulebook: Box::new(Everyone) as Box<dyn Rulebook>,
        };
        let shards = start_shards(shards.max(1), &surroundings, engine)
            .map_err(|error| OpenError::io("start a thread for", &folder, error))?;
        let inner = Self {
            folder,
            role,
            limits,
            identity,
            store,
            writer,
            evidence,
            losses,
            shards,
            events,
            board,
            spaces,
            space_changed,
            schemas,
            has_lost,
            closed: AtomicBool::new(false),
            links: Mutex::default(),
            next_link: AtomicU64::new(1),
        };
        Ok((inner, report, wants_all))
    }
}

/// Opens the store. One that was closed well is not read whole; if a row that every start needs turns out to be damaged,
/// it is opened again, which checks all of it and saves what is left.
fn open_store(folder: &Path, limits: &Limits) -> Result<(Arc<dyn Store>, OpenReport), OpenError> {
    let options = comity_store::Options { cache_bytes: limits.cache_bytes_max, ..Default::default() };
    let open = || SledStore::open(&folder.join(STORE_FOLDER), options.clone());
    let (store, report) = open()?;
    // By name: a damaged row may not be able to say its own.
    let read = || [ROLE_ROW, identity::SESSION_ROW].iter().try_for_each(|key| store.meta(key).map(drop));
    match read() {
        Ok(()) => Ok((Arc::new(store), report)),
        Err(StoreError::DamagedMeta { key }) => {
            tracing::warn!(key, "a row of the node is damaged; the store is checked");
            // Not closed: then the next opening takes it for one that crashed, and looks at everything.
            drop(store);
            let (store, report) = open()?;
            Ok((Arc::new(store), report))
        }
        Err(error) => Err(OpenError::Store(error)),
    }
}

/// Remembers what a new folder is for. A relay on the folder of a device would hand the device's documents to strangers,
/// and two processes of one identity would meet.
fn check_role(folder: &Path, role: Role, store: &dyn Store, is_new: bool) -> Result<(), OpenError> {
    if is_new {
        let row = Op::PutMeta { key: ROLE_ROW.to_owned(), value: Bytes::from_static(role.as_str().as_bytes()) };
        return store.commit(&[row]).map_err(OpenError::Store);
    }
    // A folder that does not say may be anything; so may one whose row is damaged, which was told.
    let is_device = matches!(store.meta(ROLE_ROW), Ok(Some(row)) if row == Role::Device.as_str().as_bytes());
    if role == Role::Relay && is_device { Err(OpenError::OfADevice { folder: folder.to_owned() }) } else { Ok(()) }
}

fn start_shards(
    count: u16,
    surroundings: &Surroundings,
    engine: impl Fn() -> EngineConfig,
) -> std::io::Result<Vec<Shard>> {
    let mut running: Vec<Shard> = Vec::new();
    for index in 0..count {
        let surroundings = Surroundings { index, ..surroundings.clone() };
        match Shard::start(format!("comity-shard-{index}"), engine(), surroundings) {
            Ok(shard) => running.push(shard),
            Err(error) => {
                running.iter().for_each(Shard::stop_later);
                return Err(error);
            }
        }
    }
    Ok(running)
}

/// Makes what the shards report their events to.
fn event_sink(
    events: &broadcast::Sender<NodeEvent>,
    board: &Arc<Board>,
    losses: &Arc<Losses>,
    spaces: &Arc<RwLock<BTreeSet<DocumentId>>>,
    space_changed: &Arc<Notify>,
) -> EventSink {
    let (events, board, losses) = (events.clone(), Arc::clone(board), Arc::clone(losses));
    let (spaces, space_changed) = (Arc::clone(spaces), Arc::clone(space_changed));
    Arc::new(move |event| {
        match &event {
            Event::Stands { document, standing } => {
                board.note(*document, standing.clone());
                losses.heard(document, standing);
            }
            Event::Failed { document, failure } if failure.kind == FailureKind::Damaged => {
                losses.found(*document, &failure.message);
            }
            Event::Incomplete { document, missing } => losses.incomplete(*document, missing),
            Event::Changed { document, .. }
                if spaces.read().unwrap_or_else(PoisonError::into_inner).contains(document) =>
            {
                board.space_changed();
                space_changed.notify_one();
            }
            _ => {}
        }
        // Nobody listens: nothing to tell.
        let _ = events.send(NodeEvent::Document(event));
    })
}

fn merge_schemas(own: Vec<KindSchema>) -> Result<BTreeMap<KindName, KindSchema>, OpenError> {
    let mut schemas = BTreeMap::new();
    for schema in KindSchema::built_in().into_iter().chain(own) {
        schema.check().map_err(|reason| OpenError::Schema { kind: schema.name.clone(), reason })?;
        schemas.insert(schema.name.clone(), schema);
    }
    Ok(schemas)
}
