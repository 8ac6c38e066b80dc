//! An engine with the smallest driver there is: what it asks of the store is kept until it is answered, what it sends is
//! handed out, and time stands still until told.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use comity_access::Everyone;
use comity_engine::{Config, Effect, Engine, Input, Loaded, Peer, Ticket};
use comity_model::{DocumentId, Heads, Instant, Limits, LinkId, PeerId, StorageId, Timestamp};
use comity_wire::Message;

use crate::work;

/// An engine as a relay runs it.
pub struct Relay {
    pub engine: Engine,
    pub now: Duration,
    /// What every document holds that is read: the same bytes for all, for it is not the store that is measured.
    pub snapshot: Bytes,
    /// Messages that were sent and not looked at.
    pub sent: VecDeque<(LinkId, Message)>,
    /// Appends that are not on disk yet.
    pub tickets: Vec<Ticket>,
    /// Bytes of the heads that came with the appends.
    pub head_bytes: usize,
    /// Documents read.
    pub loads: usize,
}

impl Relay {
    pub fn new(snapshot: Bytes) -> anyhow::Result<Self> {
        let config = Config {
            peer: PeerId::new("relay")?,
            actor: work::actor(usize::MAX),
            session: "run".to_owned(),
            policy: [0; 8],
            limits: Limits::default(),
            decode: false,
            rulebook: Box::new(Everyone),
        };
        Ok(Self {
            engine: Engine::new(config),
            now: Duration::from_secs(1),
            snapshot,
            sent: VecDeque::new(),
            tickets: Vec::new(),
            head_bytes: 0,
            loads: 0,
        })
    }

    /// Hands something to the engine and carries out what it answers; loads are answered at once.
    pub fn handle(&mut self, input: Input) -> anyhow::Result<()> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.handle_only(input) {
                match effect {
                    Effect::Load { document } => inputs.push_back(self.answer(document)),
                    effect => self.carry_out(effect)?,
                }
            }
        }
        Ok(())
    }

    /// Hands something to the engine, and nothing else.
    pub fn handle_only(&mut self, input: Input) -> Vec<Effect> {
        let wall_ms = 1_795_257_600_000 + i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX);
        self.engine.handle(Instant { monotonic: self.now, wall: Timestamp::from_unix_ms(wall_ms) }, input)
    }

    fn answer(&mut self, document: DocumentId) -> Input {
        self.loads += 1;
        let loaded = Loaded { snapshot: Some(self.snapshot.clone()), ..Loaded::default() };
        Input::Loaded { document, result: Ok(Some(loaded)) }
    }

    pub fn carry_out(&mut self, effect: Effect) -> anyhow::Result<()> {
        match effect {
            Effect::Send { link, message } => self.sent.push_back((link, message)),
            Effect::Append { ticket, heads, .. } | Effect::Replace { ticket, heads, .. } => {
                self.head_bytes += size_of_heads(&heads);
                self.tickets.push(ticket);
            }
            Effect::Close { link, reason } => anyhow::bail!("link {} was closed: {reason}", link.0),
            Effect::Quarantine { reason, .. } => anyhow::bail!("a message was refused: {reason}"),
            Effect::Load { .. } => anyhow::bail!("a document is read where all should be in memory"),
            _ => {}
        }
        Ok(())
    }

    /// Says that everything asked for is on disk.
    pub fn store_all(&mut self) -> anyhow::Result<()> {
        for ticket in std::mem::take(&mut self.tickets) {
            self.handle(Input::Stored { ticket, result: Ok(()) })?;
        }
        Ok(())
    }

    /// Settles, and says at once that what was sent is written. Again after what was read meanwhile.
    pub fn settle(&mut self) -> anyhow::Result<Vec<(LinkId, Message)>> {
        loop {
            let loads = self.loads;
            self.handle(Input::Settle)?;
            if loads == self.loads {
                break;
            }
        }
        let sent: Vec<_> = self.sent.drain(..).collect();
        for (link, message) in &sent {
            let bytes = message.data().map_or(0, Bytes::len);
            self.handle(Input::Written { link: *link, messages: 1, bytes })?;
        }
        Ok(sent)
    }

    pub fn link_up(&mut self, link: LinkId, announce: bool) -> anyhow::Result<()> {
        let peer = Peer {
            id: peer_id(link)?,
            storage: Some(StorageId::new(&format!("storage-{}", link.0))?),
            durable: true,
            announce,
        };
        self.handle(Input::LinkUp { link, peer })
    }

    /// Hands over a sync message of a peer.
    pub fn receive(&mut self, link: LinkId, document: DocumentId, data: Bytes) -> anyhow::Result<()> {
        let message = sync(link, document, data)?;
        self.handle(Input::Received { link, message })
    }
}

/// Makes the message of a peer, as `wire` would decode it.
pub fn sync(link: LinkId, document: DocumentId, data: Bytes) -> anyhow::Result<Message> {
    Ok(Message::Sync { sender: peer_id(link)?, target: PeerId::new("relay")?, document, data })
}

fn peer_id(link: LinkId) -> anyhow::Result<PeerId> {
    Ok(PeerId::new(&format!("peer-{}", link.0))?)
}

fn size_of_heads(heads: &Heads) -> usize {
    size_of_val(heads.as_slice())
}

/// Names a document; ids lie scattered, as hashes do.
pub fn document(number: usize) -> DocumentId {
    let mut id = [3; 16];
    id[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    DocumentId::from_bytes(id)
}
