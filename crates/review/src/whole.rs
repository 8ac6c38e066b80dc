//! A conflict with all that is known of it, put together when somebody asks.

use std::collections::BTreeMap;

use comity_model::{EntryId, RegisterKey, Value};

use crate::detect::{Found, WriteRef};
use crate::log::{Cell, Write};
use crate::{Base, Conflict, ConflictId, ConflictKind, Place, Review, Side, Subject, Written};

impl Review {
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

    /// Puts together a conflict that is over from the record of a decision about it.
    pub(crate) fn past(&self, id: ConflictId) -> Option<Found> {
        let record = &self.active(id).next()?.record;
        let subject = Subject::parse(record.kind, &record.subject)?;
        let places = self.places(&subject);
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
    fn places(&self, subject: &Subject) -> Vec<Place> {
        let of_entry = |id: &EntryId| -> Vec<Place> {
            let fields = self.log.entries.get(id).into_iter().flat_map(|entry| entry.fields.keys());
            fields.map(|field| Place::Field(RegisterKey::new(id.clone(), field.clone()))).collect()
        };
        match subject {
            Subject::Place(place) => vec![place.clone()],
            Subject::Fields { entry, .. } | Subject::Entry(entry) => of_entry(entry),
            Subject::Entries(ids) => ids.iter().flat_map(of_entry).collect(),
            Subject::Rule(_) => {
                let about = self.log.about.keys().cloned().map(Place::About);
                self.log.entries.keys().flat_map(of_entry).chain(about).collect()
            }
        }
    }

    pub(crate) fn base(&self, found: &Found) -> Vec<Base> {
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
