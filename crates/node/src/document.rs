//! A document, for applications.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use comity_engine::{Edit, Event, Standing, Token};
use comity_model::{ActKind, ChangeHash, DocumentId, Heads, KindName, SpaceId, Value};
use tokio::sync::{broadcast, oneshot};

use crate::shard::{EditFailure, Prepare, Request};
use crate::{Editor, Node, NodeError, NodeEvent, View};

/// What a new document is.
#[derive(Clone, Debug)]
pub struct NewDocument {
    /// Its kind.
    pub kind: KindName,
    /// Its title, for people.
    pub title: String,
    /// The space it belongs to.
    pub space: Option<SpaceId>,
    /// What it is about, if that is unique in its space: two devices that create a document of the same kind and key
    /// while offline create one and the same document. Needs a space.
    pub natural_key: Option<String>,
}

impl NewDocument {
    /// Describes a document without a space.
    pub fn new(kind: KindName, title: impl Into<String>) -> Self {
        Self { kind, title: title.into(), space: None, natural_key: None }
    }

    /// Puts it into a space.
    pub fn in_space(mut self, space: SpaceId) -> Self {
        self.space = Some(space);
        self
    }

    /// Gives it a natural key.
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.natural_key = Some(key.into());
        self
    }
}

/// A handle on one document of a node. Cheap to clone.
///
/// The document itself lives on a thread of the node; reading and editing go there and back.
#[derive(Clone)]
pub struct Document {
    node: Node,
    id: DocumentId,
}

/// Something that happened to one document.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// An event of the document.
    Event(Event),
    /// The listener was too slow and missed this many events of the node: read the document anew.
    Missed(u64),
}

/// Gives what happens to one document from a moment on.
pub struct Changes {
    document: DocumentId,
    events: broadcast::Receiver<NodeEvent>,
}

