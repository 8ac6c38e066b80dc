//! Devices with one document each, and a person at each.

use std::collections::BTreeMap;

use comity_crdt::{Document, SyncSession, admit};
use comity_model::{Act, ActKind, ActorId, DeviceTag, Heads, HybridTime, Limits, RegisterKey, Value, Write};
use comity_review::policy::{Expr, Invariant};
use comity_review::{Answer, Conflict, ConflictKind, DecisionId, Declarations, Note, Review, State};

pub fn key(text: &str) -> RegisterKey {
    text.parse().unwrap()
}

pub fn set(register: &str, value: impl Into<Value>) -> Write {
    Write::Set { key: key(register), value: value.into() }
}

pub fn delete(entry: &str) -> Write {
    Write::Delete { entry: entry.parse().unwrap() }
}

/// What the tests declare: a group, a dependency, a natural key and a second reviewer.
pub fn declared() -> Declarations {
    let field = |name: &str| name.parse().unwrap();
    Declarations {
        groups: vec![[field("status"), field("comment")].into()],
        depends_on: BTreeMap::from([(field("verdict"), [field("status")].into())]),
        natural_key: vec![field("serial")],
        second_reviewer: [field("verdict")].into(),
        invariants: vec![
            Invariant { name: "at-most-three".to_owned(), expr: Expr::parse("count(entries) <= 3").unwrap() },
            Invariant { name: "own-note".to_owned(), expr: Expr::parse("unique(note)").unwrap() },
        ],
    }
}

/// A device with its copy of the document, and the review it keeps while changes arrive.
pub struct Device {
    pub number: u8,
    pub document: Document,
    pub review: Review,
    seen: Heads,
    decisions: u64,
    clock: i64,
}

impl Device {
    pub fn new(number: u8) -> Self {
        let review = Review::new(declared());
        Self { number, document: Document::new(), review, seen: Heads::default(), decisions: 0, clock: 1_000 }
    }

    /// Edits at the present heads.
    pub fn edit(&mut self, writes: &[Write]) {
        self.write(None, ActKind::Edit, writes);
    }

    /// Edits at the heads that the person had on screen.
    pub fn edit_at(&mut self, heads: &Heads, writes: &[Write]) {
        self.write(Some(heads), ActKind::Edit, writes);
    }

    pub fn write(&mut self, base: Option<&Heads>, kind: ActKind, writes: &[Write]) {
        let actor = ActorId::for_session(DeviceTag([self.number; 16]), [0; 8]);
        self.clock += 1_000;
        let act = Act { time: HybridTime { wall_ms: self.clock, counter: 0 }, policy: [0; 8], kind };
        self.document.edit(&actor, act, base, writes, &Limits::default()).unwrap();
        self.look();
    }

    /// Lets the review take in what is new.
    pub fn look(&mut self) {
        self.review.feed(&self.document.decode_since(&self.seen));
        self.seen = self.document.heads().clone();
    }

    /// The only conflict in this state.
    #[track_caller]
    pub fn only(&self, state: State) -> Conflict {
        let mut conflicts = self.review.conflicts(|one| one == state);
        assert_eq!(conflicts.len(), 1, "{conflicts:#?}");
        conflicts.remove(0)
    }

    pub fn open(&self) -> Vec<(ConflictKind, String, State)> {
        let open = self.review.conflicts(State::is_open);
        open.into_iter().map(|one| (one.kind, one.subject.to_string(), one.state)).collect()
    }

    pub fn decide(&mut self, conflict: &Conflict, answer: &Answer) -> DecisionId {
        let id = self.decision_id();
        let note = Note { reviewer: Some(format!("device {}", self.number)), ..Note::default() };
        let writes = self.review.decide(conflict, answer, &note, &id).unwrap();
        self.write(None, ActKind::Decision, &writes);
        id
    }

    pub fn undo(&mut self, decision: &DecisionId) {
        let id = self.decision_id();
        let writes = self.review.undo(decision, &Note::default(), &id).unwrap();
        self.write(None, ActKind::Decision, &writes);
    }

    /// Takes an entry back to what it was.
    pub fn roll_back(&mut self, entry: &str, at: &Heads) -> DecisionId {
        let id = self.decision_id();
        let entry = entry.parse().unwrap();
        let rollback = self.review.rollback(&self.document, &entry, at, &Note::default(), &id).unwrap();
        self.write(None, ActKind::Decision, &rollback.writes);
        id
    }

    fn decision_id(&mut self) -> DecisionId {
        self.decisions += 1;
        DecisionId::new(&format!("d{}-{}", self.number, self.decisions)).unwrap()
    }

    /// What is shown in a register.
    pub fn shown(&self, register: &str) -> String {
        let register = self.document.register(&key(register), None).expect("something stands there");
        register.winner().unwrap().value.to_string()
    }
}

/// Brings two devices in step.
pub fn sync(a: &mut Device, b: &mut Device) {
    let limits = Limits::default();
    let (mut to_b, mut to_a) = (SyncSession::new(), SyncSession::new());
    loop {
        let message = a.document.generate(&mut to_b);
        let answer = b.document.generate(&mut to_a);
        if message.is_none() && answer.is_none() {
            break;
        }
        if let Some(bytes) = message {
            b.document.receive(&mut to_a, admit(&bytes, &limits).unwrap(), &limits).unwrap();
        }
        if let Some(bytes) = answer {
            a.document.receive(&mut to_b, admit(&bytes, &limits).unwrap(), &limits).unwrap();
        }
    }
    a.look();
    b.look();
}

/// Brings all devices in step, and checks that they see the same.
#[track_caller]
pub fn sync_all(devices: &mut [Device]) {
    for _ in 0..2 {
        for i in 1..devices.len() {
            let (first, rest) = devices.split_at_mut(i);
            sync(&mut first[0], &mut rest[0]);
        }
    }
    for pair in devices.windows(2) {
        assert_eq!(pair[0].document.heads(), pair[1].document.heads());
        assert_eq!(pair[0].review.conflicts(|_| true), pair[1].review.conflicts(|_| true));
        assert_eq!(pair[0].review.digest(), pair[1].review.digest());
    }
}

/// Two devices that know one audit.
pub fn pair() -> [Device; 2] {
    let mut devices = [Device::new(1), Device::new(2)];
    devices[0].edit(&[set("M050/status", "ok"), set("M050/comment", "as new")]);
    sync_all(&mut devices);
    devices
}

/// Two devices between which M050/status is disputed: `dead` and `microcracks`.
pub fn disputed() -> [Device; 2] {
    let mut devices = pair();
    devices[0].edit(&[set("M050/status", "dead")]);
    devices[1].edit(&[set("M050/status", "microcracks")]);
    sync_all(&mut devices);
    devices
}
