//! The conflicts of one document, kept up to date while changes arrive.

use std::collections::{BTreeMap, BTreeSet};

use comity_crdt::{DecodedChange, OpId};
use comity_model::{Act, ChangeHash, EntryId, FieldName, Heads, LIFE, RegisterKey, Value};
use sha2::{Digest, Sha256};

use crate::decision::Choice;
use crate::detect::{self, Declarations, EntryView, Found, WriteRef};
use crate::foreign;
use crate::log::{Cell, Decided, Log, Write};
use crate::{
    Base, Conflict, ConflictId, ConflictKind, DecisionId, DecisionRecord, Place, Side, State, Subject, Written,
};

/// The conflicts of one document.
///
/// [`feed`](Self::feed) it every change of the document once, each after those that it depends on (as
/// [`Document::decode_since`](comity_crdt::Document::decode_since) gives them), and ask at any time. What it answers depends
/// on the set of changes and on the declarations, and not on the order in which the changes came. The cost of feeding follows
/// the new operations and what they touch, not the history.
///
/// It keeps every write with its value, some 150 bytes each beside the value.
#[derive(Debug, Default)]
pub struct Review {
    pub(crate) log: Log,
    declared: Declarations,
    /// What was found in each entry and register.
    units: BTreeMap<Unit, Vec<Found>>,
    /// Where each conflict was found.
    found_in: BTreeMap<ConflictId, Unit>,
    /// What was found about each subject, for a decision about one conflict may say how the next one stands.
    found_about: BTreeMap<String, BTreeSet<ConflictId>>,
    /// How each conflict stands, those that are over included.
    states: BTreeMap<ConflictId, Stands>,
    /// Live entries by their natural key.
    twins: BTreeMap<Vec<String>, BTreeSet<EntryId>>,
    key_of: BTreeMap<EntryId, Vec<String>>,
    records: Records,
}

/// What conflicts are looked for in at once: as little as can be, so that the cost follows what was written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Unit {
    Register(Place),
    /// Whether an entry was deleted while it was written to.
    Life(EntryId),
    /// Fields of an entry that belong together: which group.
    Group(EntryId, usize),
    /// A field of an entry, and another that its author knew.
    Stale(EntryId, FieldName, FieldName),
    /// A spot of a text.
    Margin(Place),
    /// Entries with one natural key.
    Twins(Vec<String>),
}

/// How a conflict stands, and what it is about.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Stands {
    kind: ConflictKind,
    subject: Subject,
    state: State,
}

/// A conflict in a word: what a list needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Brief {
    /// Its name.
    pub id: ConflictId,
    /// What sort.
    pub kind: ConflictKind,
    /// What it is about.
    pub subject: Subject,
    /// How it stands.
    pub state: State,
}

/// How a conflict stands now that did not stand so before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turn {
    /// The conflict.
    pub id: ConflictId,
    /// What sort.
    pub kind: ConflictKind,
    /// What it is about.
    pub subject: Subject,
    /// How it stood; `None` when it is new.
    pub before: Option<State>,
    /// How it stands; `None` when it is no longer there: somebody who had seen all sides wrote over them, or a new write
    /// made another conflict of it.
    pub now: Option<State>,
}

/// The decisions, by what they are about.
#[derive(Debug, Default)]
struct Records {
    by_conflict: BTreeMap<ConflictId, BTreeSet<DecisionId>>,
    by_subject: BTreeMap<String, BTreeSet<ConflictId>>,
    /// Conflicts whose decisions wrote to an entry.
    by_entry: BTreeMap<EntryId, BTreeSet<ConflictId>>,
    superseded: BTreeSet<DecisionId>,
}

impl Review {
    /// Makes the review of a document of which nothing is known yet.
    pub fn new(declared: Declarations) -> Self {
        Self { declared, ..Self::default() }
    }

    /// Makes the review of a whole document.
    pub fn of(document: &comity_crdt::Document, declared: Declarations) -> Self {
        let mut review = Self::new(declared);
        review.feed(&document.decode_since(&Heads::default()));
        review
    }

