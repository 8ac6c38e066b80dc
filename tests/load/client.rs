//! The smallest client that keeps a document in step: one connection, one document, nothing on disk.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use comity_crdt::{Document, OpAction, SyncSession, admit};
use comity_model::{
    Act, ActKind, ActorId, ChangeHash, DeviceTag, DocumentId, Heads, HybridTime, Limits, PeerId, RegisterKey, Value,
    Write,
};
use comity_net::{Connection, DialOptions, Frame, dial};
use comity_wire::{Message, PeerMetadata};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Client {
    connection: Connection,
    peer: PeerId,
    relay: PeerId,
    id: DocumentId,
    document: Document,
    session: SyncSession,
    actor: ActorId,
    started: Instant,
    /// Time from each edit, whose value says when it was made, until it was applied here.
    pub latencies_us: Vec<u64>,
    limits: Limits,
}

impl Client {
    pub async fn connect(url: &str, name: &str, id: DocumentId, started: Instant) -> Result<Self> {
        let mut connection = dial(&url.parse()?, &DialOptions::default()).await?;
        let peer = PeerId::new(name)?;
        let join =
            Message::Join { sender: peer.clone(), versions: vec!["1".to_owned()], metadata: PeerMetadata::default() };
        connection.send(Frame::Message(join.encode())).await?;
        let limits = Limits::default();
        let relay = match Message::decode(&next(&mut connection).await?, &limits)? {
            Message::Peer { sender, .. } => sender,
            other => bail!("expected `peer`, got {}", other.type_name()),
        };
        let mut tag = [0; 16];
        for (byte, letter) in tag.iter_mut().zip(name.bytes()) {
            *byte = letter;
        }
        let actor = ActorId::for_session(DeviceTag(tag), [1; 8]);
        let (document, session) = (Document::new(), SyncSession::new());
        let latencies_us = Vec::new();
        let mut client = Self { connection, peer, relay, id, document, session, actor, started, latencies_us, limits };
        client.say().await?;
        Ok(client)
    }

    pub fn heads(&self) -> Heads {
        self.document.heads().clone()
    }

    /// Writes one field and sends it.
    pub async fn edit(&mut self, entry: &str, value: i64) -> Result<()> {
        let key: RegisterKey = format!("{entry}/value").parse()?;
        let act = Act { time: HybridTime::default(), policy: [0; 8], kind: ActKind::Edit };
        let write = Write::Set { key, value: Value::Int(value) };
        self.document.edit(&self.actor, act, None, &[write], &self.limits)?;
        self.say().await
    }

    /// Waits until the relay has answered that it has everything; it answers from disk.
    pub async fn until_stored(&mut self) -> Result<()> {
        let heads = self.heads();
        while !self.has_shared(&heads) {
            self.take_one().await?;
        }
        Ok(())
    }

    fn has_shared(&self, heads: &Heads) -> bool {
        let unshared = self.document.changes_since(&self.session.shared_heads());
        let unshared: Vec<ChangeHash> = unshared.into_iter().map(|(hash, _)| hash).collect();
        heads.as_slice().iter().all(|head| !unshared.contains(head))
    }

    /// Waits until the document has so many changes.
    pub async fn until_changes(&mut self, changes: usize) -> Result<()> {
        while self.document.change_count() < changes {
            self.take_one().await?;
        }
        Ok(())
    }

    /// Waits until the relay says that it has what this client has.
    pub async fn until_in_step(&mut self) -> Result<()> {
        while self.session.peer_heads() != Some(self.document.heads()) {
            self.take_one().await?;
        }
        Ok(())
    }

    /// Takes messages that are there already.
    pub async fn take_what_came(&mut self) -> Result<()> {
        while let Ok(taken) = tokio::time::timeout(Duration::from_millis(1), self.take_one()).await {
            taken?;
        }
        Ok(())
    }

    /// Takes one message of the relay and answers it.
    async fn take_one(&mut self) -> Result<()> {
        let bytes = next(&mut self.connection).await?;
        let data = match Message::decode(&bytes, &self.limits)? {
            Message::Sync { data, .. } => data,
            Message::Error { message, .. } => bail!("the relay says: {message}"),
            _ => return Ok(()),
        };
        let admitted = admit(&data, &self.limits)?;
        let received = self.document.receive(&mut self.session, admitted, &self.limits)?;
        let now_us = u64::try_from(self.started.elapsed().as_micros())?;
        for change in self.document.decode_changes(&received.new_changes) {
            for op in &change.ops {
                if let OpAction::Put(Value::Int(made_us)) = op.action
                    && made_us > 0
                {
                    self.latencies_us.push(now_us.saturating_sub(u64::try_from(made_us)?));
                }
            }
        }
        self.say().await
    }

    /// Sends what there is to say.
    async fn say(&mut self) -> Result<()> {
        let is_empty = self.document.is_empty() && self.session.peer_heads().is_none();
        let Some(data) = self.document.generate(&mut self.session) else { return Ok(()) };
        let (sender, target, document) = (self.peer.clone(), self.relay.clone(), self.id);
        let message = if is_empty {
            Message::Request { sender, target, document, data }
        } else {
            Message::Sync { sender, target, document, data }
        };
        self.connection.send(Frame::Message(message.encode())).await?;
        Ok(())
    }
}

/// Lets two clients take messages until both have the same.
pub async fn until_equal(a: &mut Client, b: &mut Client) -> Result<()> {
    while a.heads() != b.heads() {
        tokio::select! {
            taken = a.take_one() => taken?,
            taken = b.take_one() => taken?,
        }
    }
    Ok(())
}

async fn next(connection: &mut Connection) -> Result<Bytes> {
    loop {
        let frame = tokio::time::timeout(PATIENCE, connection.receive()).await.context("the relay is silent")?;
        match frame.context("the relay hung up")?? {
            Frame::Message(bytes) => return Ok(bytes),
            Frame::Close(goodbye) => bail!("the relay closed: {} ({})", goodbye.reason, goodbye.code),
            _ => {}
        }
    }
}
