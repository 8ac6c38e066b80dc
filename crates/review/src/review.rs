//! The conflicts of one document, kept up to date while changes arrive.

use std::collections::{BTreeMap, BTreeSet};

use comity_crdt::DecodedChange;
use comity_model::{Act, ChangeHash, EntryId, FieldName, Heads, LIFE, RegisterKey};
use sha2::{Digest, Sha256};

use crate::detect::{self, Declarations, EntryView, Found};
use crate::foreign;
use crate::graph::ChangeIx;
use crate::log::{Decided, Log};
use crate::policy::Verdict;
use crate::rules::Rules;
use crate::{Conflict, ConflictId, ConflictKind, DecisionId, DecisionRecord, Place, State, Subject};

/// The conflicts of one document.
///
/// [`feed`](Self::feed) it every change of the document once, each after those that it depends on (as
/// [`Document::decode_since`](comity_crdt::Document::decode_since) gives them), and ask at any time. What it answers depends
/// on the set of changes and on the declarations, and not on the order in which the changes came. The cost of feeding follows
/// the new operations and what they touch, not the history.
///
/// It keeps every write with its value: some 380 bytes for each operation of an audit.
#[derive(Debug, Default)]
pub struct Review {
    pub(crate) log: Log,
    pub(crate) declared: Declarations,
    /// What was found in each entry and register.
    units: BTreeMap<Unit, Vec<Found>>,
    /// Where each conflict was found.
    found_in: BTreeMap<ConflictId, Unit>,
    /// What was found about each subject, for a decision about one conflict may say how the next one stands.
    found_about: BTreeMap<String, BTreeSet<ConflictId>>,
    /// How each conflict stands, those that are over included.
    pub(crate) states: BTreeMap<ConflictId, Stands>,
    /// Live entries by their natural key.
    twins: BTreeMap<Vec<String>, BTreeSet<EntryId>>,
    key_of: BTreeMap<EntryId, Vec<String>>,
    rules: Rules,
    pub(crate) records: Records,
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
    /// The invariants.
    Rules,
}

/// How a conflict stands, and what it is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Stands {
    pub(crate) kind: ConflictKind,
    pub(crate) subject: Subject,
    pub(crate) state: State,
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
pub(crate) struct Records {
    pub(crate) by_conflict: BTreeMap<ConflictId, BTreeSet<DecisionId>>,
    pub(crate) by_subject: BTreeMap<String, BTreeSet<ConflictId>>,
    /// Conflicts whose decisions wrote to an entry.
    by_entry: BTreeMap<EntryId, BTreeSet<ConflictId>>,
    /// Decisions that others took the place of, with the changes that they stand in.
    pub(crate) superseded: BTreeMap<DecisionId, BTreeSet<ChangeIx>>,
}

impl Review {
    /// Makes the review of a document of which nothing is known yet.
    pub fn new(declared: Declarations) -> Self {
        Self { rules: Rules::new(&declared.invariants), declared, ..Self::default() }
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
        self.rules = Rules::new(&declared.invariants);
        self.log.about.keys().for_each(|name| self.rules.about(&self.log, name));
        self.declared = declared;
        self.twins.clear();
        self.key_of.clear();
        let entries = self.log.entries.iter();
        let places = entries
            .flat_map(|(id, entry)| entry.fields.keys().map(|field| RegisterKey::new(id.clone(), field.clone())));
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

    /// Gives the verdict on each declared invariant, in their order.
    pub fn verdicts(&self) -> Vec<(&str, Verdict)> {
        self.rules.verdicts()
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
        let Some(ix) = self.log.graph.change(&change.hash) else { return };
        let ids: BTreeSet<&DecisionId> = self.log.deciding.get(&ix).into_iter().flatten().collect();
        for id in ids {
            let all = self.log.decisions.get(id).into_iter().flatten();
            for Decided { record, .. } in all.filter(|decided| decided.change == ix && decided.record.is_sound()) {
                let conflict = record.conflict;
                self.records.by_conflict.entry(conflict).or_default().insert(id.clone());
                self.records.by_subject.entry(record.subject.clone()).or_default().insert(conflict);
                for (register, _) in &record.writes {
                    self.records.by_entry.entry(register.entry.clone()).or_default().insert(conflict);
                }
                affected.insert(conflict);
                affected.extend(self.found_about.get(&record.subject).into_iter().flatten());
                // Only what its author knew, and only about the same conflict.
                for other in &record.supersedes {
                    let others = self.log.decisions.get(other).into_iter().flatten();
                    let known =
                        others.filter(|one| one.record.conflict == conflict && self.log.graph.sees(ix, one.change));
                    let changes: Vec<ChangeIx> = known.map(|one| one.change).filter(|change| *change != ix).collect();
                    self.records.superseded.entry(other.clone()).or_default().extend(changes);
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
            match &place {
                Place::Field(register) => self.touch(register, &mut units, &mut affected),
                Place::About(name) => self.rules.about(&self.log, name),
                Place::Other { .. } => {}
            }
            units.insert(Unit::Register(place));
        }
        if !self.rules.is_empty() {
            units.insert(Unit::Rules);
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
        if !self.rules.is_empty() {
            self.rules.entry(&self.log, entry);
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
                if let (Some(view), Some(group)) = (EntryView::new(&self.log, id), self.declared.groups.get(*number)) {
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
            Unit::Rules => self.rules.broken(&self.log, &mut found),
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

    pub(crate) fn found(&self, id: ConflictId) -> Option<&Found> {
        let unit = self.found_in.get(&id)?;
        self.units.get(unit)?.iter().find(|found| found.id == id)
    }
}
