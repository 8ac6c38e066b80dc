//! Documents of other applications: counters, texts, and objects within objects. Automerge holds all that was ever written
//! there, but shows only what is within reach.
//!
//! Comity does not write to such documents, so what is found here is listed, for a person to correct in the application.

use std::collections::BTreeMap;

use comity_crdt::{DecodedChange, DecodedOp, ObjectId, ObjectKind, OpAction, OpId, OpKey};
use comity_model::Value;

use crate::detect::{Found, WriteRef};
use crate::graph::{ActorIx, ChangeIx, Graph};
use crate::log::{Cell, Log, Write};
use crate::{ConflictKind, Place, Subject};

/// Objects deeper than this are not looked into.
const DEPTH_MAX: usize = 64;

/// Most hidden writes that are listed for one object, the first by operation id.
const HIDDEN_MAX: usize = 1_000;

/// An object, and where it was made.
#[derive(Debug)]
pub(crate) struct Made {
    place: Place,
    kind: ObjectKind,
    change: ChangeIx,
}

/// What is known of another application's objects.
#[derive(Debug, Default)]
pub(crate) struct Foreign {
    made: BTreeMap<OpId, Made>,
    made_at: BTreeMap<Place, Vec<OpId>>,
    /// What was added to counters, by register, and what was done at each spot of a text: letters put in behind an element,
    /// or the element taken out. Nothing here takes the place of anything.
    marginal: BTreeMap<Place, Cell>,
}

/// Operations of one change that are on no register.
#[derive(Default)]
pub(crate) struct Margin {
    runs: Vec<Run>,
    others: Vec<(Place, u64, Option<Value>)>,
}

/// Letters that were put in one behind the other.
struct Run {
    object: OpId,
    behind: Option<OpId>,
    counter: u64,
    last: OpId,
    text: String,
}

impl Margin {
    /// Takes an operation that is on no register, and gives whether it did.
    fn takes(&mut self, foreign: &Foreign, graph: &Graph, change: ChangeIx, op: &DecodedOp) -> bool {
        if let OpAction::Increment(by) = &op.action {
            self.others.push((crate::log::place(op), op.id.counter, Some(Value::Counter(*by))));
            return true;
        }
        let ObjectId::Other(object) = &op.object else { return false };
        // What its author cannot have seen is no text to them; on another device it may not have come yet.
        let is_text = foreign
            .made
            .get(object)
            .is_some_and(|made| made.kind == ObjectKind::Text && graph.sees(change, made.change));
        let (OpKey::Element(element), true) = (&op.key, is_text) else { return false };
        match &op.action {
            OpAction::Put(value) if op.is_insert => self.put_in(object, element.as_ref(), op, &value.to_string()),
            OpAction::Make(_) => return false,
            OpAction::Mark => {}
            action => {
                let value = match action {
                    OpAction::Put(value) => Some(value.clone()),
                    _ => None,
                };
                self.others.push((spot(object, element.as_ref()), op.id.counter, value));
            }
        }
        true
    }

    fn put_in(&mut self, object: &OpId, behind: Option<&OpId>, op: &DecodedOp, text: &str) {
        match self.runs.last_mut() {
            Some(run) if run.object == *object && Some(&run.last) == behind => {
                run.text.push_str(text);
                run.last = op.id.clone();
            }
            _ => self.runs.push(Run {
                object: object.clone(),
                behind: behind.cloned(),
                counter: op.id.counter,
                last: op.id.clone(),
                text: text.to_owned(),
            }),
        }
    }
}

impl Foreign {
    fn is_text(&self, object: &OpId) -> bool {
        self.made.get(object).is_some_and(|made| made.kind == ObjectKind::Text)
    }

    /// Takes note of an object that an operation makes.
    fn note_made(&mut self, op: &DecodedOp, place: &Place, change: ChangeIx) {
        if let OpAction::Make(kind) = &op.action {
            self.made_at.entry(place.clone()).or_default().push(op.id.clone());
            self.made.insert(op.id.clone(), Made { place: place.clone(), kind: *kind, change });
        }
    }

    /// Takes in what is on no register; gives the spots.
    pub(crate) fn write(&mut self, margin: Margin, change: ChangeIx, actor: ActorIx) -> Vec<Place> {
        let runs = margin.runs.into_iter();
        let runs = runs.map(|run| (spot(&run.object, run.behind.as_ref()), run.counter, Some(run.text.into())));
        let mut touched = Vec::new();
        for (place, counter, value) in runs.chain(margin.others) {
            let write =
                Write { counter, actor, change, value, replaces: Vec::new(), replaced_by: Vec::new(), removal: None };
            self.marginal.entry(place.clone()).or_default().writes.push(write);
            touched.push(place);
        }
        touched
    }

    pub(crate) fn margin(&self, place: &Place) -> Option<&Cell> {
        self.marginal.get(place)
    }

    /// Lists the registers in which the objects stand that hold a place, from the inside out.
    pub(crate) fn around(&self, place: &Place) -> Vec<Place> {
        let mut around = Vec::new();
        let mut at = place;
        while let Place::Other { object: ObjectId::Other(object), .. } = at {
            let Some(made) = self.made.get(object).filter(|_| around.len() < DEPTH_MAX) else { break };
            around.push(made.place.clone());
            at = &made.place;
        }
        around
    }
}

fn spot(object: &OpId, element: Option<&OpId>) -> Place {
    Place::Other { object: ObjectId::Other(object.clone()), key: OpKey::Element(element.cloned()) }
}

fn marginal(place: &Place, at: usize) -> WriteRef {
    let ix = u32::try_from(at).expect("a document has fewer than 2^32 operations");
    WriteRef { place: place.clone(), ix, is_marginal: true }
}

