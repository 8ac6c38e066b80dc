//! What somebody's transaction would write, known before it is made.

use std::collections::{BTreeMap, BTreeSet};

use automerge::legacy::{Key, ObjectId, Op, OpType};
use automerge::{ActorId, Automerge, Change, ChangeHash, ObjId, ObjType, ReadDoc, ScalarValue, Value};

/// Most operations that the author's last change may hold: it is decoded to learn its number.
const LAST_OPERATIONS_MAX: u64 = 1_000;

/// Most values that may stand in a register, or that one operation may supersede. There is more than one only where nobody
/// has seen them together.
const STANDING_MAX: usize = 64;

/// Changes that come out the same, byte for byte, when they are written once more.
pub(super) struct Plan {
    pub(super) transactions: Vec<Transaction>,
    /// The greatest number of an operation when all of it is done.
    pub(super) newest: u64,
}

/// One change, and how it is written.
pub(super) struct Transaction {
    pub(super) hash: ChangeHash,
    pub(super) actor: ActorId,
    pub(super) time_s: i64,
    pub(super) message: Option<String>,
    pub(super) writes: Vec<Write>,
}

/// One operation.
pub(super) struct Write {
    pub(super) object: ObjId,
    pub(super) key: String,
    /// `None` removes what stands there.
    pub(super) value: Option<ScalarValue>,
}

impl Plan {
    /// Draws up a plan for changes, in this order, on a document whose greatest operation has the number `newest`. `None`
    /// when any of them would come out otherwise. Nothing is written, but another actor may be set.
    pub(super) fn draw(inner: &mut Automerge, newest: u64, changes: &[Change]) -> Option<Self> {
        let heads = inner.get_heads().into_iter().collect();
        let mut draft = Draft { inner, heads, newest, last: BTreeMap::new(), registers: BTreeMap::new() };
        let transactions = changes.iter().map(|change| draft.transaction(change)).collect::<Option<_>>()?;
        Some(Self { transactions, newest: draft.newest })
    }
}

/// The document as it will be when what is planned so far is done.
struct Draft<'a> {
    inner: &'a mut Automerge,
    heads: BTreeSet<ChangeHash>,
    newest: u64,
    /// The last changes of authors: number and name.
    last: BTreeMap<ActorId, (u64, ChangeHash)>,
    registers: BTreeMap<(ObjId, String), Standing>,
}

/// What can be seen in a register.
#[derive(Default)]
struct Standing {
    /// Ascending; the last one wins.
    ids: Vec<(u64, ActorId)>,
    winner: Option<ScalarValue>,
}

impl Draft<'_> {
    fn transaction(&mut self, change: &Change) -> Option<Transaction> {
        // One that names its author behind its operations, or is of a later format. And one without operations is never
        // written.
        if !change.extra_bytes().is_empty() || change.is_empty() {
            return None;
        }
        if change.start_op().get() != self.newest + 1 || !self.is_next(change) {
            return None;
        }
        let actor = change.actor_id().clone();
        let mut writes = Vec::with_capacity(change.len());
        for op in change.decode().operations {
            self.newest += 1;
            writes.push(self.write(op, (self.newest, actor.clone()))?);
        }
        self.heads = [change.hash()].into();
        self.last.insert(actor.clone(), (change.seq(), change.hash()));
        let message = change.message().map(str::to_owned);
        Some(Transaction { hash: change.hash(), actor, time_s: change.timestamp(), message, writes })
    }

    /// Tells whether a change depends on what is here, all of it, and on the change of its author before this one: on nothing
    /// else, and in the order in which they are written.
    fn is_next(&mut self, change: &Change) -> bool {
        let deps = change.deps();
        let beyond = deps.iter().filter(|dep| !self.heads.contains(dep)).count();
        let is_ascending = deps.windows(2).all(|pair| pair[0] < pair[1]);
        if beyond > 1 || deps.len() != self.heads.len() + beyond || !is_ascending {
            return false;
        }
        let Some((seq, last)) = self.last_of(change) else { return false };
        // It is among the heads, or else it is the one beyond them.
        seq + 1 == change.seq() && deps.contains(&last) && self.heads.contains(&last) == (beyond == 0)
    }

    /// Finds number and name of the last change of an author. `None` for one who has written none yet, and where it would be
    /// dear to find out.
    fn last_of(&mut self, change: &Change) -> Option<(u64, ChangeHash)> {
        let author = change.actor_id();
        if let Some(last) = self.last.get(author) {
            return Some(*last);
        }
        let metas = change.deps().iter().filter_map(|dep| self.inner.get_change_meta_by_hash(dep));
        let before = metas.into_iter().find(|meta| *meta.actor == *author && meta.seq + 1 == change.seq())?;
        if before.max_op.saturating_sub(before.start_op) >= LAST_OPERATIONS_MAX {
            return None;
        }
        // There may be a later one, which the change contradicts.
        let last = self.inner.set_actor(author.clone()).get_last_local_change()?;
        Some((last.seq(), last.hash()))
    }

    /// Tells how an operation is written. `None` when it supersedes anything but what stands there, or Automerge would not
    /// write it, since the value stands there already.
    fn write(&mut self, op: Op, id: (u64, ActorId)) -> Option<Write> {
        let Key::Map(key) = op.key else { return None };
        let object = match op.obj {
            ObjectId::Root => ObjId::Root,
            ObjectId::Id(made_by) => ObjId::Id(made_by.0, made_by.1, 0),
        };
        if op.insert || op.pred.len() > STANDING_MAX {
            return None;
        }
        let place = (object, key.to_string());
        let standing = match self.registers.remove(&place) {
            Some(standing) => standing,
            None => standing(self.inner, &place.0, &place.1)?,
        };
        let mut superseded: Vec<_> = op.pred.iter().map(|id| (id.0, &id.1)).collect();
        superseded.sort_unstable();
        if !superseded.into_iter().eq(standing.ids.iter().map(|(counter, actor)| (*counter, actor))) {
            return None;
        }
        let (value, now) = match op.action {
            OpType::Put(value) if is_plain(&value) && standing.winner.as_ref() != Some(&value) => {
                (Some(value.clone()), Standing { ids: vec![id], winner: Some(value) })
            }
            OpType::Delete if standing.winner.is_some() => (None, Standing::default()),
            _ => return None,
        };
        self.registers.insert(place.clone(), now);
        let (object, key) = place;
        Some(Write { object, key, value })
    }
}

/// Reads what stands in a register of a map; `None` when it is another sort of object, or anything but plain values.
fn standing(inner: &Automerge, object: &ObjId, key: &str) -> Option<Standing> {
    if inner.object_type(object).ok()? != ObjType::Map {
        return None;
    }
    let mut standing = Standing::default();
    let all = inner.get_all(object, key).ok()?;
    if all.len() > STANDING_MAX {
        return None;
    }
    for (value, id) in all {
        let (Value::Scalar(value), ObjId::Id(counter, actor, _)) = (value, id) else { return None };
        if !is_plain(&value) {
            return None;
        }
        standing.ids.push((counter, actor));
        standing.winner = Some(value.into_owned());
    }
    standing.ids.sort_unstable();
    Some(standing)
}

/// Counters change by other means than by being written, and sorts of a later release are not known.
fn is_plain(value: &ScalarValue) -> bool {
    !matches!(value, ScalarValue::Counter(_) | ScalarValue::Unknown { .. })
}
