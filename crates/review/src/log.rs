//! What stands in each register, and what it took the place of.
//!
//! Automerge's own answers are not enough: it never flags a deletion, its patches miss a third writer, and a put of the value
//! that it shows writes nothing. So this is made from the operations themselves. Each change is fed once, after those that
//! it depends on; the cost follows its operations.

use std::collections::BTreeMap;

use comity_crdt::{DecodedChange, DecodedOp, ObjectId, OpAction, OpId, OpKey};
use comity_model::{EntryId, FieldName, Value};

use crate::foreign::{self, Foreign};
use crate::graph::{ActorIx, ChangeIx, Graph};
use crate::{DecisionId, DecisionRecord, Place};

/// A write in [`Cell::writes`].
pub(crate) type WriteIx = u32;

/// What one change left in one register.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) counter: u64,
    pub(crate) actor: ActorIx,
    pub(crate) change: ChangeIx,
    /// `None` when it removed what stood there.
    pub(crate) value: Option<Value>,
    /// What it took the place of: all that its author saw standing there.
    pub(crate) replaces: Vec<WriteIx>,
    /// What took its place.
    pub(crate) replaced_by: Vec<WriteIx>,
    /// What sort of removal, when it is one.
    pub(crate) removal: Option<Removal>,
}

/// The sorts of removals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Nothing was left that its author had seen.
    Whole,
    /// The value that is shown was left: so Automerge writes it when somebody puts that value again. Whether what was
    /// removed was another value than what was left.
    Narrowing {
        /// Whether it was.
        settles: bool,
    },
}

impl Write {
    /// Whether it only took away what stood beside the value that is shown.
    pub(crate) fn is_narrowing(&self) -> bool {
        matches!(self.removal, Some(Removal::Narrowing { .. }))
    }
}

/// One register, with all that was ever written to it.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    pub(crate) writes: Vec<Write>,
    /// What nothing took the place of, by operation id, ascending.
    pub(crate) live: Vec<WriteIx>,
    /// The removals among all writes: seldom any.
    removals: Vec<WriteIx>,
}

impl Cell {
    pub(crate) fn write(&self, ix: WriteIx) -> &Write {
        &self.writes[ix as usize]
    }

    pub(crate) fn live(&self) -> impl DoubleEndedIterator<Item = &Write> {
        self.live.iter().map(|ix| self.write(*ix))
    }

    /// Gives the values that stand, the one that Automerge shows last.
    pub(crate) fn standing(&self) -> impl DoubleEndedIterator<Item = &Write> {
        self.live().filter(|write| write.value.is_some())
    }

    /// Gives the value that Automerge shows.
    pub(crate) fn shown(&self) -> Option<&Value> {
        self.standing().next_back()?.value.as_ref()
    }

    pub(crate) fn find(&self, counter: u64, actor: ActorIx) -> Option<WriteIx> {
        // What is looked for was mostly written lately.
        let at = self.writes.iter().rposition(|write| write.counter == counter && write.actor == actor)?;
        u32::try_from(at).ok()
    }

    /// Gives what all of these writes' authors had seen here and what nothing they had all seen took the place of: the
    /// base of a conflict. Walks back from the writes, the latest first, and no further than it must.
    pub(crate) fn base(&self, sides: &[WriteIx]) -> Vec<WriteIx> {
        let sides = &sides[..sides.len().min(SIDES_MAX)];
        let all: u64 = if sides.len() == SIDES_MAX { u64::MAX } else { (1 << sides.len()) - 1 };
        // Who reaches a write, by operation id, so that each is looked at after all that took its place.
        let mut reached: BTreeMap<(u64, ActorIx, WriteIx), u64> = BTreeMap::new();
        let mut base = Vec::new();
        let mark = |reached: &mut BTreeMap<_, u64>, ix: WriteIx, who: u64| {
            let write = self.write(ix);
            *reached.entry((write.counter, write.actor, ix)).or_default() |= who;
        };
        for (i, side) in sides.iter().enumerate() {
            self.write(*side).replaces.iter().for_each(|ix| mark(&mut reached, *ix, 1 << i));
        }
        while let Some(((.., ix), who)) = reached.pop_last() {
            if who & all == all {
                base.push(ix);
                continue;
            }
            self.write(ix).replaces.iter().for_each(|before| mark(&mut reached, *before, who));
        }
        // A write that another of the base took the place of was reached by another way.
        let older: Vec<WriteIx> = base.iter().flat_map(|ix| self.write(*ix).replaces.clone()).collect();
        base.retain(|ix| !older.contains(ix));
        base.sort_unstable();
        base
    }
}

/// Most sides whose base is looked for; the base of more is that of the first so many.
const SIDES_MAX: usize = 64;

