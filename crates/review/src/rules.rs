//! The invariants of a policy, kept up while a document changes.

use std::collections::{BTreeMap, BTreeSet};

use comity_model::{EntryId, FieldName, LIFE, RegisterKey};

use crate::detect::{Found, WriteRef};
use crate::graph::ChangeIx;
use crate::log::{Cell, EntryLog, Log};
use crate::policy::{Invariant, Row, Tally, Verdict};
use crate::{ConflictKind, Place, Subject};

/// Most of the latest changes that a broken rule names as sides, the greatest operations first.
const SIDES_MAX: usize = 16;

/// The invariants with what they have heard of the entries.
#[derive(Debug)]
pub(crate) struct Rules {
    invariants: Vec<Invariant>,
    /// The fields that any of them reads: all that is kept of an entry.
    fields: BTreeSet<FieldName>,
    tally: Tally,
    rows: BTreeMap<EntryId, Row>,
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Rules {
    pub(crate) fn new(invariants: &[Invariant]) -> Self {
        let fields = invariants.iter().flat_map(Invariant::fields_read).collect();
        Self { invariants: invariants.to_vec(), fields, tally: Tally::new(invariants), rows: BTreeMap::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.invariants.is_empty()
    }

    /// Hears that an entry was written to.
    pub(crate) fn entry(&mut self, log: &Log, id: &EntryId) {
        let new = log.entries.get(id).and_then(|entry| self.row(entry));
        let old = self.rows.remove(id);
        self.tally.update(id, old.as_ref(), new.as_ref());
        if let Some(row) = new {
            self.rows.insert(id.clone(), row);
        }
    }

    /// Hears that a register of the document itself was written to.
    pub(crate) fn about(&mut self, log: &Log, name: &str) {
        self.tally.about(name, log.about.get(name).and_then(Cell::shown));
    }

    /// Gives what is known of a live entry: the values that are shown.
    fn row(&self, entry: &EntryLog) -> Option<Row> {
        let life = entry.fields.get(LIFE).and_then(Cell::shown).and_then(|value| value.as_text());
        let value = |field: &FieldName| Some((field.clone(), entry.fields.get(field)?.shown()?.clone()));
        (life != Some("deleted")).then(|| self.fields.iter().filter_map(value).collect())
    }

    /// Gives the verdict on each invariant, in their order.
    pub(crate) fn verdicts(&self) -> Vec<(&str, Verdict)> {
        self.tally.verdicts()
    }

    /// Finds the rules that are broken.
    pub(crate) fn broken(&self, log: &Log, found: &mut Vec<Found>) {
        for (invariant, (_, verdict)) in self.invariants.iter().zip(self.tally.verdicts()) {
            if let Verdict::Broken { entries, .. } = verdict {
                let sides = sides(log, &self.contributing(log, invariant, &entries));
                let subject = Subject::Rule(invariant.name.clone());
                found.push(Found::new(log, ConflictKind::Invariant, subject, sides));
            }
        }
    }

    /// Lists the writes that a rule depends on: those of the entries that break it, or of all when it is about numbers.
    fn contributing(&self, log: &Log, invariant: &Invariant, entries: &[EntryId]) -> Vec<WriteRef> {
        let fields = invariant.fields_read();
        let counts = |field: &FieldName| fields.contains(field) || field.as_str() == LIFE;
        let (mut writes, mut makers) = (Vec::new(), Vec::new());
        let mut add = |place: Place, cell: &Cell| {
            if let Some(ix) = cell.live.iter().rfind(|ix| cell.write(**ix).value.is_some()) {
                writes.push(WriteRef::new(place, *ix));
            }
        };
        let mut add_entry = |id: &EntryId, entry: &EntryLog| {
            if fields.is_empty() {
                makers.extend(made(id, entry));
            }
            for (field, cell) in entry.fields.iter().filter(|(field, _)| counts(field)) {
                add(Place::Field(RegisterKey::new(id.clone(), field.clone())), cell);
            }
        };
        if entries.is_empty() && invariant.reads_entries() {
            log.entries.iter().for_each(|(id, entry)| add_entry(id, entry));
        }
        for (id, entry) in entries.iter().filter_map(|id| log.entries.get_key_value(id)) {
            add_entry(id, entry);
        }
        for name in invariant.about_read() {
            if let Some(cell) = log.about.get(name) {
                add(Place::About(name.to_owned()), cell);
            }
        }
        writes.extend(makers);
        writes
    }
}

/// Gives the writes that made an entry: one of each change that wrote to it knowing nothing of it.
fn made(id: &EntryId, entry: &EntryLog) -> Vec<WriteRef> {
    let first = |maker: &ChangeIx| {
        entry.fields.iter().find_map(|(field, cell)| {
            let at = (0..).zip(&cell.writes).find(|(_, write)| write.change == *maker)?.0;
            Some(WriteRef::new(Place::Field(RegisterKey::new(id.clone(), field.clone())), at))
        })
    };
    entry.makers.iter().filter_map(first).collect()
}

/// Gives the latest changes among those that contributed, one side each: what nobody among the contributors had seen. One
/// side means that somebody who knew all the rest broke the rule, several that the merge did.
fn sides(log: &Log, writes: &[WriteRef]) -> Vec<Vec<WriteRef>> {
    let mut by_change: BTreeMap<ChangeIx, Vec<WriteRef>> = BTreeMap::new();
    for at in writes {
        if let Some(write) = log.at(at) {
            by_change.entry(write.change).or_default().push(at.clone());
        }
    }
    // What depends on a change stands behind it.
    let mut latest: Vec<(ChangeIx, Vec<WriteRef>)> = Vec::new();
    for (change, writes) in by_change.into_iter().rev() {
        if !latest.iter().any(|(later, _)| log.graph.sees(*later, change)) {
            latest.push((change, writes));
        }
    }
    latest.sort_by_cached_key(|(_, writes)| std::cmp::Reverse(writes.iter().filter_map(|at| log.op_of(at)).max()));
    latest.truncate(SIDES_MAX);
    latest.into_iter().map(|(_, writes)| writes).collect()
}
