//! The official Rust client, `samod`, dialing over WebSocket.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use automerge::transaction::Transactable;
use automerge::{Automerge, ROOT, ReadDoc, ScalarValue};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, SinkExt, StreamExt, future};
use samod::{BackoffConfig, DialError, Dialer, DialerHandle, DocHandle, Repo, SearchState, Transport, Url};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage};

use crate::within;

/// A `samod` repo with one standing link.
pub struct Samod {
    repo: Repo,
    link: DialerHandle<Infallible>,
}

impl Samod {
    /// Makes a repo that keeps a link to a relay, and waits until it stands.
    pub async fn connect(peer: &str, url: &str) -> Self {
        let repo = Repo::build_tokio().with_peer_id(peer.into()).load().await;
        let url = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let (initial_delay, max_delay) = (Duration::from_millis(50), Duration::from_millis(500));
        let backoff = BackoffConfig { initial_delay, max_delay, max_retries: None };
        let link = repo.dial(backoff, Arc::new(WebSocket(url))).expect("the repo runs");
        let samod = Self { repo, link };
        within("samod's handshake", samod.link.established()).await.expect("samod's dialer goes on for ever");
        samod
    }

    /// Creates a document.
    pub async fn create(&self, document: Automerge) -> SamodDocument {
        let handle = within("samod's create", self.repo.create(document)).await.expect("the repo runs");
        SamodDocument { handle }
    }

    /// Looks for a document; `None` when it is unavailable.
    pub async fn find(&self, document: &str) -> Option<SamodDocument> {
        let id = document.parse().unwrap_or_else(|error| panic!("{document}: {error}"));
        let found = within("samod's find", self.repo.find(id)).await.expect("the repo runs");
        found.map(|handle| SamodDocument { handle })
    }

    /// Looks for a document and waits until it is there: whoever makes it may be on the way to the relay still.
    pub async fn must_find(&self, document: &str) -> SamodDocument {
        let id = document.parse().unwrap_or_else(|error| panic!("{document}: {error}"));
        let (mut state, states) = self.repo.search(id).expect("the repo runs");
        let mut states = std::pin::pin!(states);
        let search = async {
            loop {
                if let SearchState::Found(handle) = state {
                    return SamodDocument { handle };
                }
                state = states.next().await.expect("the repo runs");
            }
        };
        within("samod's search", search).await
    }

    /// Stops the repo.
    pub async fn stop(self) {
        within("samod's end", self.repo.stop()).await;
    }
}

/// A document of a `samod` repo.
#[derive(Clone)]
pub struct SamodDocument {
    handle: DocHandle,
}

impl SamodDocument {
    /// Gives its id as base58check.
    pub fn id(&self) -> String {
        self.handle.document_id().to_string()
    }

    /// Gives samod's own handle.
    pub fn handle(&self) -> &DocHandle {
        &self.handle
    }

    /// Gives the heads, as sorted hex.
    pub fn heads(&self) -> Vec<String> {
        let mut heads: Vec<_> = self.handle.with_document(|document| document.get_heads());
        heads.sort();
        heads.iter().map(ToString::to_string).collect()
    }

    /// Sets a value under a map, or at the top with an empty map name.
    pub fn set(&self, map: &str, key: &str, value: impl Into<ScalarValue>) {
        self.handle.with_document(|document| {
            let object = object(document, map).unwrap_or_else(|| panic!("samod has no map {map:?}"));
            let mut transaction = document.transaction();
            transaction.put(&object, key, value).expect("a put into a map");
            transaction.commit();
        });
    }

    /// Reads a scalar.
    pub fn scalar(&self, map: &str, key: &str) -> Option<ScalarValue> {
        self.handle.with_document(|document| scalar(document, map, key))
    }

    /// Waits until a scalar text is this.
    pub async fn wait_for_text(&self, map: &str, key: &str, text: &str) {
        let what = format!("samod sees {map}/{key} = {text:?}");
        let is_there =
            |document: &Automerge| matches!(scalar(document, map, key), Some(ScalarValue::Str(found)) if found == text);
        within(&what, self.wait(is_there)).await;
    }

    /// Waits until it has these heads.
    pub async fn wait_heads(&self, heads: &[String]) {
        let what = format!("samod reaches {heads:?}");
        let are_there = |document: &Automerge| {
            let mut have: Vec<_> = document.get_heads().iter().map(ToString::to_string).collect();
            have.sort();
            have == heads
        };
        within(&what, self.wait(are_there)).await;
    }

    async fn wait(&self, holds: impl Fn(&Automerge) -> bool) {
        let mut changes = self.handle.changes();
        while !self.handle.with_document(|document| holds(document)) {
            changes.next().await.expect("the repo runs");
        }
    }
}

fn object(document: &Automerge, map: &str) -> Option<automerge::ObjId> {
    if map.is_empty() {
        return Some(ROOT);
    }
    Some(document.get(ROOT, map).ok()??.1)
}

fn scalar(document: &Automerge, map: &str, key: &str) -> Option<ScalarValue> {
    let object = object(document, map)?;
    document.get(&object, key).ok()??.0.as_scalar().cloned()
}

/// Carries samod over a WebSocket: one binary message is one message of samod, nothing added and nothing left out.
pub fn over_websocket<S>(socket: WebSocketStream<S>) -> Transport
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sink, stream) = socket.split();
    let messages = stream.filter_map(|message| {
        future::ready(match message {
            Ok(WsMessage::Binary(bytes)) => Some(Ok(bytes.to_vec())),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    });
    let sink = sink.with(|bytes: Vec<u8>| future::ready(Ok::<_, WsError>(WsMessage::binary(bytes))));
    Transport::new(messages, sink)
}

/// Dials over WebSocket.
struct WebSocket(Url);

impl Dialer for WebSocket {
    type Error = Infallible;

    fn url(&self) -> Url {
        self.0.clone()
    }

    fn connect(&self) -> BoxFuture<'static, Result<Transport, DialError<Infallible>>> {
        let url = self.0.clone();
        async move {
            let (socket, _) = tokio_tungstenite::connect_async(url.as_str()).await.map_err(DialError::transient)?;
            Ok(over_websocket(socket))
        }
        .boxed()
    }
}
