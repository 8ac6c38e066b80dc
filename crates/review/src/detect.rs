//! Finds the conflicts of one entry or register. Nothing here looks at decisions: those only say how a conflict stands.

use std::collections::{BTreeMap, BTreeSet};

use comity_crdt::OpId;
use comity_model::{DeviceTag, EntryId, FieldName, LIFE, RegisterKey, Value};

use crate::foreign;
use crate::graph::ChangeIx;
use crate::log::{Cell, EntryLog, Log, Removal, Write, WriteIx};
use crate::policy::{Invariant, KindPolicy};
use crate::{ConflictId, ConflictKind, Place, Subject};

/// What a policy declares of the entries of a kind. Conflicts follow from the changes and from this alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declarations {
    /// Fields that belong together, each group ascending.
    pub groups: Vec<BTreeSet<FieldName>>,
    /// Which fields were chosen knowing which others.
    pub depends_on: BTreeMap<FieldName, BTreeSet<FieldName>>,
    /// The fields that say what an entry is about; none when entries are only what their id says.
    pub natural_key: Vec<FieldName>,
    /// Fields whose decisions need a second reviewer.
    pub second_reviewer: BTreeSet<FieldName>,
    /// What must be true of the whole document.
    pub invariants: Vec<Invariant>,
}

impl From<&KindPolicy> for Declarations {
    fn from(policy: &KindPolicy) -> Self {
        let fields = policy.fields.iter();
        let depends_on = fields.clone().map(|(name, field)| (name.clone(), field.depends_on.iter().cloned().collect()));
        let second_reviewer = fields.filter(|(_, field)| field.second_reviewer).map(|(name, _)| name.clone());
        Self {
            groups: policy.groups.iter().map(|group| group.iter().cloned().collect()).collect(),
            depends_on: depends_on.collect(),
            natural_key: policy.natural_key.clone(),
            second_reviewer: second_reviewer.collect(),
            invariants: policy.invariants.clone(),
        }
    }
}

/// A write, by where it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WriteRef {
    pub(crate) place: Place,
    pub(crate) ix: WriteIx,
    /// Whether it is not in the register itself, but was added to its counter or done at a spot of a text.
    pub(crate) is_marginal: bool,
}

impl WriteRef {
    pub(crate) fn new(place: Place, ix: WriteIx) -> Self {
        Self { place, ix, is_marginal: false }
    }
}

/// A conflict as it was found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) id: ConflictId,
    pub(crate) kind: ConflictKind,
    pub(crate) subject: Subject,
    /// In the order of their first writes.
    pub(crate) sides: Vec<Vec<WriteRef>>,
    /// All wrote the same.
    pub(crate) is_agreement: bool,
}

impl Declarations {
    /// Lists which field was chosen knowing which, those apart that belong together anyway.
    fn dependencies(&self) -> impl Iterator<Item = (&FieldName, &FieldName)> {
        let pairs = self.depends_on.iter().flat_map(|(field, others)| others.iter().map(move |other| (field, other)));
        let is_grouped = |a, b| self.groups.iter().any(|group| group.contains(a) && group.contains(b));
        pairs.filter(move |(field, other)| field != other && !is_grouped(*field, *other))
    }

    /// Lists the groups that a field belongs to, by number.
    pub(crate) fn groups_of(&self, field: &FieldName) -> impl Iterator<Item = usize> {
        (0..).zip(&self.groups).filter(move |(_, group)| group.contains(field)).map(|(number, _)| number)
    }

    /// Lists the dependencies that a field takes part in.
    pub(crate) fn dependencies_of(&self, field: &FieldName) -> impl Iterator<Item = (&FieldName, &FieldName)> {
        self.dependencies().filter(move |(one, other)| *one == field || *other == field)
    }
}

impl Found {
    /// Names a conflict and puts its sides in order.
    pub(crate) fn new(log: &Log, kind: ConflictKind, subject: Subject, mut sides: Vec<Vec<WriteRef>>) -> Self {
        sides.iter_mut().for_each(|side| side.sort_by_cached_key(|write| (log.op_of(write), write.place.clone())));
        sides.sort_by_cached_key(|side| side.first().map(|write| (log.op_of(write), write.place.clone())));
        let ops: Vec<OpId> = sides.iter().flatten().filter_map(|write| log.op_of(write)).collect();
        let id = ConflictId::of(kind, &subject, &ops);
        Self { id, kind, subject, sides, is_agreement: false }
    }
}