/// An entry: its registers, and the changes that wrote to it knowing nothing of it.
#[derive(Debug, Default)]
pub(crate) struct EntryLog {
    pub(crate) fields: BTreeMap<FieldName, Cell>,
    pub(crate) makers: Vec<ChangeIx>,
}

/// A decision as it stands in the document.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) record: DecisionRecord,
    pub(crate) change: ChangeIx,
}

/// All registers of a document.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) graph: Graph,
    pub(crate) entries: BTreeMap<EntryId, EntryLog>,
    pub(crate) about: BTreeMap<String, Cell>,
    pub(crate) others: BTreeMap<ObjectId, BTreeMap<OpKey, Cell>>,
    /// Several under one id only when somebody does not follow the rules: each stands for itself.
    pub(crate) decisions: BTreeMap<DecisionId, Vec<Decided>>,
    /// Which changes are decisions, and which.
    pub(crate) deciding: BTreeMap<ChangeIx, Vec<DecisionId>>,
    /// What only other applications write.
    pub(crate) foreign: Foreign,
    /// The remark in a change.
    remarks: BTreeMap<ChangeIx, String>,
    /// Records of decisions that could not be read.
    pub(crate) unreadable: usize,
}

/// Where a change wrote.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) registers: Vec<Place>,
    /// Counters that were added to, and spots of texts.
    pub(crate) margins: Vec<Place>,
}

/// One operation on its way into a cell, after those of the same change were taken together.
struct Pending {
    counter: u64,
    actor: ActorIx,
    value: Option<Value>,
    pred: Vec<OpId>,
}

impl Log {
    /// Takes in a change that was not known; gives where it wrote. `None` when it was known.
    pub(crate) fn feed(&mut self, change: &DecodedChange) -> Option<Touched> {
        let ix = self.graph.add(change)?;
        let actor = self.graph.actor(&change.actor);
        let mut writes: BTreeMap<Place, Vec<Pending>> = BTreeMap::new();
        let (margin, registers) = foreign::margin_of(&mut self.foreign, &self.graph, ix, change);
        for op in registers {
            match (&op.object, &op.key, op.value()) {
                (ObjectId::Remarks, OpKey::Map(_), Some(Value::Text(text))) => {
                    self.remarks.insert(ix, text.clone());
                }
                (ObjectId::Remarks, ..) => {}
                (ObjectId::Decisions, OpKey::Map(id), Some(Value::Text(text))) => self.decide(ix, id, text),
                (ObjectId::Decisions, ..) => {}
                _ => gather(writes.entry(place(op)).or_default(), op, actor),
            }
        }
        let mut touched = Touched { margins: self.foreign.write(margin, ix, actor), ..Touched::default() };
        for (place, pending) in writes {
            let mut is_touched = false;
            for write in pending {
                is_touched |= self.write(&place, ix, write);
            }
            if is_touched {
                touched.registers.push(place);
            }
        }
        Some(touched)
    }

    /// Takes in a record. A record is never taken out again, whatever is written over it.
    fn decide(&mut self, change: ChangeIx, id: &str, text: &str) {
        // Also when a newer release wrote what this one cannot read: what it wrote over was decided, not overlooked.
        let deciding = self.deciding.entry(change).or_default();
        let (Some(id), Ok(record)) = (DecisionId::new(id), DecisionRecord::from_text(text)) else {
            self.unreadable += 1;
            return;
        };
        deciding.push(id.clone());
        self.decisions.entry(id).or_default().push(Decided { record, change });
    }

    fn write(&mut self, place: &Place, change: ChangeIx, pending: Pending) -> bool {
        let graph = &self.graph;
        let cell = match place {
            Place::Field(register) => {
                let entry = self.entries.entry(register.entry.clone()).or_default();
                if !entry.makers.iter().any(|maker| graph.sees(change, *maker)) {
                    entry.makers.push(change);
                }
                entry.fields.entry(register.field.clone()).or_default()
            }
            Place::About(name) => self.about.entry(name.clone()).or_default(),
            Place::Other { object, key } => {
                self.others.entry(object.clone()).or_default().entry(key.clone()).or_default()
            }
        };
        let pred = pending.pred.iter().filter_map(|op| cell.find(op.counter, graph.known_actor(&op.actor)?));
        // A hostile change may name what its author cannot have seen: on another device that has not come yet.
        let mut replaces: Vec<WriteIx> = pred.filter(|ix| graph.sees(change, cell.write(*ix).change)).collect();
        // Nothing that an author saw removed is among the predecessors of what they put there.
        let stood = |ix: &&WriteIx| {
            let removal = cell.write(**ix);
            graph.sees(change, removal.change)
                && !removal.replaced_by.iter().any(|later| graph.sees(change, cell.write(*later).change))
        };
        replaces.extend(cell.removals.iter().filter(stood));
        replaces.sort_unstable();
        replaces.dedup();
        if pending.value.is_none() && replaces.is_empty() {
            return false;
        }
        let removal = pending.value.is_none().then(|| removal(cell, graph, change, &replaces));
        let write = Write {
            counter: pending.counter,
            actor: pending.actor,
            change,
            value: pending.value,
            replaces,
            replaced_by: Vec::new(),
            removal,
        };
        let id = (write.counter, graph.actor_id(write.actor));
        let comes_before = |other: &Write| (other.counter, graph.actor_id(other.actor)) < id;
        let at = cell.live.partition_point(|ix| comes_before(cell.write(*ix)));
        cell.put(write, at);
        true
    }

