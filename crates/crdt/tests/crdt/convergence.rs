//! Whatever happens in whatever order, everybody ends with the same.

use comity_crdt::{Admitted, Document, SyncSession, admit};
use comity_model::{Heads, Limits, Write};
use proptest::prelude::*;

use crate::support::{act, delete, device, restore, set};

const REPLICAS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Edit {
        replica: usize,
        register: u8,
        value: u8,
    },
    /// At the heads that the replica had some edits ago.
    EditOld {
        replica: usize,
        ago: usize,
        register: u8,
        value: u8,
    },
    Delete {
        replica: usize,
        entry: u8,
    },
    Restore {
        replica: usize,
        entry: u8,
    },
    /// One message from one replica to another.
    Send {
        from: usize,
        to: usize,
    },
    /// One that stays on its way, and is taken in together with the next.
    Post {
        from: usize,
        to: usize,
    },
    /// The link breaks and comes back; messages on their way are lost with it.
    Reconnect {
        a: usize,
        b: usize,
    },
    /// The replica restarts from what it stored.
    Restart {
        replica: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let replica = || 0..REPLICAS;
    prop_oneof![
        4 => (replica(), 0..6_u8, 0..4_u8).prop_map(|(replica, register, value)| Step::Edit { replica, register, value }),
        2 => (replica(), 1..5_usize, 0..6_u8, 0..4_u8)
            .prop_map(|(replica, ago, register, value)| Step::EditOld { replica, ago, register, value }),
        1 => (replica(), 0..3_u8).prop_map(|(replica, entry)| Step::Delete { replica, entry }),
        1 => (replica(), 0..3_u8).prop_map(|(replica, entry)| Step::Restore { replica, entry }),
        8 => (replica(), 1..REPLICAS).prop_map(|(from, by)| Step::Send { from, to: (from + by) % REPLICAS }),
        4 => (replica(), 1..REPLICAS).prop_map(|(from, by)| Step::Post { from, to: (from + by) % REPLICAS }),
        1 => (replica(), 1..REPLICAS).prop_map(|(a, by)| Step::Reconnect { a, b: (a + by) % REPLICAS }),
        1 => replica().prop_map(|replica| Step::Restart { replica }),
    ]
}

#[derive(Default)]
struct Replica {
    document: Document,
    sessions: Vec<SyncSession>,
    /// Messages on their way here, by sender.
    post: Vec<Vec<Admitted>>,
    stored: Vec<bytes::Bytes>,
    whole: Option<bytes::Bytes>,
    seen: Vec<Heads>,
    lives: u8,
}

struct World {
    replicas: Vec<Replica>,
    limits: Limits,
}

impl World {
    fn new() -> Self {
        let replica = || Replica {
            sessions: vec![SyncSession::new(); REPLICAS],
            post: vec![Vec::new(); REPLICAS],
            ..Replica::default()
        };
        Self { replicas: (0..REPLICAS).map(|_| replica()).collect(), limits: Limits::default() }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Edit { replica, register, value } => self.edit(replica, 0, write(register, value)),
            Step::EditOld { replica, ago, register, value } => self.edit(replica, ago, write(register, value)),
            Step::Delete { replica, entry } => self.edit(replica, 0, delete(&format!("M{entry}"))),
            Step::Restore { replica, entry } => self.edit(replica, 0, restore(&format!("M{entry}"))),
            Step::Send { from, to } => {
                self.send(from, to);
            }
            Step::Post { from, to } => {
                self.post(from, to);
            }
            Step::Reconnect { a, b } => self.reconnect(a, b),
            Step::Restart { replica } => self.restart(replica),
        }
    }

    fn edit(&mut self, replica: usize, ago: usize, write: Write) {
        let Replica { document, stored, seen, lives, .. } = &mut self.replicas[replica];
        let base = seen.len().checked_sub(ago + 1).map(|index| seen[index].clone()).filter(|_| ago > 0);
        let actor = device(u8::try_from(replica).unwrap() * 16 + *lives);
        let edited = document.edit(&actor, act(0), base.as_ref(), &[write], &self.limits).unwrap();
        stored.extend(edited.chunks);
        seen.push(document.heads().clone());
    }

    fn post(&mut self, from: usize, to: usize) {
        let sender = &mut self.replicas[from];
        let Some(bytes) = sender.document.generate(&mut sender.sessions[to]) else { return };
        self.replicas[to].post[from].push(admit(&bytes, &self.limits).unwrap());
    }

    fn send(&mut self, from: usize, to: usize) -> bool {
        self.post(from, to);
        let receiver = &mut self.replicas[to];
        let Some(admitted) = Admitted::joined(receiver.post[from].drain(..)) else { return false };
        let received = receiver.document.receive(&mut receiver.sessions[from], admitted, &self.limits).unwrap();
        if received.whole {
            receiver.whole = Some(received.chunks[0].clone());
        } else {
            assert_eq!(received.chunks.len(), received.new_changes.len());
            receiver.stored.extend(received.chunks);
        }
        receiver.seen.push(receiver.document.heads().clone());
        true
    }

    fn reconnect(&mut self, a: usize, b: usize) {
        for (one, other) in [(a, b), (b, a)] {
            let session = &mut self.replicas[one].sessions[other];
            *session = SyncSession::resume(&session.encode()).unwrap();
            self.replicas[one].post[other].clear();
        }
    }

    fn restart(&mut self, replica: usize) {
        let one = &mut self.replicas[replica];
        let loaded = Document::load(one.whole.as_deref(), &one.stored).unwrap();
        assert_eq!(loaded.heads(), one.document.heads(), "everything was given out to be stored");
        assert_eq!(loaded.entries(None), one.document.entries(None));
        one.document = loaded;
        one.lives = (one.lives + 1) % 16;
        for other in (0..REPLICAS).filter(|other| *other != replica) {
            self.reconnect(replica, other);
        }
    }

    fn heal(&mut self) {
        for _ in 0..200 {
            let mut quiet = true;
            for from in 0..REPLICAS {
                for to in (0..REPLICAS).filter(|to| *to != from) {
                    quiet &= !self.send(from, to);
                }
            }
            if quiet {
                return;
            }
        }
        panic!("the replicas talk for ever");
    }
}

fn write(register: u8, value: u8) -> Write {
    set(&format!("M{}/{}", register / 2, ["status", "comment"][usize::from(register % 2)]), i64::from(value))
}

proptest! {
    #[test]
    fn replicas_converge(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.heal();
        let first = &world.replicas[0].document;
        for other in &world.replicas[1..] {
            prop_assert_eq!(other.document.heads(), first.heads());
            prop_assert_eq!(other.document.entries(None), first.entries(None));
            prop_assert_eq!(other.document.disagreements(), first.disagreements());
            prop_assert_eq!(other.document.change_count(), first.change_count());
            prop_assert_eq!(other.document.orphan_bytes(), 0);
            let filter = comity_crdt::HistoryFilter::Document;
            prop_assert_eq!(other.document.history(&filter), first.history(&filter));
        }
        for replica in 0..REPLICAS {
            world.restart(replica);
        }
    }
}
