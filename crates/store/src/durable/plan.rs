//! Plans a group: what each op means for the documents as they are.

use std::collections::{BTreeMap, btree_map};

use bytes::Bytes;
use comity_model::{DocumentId, Heads, StorageId};

use super::Durable;
use crate::catalogue::meta_id;
use crate::engine::Engine;
use crate::entry::Entry;
use crate::error::StoreError;
use crate::op::{Op, SYNC_STATES_MAX};
use crate::row::{DataKey, Manifest, SnapshotRef, Space, after_prefix, sync_states_prefix};

/// What a group will do, before anything is written.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) entries: Vec<Entry>,
    pub(super) manifests: BTreeMap<DocumentId, (Manifest, Heads)>,
    pub(super) garbage: Vec<(DocumentId, SnapshotRef)>,
    pub(super) snapshot_files: Vec<(DocumentId, SnapshotRef, Bytes)>,
    pub(super) meta: BTreeMap<[u8; 16], bool>,
    /// The states of sync sessions of documents that get one, as they will be: peer and group.
    sync_states: BTreeMap<DocumentId, BTreeMap<StorageId, u64>>,
    pub(super) bytes: u64,
}

impl<E: Engine> Durable<E> {
    pub(super) fn plan(&self, engine: &E, ops: &[Op]) -> Result<Plan, StoreError> {
        let mut plan = Plan::default();
        for op in ops {
            match op {
                Op::Append { document, chunks, heads } => {
                    let mut manifest = self.planned(engine, &plan, document)?.unwrap_or_default();
                    if !chunks.is_empty() {
                        let (document, first) = (*document, manifest.next);
                        plan.entries.push(Entry::Changes { document, first, chunks: chunks.clone() });
                    }
                    for chunk in chunks {
                        manifest.append(chunk);
                        plan.bytes += chunk.len() as u64;
                    }
                    manifest.set_heads(heads);
                    plan.manifests.insert(*document, (manifest, heads.clone()));
                }
                Op::Replace { document, snapshot, heads } => {
                    let mut manifest = self.planned(engine, &plan, document)?.unwrap_or_default();
                    plan_replace(&mut plan, document, &mut manifest, snapshot);
                    manifest.set_heads(heads);
                    plan.manifests.insert(*document, (manifest, heads.clone()));
                }
                Op::SyncState { document, peer, state } => {
                    if self.planned(engine, &plan, document)?.is_some() {
                        let displaced = self.displaced(engine, &mut plan, document, peer)?;
                        let (document, peer, state) = (*document, peer.clone(), state.clone());
                        if let Some(peer) = displaced {
                            plan.entries.push(Entry::RemoveSyncState { document, peer });
                        }
                        plan.bytes += state.len() as u64;
                        plan.entries.push(Entry::SyncState { document, peer, state });
                    }
                }
                Op::PutMeta { key, value } => {
                    plan.entries.push(Entry::Meta { key: key.clone(), value: value.clone() });
                    plan.meta.insert(meta_id(key), true);
                    plan.bytes += value.len() as u64;
                }
                Op::RemoveMeta { key } => {
                    plan.entries.push(Entry::RemoveMeta { key: key.clone() });
                    plan.meta.insert(meta_id(key), false);
                }
            }
        }
        Ok(plan)
    }

    /// Takes note of a state of a sync session, and gives the peer whose state has to go for it, if one has to.
    fn displaced(
        &self,
        engine: &E,
        plan: &mut Plan,
        document: &DocumentId,
        peer: &StorageId,
    ) -> Result<Option<StorageId>, StoreError> {
        let states = match plan.sync_states.entry(*document) {
            btree_map::Entry::Occupied(known) => known.into_mut(),
            btree_map::Entry::Vacant(unknown) => unknown.insert(self.sync_states(engine, document)?),
        };
        states.insert(peer.clone(), u64::MAX);
        if states.len() <= SYNC_STATES_MAX {
            return Ok(None);
        }
        let oldest = states.iter().min_by_key(|(peer, stamp)| (**stamp, *peer)).map(|(peer, _)| peer.clone());
        if let Some(oldest) = &oldest {
            states.remove(oldest);
        }
        Ok(oldest)
    }

    /// Gives the peers whose states are kept for a document, with the group that wrote each.
    fn sync_states(&self, engine: &E, document: &DocumentId) -> Result<BTreeMap<StorageId, u64>, StoreError> {
        let prefix = sync_states_prefix(document);
        let mut states = BTreeMap::new();
        engine.scan(Space::Data, &prefix, &after_prefix(&prefix), &mut |key, value| {
            if let Some((_, DataKey::SyncState { peer, part: 0 })) = DataKey::parse(key) {
                // One that cannot be read is the first to go.
                states.insert(peer, self.sealer.unseal(Space::Data, key, value).map_or(0, |row| row.stamp));
            }
            true
        })?;
        Ok(states)
    }

    /// Gives the manifest as it will be after what is planned so far.
    fn planned(&self, engine: &E, plan: &Plan, document: &DocumentId) -> Result<Option<Manifest>, StoreError> {
        match plan.manifests.get(document) {
            Some((manifest, _)) => Ok(Some(manifest.clone())),
            None => self.manifest(engine, document),
        }
    }
}

fn plan_replace(plan: &mut Plan, document: &DocumentId, manifest: &mut Manifest, snapshot: &Bytes) {
    let reference = SnapshotRef::of(snapshot);
    if let Some(old) = manifest.snapshot.filter(|old| !old.inline && old.hash != reference.hash) {
        plan.garbage.push((*document, old));
    }
    manifest.cover(reference);
    plan.entries.push(Entry::Cover { document: *document, to: manifest.first });
    plan.bytes += reference.bytes;
    if reference.inline {
        plan.entries.push(Entry::Snapshot { document: *document, bytes: snapshot.clone() });
    } else {
        plan.snapshot_files.push((*document, reference, snapshot.clone()));
    }
}

pub(super) fn manifest_entry((document, (manifest, heads)): (&DocumentId, &(Manifest, Heads))) -> Entry {
    Entry::Manifest { document: *document, manifest: manifest.clone(), heads: heads.clone() }
}

pub(super) fn entry_document(entry: &Entry) -> Option<DocumentId> {
    match entry {
        Entry::Changes { document, .. }
        | Entry::Cover { document, .. }
        | Entry::Snapshot { document, .. }
        | Entry::Manifest { document, .. }
        | Entry::SyncState { document, .. }
        | Entry::RemoveSyncState { document, .. } => Some(*document),
        Entry::Meta { .. } | Entry::RemoveMeta { .. } => None,
    }
}
