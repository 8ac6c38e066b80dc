//! The quick paths against Automerge's own: whatever happens, the same state and the same messages.

use automerge::Automerge;
use automerge::sync::{Message, State, SyncDoc};
use comity_model::{Act, ActKind, ActorId, DeviceTag, HybridTime, Limits, Write};
use proptest::prelude::*;

use crate::chunk::{self, ChunkKind};
use crate::{Document, SyncSession, admit};

#[derive(Clone, Debug)]
enum Step {
    Edit(usize),
    Send(usize),
    /// A message is made and never arrives, so that what comes after it waits.
    Lose(usize),
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2_usize).prop_map(Step::Edit),
        6 => (0..2_usize).prop_map(Step::Send),
        1 => (0..2_usize).prop_map(Step::Lose),
        1 => Just(Step::Reconnect),
    ]
}

/// One end, kept twice: by us, and by Automerge alone.
#[derive(Default)]
struct End {
    document: Document,
    session: SyncSession,
    plain: Automerge,
    state: State,
}

impl End {
    fn edit(&mut self, device: u8, value: i64) {
        let actor = ActorId::for_session(DeviceTag([device; 16]), [0; 8]);
        let act = Act { time: HybridTime::default(), policy: [0; 8], kind: ActKind::Edit };
        let write = Write::Set { key: "M1/status".parse().unwrap(), value: value.into() };
        let edited = self.document.edit(&actor, act, None, &[write], &Limits::default()).unwrap();
        for chunk in edited.chunks {
            self.plain.load_incremental(&chunk).unwrap();
        }
    }

    fn generate(&mut self) -> Option<Message> {
        let ours = self.document.generate(&mut self.session).map(|bytes| Message::decode(&bytes).unwrap());
        let theirs = self.plain.generate_sync_message(&mut self.state).map(without_orphans);
        assert_eq!(ours, theirs);
        assert_eq!(self.session.state, self.state);
        ours
    }

    fn receive(&mut self, message: Message) {
        let limits = Limits::default();
        let admitted = admit(&message.clone().encode(), &limits).unwrap();
        self.document.receive(&mut self.session, admitted, &limits).unwrap();
        self.plain.receive_sync_message(&mut self.state, message).unwrap();
        assert_eq!(self.session.state, self.state);
        assert_eq!(self.document.inner.get_heads(), self.plain.get_heads());
    }

    fn reconnect(&mut self) {
        self.session = SyncSession::resume(&self.session.encode()).unwrap();
        self.state = State::decode(&self.state.encode()).unwrap();
        assert_eq!(self.session.state, self.state);
    }
}

/// Automerge sends with a whole document what waits there for other changes, too. We do not: it is not stored.
fn without_orphans(mut message: Message) -> Message {
    let parts = message.changes.iter().map(|part| {
        let chunks = chunk::split(part).unwrap();
        if chunks[0].kind == ChunkKind::Document { chunks[0].bytes.to_vec() } else { part.to_vec() }
    });
    message.changes = parts.collect::<Vec<_>>().into();
    message
}

proptest! {
    #[test]
    fn our_sessions_are_automerges(steps in prop::collection::vec(step(), 1..80)) {
        let mut ends = [End::default(), End::default()];
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Edit(one) => ends[one].edit(u8::try_from(one).unwrap(), i64::try_from(number).unwrap()),
                Step::Send(from) => {
                    if let Some(message) = ends[from].generate() {
                        ends[1 - from].receive(message);
                    }
                }
                Step::Lose(from) => drop(ends[from].generate()),
                Step::Reconnect => ends.iter_mut().for_each(End::reconnect),
            }
        }
    }
}
