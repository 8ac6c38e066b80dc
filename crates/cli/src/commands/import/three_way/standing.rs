//! How much of a record is in the document already, so that an import that was cut short can be made again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use comity_model::{ChangeHash, EntryId, RegisterKey, Value, Write};
use comity_node::{Version, View};

use super::read::Record;

/// What stands in the registers of a record.
pub type Found = BTreeMap<RegisterKey, Vec<Version>>;

/// How much of a record is in already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Already {
    /// Nothing.
    Nothing,
    /// The base.
    Base,
    /// The base and ours, which is this change.
    Ours(ChangeHash),
    /// Everything.
    All,
    /// Something else is there.
    Other,
}

/// Looks up what stands in the entry of a record and in those below it.
pub fn look(view: &View<'_>, roots: &[EntryId]) -> Vec<Found> {
    let entries = view.entries();
    let look = |root: &EntryId| {
        let below = format!("{root}.");
        let range = entries.range::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded));
        let range = range.take_while(|(id, _)| id.as_str().starts_with(&below));
        let own = entries.get_key_value(root);
        let keys = own.into_iter().chain(range).flat_map(|(id, entry)| {
            let life = entry.deleted.then(|| RegisterKey::life(id.clone()));
            let key = |field: &comity_model::FieldName| RegisterKey::new(id.clone(), field.clone());
            entry.fields.keys().map(key).chain(life).collect::<Vec<_>>()
        });
        let versions = |key: &RegisterKey| view.register(key).map(|register| register.versions).unwrap_or_default();
        keys.map(|key| (key.clone(), versions(&key))).collect()
    };
    roots.iter().map(look).collect()
}

impl Already {
    /// Compares what stands there with what would be written.
    pub fn of(record: &Record, found: &Found) -> Self {
        let stands = |writes: &[&[Write]]| is_as_written(found, writes);
        let edits = &record.edits;
        if stands(&[&edits.base, &edits.ours, &edits.theirs]) {
            return Self::All;
        }
        if found.is_empty() {
            return Self::Nothing;
        }
        if stands(&[&edits.base]) {
            return Self::Base;
        }
        match change_of(found, &edits.ours) {
            Some(change) if stands(&[&edits.base, &edits.ours]) => Self::Ours(change),
            _ => Self::Other,
        }
    }
}

/// Tells whether the registers hold what these leave: the first for others to write over, the rest side by side.
fn is_as_written(found: &Found, writes: &[&[Write]]) -> bool {
    let mut expected: BTreeMap<&RegisterKey, Vec<&Value>> = BTreeMap::new();
    let Some((base, sides)) = writes.split_first() else { return false };
    for (key, value) in base.iter().filter_map(set) {
        expected.insert(key, vec![value]);
    }
    let written: BTreeSet<&RegisterKey> =
        sides.iter().flat_map(|side| side.iter()).filter_map(set).map(|(k, _)| k).collect();
    for key in written {
        expected.insert(key, Vec::new());
    }
    for (key, value) in sides.iter().flat_map(|side| side.iter()).filter_map(set) {
        expected.entry(key).or_default().push(value);
    }
    let is_same = |(key, versions): (&RegisterKey, &Vec<Version>)| {
        let Some(values) = expected.get(key) else { return false };
        versions.iter().all(|version| values.contains(&&version.value))
            && values.iter().all(|value| versions.iter().any(|version| version.value == **value))
    };
    found.len() == expected.len() && found.iter().all(is_same)
}

/// Gives the change that wrote all of these, if it is one.
fn change_of(found: &Found, writes: &[Write]) -> Option<ChangeHash> {
    let changes = writes.iter().filter_map(set).map(|(key, _)| match found.get(key)?.as_slice() {
        [one] => Some(one.change),
        _ => None,
    });
    let changes: BTreeSet<Option<ChangeHash>> = changes.collect();
    match changes.len() {
        1 => changes.into_iter().next().flatten(),
        _ => None,
    }
}

fn set(write: &Write) -> Option<(&RegisterKey, &Value)> {
    match write {
        Write::Set { key, value } => Some((key, value)),
        _ => None,
    }
}