    /// Gives a register.
    pub(crate) fn cell(&self, place: &Place) -> Option<&Cell> {
        match place {
            Place::Field(register) => self.entries.get(&register.entry)?.fields.get(&register.field),
            Place::About(name) => self.about.get(name),
            Place::Other { object, key } => self.others.get(object)?.get(key),
        }
    }

    pub(crate) fn remark(&self, change: ChangeIx) -> Option<&String> {
        self.remarks.get(&change)
    }

    pub(crate) fn op_id(&self, write: &Write) -> OpId {
        OpId { counter: write.counter, actor: self.graph.actor_id(write.actor).clone() }
    }
}

impl Cell {
    /// Adds a write, which among those that stand comes at this place.
    fn put(&mut self, write: Write, at: usize) {
        let ix = WriteIx::try_from(self.writes.len()).expect("a document has fewer than 2^32 operations");
        self.live.insert(at, ix);
        for before in &write.replaces {
            self.writes[*before as usize].replaced_by.push(ix);
        }
        if !write.replaces.is_empty() {
            // Ascending, as `replaces` is.
            self.live.retain(|live| write.replaces.binary_search(live).is_err());
        }
        if write.value.is_none() {
            self.removals.push(ix);
        }
        self.writes.push(write);
    }
}

/// Says what sort of removal it is that replaces these writes.
fn removal(cell: &Cell, graph: &Graph, change: ChangeIx, replaces: &[WriteIx]) -> Removal {
    let stood = |write: &Write| {
        write.value.is_some()
            && graph.sees(change, write.change)
            && !write.replaced_by.iter().any(|later| graph.sees(change, cell.write(*later).change))
    };
    let left: Vec<&Value> = (0..)
        .zip(&cell.writes)
        .filter(|(ix, write)| !replaces.contains(ix) && stood(write))
        .filter_map(|(_, write)| write.value.as_ref())
        .collect();
    if left.is_empty() {
        return Removal::Whole;
    }
    let mut removed = replaces.iter().filter_map(|ix| cell.write(*ix).value.as_ref());
    Removal::Narrowing { settles: removed.any(|value| left.iter().any(|left| *left != value)) }
}

/// Takes the operations of one change on one register together, as one write or, from odd clients, a few.
fn gather(pending: &mut Vec<Pending>, op: &DecodedOp, actor: ActorIx) {
    let value = match &op.action {
        OpAction::Put(value) => Some(value.clone()),
        // Two objects are never the same, even when both are empty.
        OpAction::Make(kind) => Some(Value::Text(format!("({} {})", format!("{kind:?}").to_lowercase(), op.id))),
        OpAction::Delete => None,
        // It changes nothing that stands here.
        _ => return,
    };
    let mut pred = op.pred.clone();
    // A removal is taken up by what follows it, so only the last can be one.
    if pred.is_empty() && pending.last().is_none_or(|last| last.value.is_some()) {
        return pending.push(Pending { counter: op.id.counter, actor, value, pred });
    }
    pending.retain(|earlier| {
        let id = OpId { counter: earlier.counter, actor: op.id.actor.clone() };
        // After a removal in the same change nothing stands that a put could name.
        let is_replaced = pred.contains(&id) || earlier.value.is_none();
        if is_replaced {
            pred.retain(|op| *op != id);
            pred.extend(earlier.pred.iter().cloned());
        }
        !is_replaced
    });
    pending.push(Pending { counter: op.id.counter, actor, value, pred });
}

/// Names the register of an operation. A new element of a list is a register of its own, named by the operation.
pub(crate) fn place(op: &DecodedOp) -> Place {
    if let Some(register) = op.register() {
        return Place::Field(register);
    }
    match (&op.object, &op.key) {
        (ObjectId::About, OpKey::Map(name)) => Place::About(name.clone()),
        (object, _) if op.is_insert => {
            Place::Other { object: object.clone(), key: OpKey::Element(Some(op.id.clone())) }
        }
        (object, key) => Place::Other { object: object.clone(), key: key.clone() },
    }
}
