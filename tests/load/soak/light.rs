//! A light client: documents in memory, the plain protocol, no store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use comity_crdt::{Document, SyncSession, admit};
use comity_model::{
    Act, ActKind, ActorId, ChangeHash, DeviceTag, DocumentId, HybridTime, Limits, RegisterKey, Value, Write,
};
use comity_net::Backoff;

use super::actor::{Actor, COMPARE_PATIENCE, Remark};
use super::ledger::Pending;
use super::line::{Cut, Line, Word};
use super::pace;
use super::stage::{Compared, Phase, Sight, Stage};

/// Documents that a client keeps when it leaves, the last ones that it worked on.
const KEPT_MAX: usize = 16;

/// Documents that a client opens again when it comes back, beside those with changes that were not acknowledged.
const REOPENED_MAX: usize = 4;

/// A client.
pub struct Light {
    actor: Actor,
    device: DeviceTag,
    /// Copies of documents that it has made: each writes under a session of its own, since one that was let go of does
    /// not know how far it had counted.
    copies: u64,
    limits: Limits,
    replicas: BTreeMap<DocumentId, Replica>,
}

struct Replica {
    actor: ActorId,
    document: Document,
    /// `None` while it is not open on this connection.
    session: Option<SyncSession>,
    pending: Vec<Pending>,
    used: Instant,
}

/// How a time online ended.
enum Left {
    Here,
    Compared(Compared),
}

impl Light {
    pub fn new(stage: Arc<Stage>, number: u64) -> Self {
        let actor = Actor::new(stage, "light", number);
        let mut tag = [0; 16];
        tag[..actor.name.len()].copy_from_slice(actor.name.as_bytes());
        Self { actor, device: DeviceTag(tag), copies: 0, limits: Limits::default(), replicas: BTreeMap::new() }
    }

    /// Comes and goes and writes until the run ends; gives how its documents compare with the relay's.
    pub async fn run(mut self) -> Result<Compared> {
        let mut backoff = Backoff::default();
        loop {
            let began = Instant::now();
            let pause = match self.online().await {
                Ok(Left::Compared(compared)) => return Ok(compared),
                Ok(Left::Here) => {
                    self.close_all();
                    self.actor.absent()
                }
                Err(Cut::Gone(retry_after)) => {
                    self.actor.stage.count(|counters| &counters.losses);
                    if began.elapsed() > Duration::from_secs(2) {
                        backoff.reset();
                    }
                    backoff.next(self.actor.dice.number()).max(retry_after.unwrap_or_default())
                }
                Err(Cut::Fault(error)) => return Err(error.context(self.actor.name)),
            };
            self.offline(pause).await?;
        }
    }

    /// Writes on without a link.
    async fn offline(&mut self, pause: Duration) -> Result<()> {
        for replica in self.replicas.values_mut() {
            replica.session = None;
        }
        let until = pace::Instant::now() + pause;
        loop {
            let edit = self.actor.until_edit();
            let mut phase = self.actor.stage.phase.clone();
            phase.borrow_and_update();
            tokio::select! {
                () = pace::until(until) => return Ok(()),
                // The end of the run has come: there is nothing to stay away for.
                _ = phase.changed() => return Ok(()),
                () = edit => {
                    if let Some(document) = self.actor.current.filter(|_| self.actor.stage.is_working()) {
                        self.edit(document, false)?;
                    }
                }
            }
        }
    }

    async fn online(&mut self) -> Result<Left, Cut> {
        let mut line = Line::open(&self.actor.stage.url, &self.actor.name).await?;
        self.actor.stage.count(|counters| &counters.connections);
        for document in self.reopened() {
            self.open(&mut line, document).await?;
        }
        let mut phase = self.actor.stage.phase.clone();
        let leave = pace::Instant::now() + self.actor.present();
        let mut turn = pace::Instant::now();
        loop {
            let now = phase.borrow_and_update().clone();
            match now {
                Phase::Work => {}
                Phase::Settle => self.actor.settle(self.is_told_of_all()),
                Phase::Compare(truth) => return self.compare(line, &truth).await.map(Left::Compared),
            }
            let works = self.actor.stage.is_working();
            let edit = self.actor.until_edit();
            tokio::select! {
                word = line.hear() => self.hear(&mut line, word?).await?,
                () = edit, if works => self.work(&mut line).await?,
                () = pace::until(turn), if works => {
                    let (document, lasts) = self.actor.visit();
                    turn = pace::Instant::now() + lasts;
                    self.open(&mut line, document).await?;
                    self.actor.current = Some(document);
                }
                () = pace::until(leave), if works => {
                    self.leave(line).await?;
                    return Ok(Left::Here);
                }
                _ = phase.changed() => {}
            }
        }
    }

    /// Chooses what to open again: all that the relay may lack, and the last that was worked on; at the end, all.
    fn reopened(&self) -> Vec<DocumentId> {
        let mut all: Vec<(&DocumentId, &Replica)> = self.replicas.iter().collect();
        all.sort_by_key(|(_, replica)| std::cmp::Reverse(replica.used));
        let last = if self.actor.stage.is_working() { REOPENED_MAX } else { usize::MAX };
        let wanted = all.into_iter().enumerate().filter(|(at, (_, replica))| *at < last || !replica.pending.is_empty());
        wanted.map(|(_, (document, _))| *document).collect()
    }

