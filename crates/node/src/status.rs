//! How far this node is behind its relays, and they behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use comity_engine::{Answer, Standing};
use comity_model::{DocumentId, LinkId, StorageId};
use comity_store::{Op, StoreError};
use tokio::sync::broadcast::error::RecvError;

use crate::{Node, NodeError};

/// Begins the rows of the store that name relays this node has been linked to.
const RELAY_ROWS: &str = "relay/";

/// What a status line shows (`S1.9`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncState {
    /// A relay is there, and both have the same of every document, on disk here.
    Synced,
    /// A relay is there, and something is still to be sent or received.
    Syncing {
        /// Changes here that it is not known to have.
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

/// What the status knows: the wanted documents, how each stands, and which links lead to relays.
#[derive(Default)]
pub(crate) struct Board {
    inner: Mutex<Standings>,
}

#[derive(Default)]
struct Standings {
    wanted: BTreeSet<DocumentId>,
    standings: BTreeMap<DocumentId, Standing>,
    uplinks: BTreeSet<LinkId>,
    /// Storages of the relays that this node has ever been linked to.
    relays: BTreeSet<StorageId>,
    /// Wanted documents that are not in step with any uplink. Kept as things happen, so that asking is cheap however
    /// many documents there are.
    unsettled: BTreeSet<DocumentId>,
    /// Counts changes of spaces, and how many of them have been followed: what a space lists anew is wanted, too.
    spaces_changed: u64,
    spaces_followed: u64,
}

impl Board {
    /// Adds a wanted document; false when it was wanted already.
    pub fn want(&self, document: DocumentId) -> bool {
        let mut board = self.lock();
        board.judge(document);
        board.wanted.insert(document)
    }

    pub fn note(&self, document: DocumentId, standing: Standing) {
        let mut board = self.lock();
        board.standings.insert(document, standing);
        board.judge(document);
    }

    /// Notes a standing that was asked for, unless the document has told of a newer one meanwhile.
    fn note_first(&self, document: DocumentId, standing: Standing) {
        let mut board = self.lock();
        board.standings.entry(document).or_insert(standing);
        board.judge(document);
    }

    pub fn uplink(&self, link: LinkId, is_up: bool) {
        let mut board = self.lock();
        if is_up {
            board.uplinks.insert(link);
        } else {
            board.uplinks.remove(&link);
        }
        for document in board.wanted.clone() {
            board.judge(document);
        }
    }

    pub fn space_changed(&self) {
        self.lock().spaces_changed += 1;
    }

    /// Gives how many changes of spaces there are to follow.
    pub fn spaces_to_follow(&self) -> u64 {
        self.lock().spaces_changed
    }

    pub fn spaces_followed(&self, up_to: u64) {
        self.lock().spaces_followed = up_to;
    }

    fn lock(&self) -> MutexGuard<'_, Standings> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standings {
    fn judge(&mut self, document: DocumentId) {
        let uplinks = &self.uplinks;
        let is_settled = self.standings.get(&document).is_some_and(|standing| {
            !standing.unsaved
                && standing.peers.iter().filter(|peer| peer.link.is_some_and(|link| uplinks.contains(&link))).any(
                    |peer| match peer.answer {
                        Answer::InStep => peer.behind == 0,
                        Answer::Unavailable => standing.changes == 0,
                        Answer::None | Answer::Differs => false,
                    },
                )
        });
        if is_settled {
            self.unsettled.remove(&document);
        } else {
            self.unsettled.insert(document);
        }
    }

    /// Gives how many changes of a document none of the relays is known to have.
    fn pending(&self, document: &DocumentId) -> usize {
        let Some(standing) = self.standings.get(document) else { return 0 };
        let known = standing.peers.iter().filter(|peer| {
            let is_uplink = peer.link.is_some_and(|link| self.uplinks.contains(&link));
            is_uplink || peer.storage.as_ref().is_some_and(|storage| self.relays.contains(storage))
        });
        known.map(|peer| peer.behind).min().unwrap_or(standing.changes)
    }
}

impl Node {
    /// Gives the relays that this node has been linked to: their storages, and where they were found first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn relays(&self) -> Result<BTreeMap<StorageId, String>, NodeError> {
        Ok(self.read_relays()?)
    }

    fn read_relays(&self) -> Result<BTreeMap<StorageId, String>, StoreError> {
        let mut relays = BTreeMap::new();
        for key in self.inner.store.meta_keys()? {
            let storage = key.strip_prefix(RELAY_ROWS).and_then(|storage| StorageId::new(storage).ok());
            if let (Some(storage), Some(url)) = (storage, self.inner.store.meta(&key)?) {
                relays.insert(storage, String::from_utf8_lossy(&url).into_owned());
            }
        }
        Ok(relays)
    }

    /// Reads from the store which relays there were.
    pub(crate) fn recall_relays(&self) -> Result<(), StoreError> {
        let relays = self.read_relays()?.into_keys().collect();
        self.inner.board.lock().relays = relays;
        Ok(())
    }

    /// Remembers a relay, so that pending changes can be counted while it is away.
    pub(crate) fn remember_relay(&self, storage: &StorageId, url: &str) -> Result<(), NodeError> {
        let key = format!("{RELAY_ROWS}{storage}");
        if key.len() > comity_store::META_KEY_BYTES_MAX || self.inner.store.meta(&key)?.is_some() {
            return Ok(());
        }
        self.inner.board.lock().relays.insert(storage.clone());
        let url: String = url.chars().take(512).collect();
        self.inner.store.commit(&[Op::PutMeta { key, value: bytes::Bytes::from(url) }])?;
        Ok(())
    }

    /// Gives the documents that this node wants: those in its store and those that its spaces list.
    pub fn wanted(&self) -> Vec<DocumentId> {
        self.inner.board.lock().wanted.iter().copied().collect()
    }

    /// Gives the state of synchronisation, over all documents that this node wants.
    ///
    /// Documents whose standing is not known yet are loaded to find out, so the first call may take a while.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn sync_state(&self) -> Result<SyncState, NodeError> {
        let unknown: Vec<DocumentId> = {
            let board = self.inner.board.lock();
            board.unsettled.iter().filter(|document| !board.standings.contains_key(document)).copied().collect()
        };
        for document in unknown {
            match self.document(document).standing().await {
                Ok(standing) => self.inner.board.note_first(document, standing),
                // One document that cannot be read must not hide how the others stand; it stays unsettled.
                Err(NodeError::Load(failure)) => tracing::warn!(%document, %failure, "cannot tell how it stands"),
                Err(error) => return Err(error),
            }
        }
        let board = self.inner.board.lock();
        let pending: usize = board.unsettled.iter().map(|document| board.pending(document)).sum();
        let is_settled = board.unsettled.is_empty() && board.spaces_followed == board.spaces_changed;
        Ok(match (board.uplinks.is_empty(), is_settled) {
            (true, _) => SyncState::Offline { pending },
            (false, true) => SyncState::Synced,
            (false, false) => SyncState::Syncing { pending },
        })
    }

    /// Waits until this node is [synced](SyncState::Synced) with a relay. Waits for ever without one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn synced(&self) -> Result<(), NodeError> {
        let mut events = self.events();
        while self.sync_state().await? != SyncState::Synced {
            match events.recv().await {
                // Missed events are no harm: the state is asked anew.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Err(NodeError::Stopped),
            }
            // One look serves all that has happened meanwhile.
            while events.try_recv().is_ok() {}
        }
        Ok(())
    }
}