impl Changes {
    /// Waits for the next event; `None` when the node is gone.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            match self.events.recv().await {
                Ok(NodeEvent::Document(event)) if event.document() == Some(self.document) => {
                    return Some(Change::Event(event));
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(missed)) => return Some(Change::Missed(missed)),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl Document {
    /// Gives the document's id.
    pub fn id(&self) -> DocumentId {
        self.id
    }

    /// Gives the node that the handle belongs to.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Reads the document: the closure runs on the node's thread, so it should be quick.
    ///
    /// # Errors
    /// When the document cannot be loaded from the store.
    pub async fn read<R: Send + 'static>(
        &self,
        look: impl FnOnce(&View<'_>) -> R + Send + 'static,
    ) -> Result<R, NodeError> {
        let (done, answer) = oneshot::channel();
        let visit = move |result: Result<(&comity_crdt::Document, Standing), comity_engine::Failure>| {
            let seen = match result {
                Ok((document, standing)) => {
                    // The closure only reads, so a panic of it leaves nothing half-done.
                    let look = AssertUnwindSafe(|| look(&View { document, standing }));
                    catch_unwind(look).map_err(|_| NodeError::Panicked)
                }
                Err(failure) => Err(failure.into()),
            };
            // The asker may have gone away.
            let _ = done.send(seen);
        };
        let request = Request::Visit { document: self.id, visit: Box::new(visit) };
        self.node.inner.shard(&self.id).request(request).await;
        answer.await.map_err(|_| NodeError::Stopped)?
    }

    /// Edits the document as it is now: everything that the closure writes becomes one atomic change. Resolves when
    /// the change is on disk; `None` when there was nothing to change.
    ///
    /// # Errors
    /// When the closure fails or the edit is refused: then nothing was changed. Or [`NodeError::NotSaved`]: the change
    /// is in the document and others may have it, but it is not on this device's disk.
    pub async fn edit(
        &self,
        write: impl FnOnce(&mut Editor<'_>) -> Result<(), NodeError> + Send + 'static,
    ) -> Result<Option<ChangeHash>, NodeError> {
        self.edit_based_on(None, write).await
    }

    /// Edits the document at the heads that the person had on screen ([`View::heads`]), so that others can tell what
    /// the author had seen. Otherwise like [`edit`](Self::edit).
    ///
    /// # Errors
    /// As [`edit`](Self::edit); also when this device does not have the heads.
    pub async fn edit_at(
        &self,
        seen: Heads,
        write: impl FnOnce(&mut Editor<'_>) -> Result<(), NodeError> + Send + 'static,
    ) -> Result<Option<ChangeHash>, NodeError> {
        self.edit_based_on(Some(seen), write).await
    }

    async fn edit_based_on(
        &self,
        base: Option<Heads>,
        write: impl FnOnce(&mut Editor<'_>) -> Result<(), NodeError> + Send + 'static,
    ) -> Result<Option<ChangeHash>, NodeError> {
        let (failed, failure) = oneshot::channel();
        let (done, outcome) = oneshot::channel();
        let schemas = self.node.inner.schemas.clone();
        let id = self.id;
        let prepare: Prepare = Box::new(move |document| {
            let kind = document.kind();
            let schema = kind.as_ref().and_then(|kind| schemas.get(kind));
            let mut editor = Editor { document, schema, writes: Vec::new(), kind: ActKind::Edit };
            // The closure only collects writes, so a panic of it leaves nothing half-done.
            let written = catch_unwind(AssertUnwindSafe(|| write(&mut editor)));
            match written.unwrap_or(Err(NodeError::Panicked)) {
                // The shard puts its own token in.
                Ok(()) => Some(Edit { token: Token(0), document: id, kind: editor.kind, base, writes: editor.writes }),
                Err(error) => {
                    // The asker may have gone away.
                    let _ = failed.send(error);
                    None
                }
            }
        });
        let request = Request::Edit { document: self.id, prepare, done };
        self.node.inner.shard(&self.id).request(request).await;
        match outcome.await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(failure.await.unwrap_or(NodeError::Stopped)),
        }
    }

    /// Sets one field: an edit with a single write.
    ///
    /// # Errors
    /// As [`edit`](Self::edit).
    pub async fn set(
        &self,
        entry: &str,
        field: &str,
        value: impl Into<Value>,
    ) -> Result<Option<ChangeHash>, NodeError> {
        let (entry, field, value) = (entry.to_owned(), field.to_owned(), value.into());
        self.edit(move |edit| edit.set(&entry, &field, value)).await
    }

    /// Gives how the document stands: on disk here, and how far relays and other peers that keep it are behind.
    ///
    /// # Errors
    /// When the document cannot be loaded from the store.
    pub async fn standing(&self) -> Result<Standing, NodeError> {
        self.read(|view| view.standing.clone()).await
    }

    /// Subscribes to what happens to the document from now on.
    pub fn subscribe(&self) -> Changes {
        Changes { document: self.id, events: self.node.events() }
    }

    /// Sends a short-lived message to everybody who has the document open: presence, a cursor, typing. Not stored.
    pub async fn broadcast(&self, data: Bytes) {
        self.node.inner.shard(&self.id).request(Request::Broadcast { document: self.id, data }).await;
    }

    /// Waits until something is known of the document on this device: it may have to come from a relay first.
    /// Returns false when it has not come in time.
    ///
    /// # Errors
    /// When the document cannot be loaded from the store.
    pub async fn available(&self, within: Duration) -> Result<bool, NodeError> {
        let mut changes = self.subscribe();
        self.node.want(self.id).await;
        let wait = async {
            loop {
                if !self.read(|view| view.is_empty()).await? {
                    return Ok(true);
                }
                if changes.next().await.is_none() {
                    return Err(NodeError::Stopped);
                }
            }
        };
        tokio::time::timeout(within, wait).await.unwrap_or(Ok(false))
    }
}

impl Node {
    /// Creates a document and wants it in step with relays. With a natural key that exists already (here or on a
    /// device that has not been heard of yet), this is the same document.
    ///
    /// # Errors
    /// When the edit is refused, or a natural key is given without a space.
    pub async fn create(&self, new: NewDocument) -> Result<Document, NodeError> {
        let id = match (&new.natural_key, new.space) {
            (Some(key), Some(space)) => DocumentId::for_natural_key(space, &new.kind, key),
            (Some(_), None) => return Err(NodeError::KeyWithoutSpace),
            (None, _) => DocumentId::from_bytes(crate::identity::random()?),
        };
        let document = self.document(id);
        let version = self.inner.schemas.get(&new.kind).map_or(1, |schema| schema.version);
        let (space, listing) = (new.space, new.clone());
        document
            .edit(move |edit| {
                edit.act(ActKind::Create);
                let mut about = vec![("kind", Value::from(new.kind.as_str())), ("title", Value::from(new.title))];
                about.push(("schema", Value::Int(i64::from(version))));
                about.extend(new.space.map(|space| ("space", Value::from(space.to_string()))));
                about.extend(new.natural_key.map(|key| ("key", Value::from(key))));
                for (name, value) in about {
                    // A document that exists keeps what it says of itself.
                    if edit.document().about(name).is_none() {
                        edit.about(name, value);
                    }
                }
                Ok(())
            })
            .await?;
        self.want(id).await;
        if let Some(space) = space {
            self.list_in_space(space, id, &listing).await?;
        }
        Ok(document)
    }

    /// Gives a handle on a document. It need not be here yet: see [`Document::available`].
    pub fn document(&self, id: DocumentId) -> Document {
        Document { node: self.clone(), id }
    }

    /// Gives the documents that this node's store holds.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn documents(&self) -> Result<Vec<DocumentId>, NodeError> {
        Ok(self.inner.store.documents()?)
    }
}

impl From<EditFailure> for NodeError {
    fn from(failure: EditFailure) -> Self {
        match failure {
            EditFailure::Refused(refused) => Self::Refused(refused),
            EditFailure::NotSaved(failure) => Self::NotSaved(failure),
        }
    }
}
