//! Another application: plain Automerge documents over the plain protocol, as the official clients speak it.
//!
//! It knows nothing of Comity. Its documents are nested (maps, lists, text, counters), it acknowledges from memory, it
//! queues as much as it likes on its socket, and it announces all its documents to whoever it dials.

use std::collections::BTreeMap;

use automerge::sync::{Message as SyncMessage, State, SyncDoc};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, Automerge, AutomergeError, ObjType, ROOT, ReadDoc, ScalarValue, Value};
use bytes::Bytes;
use comity_engine::{Effect, Input};
use comity_model::{ChangeHash, DocumentId, Heads, LinkId, PeerId};
use comity_wire::Message;

use crate::plan::ForeignWork;

/// An application that is not ours, with its documents.
pub(crate) struct Foreign {
    id: PeerId,
    actor: ActorId,
    documents: BTreeMap<DocumentId, Automerge>,
    /// The connection to the relay, and who is there.
    link: Option<(LinkId, PeerId)>,
    /// How each document stands with the relay.
    sessions: BTreeMap<DocumentId, Session>,
    said: u64,
}

#[derive(Default)]
struct Session {
    state: State,
    /// The relay has spoken of the document on this connection.
    is_known: bool,
}

impl Foreign {
    pub fn new(id: PeerId, number: u8) -> Self {
        Self {
            id,
            actor: ActorId::from([number; 16].as_slice()),
            documents: BTreeMap::new(),
            link: None,
            sessions: BTreeMap::new(),
            said: 0,
        }
    }

    /// Takes note of something that happened and says what is to be sent.
    pub fn handle(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::LinkUp { link, peer } => self.connected(link, peer.id),
            Input::LinkDown { link } => {
                self.link.take_if(|(current, _)| *current == link);
                Vec::new()
            }
            Input::Received { message: Message::Request { document, data, .. }, .. }
            | Input::Received { message: Message::Sync { document, data, .. }, .. } => self.received(document, &data),
            _ => Vec::new(),
        }
    }

    /// A new connection: as in automerge-repo, only what both have is remembered of the last.
    fn connected(&mut self, link: LinkId, peer: PeerId) -> Vec<Effect> {
        self.link = Some((link, peer));
        for session in self.sessions.values_mut() {
            let state = State::decode(&session.state.encode()).expect("it was encoded a moment ago");
            *session = Session { state, is_known: false };
        }
        let documents: Vec<DocumentId> = self.documents.keys().copied().collect();
        documents.into_iter().flat_map(|document| self.sync(document)).collect()
    }

    fn received(&mut self, document: DocumentId, data: &Bytes) -> Vec<Effect> {
        let content = self.documents.entry(document).or_insert_with(|| new_document(&self.actor));
        let session = self.sessions.entry(document).or_default();
        session.is_known = true;
        let message = SyncMessage::decode(data).expect("what Comity sends is a sync message");
        content.receive_sync_message(&mut session.state, message).expect("what Comity sends can be applied");
        self.sync(document)
    }

    /// Says what there is to say of a document.
    fn sync(&mut self, document: DocumentId) -> Vec<Effect> {
        let (Some((link, target)), Some(content)) = (&self.link, self.documents.get(&document)) else {
            return Vec::new();
        };
        let (sender, session) = (self.id.clone(), self.sessions.entry(document).or_default());
        let Some(message) = content.generate_sync_message(&mut session.state) else { return Vec::new() };
        let (target, data) = (target.clone(), Bytes::from(message.encode()));
        let message = if content.get_heads().is_empty() && !session.is_known {
            Message::Request { sender, target, document, data }
        } else {
            Message::Sync { sender, target, document, data }
        };
        vec![Effect::Send { link: *link, message }]
    }

    /// Opens a document, whoever made it.
    pub fn open(&mut self, document: DocumentId) -> Vec<Effect> {
        self.documents.entry(document).or_insert_with(|| new_document(&self.actor));
        self.sync(document)
    }

    /// Works on a document. Gives the change and what is to be sent.
    pub fn work(&mut self, document: DocumentId, work: ForeignWork, step: usize) -> (Option<ChangeHash>, Vec<Effect>) {
        let content = self.documents.entry(document).or_insert_with(|| new_document(&self.actor));
        let mut transaction = content.transaction();
        write(&mut transaction, work, step).expect("a write that Automerge takes");
        let (hash, _) = transaction.commit_with(CommitOptions::default().with_message("edited elsewhere").with_time(0));
        (hash.map(|hash| ChangeHash(hash.0)), self.sync(document))
    }

    /// Says something short-lived about a document.
    pub fn say(&mut self, document: DocumentId, data: Bytes) -> Vec<Effect> {
        let Some((link, target)) = &self.link else { return Vec::new() };
        self.said += 1;
        let (sender, target, session) = (self.id.clone(), target.clone(), "elsewhere".to_owned());
        let message = Message::Ephemeral { sender, target, document, session, count: self.said, data };
        vec![Effect::Send { link: *link, message }]
    }

    /// Whether it has anything of a document.
    pub fn has(&self, document: &DocumentId) -> bool {
        self.documents.get(document).is_some_and(|content| !content.get_heads().is_empty())
    }

    pub fn contains(&self, document: &DocumentId, change: &ChangeHash) -> bool {
        let hash = automerge::ChangeHash(change.0);
        self.documents.get(document).is_some_and(|content| content.get_change_by_hash(&hash).is_some())
    }

    /// Gives the heads of a document and what its user sees of it.
    pub fn shown(&self, document: &DocumentId) -> (Heads, String) {
        let Some(content) = self.documents.get(document) else {
            return (Heads::default(), shown(&Automerge::new()));
        };
        let heads = content.get_heads().iter().map(|hash| ChangeHash(hash.0)).collect();
        (heads, shown(content))
    }
}

