//! What the store was found to have lost, by document, until it has come back from a peer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use comity_engine::{Answer, PeerStanding, Standing};
use comity_model::{DocumentId, Heads, Limits, SpaceId, Timestamp};
use comity_store::{Op, OpenReport, RESTORED_META_KEY, Store, StoreError};
use tokio::sync::Notify;

use self::table::{Refusals, Row, Table};
use crate::evidence::{self, Keeper};
use crate::node::Inner;
use crate::space::SPACE_KIND;
use crate::{Node, NodeError, NodeEvent, Role, View, clock};

mod report;
mod rows;
mod table;

/// Rows written in one group: small enough for any store, enough to be quick.
const ROWS_AT_ONCE: usize = 256;

/// Most heads that are remembered of a document: its row stays within what a store takes, whatever the heads.
const HEADS_MAX: usize = 32;

/// Longest description of what a document lost, in characters.
const WHAT_CHARS_MAX: usize = 400;

/// Documents that the log names.
const LOGGED_MAX: usize = 20;

/// A document that lost something on this disk and has not come back yet.
///
/// It counts as back when a peer is in step with it, on disk here, and it has all the changes that it had. Where the
/// damage took even the knowledge of what it had, being in step is all that can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loss {
    /// Which document.
    pub document: DocumentId,
    /// The heads that it had, and changes that are missing from it, as far as they are known: at most 32 of them.
    pub heads: Option<Heads>,
    /// What it lost, in words.
    pub what: String,
    /// When that was found.
    pub since: Timestamp,
    /// Found while this process read the document: the next opening of the store saves what is left of it.
    pub needs_restart: bool,
}

/// The open losses in brief.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LossSummary {
    /// How many documents lost something and are not back yet.
    pub documents: usize,
    /// The first of them, as many as were asked for.
    pub first: Vec<DocumentId>,
    /// How many of them need a restart: see [`Loss::needs_restart`].
    pub need_restart: usize,
}

/// The losses that are open. They are kept in the store, so that they are told until they are made good.
pub(crate) struct Losses {
    table: Mutex<Table>,
    /// Held while rows are written, so that what is newer is written later.
    writing: Arc<tokio::sync::Mutex<()>>,
    /// Rings when there is something to look at, or to write.
    pub bell: Arc<Notify>,
}

impl Losses {
    /// Recalls earlier losses and notes what this opening found. The report is kept as evidence.
    ///
    /// The store gives its report again with every opening until all of this is on disk, so a process that dies in the
    /// middle loses none of it; and what was written before is not written twice.
    pub fn open(report: &OpenReport, store: &dyn Store, evidence: &Keeper) -> Result<Self, StoreError> {
        let table = Mutex::new(Table::new(rows::recall(store)?));
        let losses = Self { table, writing: Arc::default(), bell: Arc::default() };
        if report.is_damaged() {
            losses.note(report, evidence);
            losses.write_or_warn(store);
        }
        Ok(losses)
    }

    fn note(&self, report: &OpenReport, evidence: &Keeper) {
        let new = report::losses(report, clock::now());
        for loss in new.iter().take(LOGGED_MAX) {
            tracing::warn!(document = %loss.document, what = loss.what, "a document lost something; peers are asked for it");
        }
        tracing::warn!(
            documents = new.len(),
            reason = report.reason,
            "the store was damaged: see `comity evidence list`"
        );
        let kept = report::keep(report, new.len(), evidence);
        if let Err(error) = &kept {
            tracing::warn!(%error, "what was damaged is not kept as evidence; the next start tries again");
        }
        let mut table = self.table();
        table.must_acknowledge = kept.is_ok();
        new.into_iter().for_each(|loss| table.add(loss));
    }

    /// Notes a document that cannot be read from this store. It is told from now on, and not only by the command that
    /// happened to read it.
    pub fn found(&self, document: DocumentId, what: &str) {
        let what = what.chars().take(WHAT_CHARS_MAX).collect();
        self.table().add(Loss { document, heads: None, what, since: clock::now(), needs_restart: true });
        self.bell.notify_one();
    }

    /// Notes a document of which the store has changes that depend on others which it has not. What was said of it before
    /// says more, but these are demanded too.
    pub fn incomplete(&self, document: DocumentId, missing: &Heads) {
        let mut table = self.table();
        let heads = Some(missing.clone());
        let loss = match table.open.get(&document).cloned() {
            Some(known) => Loss { heads, ..known },
            None => {
                let count = missing.as_slice().len();
                let what = format!("changes on which others depend are missing from the store: {count}");
                tracing::warn!(%document, what, "a document lost something; peers are asked for it");
                Loss { document, heads, what, since: clock::now(), needs_restart: false }
            }
        };
        table.add(loss);
        self.bell.notify_one();
    }