impl Log {
    /// Gives the register or the margin that a write stands in.
    pub(crate) fn cell_of(&self, write: &WriteRef) -> Option<&Cell> {
        if write.is_marginal { self.foreign.margin(&write.place) } else { self.cell(&write.place) }
    }

    pub(crate) fn at(&self, write: &WriteRef) -> Option<&Write> {
        Some(self.cell_of(write)?.write(write.ix))
    }

    pub(crate) fn op_of(&self, write: &WriteRef) -> Option<OpId> {
        Some(self.op_id(self.at(write)?))
    }

    /// Whether a write belongs to a decision.
    pub(crate) fn is_decision(&self, write: &Write) -> bool {
        self.deciding.contains_key(&write.change)
    }

    /// Who wrote: the device or, in another application, the actor.
    fn writer(&self, write: &Write) -> Writer<'_> {
        let actor = self.graph.actor_id(write.actor);
        match actor.device() {
            Some(device) => Writer::Device(device),
            None => Writer::Actor(actor.as_bytes()),
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Writer<'a> {
    Device(DeviceTag),
    Actor(&'a [u8]),
}

/// Finds the conflicts of one register.
pub(crate) fn register(log: &Log, place: &Place, cell: &Cell, found: &mut Vec<Found>) {
    foreign::counter(log, place, cell, found);
    foreign::hidden(log, place, cell, found);
    if let [only] = cell.live[..] {
        // As nearly always.
        return implicit(log, place, cell, only, found);
    }
    let mut sides: Vec<(&Value, Vec<WriteRef>)> = Vec::new();
    let mut deciding: Vec<&Value> = Vec::new();
    let mut removals = Vec::new();
    for ix in &cell.live {
        let (write, at) = (cell.write(*ix), WriteRef::new(place.clone(), *ix));
        implicit(log, place, cell, *ix, found);
        let Some(value) = &write.value else {
            if !write.is_narrowing() {
                removals.push(at);
            }
            continue;
        };
        if log.is_decision(write) && !deciding.contains(&value) {
            deciding.push(value);
        }
        match sides.iter_mut().find(|(other, _)| *other == value) {
            Some((_, side)) => side.push(at),
            None => sides.push((value, vec![at])),
        }
    }
    let subject = Subject::Place(place.clone());
    let is_life = matches!(place, Place::Field(register) if register.field.as_str() == LIFE);
    let kind = match deciding.len() {
        2.. => ConflictKind::ResolutionConflict,
        _ if is_life => ConflictKind::DeleteAgainstUpdate,
        _ => ConflictKind::ConcurrentUpdate,
    };
    let written: Vec<Vec<WriteRef>> = sides.into_iter().map(|(_, side)| side).collect();
    removed_while_written(log, cell, &subject, &removals, &written, found);
    let is_agreement = written.len() == 1;
    if written.iter().map(Vec::len).sum::<usize>() > 1 {
        found.push(Found { is_agreement, ..Found::new(log, kind, subject, written) });
    }
}

/// Somebody removed a value that somebody else wrote anew: only other applications remove values.
fn removed_while_written(
    log: &Log,
    cell: &Cell,
    subject: &Subject,
    removals: &[WriteRef],
    written: &[Vec<WriteRef>],
    found: &mut Vec<Found>,
) {
    let change = |write: &WriteRef| cell.write(write.ix).change;
    let is_against = |a: &WriteRef, b: &WriteRef| log.graph.are_concurrent(change(a), change(b));
    let updates: Vec<WriteRef> = written
        .iter()
        .flatten()
        .filter(|write| removals.iter().any(|removal| is_against(removal, write)))
        .cloned()
        .collect();
    let removals: Vec<WriteRef> =
        removals.iter().filter(|removal| updates.iter().any(|write| is_against(removal, write))).cloned().collect();
    if !updates.is_empty() {
        found.push(Found::new(log, ConflictKind::DeleteAgainstUpdate, subject.clone(), vec![removals, updates]));
    }
}

/// Somebody wrote over several values that stood against each other, and did not say that it was a decision.
fn implicit(log: &Log, place: &Place, cell: &Cell, ix: WriteIx, found: &mut Vec<Found>) {
    let write = cell.write(ix);
    if log.is_decision(write) {
        return;
    }
    // What stood there when it was written; a narrowing never stands for anything.
    let stood: Vec<WriteIx> =
        write.replaces.iter().copied().filter(|before| !cell.write(*before).is_narrowing()).collect();
    let settles = match write.removal {
        Some(Removal::Narrowing { settles }) => settles,
        _ => stood.windows(2).any(|pair| cell.write(pair[0]).value != cell.write(pair[1]).value),
    };
    if !settles {
        return;
    }
    // Whoever puts the value that is shown overtakes it too, though Automerge keeps the write that was there.
    let overtakes = |other: &Write| other.is_narrowing() && log.graph.sees(other.change, write.change);
    if cell.live.iter().any(|other| *other != ix && overtakes(cell.write(*other))) {
        return;
    }
    let at = |ix: &WriteIx| vec![WriteRef::new(place.clone(), *ix)];
    let mut sides: Vec<_> = stood.iter().map(at).collect();
    sides.push(at(&ix));
    found.push(Found::new(log, ConflictKind::ImplicitResolution, Subject::Place(place.clone()), sides));
}

/// One entry, while the conflicts between its fields are looked for.
pub(crate) struct EntryView<'a> {
    log: &'a Log,
    id: &'a EntryId,
    entry: &'a EntryLog,
}

impl<'a> EntryView<'a> {
    pub(crate) fn new(log: &'a Log, id: &'a EntryId) -> Option<Self> {
        Some(Self { log, id, entry: log.entries.get(id)? })
    }

