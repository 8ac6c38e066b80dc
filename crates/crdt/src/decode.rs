//! Changes with their operations, for those who listen and for review.

use std::fmt;

use automerge::legacy;
use automerge::{Automerge, Change, ReadDoc};
use comity_model::{Act, ActorId, ChangeHash, Heads, RegisterKey, Value};

use crate::genesis::{self, Container};
use crate::{Document, convert};

/// Names an operation. The order is Automerge's: among concurrent operations the greatest wins.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    /// Greater than that of everything its author had seen.
    pub counter: u64,
    /// Who wrote it.
    pub actor: ActorId,
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.counter, self.actor)
    }
}

impl fmt::Debug for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names the object that an operation works on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum ObjectId {
    /// The outermost map.
    Root,
    /// The document's own registers.
    About,
    /// The registers of the entries, by `entry/field`.
    Values,
    /// The remarks.
    Remarks,
    /// The decisions.
    Decisions,
    /// An object of another application, by the operation that made it.
    Other(OpId),
}

/// Names the place in an object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum OpKey {
    /// A key of a map.
    Map(String),
    /// An element of a list or text; `None` is the place before the first.
    Element(Option<OpId>),
}

/// The sorts of objects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum ObjectKind {
    /// A map.
    Map,
    /// A list.
    List,
    /// A text of many characters.
    Text,
}

/// What an operation does.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum OpAction {
    /// Writes a value.
    Put(Value),
    /// Removes what stands there.
    Delete,
    /// Makes an object there.
    Make(ObjectKind),
    /// Adds to a counter.
    Increment(i64),
    /// Begins or ends formatting of a text.
    Mark,
}

/// One operation of a change.
#[derive(Clone, PartialEq, Debug)]
pub struct DecodedOp {
    /// Its name.
    pub id: OpId,
    /// On which object.
    pub object: ObjectId,
    /// Where in it.
    pub key: OpKey,
    /// What it does.
    pub action: OpAction,
    /// Whether it makes a new element of a list, rather than writing to one that is there.
    pub is_insert: bool,
    /// The operations that it supersedes, ascending: all that its author saw standing there.
    pub pred: Vec<OpId>,
}

impl DecodedOp {
    /// Gives the register, when the operation is on the register of an entry.
    pub fn register(&self) -> Option<RegisterKey> {
        match (&self.object, &self.key) {
            (ObjectId::Values, OpKey::Map(key)) => key.parse().ok(),
            _ => None,
        }
    }

    /// Gives the value that it leaves in its register; `None` when it removes what stands there.
    pub fn value(&self) -> Option<&Value> {
        match &self.action {
            OpAction::Put(value) => Some(value),
            _ => None,
        }
    }
}

/// A change with its operations.
#[derive(Clone, PartialEq, Debug)]
pub struct DecodedChange {
    /// Its name.
    pub hash: ChangeHash,
    /// Who wrote it.
    pub actor: ActorId,
    /// Counts the changes of this actor from 1.
    pub seq: u64,
    /// The counter of its first operation: greater than any its author had seen, even when it holds no operation.
    pub start_op: u64,
    /// The heads that its author had seen.
    pub deps: Vec<ChangeHash>,
    /// When, in seconds since 1970, as its author's clock said.
    pub time_s: i64,
    /// What its author says of it; `None` for the changes of other applications.
    pub act: Option<Act>,
    /// What it does, in order.
    pub ops: Vec<DecodedOp>,
}

impl DecodedChange {
    /// Orders changes so that each comes after what it depends on, the same on every device.
    pub(crate) fn order(&self) -> (u64, &ActorId, u64) {
        (self.start_op, &self.actor, self.seq)
    }
}

impl Document {
    /// Decodes changes, in the order given. Those that are not part of the document, and those that Automerge cannot
    /// decode, are left out. The cost follows what is asked for.
    pub fn decode_changes(&self, hashes: &[ChangeHash]) -> Vec<DecodedChange> {
        let decode = |hash: &ChangeHash| {
            self.quietly("decode", |inner| Some(decode(&inner.get_change_by_hash(&convert::their_hash(*hash))?)))
        };
        hashes.iter().filter_map(decode).collect()
    }

    /// Decodes the changes that somebody with these heads lacks, each after what it depends on. Heads that are not part
    /// of the document count for nothing. The cost follows what is asked for.
    pub fn decode_since(&self, heads: &Heads) -> Vec<DecodedChange> {
        if heads.is_empty() {
            return self.decode_all();
        }
        let hashes: Vec<_> = self.changes_since(heads).into_iter().map(|(hash, _)| hash).collect();
        self.decode_changes(&hashes)
    }

    /// Decodes all changes in one pass.
    pub(crate) fn decode_all(&self) -> Vec<DecodedChange> {
        let changes = self.quietly("decode", |inner: &Automerge| inner.get_changes(&[]));
        changes.iter().filter_map(|change| self.quietly("decode", |_| Some(decode(change)))).collect()
    }
}

fn decode(change: &Change) -> DecodedChange {
    let actor = convert::actor(change.actor_id());
    let start = change.start_op().get();
    let operations = change.decode().operations;
    let ops = operations.iter().zip(start..).map(|(op, counter)| decode_op(op, OpId { counter, actor: actor.clone() }));
    DecodedChange {
        hash: convert::hash(change.hash()),
        seq: change.seq(),
        start_op: start,
        deps: change.deps().iter().copied().map(convert::hash).collect(),
        time_s: change.timestamp(),
        act: change.message().and_then(Act::from_message),
        ops: ops.collect(),
        actor,
    }
}

fn decode_op(op: &legacy::Op, id: OpId) -> DecodedOp {
    let key = match &op.key {
        legacy::Key::Map(key) => OpKey::Map(key.to_string()),
        legacy::Key::Seq(legacy::ElementId::Head) => OpKey::Element(None),
        legacy::Key::Seq(legacy::ElementId::Id(id)) => OpKey::Element(Some(op_id(id))),
    };
    let action = match &op.action {
        legacy::OpType::Put(scalar) => OpAction::Put(convert::value(scalar)),
        legacy::OpType::Delete => OpAction::Delete,
        legacy::OpType::Increment(by) => OpAction::Increment(*by),
        legacy::OpType::Make(automerge::ObjType::List) => OpAction::Make(ObjectKind::List),
        legacy::OpType::Make(automerge::ObjType::Text) => OpAction::Make(ObjectKind::Text),
        legacy::OpType::Make(_) => OpAction::Make(ObjectKind::Map),
        legacy::OpType::MarkBegin(_) | legacy::OpType::MarkEnd(_) => OpAction::Mark,
    };
    let mut pred: Vec<_> = op.pred.iter().map(op_id).collect();
    pred.sort_unstable();
    DecodedOp { id, object: object_id(&op.obj), key, action, is_insert: op.insert, pred }
}

fn op_id(id: &legacy::OpId) -> OpId {
    OpId { counter: id.counter(), actor: convert::actor(id.actor()) }
}

fn object_id(object: &legacy::ObjectId) -> ObjectId {
    let legacy::ObjectId::Id(id) = object else { return ObjectId::Root };
    let container = (id.actor().to_bytes() == genesis::ACTOR).then(|| Container::from_counter(id.counter())).flatten();
    match container {
        Some(Container::About) => ObjectId::About,
        Some(Container::Values) => ObjectId::Values,
        Some(Container::Remarks) => ObjectId::Remarks,
        Some(Container::Decisions) => ObjectId::Decisions,
        None => ObjectId::Other(op_id(id)),
    }
}
