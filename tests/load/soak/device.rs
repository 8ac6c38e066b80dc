//! A real device: a node on a folder of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use comity_model::DocumentId;
use comity_node::{DialOptions, Event, Node, NodeConfig, NodeEvent, PeerStanding, Uplink, UplinkState, View};
use tempfile::TempDir;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::actor::{Actor, COMPARE_PATIENCE, Remark};
use super::ledger::Pending;
use super::pace;
use super::stage::{Compared, Phase, Sight, Stage, Truth};

/// How many devices out of a hundred that go offline are closed and opened again.
const REOPEN_PERCENT: u64 = 25;

/// How many are replaced by a new one, if the relay has all that they wrote: a device keeps every document that it has
/// ever opened, and the relay keeps for each link what that has open. Devices that only grew would look like a leak.
const REPLACE_PERCENT: u64 = 50;

/// A device.
pub struct Device {
    actor: Actor,
    folder: TempDir,
    node: Node,
    events: Receiver<NodeEvent>,
    pending: BTreeMap<DocumentId, Vec<Pending>>,
}

impl Device {
    pub async fn new(stage: Arc<Stage>, number: u64) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let node = open(&folder).await?;
        let actor = Actor::new(stage, "device", number);
        Ok(Self { actor, folder, events: node.events(), node, pending: BTreeMap::new() })
    }

    /// Comes and goes and writes until the run ends; gives how its documents compare with the relay's.
    pub async fn run(mut self) -> Result<Compared> {
        let name = self.actor.name.clone();
        self.live().await.context(name)
    }

    async fn live(&mut self) -> Result<Compared> {
        loop {
            let uplink = self.node.connect(self.actor.stage.url.clone(), DialOptions::default());
            let mut state = uplink.watch();
            let leave = pace::Instant::now() + self.actor.present();
            if let Some(truth) = self.online(leave, &mut state).await? {
                let compared = self.compare(&truth).await?;
                uplink.stop().await;
                self.node.close().await?;
                return Ok(compared);
            }
            self.hang_up(uplink).await;
            if self.actor.dice.percent(REPLACE_PERCENT) && self.pending.is_empty() {
                self.actor.current = None;
                self.actor.stage.count(|counters| &counters.replaced);
                self.reopen(Some(tempfile::tempdir()?)).await?;
            } else if self.actor.dice.percent(REOPEN_PERCENT) {
                self.actor.stage.count(|counters| &counters.reopened);
                self.reopen(None).await?;
            }
            let absent = self.actor.absent();
            self.offline(absent).await?;
        }
    }

    /// Works until it is time to leave; gives what to compare with when the run has ended instead.
    async fn online(
        &mut self,
        leave: pace::Instant,
        state: &mut watch::Receiver<UplinkState>,
    ) -> Result<Option<Arc<Truth>>> {
        let mut phase = self.actor.stage.phase.clone();
        let mut turn = pace::Instant::now();
        loop {
            let now = phase.borrow_and_update().clone();
            match now {
                Phase::Work => {}
                Phase::Settle => self.actor.settle(self.pending.is_empty()),
                Phase::Compare(truth) => return Ok(Some(truth)),
            }
            let works = self.actor.stage.is_working();
            let edit = self.actor.until_edit();
            let is_online = state.borrow().is_online();
            tokio::select! {
                event = self.events.recv() => self.heard(event).await?,
                Ok(()) = state.changed() => self.linked(&state.borrow_and_update().clone()),
                () = edit, if works => self.edit(is_online).await?,
                () = pace::until(turn), if works => {
                    turn = pace::Instant::now() + self.visit().await?;
                }
                () = pace::until(leave), if works => return Ok(None),
                _ = phase.changed() => {}
            }
        }
    }

    async fn offline(&mut self, pause: Duration) -> Result<()> {
        let mut phase = self.actor.stage.phase.clone();
        let until = pace::Instant::now() + pause;
        while self.actor.stage.is_working() {
            let edit = self.actor.until_edit();
            tokio::select! {
                () = pace::until(until) => return Ok(()),
                () = edit => self.edit(false).await?,
                // The end of the run has come: there is nothing to stay away for.
                _ = phase.changed() => {}
            }
        }
        Ok(())
    }

    fn linked(&self, state: &UplinkState) {
        match state {
            UplinkState::Online { .. } => self.actor.stage.count(|counters| &counters.connections),
            UplinkState::Waiting { .. } => self.actor.stage.count(|counters| &counters.losses),
            _ => {}
        }
    }

    async fn hang_up(&mut self, uplink: Uplink) {
        if self.actor.cuts() {
            drop(uplink);
        } else {
            uplink.stop().await;
        }
    }

    /// Closes the device and opens it again, or a new one in a new folder.
    async fn reopen(&mut self, new: Option<TempDir>) -> Result<()> {
        self.node.close().await?;
        if let Some(folder) = new {
            self.folder = folder;
        }
        self.node = open(&self.folder).await?;
        self.events = self.node.events();
        Ok(())
    }

    /// Turns to another document; gives how long it works on it.
    async fn visit(&mut self) -> Result<Duration> {
        let (document, lasts) = self.actor.visit();
        self.actor.current = Some(document);
        // Not waited for: whoever opens a document may write at once.
        self.node.document(document).available(Duration::ZERO).await?;
        Ok(lasts)
    }

    async fn edit(&mut self, online: bool) -> Result<()> {
        let Some(document) = self.actor.current else { return Ok(()) };
        let made = Instant::now();
        let Remark { entry, field, text } = self.actor.remark();
        let Some(hash) = self.node.document(document).set(&entry, field, text).await? else {
            bail!("an edit that says something new changed nothing");
        };
        let pending = Pending { hash, made, online };
        self.actor.stage.ledger.made(&pending, None);
        self.pending.entry(document).or_default().push(pending);
        Ok(())
    }

    async fn heard(&mut self, event: Result<NodeEvent, RecvError>) -> Result<()> {
        match event {
            Ok(NodeEvent::Document(Event::Stands { document, .. })) => self.note(document).await,
            Ok(NodeEvent::Document(Event::Failed { document, failure })) => bail!("{document} failed: {failure}"),
            Ok(NodeEvent::Document(Event::PeerError { message, .. })) => bail!("the relay says: {message}"),
            Ok(_) => Ok(()),
            Err(RecvError::Lagged(_)) => {
                for document in self.pending.keys().copied().collect::<Vec<_>>() {
                    self.note(document).await?;
                }
                Ok(())
            }
            Err(RecvError::Closed) => bail!("the node ended"),
        }
    }

    /// Notes what the relay now has of a document. The event is not asked: it may be older than the last edit.
    async fn note(&mut self, document: DocumentId) -> Result<()> {
        if !self.pending.contains_key(&document) {
            return Ok(());
        }
        let standing = self.node.document(document).standing().await?;
        let has_all = |peer: &PeerStanding| peer.link.is_some() && peer.behind == 0;
        if standing.peers.iter().any(has_all) {
            for known in self.pending.remove(&document).unwrap_or_default() {
                self.actor.stage.ledger.acknowledged(document, &known);
            }
        }
        Ok(())
    }

    /// Waits until all documents here are as they are at the relay.
    async fn compare(&mut self, truth: &Truth) -> Result<Compared> {
        let until = pace::Instant::now() + COMPARE_PATIENCE;
        let mut compared = Compared::default();
        for document in self.node.wanted() {
            while !self.is_equal(document, truth).await? {
                let event = tokio::time::timeout_at(until, self.events.recv()).await;
                if event.is_err() {
                    compared.different.push(document);
                    break;
                }
            }
            compared.equal += 1;
        }
        compared.equal -= compared.different.len();
        Ok(compared)
    }

    async fn is_equal(&self, document: DocumentId, truth: &Truth) -> Result<bool> {
        let handle = self.node.document(document);
        // What was opened and never written by anybody is nowhere.
        let look = |view: &View<'_>| (!view.is_empty()).then(|| Sight::of(view.document()));
        Ok(handle.read(look).await?.as_ref() == truth.get(&document))
    }
}

async fn open(folder: &TempDir) -> Result<Node> {
    let (node, report) = Node::open(NodeConfig::device(folder.path())).await?;
    if report.is_damaged() {
        bail!("the store of a device that was closed is damaged: {report:?}");
    }
    Ok(node)
}