    /// Takes in changes, and says which conflicts came, went or turned, by id. Those that were known are passed over, and
    /// those that come before what they depend on.
    pub fn feed(&mut self, changes: &[DecodedChange]) -> Vec<Turn> {
        let mut touched = BTreeSet::new();
        let mut affected = BTreeSet::new();
        let mut margins = BTreeSet::new();
        for change in changes {
            let Some(places) = self.log.feed(change) else { continue };
            for place in places.registers.iter().chain(&places.margins) {
                touched.extend(self.log.foreign.around(place));
            }
            touched.extend(places.registers);
            touched.extend(places.margins.iter().cloned());
            margins.extend(places.margins.into_iter().map(Unit::Margin));
            self.note_decisions(change, &mut affected);
        }
        self.refresh(touched, margins, affected)
    }

    /// Changes what is declared: the policy is another. Looks at everything anew.
    pub fn declare(&mut self, declared: Declarations) -> Vec<Turn> {
        if declared == self.declared {
            return Vec::new();
        }
        let before: BTreeSet<Unit> = self.units.keys().cloned().collect();
        self.declared = declared;
        self.twins.clear();
        self.key_of.clear();
        let entries = self.log.entries.iter();
        let places = entries.flat_map(|(id, entry)| entry.fields.keys().map(|field| RegisterKey::new(id.clone(), field.clone())));
        let places = places.map(Place::Field).collect();
        let affected = self.records.by_conflict.keys().copied().collect();
        self.refresh(places, before, affected)
    }

    /// Lists all conflicts in short, by id, those that are over included.
    pub fn briefs(&self) -> impl Iterator<Item = Brief> {
        self.states.iter().map(|(id, stands)| Brief {
            id: *id,
            kind: stands.kind,
            subject: stands.subject.clone(),
            state: stands.state,
        })
    }

    /// Lists the conflicts that these states apply to, by subject and kind.
    pub fn conflicts(&self, wanted: impl Fn(State) -> bool) -> Vec<Conflict> {
        let wanted = self.states.iter().filter(|(_, stands)| wanted(stands.state));
        let mut conflicts: Vec<Conflict> = wanted.filter_map(|(id, _)| self.conflict(*id)).collect();
        conflicts.sort_by(|a, b| (&a.subject, a.kind, a.id).cmp(&(&b.subject, b.kind, b.id)));
        conflicts
    }

    /// Gives one conflict with all that is known of it.
    pub fn conflict(&self, id: ConflictId) -> Option<Conflict> {
        let stands = self.states.get(&id)?;
        let past;
        let found = match self.found(id) {
            Some(found) => found,
            None => {
                past = self.past(id)?;
                &past
            }
        };
        let sides =
            found.sides.iter().map(|side| Side { writes: side.iter().filter_map(|at| self.written(at)).collect() });
        Some(Conflict {
            id,
            kind: found.kind,
            subject: found.subject.clone(),
            state: stands.state,
            base: self.base(found),
            sides: sides.collect(),
            reopens: self.reopens(found),
            decisions: self.records.by_conflict.get(&id).into_iter().flatten().cloned().collect(),
        })
    }

    /// Gives the record of a decision, the change that it is part of and who made it. Several only when somebody did not
    /// follow the rules.
    pub fn decision(&self, id: &DecisionId) -> impl Iterator<Item = (&DecisionRecord, ChangeHash, Option<Act>)> {
        let decided = self.log.decisions.get(id).into_iter().flatten();
        decided.map(|decided| {
            let node = self.log.graph.node(decided.change);
            (&decided.record, node.hash, node.act)
        })
    }

    /// Lists the decisions, by id.
    pub fn decisions(&self) -> impl Iterator<Item = &DecisionId> {
        self.log.decisions.keys()
    }

    /// Counts the records of decisions that this release cannot read.
    pub fn unreadable_decisions(&self) -> usize {
        self.log.unreadable
    }