    fn place(&self, field: &FieldName) -> Place {
        Place::Field(RegisterKey::new(self.id.clone(), field.clone()))
    }

    /// Gives the writes that stand in a field, with the changes they are part of.
    fn standing(&self, field: &FieldName) -> Vec<(WriteRef, &Write)> {
        let Some(cell) = self.entry.fields.get(field) else { return Vec::new() };
        let live = cell.live.iter().map(|ix| (*ix, cell.write(*ix))).filter(|(_, write)| write.value.is_some());
        live.rev().take(STANDING_MAX).map(|(ix, write)| (WriteRef::new(self.place(field), ix), write)).collect()
    }

    /// Somebody marked the entry deleted while somebody else wrote to it.
    pub(crate) fn deleted_while_written(&self, found: &mut Vec<Found>) {
        let Some((life, cell)) = self.entry.fields.get_key_value(LIFE) else { return };
        let is_deletion = |write: &Write| write.value.as_ref().and_then(Value::as_text) == Some("deleted");
        if !cell.standing().any(is_deletion) {
            return;
        }
        let deletions: Vec<_> = self.standing(life).into_iter().filter(|(_, write)| is_deletion(write)).collect();
        let mut updates = Vec::new();
        let mut against = BTreeSet::new();
        for field in self.entry.fields.keys().filter(|field| *field != life) {
            for (at, write) in self.standing(field) {
                let mut is_update = false;
                for (deletion, deleted) in &deletions {
                    if self.log.graph.are_concurrent(write.change, deleted.change) {
                        against.insert(deletion.clone());
                        is_update = true;
                    }
                }
                if is_update {
                    updates.push(at);
                }
            }
        }
        if !updates.is_empty() {
            let sides = vec![against.into_iter().collect(), updates];
            let subject = Subject::Entry(self.id.clone());
            found.push(Found::new(self.log, ConflictKind::DeleteAgainstUpdate, subject, sides));
        }
    }

    /// Different devices wrote to different fields of a group, not knowing of each other.
    pub(crate) fn group(&self, group: &BTreeSet<FieldName>, found: &mut Vec<Found>) {
        let standing: Vec<(&FieldName, WriteRef, &Write)> = group
            .iter()
            .flat_map(|field| self.standing(field).into_iter().map(move |(at, write)| (field, at, write)))
            .collect();
        // As nearly always: one person wrote them all, or the last one had seen the rest.
        let mut changes: Vec<ChangeIx> = standing.iter().map(|(.., write)| write.change).collect();
        changes.sort_unstable();
        changes.dedup();
        let Some((newest, older)) = changes.split_last() else { return };
        let graph = &self.log.graph;
        if older.windows(2).all(|pair| graph.sees(pair[1], pair[0]))
            && older.last().is_none_or(|last| graph.sees(*newest, *last))
        {
            return;
        }
        let is_against = |a: &(&FieldName, WriteRef, &Write), b: &(&FieldName, WriteRef, &Write)| {
            a.0 != b.0 && self.log.writer(a.2) != self.log.writer(b.2) && graph.are_concurrent(a.2.change, b.2.change)
        };
        let mut sides: BTreeMap<Writer<'_>, Vec<WriteRef>> = BTreeMap::new();
        for one in &standing {
            if standing.iter().any(|other| is_against(one, other)) {
                sides.entry(self.log.writer(one.2)).or_default().push(one.1.clone());
            }
        }
        if sides.len() > 1 {
            let fields = group.iter().cloned().collect();
            let subject = Subject::Fields { entry: self.id.clone(), fields };
            found.push(Found::new(self.log, ConflictKind::FieldGroup, subject, sides.into_values().collect()));
        }
    }

