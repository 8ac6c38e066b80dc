//! Passers-by: each comes once, under a name that nobody has heard before or will again, asks for a document, and goes.
//!
//! What the relay keeps for a link or a name that has gone, it keeps for them many times a second: a leak that would
//! take weeks to show among clients that stay shows in minutes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use comity_crdt::{Document, SyncSession};
use tokio::time::timeout;

use super::actor::Actor;
use super::line::{Cut, Line};
use super::pace;
use super::stage::{Compared, Phase, Stage};

/// Clients for which there is one doorway, through which one passer-by comes at a time.
const CLIENTS_PER_DOORWAY: usize = 20;

/// Between two of them in one doorway.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the relay may take to say whether it has a document.
const PATIENCE: Duration = Duration::from_secs(60);

/// Gives how many doorways there are beside so many clients.
pub fn doorways(clients: usize) -> usize {
    clients.div_ceil(CLIENTS_PER_DOORWAY)
}

/// Where passers-by come in, one after the other.
pub struct Doorway {
    actor: Actor,
    passed: u64,
}

impl Doorway {
    pub fn new(stage: Arc<Stage>, number: u64) -> Self {
        Self { actor: Actor::new(stage, "passer", number), passed: 0 }
    }

    /// Lets them come and go until the run ends. They keep nothing that could be compared.
    pub async fn run(mut self) -> Result<Compared> {
        let mut phase = self.actor.stage.phase.clone();
        loop {
            let now = phase.borrow_and_update().clone();
            match now {
                Phase::Work => {}
                Phase::Settle => {
                    phase.changed().await?;
                    continue;
                }
                Phase::Compare(_) => return Ok(Compared::default()),
            }
            let pause = self.actor.dice.pause(PAUSE);
            tokio::select! {
                () = pace::rest(pause) => self.let_pass().await?,
                _ = phase.changed() => {}
            }
        }
    }

    async fn let_pass(&mut self) -> Result<()> {
        self.passed += 1;
        let name = format!("{}-{}", self.actor.name, self.passed);
        match self.pass(&name).await {
            Ok(()) => self.actor.stage.count(|counters| &counters.passers),
            Err(Cut::Gone(_)) => self.actor.stage.count(|counters| &counters.losses),
            Err(Cut::Fault(error)) => return Err(error.context(name)),
        }
        Ok(())
    }

    async fn pass(&mut self, name: &str) -> Result<(), Cut> {
        let mut line = Line::open(&self.actor.stage.url, name).await?;
        self.actor.stage.count(|counters| &counters.connections);
        // Often one that the relay must read from its disk.
        let document = self.actor.stage.any_document(&mut self.actor.dice);
        let asks = Document::new().generate(&mut SyncSession::new()).context("a fresh session has something to say")?;
        line.say(document, asks, true).await?;
        let answer = timeout(PATIENCE, line.hear()).await;
        answer.map_err(|_| anyhow!("the relay does not say whether it has {document}"))??;
        if !self.actor.cuts() {
            line.goodbye().await;
        }
        Ok(())
    }
}
