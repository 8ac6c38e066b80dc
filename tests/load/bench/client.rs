//! A client like any other: plain Automerge, the automerge-repo protocol, one socket, nothing on disk.
//!
//! It is the same for every server, knows nothing of Comity's own documents, and shares only the message codec and the
//! names with it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use automerge::sync::{self, SyncDoc};
use automerge::transaction::Transactable;
use automerge::{ActorId, Automerge, ChangeHash, ROOT, ReadDoc};
use comity_model::{DocumentId, Limits, PeerId};
use comity_wire::{Message, PeerMetadata};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::Fatal;

/// How many different fields the writers of a document set, over and over.
const FIELDS: i64 = 100;

/// Longest silence of a server that owes something.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Client {
    name: String,
    socket: Option<Socket>,
    replicas: BTreeMap<DocumentId, Replica>,
}

/// A standing connection.
struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    peer: PeerId,
    server: PeerId,
    limits: Limits,
}

/// What a client has of one document.
pub struct Replica {
    pub content: Automerge,
    session: sync::State,
    /// Edits of its own that the server has not been heard to have, oldest first.
    unanswered: VecDeque<(i64, ChangeHash)>,
    edits: i64,
}

impl Client {
    /// Connects, and shakes hands.
    pub async fn connect(name: &str, url: &str) -> Result<Self> {
        let mut client = Self { name: name.to_owned(), socket: None, replicas: BTreeMap::new() };
        client.reconnect(url).await?;
        Ok(client)
    }

    /// Connects again, and starts all its documents' sessions from what both sides are known to have.
    pub async fn reconnect(&mut self, url: &str) -> Result<()> {
        // Without Nagle's algorithm, as browsers and Node.js do it.
        let dialed = tokio_tungstenite::connect_async_with_config(url, None, true).await;
        let (stream, _) = dialed.with_context(|| format!("cannot dial {url}"))?;
        let peer = PeerId::new(&self.name)?;
        let mut socket = Socket { stream, server: peer.clone(), peer, limits: Limits::default() };
        let versions = vec!["1".to_owned()];
        socket
            .send(&Message::Join { sender: socket.peer.clone(), versions, metadata: PeerMetadata::default() })
            .await?;
        match socket.receive().await? {
            Message::Peer { sender, .. } => socket.server = sender,
            other => bail!("expected `peer`, got `{}`", other.type_name()),
        }
        for replica in self.replicas.values_mut() {
            replica.session = sync::State::decode(&replica.session.encode())?;
        }
        self.socket = Some(socket);
        Ok(())
    }

    /// Leaves without a goodbye.
    pub fn disconnect(&mut self) {
        self.socket = None;
    }

    /// Takes a document in hand, without asking the server for it.
    pub fn open(&mut self, document: DocumentId) {
        let (name, mut actor) = (self.name.as_bytes(), vec![0; 16]);
        for (byte, letter) in actor.iter_mut().zip(name.iter().chain(document.as_bytes())) {
            *byte = *letter;
        }
        let replica = Replica {
            content: Automerge::new().with_actor(ActorId::from(actor)),
            session: sync::State::new(),
            unanswered: VecDeque::new(),
            edits: 0,
        };
        self.replicas.insert(document, replica);
    }

    pub fn replica(&self, document: DocumentId) -> Result<&Replica> {
        self.replicas.get(&document).context("no such document in hand")
    }

    fn replica_mut(&mut self, document: DocumentId) -> Result<&mut Replica> {
        self.replicas.get_mut(&document).context("no such document in hand")
    }

    /// Makes one change: the next number, in the next of its fields. Nothing is sent.
    pub fn edit(&mut self, document: DocumentId) -> Result<()> {
        let prefix = self.name.clone();
        let replica = self.replica_mut(document)?;
        replica.edits += 1;
        let (number, mut change) = (replica.edits, replica.content.transaction());
        change.put(ROOT, field(&prefix, number), number)?;
        let hash = change.commit().0.context("an edit without a change")?;
        replica.unanswered.push_back((number, hash));
        Ok(())
    }

    /// Tells how far a writer's edits have come here, from the last number that was seen.
    pub fn seen(&self, document: DocumentId, writer: &str, mut seen: i64) -> Result<i64> {
        let content = &self.replica(document)?.content;
        while number(content, writer, seen + 1)? > seen {
            seen += 1;
        }
        Ok(seen)
    }

    /// Gives the newest of a writer's edits that has come here.
    pub fn newest(&self, document: DocumentId, writer: &str) -> Result<i64> {
        let content = &self.replica(document)?.content;
        (0..FIELDS).try_fold(0, |newest, field| Ok(number(content, writer, field)?.max(newest)))
    }

    /// Tells how many edits of its own the server has not been heard to have.
    pub fn unanswered(&self, document: DocumentId) -> Result<usize> {
        Ok(self.replica(document)?.unanswered.len())
    }

    /// Says what there is to say about a document.
    pub async fn say(&mut self, document: DocumentId) -> Result<()> {
        let replica = self.replicas.get_mut(&document).context("no such document in hand")?;
        let has_nothing = replica.content.is_empty() && replica.session.their_heads.is_none();
        let Some(message) = replica.content.generate_sync_message(&mut replica.session) else { return Ok(()) };
        let socket = self.socket.as_mut().context("not connected")?;
        let (sender, target, data) = (socket.peer.clone(), socket.server.clone(), message.encode().into());
        let message = if has_nothing {
            Message::Request { sender, target, document, data }
        } else {
            Message::Sync { sender, target, document, data }
        };
        socket.send(&message).await
    }