    /// A field was written by somebody who knew another field, while somebody else changed that.
    pub(crate) fn stale(&self, field: &FieldName, other: &FieldName, found: &mut Vec<Found>) {
        let Some(cell) = self.entry.fields.get(other) else { return };
        let is_change = |write: &Write| write.replaces.iter().any(|before| cell.write(*before).value != write.value);
        let changed: Vec<_> = self.standing(other).into_iter().filter(|(_, write)| is_change(write)).collect();
        if changed.is_empty() {
            return;
        }
        let chosen = self.standing(field);
        let is_against = |a: &Write, b: &Write| {
            self.log.writer(a) != self.log.writer(b) && self.log.graph.are_concurrent(a.change, b.change)
        };
        let pick = |ones: &[(WriteRef, &Write)], others: &[(WriteRef, &Write)]| -> Vec<WriteRef> {
            let picked = ones.iter().filter(|(_, one)| others.iter().any(|(_, other)| is_against(one, other)));
            picked.map(|(at, _)| at.clone()).collect()
        };
        let sides = vec![pick(&chosen, &changed), pick(&changed, &chosen)];
        if sides.iter().all(|side| !side.is_empty()) {
            // The field that was chosen comes first, for the two directions are two conflicts.
            let fields = vec![field.clone(), other.clone()];
            let subject = Subject::Fields { entry: self.id.clone(), fields };
            found.push(Found::new(self.log, ConflictKind::StaleDecision, subject, sides));
        }
    }
}

/// Most values of one field, those that Automerge puts last, that are compared with other fields. All of them are listed as
/// a concurrent update.
const STANDING_MAX: usize = 64;

/// Most entries with one natural key, the first by id, that are compared with each other.
const TWINS_MAX: usize = 256;

/// Gives the natural key of a live entry; `None` when it is deleted, or a part of the key was never written.
pub(crate) fn natural_key(entry: &EntryLog, declared: &Declarations) -> Option<Vec<String>> {
    let is_deleted = entry
        .fields
        .iter()
        .any(|(field, cell)| field.as_str() == LIFE && cell.shown().and_then(Value::as_text) == Some("deleted"));
    if is_deleted || declared.natural_key.is_empty() {
        return None;
    }
    let part = |field: &FieldName| match entry.fields.get(field)?.shown()? {
        Value::Null => None,
        value => Some(format!("{}:{value}", value.type_name())),
    };
    declared.natural_key.iter().map(part).collect()
}

/// Finds whether live entries with one natural key were made by people who did not know of each other's.
pub(crate) fn duplicates(log: &Log, ids: &BTreeSet<EntryId>, declared: &Declarations, found: &mut Vec<Found>) {
    let entries: Vec<(&EntryId, &EntryLog)> =
        ids.iter().take(TWINS_MAX).filter_map(|id| log.entries.get_key_value(id)).collect();
    let are_strangers = |a: &EntryLog, b: &EntryLog| {
        a.makers.iter().any(|one| b.makers.iter().any(|other| log.graph.are_concurrent(*one, *other)))
    };
    let is_duplicate =
        |id: &EntryId, entry: &EntryLog| entries.iter().any(|(other, log)| *other != id && are_strangers(entry, log));
    let twins: Vec<_> = entries.iter().filter(|(id, entry)| is_duplicate(id, entry)).collect();
    if twins.len() < 2 {
        return;
    }
    let side = |(id, entry): &&(&EntryId, &EntryLog)| {
        let key = declared.natural_key.iter().filter_map(|field| {
            let cell = entry.fields.get(field)?;
            let ix = cell.live.iter().rfind(|ix| cell.write(**ix).value.is_some())?;
            let place = Place::Field(RegisterKey::new((*id).clone(), field.clone()));
            Some(WriteRef::new(place, *ix))
        });
        key.collect::<Vec<_>>()
    };
    let subject = Subject::Entries(twins.iter().map(|(id, _)| (*id).clone()).collect());
    found.push(Found::new(log, ConflictKind::Duplicate, subject, twins.iter().map(side).collect()));
}
