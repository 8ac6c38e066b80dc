//! How far this node is behind its relays.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use comity_engine::Standing;
use comity_model::{DocumentId, StorageId};
use comity_store::Op;

use crate::{Node, NodeError};

/// Begins the rows of the store that name relays this node has been linked to.
const RELAY_ROWS: &str = "relay/";

/// The last standing of each document, as the engines told it.
#[derive(Default)]
pub(crate) struct Standings {
    by_document: Mutex<BTreeMap<DocumentId, Standing>>,
}

impl Standings {
    pub fn note(&self, document: DocumentId, standing: Standing) {
        self.lock().insert(document, standing);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DocumentId, Standing>> {
        self.by_document.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a status line shows (`S1.9`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncState {
    /// A relay is there and has everything.
    Synced,
    /// A relay is there and does not have everything yet.
    Syncing {
        /// Changes that it is not known to have.
        pending: usize,
    },
    /// No relay is there.
    Offline {
        /// Changes here that no relay is known to have.
        pending: usize,
    },
}

impl fmt::Display for SyncState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changes = |pending: &usize| format!("{pending} change{}", if *pending == 1 { "" } else { "s" });
        match self {
            Self::Synced => f.write_str("synced"),
            Self::Syncing { pending: 0 } => f.write_str("syncing"),
            Self::Syncing { pending } => write!(f, "syncing, {} pending", changes(pending)),
            Self::Offline { pending: 0 } => f.write_str("offline, nothing pending"),
            Self::Offline { pending } => write!(f, "offline, {} pending", changes(pending)),
        }
    }
}

/// Gives how many changes none of the relays is known to have.
pub(crate) fn pending(standing: &Standing, relays: &BTreeSet<StorageId>) -> usize {
    let known = standing.peers.iter().filter(|peer| relays.contains(&peer.storage));
    known.map(|peer| peer.behind).min().unwrap_or(standing.changes)
}

impl Node {
    /// Gives the storages of relays that this node has been linked to.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn relays(&self) -> Result<BTreeMap<StorageId, String>, NodeError> {
        let rows = self.inner.store.metas(RELAY_ROWS)?;
        let relay = |(key, url): (String, bytes::Bytes)| {
            let storage = StorageId::new(key.strip_prefix(RELAY_ROWS)?).ok()?;
            Some((storage, String::from_utf8_lossy(&url).into_owned()))
        };
        Ok(rows.into_iter().filter_map(relay).collect())
    }

    /// Remembers a relay, so that pending changes can be counted while it is away.
    pub(crate) fn remember_relay(&self, storage: &StorageId, url: &str) -> Result<(), NodeError> {
        let key = format!("{RELAY_ROWS}{storage}");
        if key.len() > comity_store::META_KEY_BYTES_MAX || self.inner.store.meta(&key)?.is_some() {
            return Ok(());
        }
        let url: String = url.chars().take(512).collect();
        self.inner.store.commit(&[Op::PutMeta { key, value: bytes::Bytes::from(url) }])?;
        Ok(())
    }

    /// Gives the state of synchronisation, over all documents of this node.
    ///
    /// Documents whose standing is not known yet are loaded to find out, so the first call may take a while.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn sync_state(&self) -> Result<SyncState, NodeError> {
        let documents = self.documents()?;
        let mut unknown: BTreeSet<DocumentId> = documents.iter().copied().collect();
        unknown.retain(|document| !self.inner.standings.lock().contains_key(document));
        for document in unknown {
            let standing = self.document(document).standing().await?;
            self.inner.standings.note(document, standing);
        }
        let online: BTreeSet<StorageId> =
            self.links().into_iter().filter(|link| link.dialed).filter_map(|link| link.peer.storage).collect();
        let is_online = self.links().iter().any(|link| link.dialed);
        let relays = if is_online { online } else { self.relays()?.into_keys().collect() };
        let standings = self.inner.standings.lock();
        let pending: usize =
            documents.iter().filter_map(|document| standings.get(document)).map(|s| pending(s, &relays)).sum();
        Ok(match (is_online, pending) {
            (false, pending) => SyncState::Offline { pending },
            (true, 0) => SyncState::Synced,
            (true, pending) => SyncState::Syncing { pending },
        })
    }
}