    /// Takes one message and answers it. Gives the document that it was about, if it is one of those in hand.
    pub async fn take(&mut self) -> Result<Option<DocumentId>> {
        let message = self.socket.as_mut().context("not connected")?.receive().await?;
        self.answer(message).await
    }

    /// Takes and answers messages until a moment.
    pub async fn take_until(&mut self, end: Instant) -> Result<()> {
        loop {
            let socket = self.socket.as_mut().context("not connected")?;
            // Only waiting for a message is given up, never the answer to one.
            let Ok(message) = tokio::time::timeout_at(end, socket.receive()).await else { return Ok(()) };
            self.answer(message?).await?;
        }
    }

    async fn answer(&mut self, message: Message) -> Result<Option<DocumentId>> {
        let (document, data) = match message {
            Message::Sync { document, data, .. } | Message::Request { document, data, .. } => (document, data),
            Message::Error { message, .. } => bail!("the server says: {message}"),
            Message::DocUnavailable { document, .. } => bail!("the server says that it has no document {document}"),
            _ => return Ok(None),
        };
        let name = &self.name;
        let Some(replica) = self.replicas.get_mut(&document) else { return Ok(None) };
        replica.content.receive_sync_message(&mut replica.session, sync::Message::decode(&data)?)?;
        replica.note_answers(name)?;
        self.say(document).await?;
        Ok(Some(document))
    }

    /// Takes messages until the server has told that it has all of this client's edits of a document.
    pub async fn until_answered(&mut self, document: DocumentId) -> Result<()> {
        while self.unanswered(document)? > 0 {
            self.take().await?;
        }
        Ok(())
    }

    /// Takes messages until the server has told that it has the same as this client, and is not empty.
    pub async fn until_in_step(&mut self, document: DocumentId) -> Result<()> {
        while !self.replica(document)?.is_in_step() {
            self.take().await?;
        }
        Ok(())
    }

    /// Asks for a document, and takes messages until it is in step.
    pub async fn fetch(&mut self, document: DocumentId) -> Result<()> {
        self.open(document);
        self.say(document).await?;
        self.until_in_step(document).await
    }
}

impl Replica {
    /// Gives the heads, sorted.
    pub fn heads(&self) -> Vec<ChangeHash> {
        let mut heads = self.content.get_heads();
        heads.sort();
        heads
    }

    pub fn is_in_step(&self) -> bool {
        let mine = self.heads();
        let theirs = self.session.their_heads.clone().map(|mut heads| {
            heads.sort();
            heads
        });
        !mine.is_empty() && theirs.as_ref() == Some(&mine)
    }

    /// Ticks off the edits that the server's heads contain.
    fn note_answers(&mut self, name: &str) -> Result<()> {
        let Some(heads) = &self.session.their_heads else { return Ok(()) };
        if self.unanswered.is_empty() {
            return Ok(());
        }
        // An edit of one's own contains all those before it.
        if let Some(at) = self.unanswered.iter().rposition(|(_, hash)| heads.contains(hash)) {
            self.unanswered.drain(..=at);
        } else if heads.iter().all(|head| self.content.get_change_meta_by_hash(head).is_some()) {
            // Others have built on it: what stood in the field at those heads tells.
            while let Some((number, _)) = self.unanswered.front() {
                let value = self.content.get_at(ROOT, field(name, *number), heads)?;
                if value.and_then(|(value, _)| value.as_i64()) < Some(*number) {
                    break;
                }
                self.unanswered.pop_front();
            }
        }
        Ok(())
    }
}

impl Socket {
    async fn send(&mut self, message: &Message) -> Result<()> {
        self.stream.send(Frame::binary(message.encode())).await.context("the server hung up")
    }

    async fn receive(&mut self) -> Result<Message> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.stream.next()).await.context("the server is silent")?;
            match frame.context("the server hung up")?? {
                Frame::Binary(bytes) => return Ok(Message::decode(&bytes, &self.limits)?),
                Frame::Close(why) => bail!("the server closed the connection: {why:?}"),
                // Pings are answered by the library.
                _ => {}
            }
        }
    }
}

/// Checks that two clients hold the same document.
///
/// # Errors
/// [`Fatal`]: no figure counts when a document is wrong.
pub fn check_equal(a: &Client, b: &Client, document: DocumentId) -> Result<()> {
    let (mine, others) = (a.replica(document)?, b.replica(document)?);
    if mine.heads() != others.heads() {
        bail!(Fatal(format!("{} and {} ended with different heads", a.name, b.name)));
    }
    if mine.content.hydrate(None) != others.content.hydrate(None) {
        bail!(Fatal(format!("{} and {} have equal heads and different contents", a.name, b.name)));
    }
    Ok(())
}

fn field(writer: &str, number: i64) -> String {
    format!("{writer}/M{:03}", number % FIELDS)
}

fn number(content: &Automerge, writer: &str, number: i64) -> Result<i64> {
    let value = content.get(ROOT, field(writer, number))?;
    Ok(value.and_then(|(value, _)| value.as_i64()).unwrap_or(0))
}