    /// Sums up all conflicts and how they stand. Equal changes and declarations give equal digests on every peer.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"comity review 1");
        for (id, stands) in &self.states {
            hash.update(id.as_bytes());
            hash.update(stands.state.as_str().as_bytes());
        }
        hash.finalize().into()
    }

    /// Indexes the decisions of a change that was just taken in.
    fn note_decisions(&mut self, change: &DecodedChange, affected: &mut BTreeSet<ConflictId>) {
        let Some(ids) = self.log.graph.change(&change.hash).and_then(|ix| self.log.deciding.get(&ix)) else { return };
        for id in ids {
            for Decided { record, .. } in self.log.decisions.get(id).into_iter().flatten() {
                let conflict = record.conflict;
                self.records.by_conflict.entry(conflict).or_default().insert(id.clone());
                self.records.by_subject.entry(record.subject.clone()).or_default().insert(conflict);
                for (register, _) in &record.writes {
                    self.records.by_entry.entry(register.entry.clone()).or_default().insert(conflict);
                }
                affected.insert(conflict);
                affected.extend(self.found_about.get(&record.subject).into_iter().flatten());
                for other in &record.supersedes {
                    self.records.superseded.insert(other.clone());
                    for Decided { record, .. } in self.log.decisions.get(other).into_iter().flatten() {
                        affected.insert(record.conflict);
                        affected.extend(self.found_about.get(&record.subject).into_iter().flatten());
                    }
                }
            }
        }
    }

    /// Looks at what was touched anew, and at how the affected conflicts stand.
    fn refresh(
        &mut self,
        touched: BTreeSet<Place>,
        mut units: BTreeSet<Unit>,
        mut affected: BTreeSet<ConflictId>,
    ) -> Vec<Turn> {
        for place in touched {
            if let Place::Field(register) = &place {
                self.touch(register, &mut units, &mut affected);
            }
            units.insert(Unit::Register(place));
        }
        units.into_iter().for_each(|unit| self.look(unit, &mut affected));
        affected.into_iter().filter_map(|id| self.turn(id)).collect()
    }

    /// Lists what has to be looked at because a field was written to.
    fn touch(&mut self, register: &RegisterKey, units: &mut BTreeSet<Unit>, affected: &mut BTreeSet<ConflictId>) {
        let RegisterKey { entry, field } = register;
        affected.extend(self.records.by_entry.get(entry).into_iter().flatten());
        if self.log.entries.get(entry).is_some_and(|log| log.fields.contains_key(LIFE)) {
            units.insert(Unit::Life(entry.clone()));
        }
        units.extend(self.declared.groups_of(field).map(|number| Unit::Group(entry.clone(), number)));
        let stale = |(one, other): (&FieldName, &FieldName)| Unit::Stale(entry.clone(), one.clone(), other.clone());
        units.extend(self.declared.dependencies_of(field).map(stale));
        // Who made an entry may be found out by a write to any field.
        if !self.declared.natural_key.is_empty() {
            self.rekey(entry, units);
        }
    }

    /// Takes note of the natural key of an entry, and of which keys now have other entries.
    fn rekey(&mut self, id: &EntryId, units: &mut BTreeSet<Unit>) {
        let key = self.log.entries.get(id).and_then(|entry| detect::natural_key(entry, &self.declared));
        if let Some(old) = self.key_of.remove(id) {
            if let Some(entries) = self.twins.get_mut(&old) {
                entries.remove(id);
                if entries.is_empty() {
                    self.twins.remove(&old);
                }
            }
            units.insert(Unit::Twins(old));
        }
        if let Some(key) = key {
            self.twins.entry(key.clone()).or_default().insert(id.clone());
            units.insert(Unit::Twins(key.clone()));
            self.key_of.insert(id.clone(), key);
        }
    }

    /// Finds the conflicts of a unit.
    fn look(&mut self, unit: Unit, affected: &mut BTreeSet<ConflictId>) {
        let mut found = Vec::new();
        match &unit {
            Unit::Life(id) => {
                if let Some(view) = EntryView::new(&self.log, id) {
                    view.deleted_while_written(&mut found);
                }
            }
            Unit::Group(id, number) => {
                if let (Some(view), Some(group)) =
                    (EntryView::new(&self.log, id), self.declared.groups.get(*number))
                {
                    view.group(group, &mut found);
                }
            }
            Unit::Stale(id, field, other) => {
                let is_declared = self.declared.dependencies_of(field).any(|pair| pair == (field, other));
                if let Some(view) = EntryView::new(&self.log, id).filter(|_| is_declared) {
                    view.stale(field, other, &mut found);
                }
            }
            Unit::Register(place) => {
                if let Some(cell) = self.log.cell(place) {
                    detect::register(&self.log, place, cell, &mut found);
                }
            }
            Unit::Margin(place) => foreign::text(&self.log, place, &mut found),
            Unit::Twins(key) => {
                if let Some(ids) = self.twins.get(key) {
                    detect::duplicates(&self.log, ids, &self.declared, &mut found);
                }
            }
        }
        for old in self.units.remove(&unit).into_iter().flatten() {
            self.found_in.remove(&old.id);
            let subject = old.subject.to_string();
            if let Some(same) = self.found_about.get_mut(&subject) {
                same.remove(&old.id);
                if same.is_empty() {
                    self.found_about.remove(&subject);
                }
            }
            affected.insert(old.id);
        }
        for new in &found {
            self.found_in.insert(new.id, unit.clone());
            self.found_about.entry(new.subject.to_string()).or_default().insert(new.id);
            affected.insert(new.id);
        }
        if !found.is_empty() {
            self.units.insert(unit, found);
        }
    }

    /// Takes note of how a conflict stands now; gives its turn when it stood otherwise.
    fn turn(&mut self, id: ConflictId) -> Option<Turn> {
        let now = self.stands(id);
        let before = match &now {
            Some(now) => self.states.insert(id, now.clone()),
            None => self.states.remove(&id),
        };
        if before == now {
            return None;
        }
        let Stands { kind, subject, .. } = now.clone().or_else(|| before.clone())?;
        Some(Turn { id, kind, subject, before: before.map(|stood| stood.state), now: now.map(|stands| stands.state) })
    }

    fn stands(&self, id: ConflictId) -> Option<Stands> {
        match self.found(id) {
            Some(found) => {
                Some(Stands { kind: found.kind, subject: found.subject.clone(), state: self.state_of(found) })
            }
            None => {
                let state = self.state_of_past(id)?;
                let past = self.past(id)?;
                Some(Stands { kind: past.kind, subject: past.subject, state })
            }
        }
    }

    fn found(&self, id: ConflictId) -> Option<&Found> {
        let unit = self.found_in.get(&id)?;
        self.units.get(unit)?.iter().find(|found| found.id == id)
    }

    /// Lists the decisions about a conflict that no other took the place of. A record whose parts do not make the name of
    /// its conflict is not about it.
    fn active(&self, id: ConflictId) -> impl Iterator<Item = &Decided> {
        let ids = self.records.by_conflict.get(&id).into_iter().flatten();
        let standing = ids.filter(|decision| !self.records.superseded.contains(*decision));
        standing.filter_map(|decision| self.log.decisions.get(decision)).flatten().filter(move |decided| {
            let record = &decided.record;
            record.conflict == id && ConflictId::named(record.kind, &record.subject, &record.against) == id
        })
    }

    /// Lists the decisions about a conflict that stand, by id.
    pub(crate) fn standing(&self, id: ConflictId) -> Vec<DecisionId> {
        let ids = self.records.by_conflict.get(&id).into_iter().flatten();
        ids.filter(|decision| !self.records.superseded.contains(*decision)).cloned().collect()
    }

    /// Lists those of them that closed it without writing anything.
    pub(crate) fn closing(&self, id: ConflictId) -> Vec<DecisionId> {
        let closes = |decision: &DecisionId| {
            let decided = self.log.decisions.get(decision).into_iter().flatten();
            decided
                .into_iter()
                .any(|one| matches!(one.record.choice, Choice::Dismissed | Choice::Confirmed | Choice::Linked))
        };
        self.standing(id).into_iter().filter(closes).collect()
    }

    fn has(&self, id: ConflictId, choices: &[Choice]) -> bool {
        self.active(id).any(|decided| choices.contains(&decided.record.choice))
    }

    fn state_of(&self, found: &Found) -> State {
        let id = found.id;
        if self.has(id, &[Choice::Confirmed, Choice::Linked]) {
            State::Resolved
        } else if self.has(id, &[Choice::Dismissed]) {
            State::Dismissed
        } else if found.is_agreement {
            State::Agreed
        } else if found.kind != ConflictKind::ResolutionConflict
            && (self.has(id, &[Choice::Reopened]) || self.reopens(found).is_some())
        {
            State::Reopened
        } else {
            State::Open
        }
    }

    /// Gives how a conflict stands that is no longer found: somebody wrote over it.
    fn state_of_past(&self, id: ConflictId) -> Option<State> {
        let is_undone = |decided: &Decided| decided.record.choice == Choice::Undone && self.still_stands(decided);
        if self.active(id).any(is_undone) {
            return Some(State::Reopened);
        }
        let answers = [Choice::Current, Choice::Accept, Choice::Merged, Choice::RolledBack];
        let decided: Vec<&Decided> = self.active(id).filter(|one| answers.contains(&one.record.choice)).collect();
        if !decided.is_empty() {
            let waits = decided.iter().any(|one| self.needs_second(one) && !self.is_approved(id, one));
            return Some(if waits { State::NeedsSecondReviewer } else { State::Resolved });
        }
        if self.has(id, &[Choice::Confirmed, Choice::Linked]) {
            return Some(State::Resolved);
        }
        self.has(id, &[Choice::Dismissed]).then_some(State::Dismissed)
    }

    /// Whether what a decision wrote stands still, at least in one register.
    fn still_stands(&self, decided: &Decided) -> bool {
        decided.record.writes.iter().any(|(register, _)| {
            let cell = self.log.cell(&Place::Field(register.clone()));
            cell.is_some_and(|cell| cell.live().any(|write| write.change == decided.change))
        })
    }

    fn needs_second(&self, decided: &Decided) -> bool {
        let needs = |field| self.declared.second_reviewer.contains(field);
        decided.record.writes.iter().any(|(register, _)| needs(&register.field)) && self.still_stands(decided)
    }

    fn is_approved(&self, id: ConflictId, decided: &Decided) -> bool {
        let device = |one: &Decided| self.log.graph.actor_id(self.log.graph.node(one.change).actor).device();
        self.active(id).any(|other| {
            other.record.choice == Choice::Approved
                && device(other) != device(decided)
                && self.log.graph.sees(other.change, decided.change)
        })
    }

    /// Gives the conflict whose answer a later write has overtaken.
    fn reopens(&self, found: &Found) -> Option<ConflictId> {
        if found.kind == ConflictKind::ImplicitResolution {
            return None;
        }
        let writes = found.sides.iter().flatten().filter_map(|at| self.log.at(at));
        let by_decision = writes.filter_map(|write| self.log.deciding.get(&write.change)).flatten();
        let answered = by_decision.filter_map(|id| self.log.decisions.get(id)).flatten();
        let about_this = |decided: &&Decided| {
            let register = decided
                .record
                .writes
                .iter()
                .any(|(register, _)| found.sides.iter().flatten().any(|at| at.place.register() == Some(register)));
            register && decided.record.conflict != found.id
        };
        if let Some(decided) = answered.filter(about_this).max_by_key(|decided| decided.record.conflict) {
            return Some(decided.record.conflict);
        }
        let same = self.records.by_subject.get(&found.subject.to_string())?.iter().filter(|id| **id != found.id);
        let ops: BTreeSet<OpId> = found.sides.iter().flatten().filter_map(|at| self.log.op_of(at)).collect();
        let is_closed = |decided: &Decided| {
            let record = &decided.record;
            let closes = [Choice::Dismissed, Choice::Confirmed, Choice::Linked];
            record.kind == found.kind
                && closes.contains(&record.choice)
                && record.against.iter().any(|op| ops.contains(op))
        };
        same.filter(|id| self.active(**id).any(is_closed)).max().copied()
    }

    /// Puts together a conflict that is over from the record of a decision about it.
    fn past(&self, id: ConflictId) -> Option<Found> {
        let record = &self.active(id).next()?.record;
        let subject = Subject::parse(record.kind, &record.subject)?;
        let places = self.places(&subject, record);
        let mut sides: Vec<Vec<WriteRef>> = Vec::new();
        for op in &record.against {
            let Some(actor) = self.log.graph.known_actor(&op.actor) else { continue };
            let at = places.iter().find_map(|place| {
                let ix = self.log.cell(place)?.find(op.counter, actor)?;
                Some(WriteRef::new(place.clone(), ix))
            });
            let Some(at) = at else { continue };
            let value = |at: &WriteRef| self.log.at(at).and_then(|write| write.value.clone());
            match sides.iter_mut().find(|side| side[0].place == at.place && value(&side[0]) == value(&at)) {
                Some(side) => side.push(at),
                None => sides.push(vec![at]),
            }
        }
        let found = Found::new(&self.log, record.kind, subject, sides);
        Some(Found { id, ..found })
    }

    /// Lists the registers that a conflict may be about.
    fn places(&self, subject: &Subject, record: &DecisionRecord) -> Vec<Place> {
        let of_entry = |id: &EntryId| -> Vec<Place> {
            let fields = self.log.entries.get(id).into_iter().flat_map(|entry| entry.fields.keys());
            fields.map(|field| Place::Field(RegisterKey::new(id.clone(), field.clone()))).collect()
        };
        match subject {
            Subject::Place(place) => vec![place.clone()],
            Subject::Fields { entry, .. } | Subject::Entry(entry) => of_entry(entry),
            Subject::Entries(ids) => ids.iter().flat_map(of_entry).collect(),
            Subject::Rule(_) => record.writes.iter().map(|(register, _)| Place::Field(register.clone())).collect(),
        }
    }

    fn base(&self, found: &Found) -> Vec<Base> {
        let mut places: BTreeMap<&Place, Vec<u32>> = BTreeMap::new();
        for at in found.sides.iter().flatten().filter(|at| !at.is_marginal) {
            places.entry(&at.place).or_default().push(at.ix);
        }
        let base = |(place, sides): (&Place, Vec<u32>)| {
            let cell = self.log.cell(place)?;
            // Who wrote over all of them is not one of those who parted.
            let parted: Vec<u32> = match found.kind {
                ConflictKind::ImplicitResolution => {
                    let replaced = |ix: &u32| sides.iter().any(|other| cell.write(*other).replaces.contains(ix));
                    sides.iter().copied().filter(replaced).collect()
                }
                _ => sides,
            };
            Some(Base { place: place.clone(), values: self.values(cell, &cell.base(&parted)) })
        };
        places.into_iter().filter_map(base).collect()
    }

    fn written(&self, at: &WriteRef) -> Option<Written> {
        let cell = self.log.cell_of(at)?;
        let write: &Write = cell.write(at.ix);
        let node = self.log.graph.node(write.change);
        Some(Written {
            place: at.place.clone(),
            op: self.log.op_id(write),
            value: write.value.clone(),
            change: node.hash,
            act: node.act,
            time_s: node.time_s,
            remark: self.log.remark(write.change).cloned(),
            seen: self.values(cell, &write.replaces),
        })
    }

    /// Gives the values of writes, by operation id: the order in which they came differs from device to device.
    fn values(&self, cell: &Cell, writes: &[u32]) -> Vec<Option<Value>> {
        let mut writes: Vec<&Write> =
            writes.iter().map(|ix| cell.write(*ix)).filter(|write| !write.is_narrowing()).collect();
        writes.sort_by_cached_key(|write| self.log.op_id(write));
        writes.into_iter().map(|write| write.value.clone()).collect()
    }
}
