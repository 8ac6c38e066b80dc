//! Counts of what was kept, in bounded memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use comity_model::Value;
use sha2::{Digest, Sha256};

/// How often something was there to choose, and how often it was chosen.
///
/// In thousandths, because an act of many cases counts once, with the share of its cases that say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Tally {
    kept_permille: u64,
    cases: u32,
}

impl Tally {
    /// The share that was kept, drawn towards `prior` as if so many cases had shown just that.
    pub fn share(self, prior: f64, strength: f64) -> f64 {
        // Far below 2^53, up to which whole numbers are exact.
        #[expect(clippy::cast_precision_loss, reason = "at most a thousand times the number of decisions")]
        let kept = self.kept_permille as f64 / 1_000.0;
        (kept + prior * strength) / (f64::from(self.cases) + strength)
    }

    /// How often it was there to choose.
    pub const fn cases(self) -> u32 {
        self.cases
    }

    /// How often it was chosen, rounded.
    pub fn kept(self) -> u32 {
        u32::try_from((self.kept_permille + 500) / 1_000).unwrap_or(u32::MAX)
    }

    fn add(&mut self, kept_permille: u64) {
        self.cases = self.cases.saturating_add(1);
        self.kept_permille = self.kept_permille.saturating_add(kept_permille);
    }

    fn mean_permille(self) -> u64 {
        self.kept_permille / u64::from(self.cases.max(1))
    }
}

/// What a row is about.
pub(super) type Key = Arc<str>;

/// Longest part of a key that stands as it is.
const PART_BYTES_MAX: usize = 64;

/// Joins parts to a key. Each has its length in front, so that no two lists of parts make one key.
pub(super) fn key(parts: &[&str]) -> Key {
    parts.iter().map(|part| format!("{}:{part}", part.len())).collect::<String>().into()
}

/// Shortens a part, so that a key is bounded whatever people write.
pub(super) fn part(text: &str) -> String {
    if text.len() <= PART_BYTES_MAX {
        return text.to_owned();
    }
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes())[..16]))
}

/// A value as part of a key, with its type, so that the text `1` is not the number.
pub(super) fn value_part(value: Option<&Value>) -> String {
    value.map_or_else(|| "gone".to_owned(), |value| part(&format!("{} {value}", value.type_name())))
}

/// Tallies by key.
///
/// A full table drops, for a new key, the one that was met in the fewest acts, among these the one met longest ago, among
/// these the smallest. All of that follows from what was learned and in which order, so equal histories drop the same.
#[derive(Clone, Debug)]
pub(super) struct Table {
    rows: BTreeMap<Key, Row>,
    /// Every row, the first to be dropped in front.
    order: BTreeSet<(u32, u64, Key)>,
    max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    tally: Tally,
    last_act: u64,
}

impl Table {
    pub const fn new(max: usize) -> Self {
        Self { rows: BTreeMap::new(), order: BTreeSet::new(), max }
    }

    pub fn get(&self, key: &Key) -> Tally {
        self.rows.get(key).map(|row| row.tally).unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    fn add(&mut self, key: Key, kept_permille: u64, act: u64) {
        let mut tally = Tally::default();
        if let Some(row) = self.rows.get(&key) {
            tally = row.tally;
            self.order.remove(&(tally.cases, row.last_act, key.clone()));
        } else if self.rows.len() >= self.max
            && let Some((_, _, least)) = self.order.pop_first()
        {
            self.rows.remove(&least);
        }
        tally.add(kept_permille);
        self.order.insert((tally.cases, act, key.clone()));
        self.rows.insert(key, Row { tally, last_act: act });
    }
}

/// What one act says, before it is counted.
///
/// Somebody who settles three hundred conflicts with one plan made one judgement. So an act counts once for each key, with
/// the share of its cases in which it was kept.
#[derive(Debug, Default)]
pub(super) struct Ballot {
    votes: BTreeMap<Key, Tally>,
}

impl Ballot {
    pub fn vote(&mut self, key: Key, kept: bool) {
        self.votes.entry(key).or_default().add(if kept { 1_000 } else { 0 });
    }

    pub fn count(self, table: &mut Table, act: u64) {
        for (key, tally) in self.votes {
            table.add(key, tally.mean_permille(), act);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        super::key(&[name])
    }

    #[test]
    fn a_full_table_drops_what_was_met_least_then_longest_ago() {
        let mut table = Table::new(3);
        for (act, name) in ["a", "b", "a", "c", "b", "d", "e"].into_iter().enumerate() {
            table.add(key(name), 1_000, act as u64);
        }
        assert_eq!((table.len(), table.order.len()), (3, 3));
        let met = ["a", "b", "c", "d", "e"].map(|name| table.get(&key(name)).cases());
        assert_eq!(met, [2, 2, 0, 0, 1], "c gave way to d, and d to e");
    }

    #[test]
    fn one_act_counts_once_for_each_key() {
        let mut table = Table::new(3);
        let mut ballot = Ballot::default();
        for kept in [true, true, true, false] {
            ballot.vote(key("a"), kept);
            ballot.vote(key("b"), !kept);
        }
        ballot.count(&mut table, 1);
        assert_eq!(table.get(&key("a")), Tally { kept_permille: 750, cases: 1 });
        assert_eq!(table.get(&key("b")), Tally { kept_permille: 250, cases: 1 });
        assert_eq!(table.get(&key("a")).share(0.5, 1.0), 0.625);
    }

    #[test]
    fn long_parts_are_shortened_and_differ_still() {
        let long = "x".repeat(PART_BYTES_MAX);
        assert_eq!(part(&long), long);
        let [one, other] = ["y", "z"].map(|end| part(&format!("{long}{end}")));
        assert!(one.len() <= PART_BYTES_MAX && one != other);
        assert_ne!(value_part(Some(&"1".into())), value_part(Some(&Value::Int(1))));
        assert_ne!(super::key(&["a", "1:b"]), super::key(&["a1:b"]));
        assert_ne!(value_part(Some(&"gone".into())), value_part(None));
    }
}