fn new_document(actor: &ActorId) -> Automerge {
    Automerge::new().with_actor(actor.clone())
}

/// Gives what another application sees in a document that was saved.
pub(crate) fn shown_to_others(saved: &[u8]) -> Result<String, AutomergeError> {
    Automerge::load(saved).map(|content| shown(&content))
}

fn shown(content: &Automerge) -> String {
    let mut text = String::new();
    show(content, &ROOT, &mut text);
    text
}

/// Writes an object down, in the order of its keys.
fn show(content: &Automerge, object: &automerge::ObjId, text: &mut String) {
    use std::fmt::Write;
    if content.object_type(object) == Ok(ObjType::Text) {
        text.push_str(&content.text(object).unwrap_or_default());
        return;
    }
    let show_value = |(value, id): (Value<'_>, automerge::ObjId), text: &mut String| match value {
        Value::Object(_) => show(content, &id, text),
        // Writing to a string cannot fail.
        Value::Scalar(value) => drop(write!(text, "{value:?}")),
    };
    text.push('{');
    let keys: Vec<String> = content.keys(object).collect();
    for key in &keys {
        text.push_str(key);
        text.push(':');
        // All values of a conflict, not only the winner.
        for value in content.get_all(object, key.as_str()).unwrap_or_default() {
            show_value(value, text);
            text.push(',');
        }
    }
    if keys.is_empty() {
        for index in 0..content.length(object) {
            if let Ok(Some(value)) = content.get(object, index) {
                show_value(value, text);
                text.push(',');
            }
        }
    }
    text.push('}');
}

fn write<T: Transactable>(to: &mut T, work: ForeignWork, step: usize) -> Result<(), AutomergeError> {
    match work {
        ForeignWork::Nest { key } => {
            let site = object(to, &ROOT, &format!("site-{key}"), ObjType::Map)?;
            let panels = object(to, &site, "panels", ObjType::List)?;
            let panel = to.insert_object(&panels, to.length(&panels), ObjType::Map)?;
            to.put(&panel, "serial", format!("serial {step}"))?;
            to.put(&panel, "watts", 400_i64 + i64::try_from(step).expect("few steps"))
        }
        ForeignWork::Write { at, delete } => {
            let notes = object(to, &ROOT, "notes", ObjType::Text)?;
            let length = to.length(&notes);
            let at = usize::try_from(at).expect("small").min(length);
            let delete = usize::try_from(delete).expect("small").min(length - at);
            to.splice_text(&notes, at, isize::try_from(delete).expect("small"), &format!("[{step} äöü🌱]"))
        }
        ForeignWork::Count => {
            if to.get(ROOT, "visits")?.is_none() {
                to.put(ROOT, "visits", ScalarValue::counter(0))?;
            }
            to.increment(ROOT, "visits", 1)
        }
        ForeignWork::Remove { key } => match to.get(ROOT, format!("site-{key}"))? {
            Some(_) => to.delete(ROOT, format!("site-{key}")),
            None => to.put(ROOT, "removed", i64::try_from(step).expect("few steps")),
        },
    }
}

/// Finds an object, or makes it.
fn object<T: Transactable>(
    to: &mut T,
    parent: &automerge::ObjId,
    key: &str,
    kind: ObjType,
) -> Result<automerge::ObjId, AutomergeError> {
    match to.get(parent, key)? {
        Some((Value::Object(found), id)) if found == kind => Ok(id),
        _ => to.put_object(parent, key, kind),
    }
}