    /// Takes a loss that was looked at for made good; false when something else was found meanwhile.
    fn made_good(&self, looked_at: &Loss) -> bool {
        let mut table = self.table();
        table.open.get(&looked_at.document) == Some(looked_at) && table.remove(&looked_at.document).is_some()
    }

    /// Hears how a document stands.
    pub fn heard(&self, document: &DocumentId, standing: &Standing) {
        if !is_in_step(standing) {
            return;
        }
        let mut table = self.table();
        if table.open.contains_key(document) {
            table.to_look_at.insert(*document);
            self.bell.notify_one();
        }
    }

    /// Writes the rows that are due. The thread that asks goes on with other work meanwhile, and no more than one other
    /// waits for the disk. What cannot be written is tried again the next time.
    async fn write(self: &Arc<Self>, store: &Arc<dyn Store>) {
        if !self.table().has_work() {
            return;
        }
        let turn = Arc::clone(&self.writing).lock_owned().await;
        let (losses, store) = (Arc::clone(self), Arc::clone(store));
        // Who asks may go away; the turn lasts until it is written.
        let written = tokio::task::spawn_blocking(move || {
            losses.write_or_warn(&*store);
            drop(turn);
        });
        if let Err(error) = written.await {
            tracing::warn!(%error, "what was lost, or is back, is not remembered");
        }
    }

    /// Like [`write`](Self::write), on this thread: never call it from an async one.
    pub fn write_now(&self, store: &dyn Store) {
        let _turn = self.writing.blocking_lock();
        self.write_or_warn(store);
    }

    fn write_or_warn(&self, store: &dyn Store) {
        if let Err(error) = self.write_all(store) {
            // All of it is still told for as long as this process runs, and by the store what it reported.
            tracing::warn!(%error, "what was lost, or is back, is not remembered; it is tried again");
        }
    }

    fn write_all(&self, store: &dyn Store) -> Result<(), StoreError> {
        self.write_rows(store)?;
        if self.table().must_acknowledge {
            // The mark comes first: once the damage is acknowledged, nothing else says that the next session must be a new
            // one. (Where one has begun meanwhile, the one after it is new for nothing, which does no harm.)
            store.commit(&[Op::PutMeta { key: RESTORED_META_KEY.to_owned(), value: Bytes::new() }])?;
            store.acknowledge()?;
            self.table().must_acknowledge = false;
        }
        Ok(())
    }

    /// Writes the rows that are due; fails when one of them could not be written.
    fn write_rows(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mut refused = BTreeMap::new();
        loop {
            let due = self.table().due(&refused);
            if due.is_empty() {
                return refused.pop_first().map_or(Ok(()), |(_, error)| Err(error));
            }
            match self.write_group(store, &due) {
                Err(error) if !concerns_all(&error) => self.write_each(store, &due, &mut refused)?,
                written => written?,
            }
        }
    }

    /// Writes row by row: a bad one must not keep the others from being written.
    fn write_each(&self, store: &dyn Store, rows: &[Row], refused: &mut Refusals) -> Result<(), StoreError> {
        for row in rows {
            match self.write_group(store, std::slice::from_ref(row)) {
                Err(error) if !concerns_all(&error) => drop(refused.insert(row.0, error)),
                written => written?,
            }
        }
        Ok(())
    }

    fn write_group(&self, store: &dyn Store, rows: &[Row]) -> Result<(), StoreError> {
        let ops: Vec<Op> = rows.iter().map(|(document, loss)| rows::op(document, loss.as_ref())).collect();
        store.commit(&ops)?;
        self.table().written(rows);
        Ok(())
    }

