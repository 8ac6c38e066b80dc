//! What the stories share.

use comity_crdt::{Document, Edited, SyncSession, admit};
use comity_model::{Act, ActKind, ActorId, DeviceTag, EntryId, Heads, HybridTime, Limits, RegisterKey, Value, Write};

pub fn device(number: u8) -> ActorId {
    ActorId::for_session(DeviceTag([number; 16]), [number; 8])
}

pub fn act(wall_ms: i64) -> Act {
    Act { time: HybridTime { wall_ms, counter: 0 }, policy: [0; 8], kind: ActKind::Edit }
}

pub fn key(text: &str) -> RegisterKey {
    text.parse().unwrap()
}

pub fn entry(text: &str) -> EntryId {
    text.parse().unwrap()
}

pub fn set(register: &str, value: impl Into<Value>) -> Write {
    Write::Set { key: key(register), value: value.into() }
}

pub fn delete(id: &str) -> Write {
    Write::Delete { entry: entry(id) }
}

pub fn restore(id: &str) -> Write {
    Write::Restore { entry: entry(id) }
}

pub fn about(name: &str, value: impl Into<Value>) -> Write {
    Write::About { name: name.into(), value: value.into() }
}

pub fn remark(id: &str, text: &str) -> Write {
    Write::Remark { id: id.into(), text: text.into() }
}

/// Edits at the present heads.
pub fn edit(document: &mut Document, actor: u8, writes: &[Write]) -> Edited {
    document.edit(&device(actor), act(1_000), None, writes, &Limits::default()).unwrap()
}

/// Edits at older heads.
pub fn edit_at(document: &mut Document, actor: u8, base: &Heads, writes: &[Write]) -> Edited {
    document.edit(&device(actor), act(1_000), Some(base), writes, &Limits::default()).unwrap()
}

/// One end of a link.
#[derive(Default)]
pub struct End {
    pub document: Document,
    pub session: SyncSession,
    /// Every chunk that was given out to be stored.
    pub stored: Vec<bytes::Bytes>,
}

impl End {
    pub fn edit(&mut self, actor: u8, writes: &[Write]) {
        self.stored.extend(edit(&mut self.document, actor, writes).chunks);
    }

    pub fn take(&mut self, bytes: &[u8]) {
        let limits = Limits::default();
        let received = self.document.receive(&mut self.session, admit(bytes, &limits).unwrap(), &limits).unwrap();
        if received.whole {
            self.stored = received.chunks;
        } else {
            assert_eq!(received.chunks.len(), received.new_changes.len());
            self.stored.extend(received.chunks);
        }
    }

    pub fn reconnect(&mut self) {
        self.session = SyncSession::resume(&self.session.encode()).unwrap();
    }
}

/// Exchanges messages until both are silent. Returns how many there were.
pub fn settle(a: &mut End, b: &mut End) -> usize {
    for round in 0..100 {
        let to_b = a.document.generate(&mut a.session);
        let to_a = b.document.generate(&mut b.session);
        if to_a.is_none() && to_b.is_none() {
            return round;
        }
        if let Some(bytes) = to_b {
            b.take(&bytes);
        }
        if let Some(bytes) = to_a {
            a.take(&bytes);
        }
    }
    panic!("two peers talk for ever");
}

pub fn in_sync(a: &End, b: &End) {
    assert_eq!(a.document.heads(), b.document.heads());
    assert_eq!(a.document.entries(None), b.document.entries(None));
    assert_eq!(a.document.disagreements(), b.document.disagreements());
    assert_eq!(a.document.remarks(), b.document.remarks());
    assert_eq!(a.session.peer_heads(), Some(b.document.heads()));
    assert_eq!(a.session.shared_heads(), *b.document.heads());
}
