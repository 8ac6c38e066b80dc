//! What the store was found to have lost, by document, until it has come back from a peer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use comity_engine::{Answer, PeerStanding, Standing};
use comity_model::{ChangeHash, DocumentId, Heads, Limits, SpaceId, Timestamp};
use comity_store::{Damage, DamagedDocument, Op, OpenReport, RESTORED_META_KEY, Store, StoreError, Writer};
use tokio::sync::Notify;

use crate::evidence::{self, Keeper, Kind, Refused};
use crate::node::Inner;
use crate::space::SPACE_KIND;
use crate::{Node, NodeError, NodeEvent, Role, View};

/// Begins the rows of the store that name documents that lost something.
const LOSS_ROWS: &str = "lost/";

/// Rows written in one group: small enough for any store, enough to be quick.
const ROWS_AT_ONCE: usize = 256;

/// Longest description of what a document lost, in characters.
const WHAT_CHARS_MAX: usize = 400;

/// Documents that the log names.
const LOGGED_MAX: usize = 20;

/// Most heads that are remembered; a document with more is one whose heads are not known.
const HEADS_MAX: usize = 32;

/// A document that lost something on this disk and has not come back yet.
///
/// It counts as back when a peer is in step with it, on disk here, and it has all the changes that it had. Where the
/// damage took even the knowledge of what it had, being in step is all that can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loss {
    /// Which document.
    pub document: DocumentId,
    /// The heads that it had, if they are still known.
    pub heads: Option<Heads>,
    /// What it lost, in words.
    pub what: String,
    /// When that was found.
    pub since: Timestamp,
    /// Found while this process read the document: the next opening of the store saves what is left of it.
    pub needs_restart: bool,
}

/// The losses that are open. They are kept in the store, so that they are told until they are made good.
pub(crate) struct Losses {
    open: Mutex<BTreeMap<DocumentId, Loss>>,
    /// Documents with which a peer is in step: they may be back.
    to_look_at: Mutex<BTreeSet<DocumentId>>,
    /// Rings when there is something to look at.
    pub bell: Arc<Notify>,
}

impl Losses {
    /// Recalls earlier losses and notes what this opening found. The report is kept as evidence.
    pub fn open(report: &OpenReport, store: &dyn Store, evidence: &Keeper) -> Result<Self, StoreError> {
        let mut open = recall(store)?;
        if report.is_damaged() {
            let since = now();
            let found = || report.damaged.iter().filter(|damaged| is_loss(damaged));
            let new: Vec<Loss> = found().map(|damaged| lost_again(&open, loss(damaged, since))).collect();
            for loss in new.iter().take(LOGGED_MAX) {
                tracing::warn!(document = %loss.document, what = loss.what, "a document lost something; peers are asked for it");
            }
            tracing::warn!(
                documents = new.len(),
                reason = report.reason,
                "the store was damaged: see `comity evidence list`"
            );
            keep_report(report, new.len(), evidence);
            for some in new.chunks(ROWS_AT_ONCE) {
                let rows: Vec<Op> = some.iter().map(row).collect();
                if let Err(error) = store.commit(&rows) {
                    // They are still told for as long as this process runs.
                    tracing::warn!(%error, "what was lost is not remembered");
                    break;
                }
            }
            open.extend(new.into_iter().map(|loss| (loss.document, loss)));
        }
        Ok(Self { open: Mutex::new(open), to_look_at: Mutex::default(), bell: Arc::default() })
    }

    /// Notes a document that cannot be read from this store. It is told from now on, and not only by the command that
    /// happened to read it.
    pub fn found(&self, document: DocumentId, what: &str, writer: &Writer) {
        let what = what.chars().take(WHAT_CHARS_MAX).collect();
        let loss = Loss { document, heads: None, what, since: now(), needs_restart: true };
        let loss = {
            let mut open = lock(&self.open);
            let loss = lost_again(&open, loss);
            open.insert(document, loss.clone());
            loss
        };
        submit(writer, row(&loss));
    }

    /// Hears how a document stands.
    pub fn heard(&self, document: &DocumentId, standing: &Standing) {
        if is_in_step(standing) && lock(&self.open).contains_key(document) {
            lock(&self.to_look_at).insert(*document);
            self.bell.notify_one();
        }
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
    store.commit(&[Op::PutMeta { key: RESTORED_META_KEY.to_owned(), value: Bytes::new() }])?;
    let evidence_folder = folder.join(evidence::FOLDER);
    let evidence = Keeper::open(&evidence_folder, &Limits::default(), None).map_err(|error| StoreError::Io {
        what: "use",
        path: evidence_folder,
        source: Arc::new(error),
    })?;
    Losses::open(report, store, &evidence).map(drop)
}

impl Node {
    /// Gives the documents that lost something on this disk, now or in an earlier run, and are not back yet.
    pub fn losses(&self) -> Vec<Loss> {
        lock(&self.inner.losses.open).values().cloned().collect()
    }