    fn summary(&self, first_max: usize) -> LossSummary {
        let table = self.table();
        let first = table.open.keys().take(first_max).copied().collect();
        LossSummary { documents: table.open.len(), first, need_restart: table.unreadable.len() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes the damage that was found by somebody who opened the store of a data folder without a [`Node`], as tools do:
/// what was lost is told by every node that opens it from now on, and the next one begins a new session. Without this,
/// a device would go on numbering its changes where the damage left them, over changes that its peers have.
///
/// # Errors
/// When the store cannot be written.
pub fn note_damage(folder: &Path, store: &dyn Store, report: &OpenReport) -> Result<(), StoreError> {
    if !report.is_damaged() {
        return Ok(());
    }
    let evidence_folder = folder.join(evidence::FOLDER);
    let evidence = Keeper::open(&evidence_folder, &Limits::default(), None).map_err(|error| StoreError::Io {
        what: "use",
        path: evidence_folder,
        source: Arc::new(error),
    })?;
    let losses = Losses::open(report, store, &evidence)?;
    // Does nothing when all of it is written.
    losses.write_all(store)
}

/// Whether a store that refused some rows would refuse any: a full disk, or one that is gone.
fn concerns_all(error: &StoreError) -> bool {
    error.is_final() || matches!(error, StoreError::Full { .. })
}

impl Node {
    /// Gives the documents that lost something on this disk, now or in an earlier run, and are not back yet. Copies all
    /// of it: ask for the [`loss_summary`](Self::loss_summary) when that is enough.
    pub fn losses(&self) -> Vec<Loss> {
        self.inner.losses.table().open.values().cloned().collect()
    }

    /// Gives one of the [`losses`](Self::losses).
    pub fn loss(&self, document: &DocumentId) -> Option<Loss> {
        self.inner.losses.table().open.get(document).cloned()
    }

    /// Counts the [`losses`](Self::losses) and names the first of them, at most so many. Costs the same however many there
    /// are.
    pub fn loss_summary(&self, first_max: usize) -> LossSummary {
        self.inner.losses.summary(first_max)
    }

    /// Gives a loss that needs a restart, if there is one. Costs the same however many there are.
    pub fn loss_to_restart_for(&self) -> Option<Loss> {
        let table = self.inner.losses.table();
        table.unreadable.first().and_then(|document| table.open.get(document)).cloned()
    }

    /// Looks at each document that lost something: those that are back are no losses any more, and are told as
    /// [`NodeEvent::Returned`]. Happens by itself while the node is linked to peers; call it to know now.
    ///
    /// # Errors
    /// When the node has stopped, or its store has failed.
    pub async fn check_losses(&self) -> Result<(), NodeError> {
        let checked = self.check_each(self.losses()).await;
        self.inner.losses.write(&self.inner.store).await;
        checked
    }

    async fn check_each(&self, losses: Vec<Loss>) -> Result<(), NodeError> {
        for loss in losses {
            self.check_loss(loss, false).await?;
        }
        Ok(())
    }

    /// Looks at a document. A peer that `was_in_step` with it since the loss was found may be gone by now: one that brings
    /// what is missing and leaves at once must be enough.
    async fn check_loss(&self, loss: Loss, was_in_step: bool) -> Result<(), NodeError> {
        let heads = loss.heads.clone().unwrap_or_default();
        let look = move |view: &View<'_>| {
            let document = view.document();
            let stands_well = if was_in_step { is_saved(&view.standing) } else { is_in_step(&view.standing) };
            let is_back = stands_well && document.is_whole() && document.covers(&heads);
            is_back.then(|| view.kind().is_some_and(|kind| kind.as_str() == SPACE_KIND))
        };
        let is_space = match self.document(loss.document).read(look).await {
            Ok(Some(is_space)) => is_space,
            Err(NodeError::Stopped) => return Err(NodeError::Stopped),
            // One that cannot be read is not back.
            Ok(None) | Err(_) => return Ok(()),
        };
        if is_space && self.inner.role == Role::Device {
            // A device has a space's document because it is in the space; the row that says so may be lost too.
            self.join_space(SpaceId::new(loss.document)).await?;
        }
        if !self.inner.losses.made_good(&loss) {
            return Ok(());
        }
        tracing::info!(document = %loss.document, "a document that had lost something is back: in step with a peer");
        self.inner.tell(NodeEvent::Returned(loss));
        Ok(())
    }
}

/// Writes what is to be written, and looks at documents whenever they may be back. Ends with the node.
pub(crate) async fn follow(inner: Weak<Inner>, bell: Arc<Notify>) {
    loop {
        bell.notified().await;
        let Some(inner) = inner.upgrade() else { return };
        let node = Node { inner };
        let losses = &node.inner.losses;
        // What was found must not wait for what may be back.
        losses.write(&node.inner.store).await;
        let to_look_at = std::mem::take(&mut losses.table().to_look_at);
        for loss in to_look_at.iter().filter_map(|document| node.loss(document)) {
            match node.check_loss(loss, true).await {
                Ok(()) => {}
                Err(NodeError::Stopped) => return,
                // It is looked at again when a peer is heard next.
                Err(error) => tracing::warn!(%error, "what is back could not be noted"),
            }
        }
        losses.write(&node.inner.store).await;
    }
}

/// Whether a peer has the same of a document, and all of it is on disk here.
fn is_in_step(standing: &Standing) -> bool {
    let is_there = |peer: &PeerStanding| peer.link.is_some() && peer.answer == Answer::InStep;
    is_saved(standing) && standing.peers.iter().any(is_there)
}

/// Whether all of a document is on disk here. An empty one says nothing.
fn is_saved(standing: &Standing) -> bool {
    standing.changes > 0 && !standing.unsaved
}

#[cfg(test)]
mod tests;
