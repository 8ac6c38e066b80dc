//! A relay that knows many documents, most of which nobody uses.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use comity_crdt::{Document, SyncSession};
use comity_engine::Input;
use comity_model::{Limits, LinkId};

use crate::relay::{Relay, document};
use crate::work::{load, take};

/// The link of the device that has everything open.
pub const DEVICE: LinkId = LinkId(1);

/// A relay that knows so many documents, all of which one device has open.
pub struct Archive {
    pub relay: Relay,
    /// What a peer in step has of each of them.
    remote: Document,
    pub session: SyncSession,
}

impl Archive {
    pub fn new(documents: usize, snapshot: &Bytes) -> anyhow::Result<Self> {
        let mut relay = Relay::new(snapshot.clone())?;
        relay.link_up(DEVICE, false)?;
        let mut archive = Self { relay, remote: load(snapshot)?, session: SyncSession::new() };
        for number in 0..documents {
            archive.session = archive.open(DEVICE, number)?;
        }
        Ok(archive)
    }

    /// Brings a peer that has the document in step with it. Gives what the peer knows then.
    pub fn open(&mut self, link: LinkId, number: usize) -> anyhow::Result<SyncSession> {
        let mut session = SyncSession::new();
        for _ in 0..20 {
            if let Some(bytes) = self.remote.generate(&mut session) {
                self.relay.receive(link, document(number), bytes)?;
            }
            self.relay.store_all()?;
            let sent = self.relay.settle()?;
            if sent.is_empty() {
                return Ok(session);
            }
            for (_, message) in sent {
                take(&mut self.remote, &mut session, message.data().context("a message without data")?)?;
            }
        }
        anyhow::bail!("a peer talks for ever")
    }

    /// Lets so much time pass that everything is let go of.
    pub fn let_go(&mut self) -> anyhow::Result<()> {
        self.relay.now += Limits::default().idle_after + Duration::from_secs(1);
        self.relay.handle(Input::Tick)?;
        let held = self.relay.engine.load().in_memory;
        anyhow::ensure!(held == 0, "{held} documents stay in memory though nobody uses them");
        Ok(())
    }
}
