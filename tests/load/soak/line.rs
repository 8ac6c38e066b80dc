//! One connection to the relay, past its handshake.

use std::time::Duration;

use anyhow::anyhow;
use comity_model::{DocumentId, Limits, PeerId};
use comity_net::{Connection, DialOptions, Frame, Goodbye, Url, code, dial};
use comity_wire::{Message, PeerMetadata};
use tokio::time::timeout;

/// How long the relay may take to read what it is sent, and to answer the handshake.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the relay may take to answer a goodbye.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no connection any more.
#[derive(Debug)]
pub enum Cut {
    /// Refused, broken off, or closed, as happens to every client; the relay may have said when to come back.
    Gone(Option<Duration>),
    /// What must not happen: the run fails.
    Fault(anyhow::Error),
}

impl From<anyhow::Error> for Cut {
    fn from(error: anyhow::Error) -> Self {
        Self::Fault(error)
    }
}

/// An open connection.
pub struct Line {
    connection: Connection,
    sender: PeerId,
    target: PeerId,
    limits: Limits,
}

/// What the relay says of a document.
pub enum Word {
    Sync(DocumentId, bytes::Bytes),
    Unavailable(DocumentId),
}

impl Line {
    pub async fn open(url: &Url, name: &str) -> Result<Self, Cut> {
        let connection = dial(url, &DialOptions::default()).await.map_err(|_| Cut::Gone(None))?;
        let sender = PeerId::new(name).map_err(|error| anyhow!(error))?;
        let mut line = Self { connection, target: sender.clone(), sender, limits: Limits::default() };
        let (sender, versions) = (line.sender.clone(), vec!["1".to_owned()]);
        line.send(Message::Join { sender, versions, metadata: PeerMetadata::default() }).await?;
        let answer = timeout(PATIENCE, line.message()).await;
        match answer.map_err(|_| Cut::Fault(anyhow!("the relay does not answer `join`")))?? {
            Message::Peer { sender, .. } => line.target = sender,
            other => return Err(Cut::Fault(anyhow!("the relay answers `join` with `{}`", other.type_name()))),
        }
        Ok(line)
    }

    /// Sends a sync message; a `request` when there is nothing here yet.
    pub async fn say(&mut self, document: DocumentId, data: bytes::Bytes, asks: bool) -> Result<(), Cut> {
        let (sender, target) = (self.sender.clone(), self.target.clone());
        let message = if asks {
            Message::Request { sender, target, document, data }
        } else {
            Message::Sync { sender, target, document, data }
        };
        self.send(message).await
    }

    /// Waits for the next word about a document. Nothing is lost when this is dropped while it waits.
    pub async fn hear(&mut self) -> Result<Word, Cut> {
        loop {
            match self.message().await? {
                Message::Sync { document, data, .. } => return Ok(Word::Sync(document, data)),
                Message::DocUnavailable { document, .. } => return Ok(Word::Unavailable(document)),
                Message::Error { message, .. } => return Err(Cut::Fault(anyhow!("the relay says: {message}"))),
                _ => {}
            }
        }
    }

    /// Hangs up in good order.
    pub async fn goodbye(mut self) {
        let bye = async {
            self.connection.send(Frame::Close(Goodbye::new(code::NORMAL, "goodbye"))).await?;
            std::future::poll_fn(|cx| self.connection.transport().poll_close(cx)).await;
            Ok::<_, comity_net::LinkError>(())
        };
        // The relay may have gone first.
        let _ = timeout(GOODBYE_PATIENCE, bye).await;
    }

    async fn send(&mut self, message: Message) -> Result<(), Cut> {
        let sent = timeout(PATIENCE, self.connection.send(Frame::Message(message.encode()))).await;
        sent.map_err(|_| Cut::Fault(anyhow!("the relay reads nothing for {} s", PATIENCE.as_secs())))?
            .map_err(|_| Cut::Gone(None))
    }

    async fn message(&mut self) -> Result<Message, Cut> {
        loop {
            match self.connection.receive().await {
                Some(Ok(Frame::Message(bytes))) => {
                    let message = Message::decode(&bytes, &self.limits).map_err(|error| anyhow!(error))?;
                    return Ok(message);
                }
                Some(Ok(Frame::Close(goodbye))) => {
                    let harmless = [code::NORMAL, code::GOING_AWAY, code::RESTART, code::NONE];
                    if harmless.contains(&goodbye.code) {
                        return Err(Cut::Gone(goodbye.retry_after()));
                    }
                    let Goodbye { code, reason } = goodbye;
                    return Err(Cut::Fault(anyhow!("the relay hangs up: {reason} ({code})")));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Cut::Gone(None)),
            }
        }
    }
}