/// Finds what was added to a counter that somebody else set anew at the same time: it is lost.
pub(crate) fn counter(log: &Log, place: &Place, cell: &Cell, found: &mut Vec<Found>) {
    let Some(added) = log.foreign.margin(place) else { return };
    let graph = &log.graph;
    let is_known = |added: &Write| cell.writes.iter().any(|write| graph.sees(write.change, added.change));
    let mut lost = Vec::new();
    let mut resets = Vec::new();
    for (at, add) in added.writes.iter().enumerate().filter(|(_, add)| !is_known(add)) {
        let against = cell.live.iter().filter(|ix| {
            let write = cell.write(**ix);
            !write.replaces.is_empty() && graph.are_concurrent(write.change, add.change)
        });
        let against: Vec<u32> = against.copied().collect();
        if !against.is_empty() {
            lost.push(marginal(place, at));
            resets.extend(against);
        }
    }
    resets.sort_unstable();
    resets.dedup();
    let resets: Vec<WriteRef> = resets.into_iter().map(|ix| WriteRef::new(place.clone(), ix)).collect();
    if !lost.is_empty() {
        found.push(Found::new(log, ConflictKind::Counter, Subject::Place(place.clone()), vec![resets, lost]));
    }
}

/// Finds whether two people edited the same spot of a text, and nobody who knew both has edited it since.
pub(crate) fn text(log: &Log, place: &Place, found: &mut Vec<Found>) {
    let Place::Other { object: ObjectId::Other(object), key: OpKey::Element(_) } = place else { return };
    let (Some(done), true) = (log.foreign.margin(place), log.foreign.is_text(object)) else { return };
    let graph = &log.graph;
    let is_overtaken = |one: &Write| {
        done.writes.iter().any(|other| other.change != one.change && graph.sees(other.change, one.change))
    };
    let latest: Vec<(usize, &Write)> = done.writes.iter().enumerate().filter(|(_, one)| !is_overtaken(one)).collect();
    let is_removal = |write: &Write| write.value.is_none();
    let mut sides: BTreeMap<ChangeIx, Vec<WriteRef>> = BTreeMap::new();
    for (at, one) in &latest {
        let is_against = |other: &Write| other.change != one.change && !(is_removal(one) && is_removal(other));
        if latest.iter().any(|(_, other)| is_against(other)) {
            sides.entry(one.change).or_default().push(marginal(place, *at));
        }
    }
    if sides.len() > 1 {
        let sides = sides.into_values().collect();
        found.push(Found::new(log, ConflictKind::TextOverlap, Subject::Place(place.clone()), sides));
    }
}

/// Finds what was written into an object that somebody else replaced or removed, not knowing of it.
pub(crate) fn hidden(log: &Log, place: &Place, cell: &Cell, found: &mut Vec<Found>) {
    let graph = &log.graph;
    for object in log.foreign.made_at.get(place).into_iter().flatten() {
        let made = graph.known_actor(&object.actor).and_then(|actor| cell.find(object.counter, actor));
        let Some(made) = made else { continue };
        let gone: Vec<u32> = cell.write(made).replaced_by.clone();
        if gone.is_empty() {
            continue;
        }
        let mut within = Vec::new();
        inside(log, object, 0, &mut within);
        let is_hidden = |at: &WriteRef| {
            let Some(write) = log.at(at) else { return false };
            let made = cell.write(made).change;
            write.change != made
                && gone.iter().all(|ix| !graph.sees(write.change, cell.write(*ix).change))
                && !cell.writes.iter().any(|later| later.change != made && graph.sees(later.change, write.change))
        };
        within.retain(is_hidden);
        within.sort_by_cached_key(|at| log.op_of(at));
        within.truncate(HIDDEN_MAX);
        if !within.is_empty() {
            let gone = gone.into_iter().map(|ix| WriteRef::new(place.clone(), ix)).collect();
            found.push(Found::new(log, ConflictKind::HiddenEdit, Subject::Place(place.clone()), vec![gone, within]));
        }
    }
}

/// Lists what stands in an object and in those within it.
fn inside(log: &Log, object: &OpId, depth: usize, out: &mut Vec<WriteRef>) {
    if depth >= DEPTH_MAX {
        return;
    }
    let id = ObjectId::Other(object.clone());
    for (key, cell) in log.others.get(&id).into_iter().flatten() {
        let place = Place::Other { object: id.clone(), key: key.clone() };
        for ix in &cell.live {
            out.push(WriteRef::new(place.clone(), *ix));
        }
        for made in log.foreign.made_at.get(&place).into_iter().flatten() {
            inside(log, made, depth + 1, out);
        }
    }
    let first = Place::Other { object: id.clone(), key: OpKey::Map(String::new()) };
    let of_object = |place: &Place| matches!(place, Place::Other { object, .. } if *object == id);
    for (place, cell) in log.foreign.marginal.range(first..).take_while(|(place, _)| of_object(place)) {
        out.extend((0..cell.writes.len()).map(|at| marginal(place, at)));
    }
}

/// Splits the operations of a change into those on registers and the others.
pub(crate) fn margin_of<'a>(
    foreign: &mut Foreign,
    graph: &Graph,
    ix: ChangeIx,
    change: &'a DecodedChange,
) -> (Margin, Vec<&'a DecodedOp>) {
    let mut margin = Margin::default();
    let mut rest = Vec::with_capacity(change.ops.len());
    for op in &change.ops {
        if !margin.takes(foreign, graph, ix, op) {
            foreign.note_made(op, &crate::log::place(op), ix);
            rest.push(op);
        }
    }
    (margin, rest)
}