    /// Looks at each document that lost something: those that are back are no losses any more, and are told as
    /// [`NodeEvent::Returned`]. Happens by itself while the node is linked to peers; call it to know now.
    ///
    /// # Errors
    /// When the node has stopped, or its store has failed.
    pub async fn check_losses(&self) -> Result<(), NodeError> {
        for loss in self.losses() {
            self.check_loss(loss).await?;
        }
        Ok(())
    }

    async fn check_loss(&self, loss: Loss) -> Result<(), NodeError> {
        let heads = loss.heads.clone().unwrap_or_default();
        let look = move |view: &View<'_>| {
            let is_back = is_in_step(&view.standing) && view.document().covers(&heads);
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
        let Some(loss) = lock(&self.inner.losses.open).remove(&loss.document) else { return Ok(()) };
        tracing::info!(document = %loss.document, "a document that had lost something is back: in step with a peer");
        submit(&self.inner.writer, Op::RemoveMeta { key: key(&loss.document) });
        self.inner.tell(NodeEvent::Returned(loss));
        Ok(())
    }
}

/// Puts a loss together with one of the same document that is still open: what was missing first is missing still, and
/// the heads of what was left of it would say less.
fn lost_again(open: &BTreeMap<DocumentId, Loss>, new: Loss) -> Loss {
    match open.get(&new.document) {
        Some(known) => Loss { what: new.what, needs_restart: new.needs_restart, ..known.clone() },
        None => new,
    }
}

/// Looks at documents whenever they may be back. Ends with the node.
pub(crate) async fn follow(inner: Weak<Inner>, bell: Arc<Notify>) {
    loop {
        bell.notified().await;
        let Some(inner) = inner.upgrade() else { return };
        let node = Node { inner };
        let to_look_at = std::mem::take(&mut *lock(&node.inner.losses.to_look_at));
        for loss in node.losses().into_iter().filter(|loss| to_look_at.contains(&loss.document)) {
            match node.check_loss(loss).await {
                Ok(()) => {}
                Err(NodeError::Stopped) => return,
                // It is looked at again when a peer is heard next.
                Err(error) => tracing::warn!(%error, "what is back could not be noted"),
            }
        }
    }
}

/// Writes a row of the store, some time soon.
fn submit(writer: &Writer, row: Op) {
    let answer = |result: Result<(), StoreError>| {
        if let Err(error) = result {
            tracing::warn!(%error, "what was lost, or is back, is not remembered");
        }
    };
    writer.submit(vec![row], Box::new(answer));
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Timestamp::from_unix_ms(i64::try_from(since).unwrap_or(i64::MAX))
}

/// Whether a peer has the same of a document, and all of it is on disk here. An empty document is no answer.
fn is_in_step(standing: &Standing) -> bool {
    let is_there = |peer: &PeerStanding| peer.link.is_some() && peer.answer == Answer::InStep;
    standing.changes > 0 && !standing.unsaved && standing.peers.iter().any(is_there)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether it is more than the state of a sync session, which the next session makes anew.
fn is_loss(damaged: &DamagedDocument) -> bool {
    damaged.damage.iter().any(|damage| *damage != Damage::SyncStateLost)
}

fn loss(damaged: &DamagedDocument, since: Timestamp) -> Loss {
    let heads = damaged.heads.clone().filter(|heads| (1..=HEADS_MAX).contains(&heads.as_slice().len()));
    Loss { document: damaged.document, heads, what: what(damaged), since, needs_restart: false }
}

fn what(damaged: &DamagedDocument) -> String {
    let words: Vec<String> = damaged.damage.iter().map(ToString::to_string).collect();
    words.join("; ").chars().take(WHAT_CHARS_MAX).collect()
}

fn key(document: &DocumentId) -> String {
    format!("{LOSS_ROWS}{document}")
}

fn row(loss: &Loss) -> Op {
    let heads = loss.heads.iter().flat_map(|heads| heads.as_slice()).map(ToString::to_string);
    let value = format!("1 {} [{}] {}", loss.since.unix_ms, heads.collect::<Vec<_>>().join(","), loss.what);
    Op::PutMeta { key: key(&loss.document), value: Bytes::from(value) }
}

fn recall(store: &dyn Store) -> Result<BTreeMap<DocumentId, Loss>, StoreError> {
    let mut losses = BTreeMap::new();
    for key in store.meta_keys()? {
        let Some(document) = key.strip_prefix(LOSS_ROWS).and_then(|id| id.parse::<DocumentId>().ok()) else { continue };
        // A row that was damaged itself was reported as lost.
        let Ok(Some(value)) = store.meta(&key) else { continue };
        let text = String::from_utf8_lossy(&value).into_owned();
        let mut words = text.splitn(4, ' ').skip(1);
        let since = words.next().and_then(|ms| ms.parse().ok()).unwrap_or_default();
        let heads = words.next().and_then(|list| list.strip_prefix('[')?.strip_suffix(']'));
        let heads: Option<Vec<ChangeHash>> =
            heads.and_then(|list| list.split(',').map(|hash| hash.parse().ok()).collect());
        let what = words.next().unwrap_or_default().to_owned();
        let since = Timestamp::from_unix_ms(since);
        losses.insert(document, Loss { document, heads: heads.map(Heads::new), what, since, needs_restart: false });
    }
    Ok(losses)
}

/// Keeps what the opening found where refused bytes are kept: it is told once, and looked for later.
fn keep_report(report: &OpenReport, documents: usize, evidence: &Keeper) {
    let mut text = String::new();
    let mut line = |words: String| text.push_str(&(words + "\n"));
    if let Some(reason) = &report.reason {
        line(format!("why the files were not trusted: {reason}"));
    }
    if let Some(folder) = &report.set_aside {
        line(format!("the damaged files are in {}", folder.display()));
    }
    for (what, lost) in [
        ("acknowledged groups of the journal", report.journal.groups_lost()),
        ("segments of the journal", report.journal.segments_harmed()),
        ("rows of the list of documents", report.catalogue_rows_lost),
        ("rows of the node itself", report.meta_rows_lost),
    ] {
        if lost > 0 {
            line(format!("{what}: {lost} lost or damaged"));
        }
    }
    for damaged in &report.damaged {
        line(format!("document {}: {}", damaged.document, what(damaged)));
    }
    let reason = match documents {
        0 => "the store was damaged; no document lost anything that is known".to_owned(),
        1 => "the store was damaged; 1 document lost something".to_owned(),
        _ => format!("the store was damaged; {documents} documents lost something"),
    };
    let only = if report.damaged.len() == 1 { Some(report.damaged[0].document) } else { None };
    let size = text.len() as u64;
    let bytes = Bytes::from(text);
    evidence.keep(Refused { kind: Kind::Store, reason, document: only, peer: None, address: None, size, bytes });
}

#[cfg(test)]
mod tests {
    use comity_store::MemoryStore;

    use super::*;

    fn damaged(byte: u8, heads: &[u8], damage: Damage) -> DamagedDocument {
        let heads = heads.iter().map(|byte| ChangeHash([*byte; 32])).collect();
        DamagedDocument { document: DocumentId::from_bytes([byte; 16]), heads: Some(heads), damage: vec![damage] }
    }

    #[test]
    fn what_was_lost_is_remembered_with_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let evidence = Keeper::open(folder.path(), &Limits::default(), None).unwrap();
        let store = MemoryStore::new();
        let mut report = OpenReport::default();
        report.damaged = vec![
            damaged(1, &[], Damage::Gone),
            damaged(2, &[], Damage::SyncStateLost),
            damaged(3, &[7, 8], Damage::ChangesLost { found: 2, expected: 5 }),
        ];
        let first = Losses::open(&report, &store, &evidence).unwrap();
        let records = crate::evidence::read(folder.path()).unwrap().records;
        assert_eq!(records[0].reason, "the store was damaged; 2 documents lost something");
        let again = Losses::open(&OpenReport::default(), &store, &evidence).unwrap();
        let (first, again) = (lock(&first.open), lock(&again.open));
        assert_eq!(*first, *again, "the next run knows all of it");
        let losses: Vec<&Loss> = again.values().collect();
        assert_eq!(losses.len(), 2, "the state of a sync session is no loss");
        assert_eq!((losses[0].heads.as_ref(), losses[0].what.as_str()), (None, "nothing of it is left"));
        assert_eq!(losses[1].heads.as_ref().unwrap().as_slice(), [ChangeHash([7; 32]), ChangeHash([8; 32])]);
        assert_eq!(crate::evidence::read(folder.path()).unwrap().records.len(), 1, "it is reported once");
    }

    #[test]
    fn in_step_means_with_a_peer_that_is_there_and_on_disk_and_with_something() {
        let peer =
            PeerStanding { link: Some(comity_model::LinkId(1)), storage: None, behind: 0, answer: Answer::InStep };
        let good = Standing { changes: 3, peers: vec![peer.clone()], ..Standing::default() };
        assert!(is_in_step(&good));
        assert!(!is_in_step(&Standing { unsaved: true, ..good.clone() }));
        assert!(!is_in_step(&Standing { changes: 0, ..good.clone() }));
        assert!(!is_in_step(&Standing { peers: vec![PeerStanding { link: None, ..peer.clone() }], ..good.clone() }));
        let differs = PeerStanding { answer: Answer::Differs, ..peer };
        assert!(!is_in_step(&Standing { peers: vec![differs], ..good }));
    }
}