    async fn open(&mut self, line: &mut Line, document: DocumentId) -> Result<(), Cut> {
        let replica = self.replicas.entry(document).or_insert_with(|| {
            self.copies += 1;
            Replica {
                actor: ActorId::for_session(self.device, self.copies.to_be_bytes()),
                document: Document::new(),
                session: None,
                pending: Vec::new(),
                used: Instant::now(),
            }
        });
        replica.used = Instant::now();
        replica.session.get_or_insert_with(SyncSession::new);
        self.say(line, document).await
    }

    /// Sends what there is to say of a document.
    async fn say(&mut self, line: &mut Line, document: DocumentId) -> Result<(), Cut> {
        let Some(replica) = self.replicas.get_mut(&document) else { return Ok(()) };
        let Some(session) = &mut replica.session else { return Ok(()) };
        let asks = replica.document.is_empty() && session.peer_heads().is_none();
        match replica.document.generate(session) {
            Some(data) => line.say(document, data, asks).await,
            None => Ok(()),
        }
    }

    async fn work(&mut self, line: &mut Line) -> Result<(), Cut> {
        let Some(document) = self.actor.current else { return Ok(()) };
        self.edit(document, true)?;
        self.say(line, document).await
    }

    fn edit(&mut self, document: DocumentId, online: bool) -> Result<()> {
        let Some(replica) = self.replicas.get_mut(&document) else { return Ok(()) };
        let Remark { entry, field, text } = self.actor.remark();
        let key: RegisterKey = format!("{entry}/{field}").parse()?;
        let act = Act { time: HybridTime::default(), policy: [0; 8], kind: ActKind::Edit };
        let write = Write::Set { key, value: Value::Text(text) };
        let edited = replica.document.edit(&replica.actor, act, None, &[write], &self.limits)?;
        if let Some(hash) = edited.hash {
            let pending = Pending { hash, made: Instant::now(), online };
            self.actor.stage.ledger.made(&pending, edited.chunks.last().map(bytes::Bytes::len));
            replica.pending.push(pending);
        }
        Ok(())
    }

    async fn hear(&mut self, line: &mut Line, word: Word) -> Result<(), Cut> {
        // That nobody has it is no news: this client is about to write it.
        let Word::Sync(document, data) = word else { return Ok(()) };
        let Some(replica) = self.replicas.get_mut(&document) else { return Ok(()) };
        let Some(session) = &mut replica.session else { return Ok(()) };
        let admitted = admit(&data, &self.limits).map_err(|error| anyhow!(error))?;
        replica.document.receive(session, admitted, &self.limits).map_err(|error| anyhow!(error))?;
        if !replica.pending.is_empty() {
            let unshared = replica.document.changes_since(&session.shared_heads());
            let unshared: BTreeSet<ChangeHash> = unshared.into_iter().map(|(hash, _)| hash).collect();
            let (pending, known) =
                replica.pending.drain(..).partition(|pending: &Pending| unshared.contains(&pending.hash));
            replica.pending = pending;
            for known in known {
                self.actor.stage.ledger.acknowledged(document, &known);
            }
        }
        self.say(line, document).await
    }

    async fn leave(&mut self, mut line: Line) -> Result<(), Cut> {
        if self.actor.cuts() {
            // The last edit is on its way, its answer never comes.
            return self.work(&mut line).await;
        }
        line.goodbye().await;
        Ok(())
    }

    /// Lets go of all but the last documents that it worked on.
    fn close_all(&mut self) {
        let mut quiet: Vec<(Instant, DocumentId)> = self
            .replicas
            .iter()
            .filter(|(_, replica)| replica.pending.is_empty())
            .map(|(document, replica)| (replica.used, *document))
            .collect();
        quiet.sort_unstable();
        for (_, document) in quiet.iter().rev().skip(KEPT_MAX) {
            self.replicas.remove(document);
        }
    }

    fn is_told_of_all(&self) -> bool {
        self.replicas.values().all(|replica| replica.pending.is_empty())
    }

    /// Waits until all documents here are as they are at the relay.
    async fn compare(&mut self, mut line: Line, truth: &BTreeMap<DocumentId, Sight>) -> Result<Compared, Cut> {
        let documents: Vec<DocumentId> = self.replicas.keys().copied().collect();
        for document in documents {
            self.open(&mut line, document).await?;
        }
        let until = pace::Instant::now() + COMPARE_PATIENCE;
        loop {
            let compared = self.compared(truth);
            if compared.different.is_empty() {
                line.goodbye().await;
                return Ok(compared);
            }
            tokio::select! {
                word = line.hear() => self.hear(&mut line, word?).await?,
                () = pace::until(until) => return Ok(compared),
            }
        }
    }

    fn compared(&self, truth: &BTreeMap<DocumentId, Sight>) -> Compared {
        let mut compared = Compared::default();
        for (document, replica) in &self.replicas {
            // What was opened and never written by anybody is nowhere.
            if replica.document.is_empty() && !truth.contains_key(document) {
                continue;
            }
            if truth.get(document) == Some(&Sight::of(&replica.document)) {
                compared.equal += 1;
            } else {
                compared.different.push(*document);
            }
        }
        compared
    }
}
