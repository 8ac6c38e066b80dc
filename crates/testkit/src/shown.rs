//! Inputs and effects in words, for the trace: all that matters for equality, in one line.

use std::fmt;

use comity_engine::{Effect, Event, Input, PeerStanding};
use comity_model::{DocumentId, StorageId};
use comity_wire::Message;

use crate::trace;

/// Writes something down for the trace.
pub(crate) struct Shown<'a, T>(pub &'a T);

impl fmt::Display for Shown<'_, Input> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Input::Received { link, message } => write!(f, "received {link} {}", Shown(message)),
            Input::Loaded { document, result } => match result {
                Ok(Some(loaded)) => {
                    let snapshot = loaded.snapshot.as_ref().map_or(0, bytes::Bytes::len);
                    let (changes, sessions) = (loaded.changes.len(), loaded.sessions.len());
                    write!(
                        f,
                        "loaded {} snapshot {snapshot} B, {changes} changes, {sessions} sessions",
                        short(document)
                    )
                }
                Ok(None) => write!(f, "loaded {} nothing", short(document)),
                Err(failure) => write!(f, "loaded {} {failure}", short(document)),
            },
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for Shown<'_, Message> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, document) = (self.0.type_name(), self.0.document().map(|document| short(&document)));
        let digest = trace::digest(&self.0.encode());
        let bytes = self.0.data().map_or(0, bytes::Bytes::len);
        write!(f, "{kind} {} {bytes} B {digest:016x}", document.unwrap_or_default())
    }
}

impl fmt::Display for Shown<'_, Effect> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Effect::Append { ticket, document, chunks, heads } => {
                let bytes: usize = chunks.iter().map(bytes::Bytes::len).sum();
                write!(f, "append {} {}: {} chunks, {bytes} B, heads {heads}", ticket.0, short(document), chunks.len())
            }
            Effect::Replace { ticket, document, snapshot, heads } => {
                write!(f, "replace {} {}: {} B, heads {heads}", ticket.0, short(document), snapshot.len())
            }
            Effect::KeepSession { document, storage, session } => {
                write!(f, "keep {} {storage} {:016x}", short(document), trace::digest(session))
            }
            Effect::Load { document } => write!(f, "load {}", short(document)),
            Effect::Send { link, message } => write!(f, "send {link} {}", Shown(message)),
            Effect::Notify(Event::Changed { document, origin, after, changes, .. }) => {
                // The appended bytes say what they hold.
                let (document, count) = (short(document), changes.len());
                write!(f, "changed {document} by {origin:?}, heads {after}, {count} decoded")
            }
            Effect::Notify(Event::Stands { document, standing }) => {
                let shown = |peer: &PeerStanding| {
                    let storage = peer.storage.as_ref().map_or("-", StorageId::as_str);
                    format!("{storage} {} {:?}", peer.behind, peer.answer)
                };
                let peers: Vec<_> = standing.peers.iter().map(shown).collect();
                let (heads, unsaved) = (&standing.heads, standing.unsaved);
                write!(f, "stands {} heads {heads}, unsaved {unsaved}, behind {peers:?}", short(document))
            }
            other => write!(f, "{other:?}"),
        }
    }
}

/// Names a document in the trace.
pub(crate) fn short(document: &DocumentId) -> String {
    document.to_string().chars().take(6).collect()
}
