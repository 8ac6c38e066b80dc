//! What became of the leaves: looked up in the document and among its conflicts, and not worked out from the file.

use std::collections::{BTreeMap, BTreeSet};

use comity_model::{RegisterKey, Value};
use comity_review::three_way::{Fate, Leaves, Who, clashes, is_gone};

use super::read::Record;

/// What stands in the registers: all values of each, the one that is shown last.
pub type Standing = BTreeMap<RegisterKey, Vec<Value>>;

/// Leaves by what became of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub leaves: usize,
    /// Touched by nobody.
    pub untouched: usize,
    /// Changed by ours alone.
    pub ours: usize,
    /// Changed by theirs alone.
    pub theirs: usize,
    /// Changed by both to the same.
    pub agreements: usize,
    /// Changed by both differently, and listed as conflicts.
    pub conflicts: usize,
    /// Records with a conflict.
    pub in_conflict: usize,
    /// Values where the other side has an object: both stand, but no record can hold them together.
    pub clashes: usize,
    /// What was written and is neither shown nor listed. Must be none.
    pub lost: Vec<RegisterKey>,
}

impl Counts {
    /// Counts the leaves of a record by what must become of them.
    pub fn expect(&mut self, record: &Record) {
        let expected: BTreeMap<&RegisterKey, Expected<'_>> =
            registers(record).into_iter().map(|key| (key, Expected::of(record, key))).collect();
        let shown: Leaves =
            expected.iter().filter_map(|(key, leaf)| Some(((*key).clone(), leaf.any()?.clone()))).collect();
        let fates: Vec<Fate> = expected.values().map(Expected::fate).collect();
        self.add(record, expected.keys().copied().zip(fates), &shown);
    }

    /// Counts the leaves of a record by what became of them. `listed` are the registers that conflicts are about.
    pub fn look(&mut self, record: &Record, standing: &Standing, listed: &BTreeSet<RegisterKey>) {
        let registers = registers(record);
        let shown = |key: &RegisterKey| standing.get(key).and_then(|values| values.last());
        let shown: Leaves = registers.iter().filter_map(|key| Some(((*key).clone(), shown(key)?.clone()))).collect();
        let fates: Vec<Fate> = registers
            .iter()
            .map(|key| {
                let values = standing.get(*key).map(Vec::as_slice).unwrap_or_default();
                Expected::of(record, key).found(values, listed.contains(*key))
            })
            .collect();
        self.add(record, registers.into_iter().zip(fates), &shown);
    }

    fn add<'a>(&mut self, record: &Record, fates: impl Iterator<Item = (&'a RegisterKey, Fate)>, shown: &Leaves) {
        let conflicts = self.conflicts;
        for (key, fate) in fates {
            self.leaves += 1;
            match fate {
                Fate::Unchanged => self.untouched += 1,
                Fate::OneSided(Who::Ours) => self.ours += 1,
                Fate::OneSided(_) => self.theirs += 1,
                Fate::Agreement => self.agreements += 1,
                Fate::Conflict => self.conflicts += 1,
                Fate::Lost(_) => self.lost.push(key.clone()),
            }
        }
        self.in_conflict += usize::from(self.conflicts > conflicts);
        self.clashes += clashes(shown, &record.root).len();
    }
}

fn registers(record: &Record) -> BTreeSet<&RegisterKey> {
    record.base.keys().chain(record.ours.keys()).chain(record.theirs.keys()).collect()
}

/// One leaf as the file has it. `None` is a leaf that is not there.
struct Expected<'a> {
    base: Option<&'a Value>,
    ours: Option<&'a Value>,
    theirs: Option<&'a Value>,
}

impl<'a> Expected<'a> {
    fn of(record: &'a Record, key: &RegisterKey) -> Self {
        Self { base: record.base.get(key), ours: record.ours.get(key), theirs: record.theirs.get(key) }
    }

    /// One of the values that will stand.
    fn any(&self) -> Option<&'a Value> {
        if self.ours == self.base { self.theirs } else { self.ours }
    }

    fn fate(&self) -> Fate {
        match (self.ours != self.base, self.theirs != self.base) {
            (false, false) => Fate::Unchanged,
            (true, false) => Fate::OneSided(Who::Ours),
            (false, true) => Fate::OneSided(Who::Theirs),
            (true, true) if self.ours == self.theirs => Fate::Agreement,
            (true, true) => Fate::Conflict,
        }
    }

    /// Says what became of the leaf, by what stands in its register and whether a conflict about it is listed.
    fn found(&self, values: &[Value], is_listed: bool) -> Fate {
        let there: Vec<Option<&Value>> =
            values.iter().map(|value| Some(value).filter(|value| !is_gone(value))).collect();
        let shown = there.last().copied().flatten();
        let is_there = |wanted: Option<&Value>| shown == wanted || (is_listed && there.contains(&wanted));
        match self.fate() {
            Fate::Unchanged if shown != self.base => Fate::Lost(Who::Both),
            Fate::OneSided(Who::Ours) | Fate::Agreement | Fate::Conflict if !is_there(self.ours) => {
                Fate::Lost(Who::Ours)
            }
            Fate::OneSided(Who::Theirs) | Fate::Conflict if !is_there(self.theirs) => Fate::Lost(Who::Theirs),
            fate => fate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(three: [Option<&str>; 3], standing: &[&str], is_listed: bool) -> Fate {
        let values = three.map(|value| value.map(Value::from));
        let [base, ours, theirs] = values.each_ref().map(Option::as_ref);
        let standing: Vec<Value> =
            standing.iter().map(|text| if *text == "gone" { Value::Null } else { Value::from(*text) }).collect();
        Expected { base, ours, theirs }.found(&standing, is_listed)
    }

    #[test]
    fn a_loss_is_seen_where_there_is_one() {
        let [a, b, c] = ["a", "b", "c"].map(Some);
        assert_eq!(found([a, a, a], &["a"], false), Fate::Unchanged);
        assert_eq!(found([a, a, a], &["b"], false), Fate::Lost(Who::Both));
        assert_eq!(found([a, b, a], &["b"], false), Fate::OneSided(Who::Ours));
        assert_eq!(found([a, b, a], &["a"], false), Fate::Lost(Who::Ours));
        assert_eq!(found([a, a, None], &["gone"], false), Fate::OneSided(Who::Theirs));
        assert_eq!(found([a, a, None], &["a"], false), Fate::Lost(Who::Theirs));
        assert_eq!(found([a, b, b], &["b", "b"], false), Fate::Agreement);
        assert_eq!(found([a, b, c], &["c", "b"], true), Fate::Conflict);
        assert_eq!(found([a, b, None], &["b", "gone"], true), Fate::Conflict);
        assert_eq!(found([a, b, c], &["c", "b"], false), Fate::Lost(Who::Theirs), "it stands, and nobody is told");
        assert_eq!(found([a, b, c], &["c"], true), Fate::Lost(Who::Ours));
        assert_eq!(found([a, b, c], &[], true), Fate::Lost(Who::Ours));
    }
}
