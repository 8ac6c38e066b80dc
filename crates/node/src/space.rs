//! Spaces: a project's members see each other's documents.
//!
//! A space is a document of kind `space`: it has an entry for each document, named by the document's id. A node that
//! is in a space wants every document it lists, and so learns of new ones by itself.

use std::sync::{Arc, PoisonError, Weak};

use bytes::Bytes;
use comity_model::{ActKind, DocumentId, KindName, SpaceId};
use comity_store::Op;

use crate::node::Inner;
use crate::{NewDocument, Node, NodeError, NodeEvent, OpenError};

/// Begins the rows of the store that name the spaces this node is in.
const SPACE_ROWS: &str = "space/";

/// The kind of a space document.
pub(crate) const SPACE_KIND: &str = "space";

/// A document as its space lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: DocumentId,
    /// Its kind.
    pub kind: String,
    /// Its title.
    pub title: String,
    /// Whether it was taken off the list.
    pub removed: bool,
}

impl Node {
    /// Makes a space. Share its id with the other devices; they [`join_space`](Self::join_space) with it.
    ///
    /// # Errors
    /// When the edit is refused.
    pub async fn create_space(&self, title: &str) -> Result<SpaceId, NodeError> {
        let kind = KindName::new(SPACE_KIND).expect("a constant that is a kind name");
        let document = self.create(NewDocument::new(kind, title)).await?;
        let space = SpaceId::new(document.id());
        self.join_space(space).await?;
        Ok(space)
    }

    /// Joins a space: its documents are wanted from now on, those listed later included.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn join_space(&self, space: SpaceId) -> Result<(), NodeError> {
        let row = Op::PutMeta { key: format!("{SPACE_ROWS}{space}"), value: Bytes::new() };
        let store = Arc::clone(&self.inner.store);
        // The disk may take its time, and this thread has others to serve.
        let written = tokio::task::spawn_blocking(move || store.commit(&[row])).await;
        // Without an answer, the runtime is going away.
        written.map_err(|_| NodeError::Stopped)??;
        self.enter(space).await;
        Ok(())
    }

    /// Gives the spaces that this node is in.
    pub fn spaces(&self) -> Vec<SpaceId> {
        let spaces = self.inner.spaces.read().unwrap_or_else(PoisonError::into_inner);
        spaces.iter().copied().map(SpaceId::new).collect()
    }

    /// Gives the documents that a space lists, by id.
    ///
    /// # Errors
    /// When the space document cannot be loaded.
    pub async fn listed(&self, space: SpaceId) -> Result<Vec<Listed>, NodeError> {
        let entries = self.document(space.document()).read(|view| view.entries()).await?;
        let listed = entries.into_iter().filter_map(|(entry, content)| {
            let text = |field: &str| {
                let value = content.fields.iter().find(|(name, _)| name.as_str() == field).map(|(_, value)| value);
                value.and_then(|value| value.as_text()).unwrap_or_default().to_owned()
            };
            let id = entry.as_str().parse().ok()?;
            Some(Listed { id, kind: text("kind"), title: text("title"), removed: content.deleted })
        });
        Ok(listed.collect())
    }

    pub(crate) async fn list_in_space(
        &self,
        space: SpaceId,
        id: DocumentId,
        new: &NewDocument,
    ) -> Result<(), NodeError> {
        let (entry, kind, title) = (id.to_string(), new.kind.to_string(), new.title.clone());
        let list = self.document(space.document());
        list.edit(move |edit| {
            edit.act(ActKind::Create);
            edit.set(&entry, "kind", kind)?;
            edit.set(&entry, "title", title)
        })
        .await?;
        Ok(())
    }

    /// Enters the spaces that the store remembers, and follows their lists from now on.
    pub(crate) async fn resume_spaces(&self) -> Result<(), OpenError> {
        for key in self.inner.store.meta_keys().map_err(OpenError::Store)? {
            let Some(space) = key.strip_prefix(SPACE_ROWS).and_then(|id| id.parse().ok()) else { continue };
            self.enter(space).await;
        }
        tokio::spawn(follow(Arc::downgrade(&self.inner), Arc::clone(&self.inner.space_changed)));
        Ok(())
    }

    async fn enter(&self, space: SpaceId) {
        self.inner.spaces.write().unwrap_or_else(PoisonError::into_inner).insert(space.document());
        self.want(space.document()).await;
        self.inner.board.space_changed();
        self.inner.space_changed.notify_one();
    }
}

/// Wants whatever the spaces list, each time a list has changed. Ends with the node.
async fn follow(inner: Weak<Inner>, changed: Arc<tokio::sync::Notify>) {
    loop {
        changed.notified().await;
        let Some(inner) = inner.upgrade() else { return };
        let node = Node { inner };
        let to_follow = node.inner.board.spaces_to_follow();
        for space in node.spaces() {
            let listed = match node.listed(space).await {
                Ok(listed) => listed,
                Err(NodeError::Stopped) => return,
                Err(error) => {
                    tracing::warn!(%space, %error, "the list of a space cannot be read");
                    continue;
                }
            };
            for listed in listed.into_iter().filter(|listed| !listed.removed) {
                node.want(listed.id).await;
            }
        }
        node.inner.board.spaces_followed(to_follow);
        // Whoever waits to be synced waits for this, too.
        node.inner.tell(NodeEvent::SpacesFollowed);
    }
}
