//! What is known of all entries for one aggregate, kept up as entries change.

use std::collections::{BTreeMap, BTreeSet};

use comity_model::{EntryId, FieldName};

use super::eval::{Key, Row, Trouble, Val, eval, eval_truth, in_range};
use super::{Aggregate, Question};

/// The state of one aggregate.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    state: State,
    /// Entries for which it cannot be computed.
    troubled: BTreeMap<EntryId, Trouble>,
}

#[derive(Clone, Debug)]
enum State {
    Count(u64),
    /// Each entry adds 65 bits at most, so that this never overflows, and the order of updates does not matter.
    Sum(i128),
    Unique {
        groups: BTreeMap<Vec<Key>, BTreeSet<EntryId>>,
        /// The keys of the groups with two entries or more.
        twice: BTreeSet<Vec<Key>>,
    },
    Reference {
        /// Who names what, which need not be an entry id.
        naming: BTreeMap<String, BTreeSet<EntryId>>,
        /// What is named and is no live entry.
        dangling: BTreeSet<String>,
    },
    Every {
        broken: BTreeSet<EntryId>,
    },
}

/// What one entry brings into an aggregate. A pure function of its row.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Share {
    Nothing,
    Counts,
    Adds(i128),
    Has(Vec<Key>),
    Names(String),
    Breaks,
}

impl Share {
    /// Computes the share of a row; that of no row is nothing.
    pub(super) fn of(aggregate: &Aggregate, row: Option<&Row>) -> Result<Self, Trouble> {
        let Some(row) = row else { return Ok(Self::Nothing) };
        if let Some(filter) = &aggregate.filter
            && !eval_truth(filter, row)?
        {
            return Ok(Self::Nothing);
        }
        match &aggregate.question {
            Question::Count => Ok(Self::Counts),
            Question::Sum(inner) => match eval(inner, row)? {
                Val::Null => Ok(Self::Nothing),
                value => Ok(Self::Adds(value.number()?)),
            },
            Question::Unique(fields) => Self::key(fields, row),
            Question::Reference(field) => Ok(match Val::of(row.get(field))? {
                Val::Null => Self::Nothing,
                _ => row.get(field).map_or(Self::Nothing, |value| Self::Names(value.to_string())),
            }),
            Question::Every(inner) => Ok(if eval_truth(inner, row)? { Self::Nothing } else { Self::Breaks }),
        }
    }

    fn key(fields: &[FieldName], row: &Row) -> Result<Self, Trouble> {
        let mut keys = Vec::with_capacity(fields.len());
        for field in fields {
            match Key::of(Val::of(row.get(field))?) {
                Some(key) => keys.push(key),
                None => return Ok(Self::Nothing),
            }
        }
        Ok(Self::Has(keys))
    }
}

/// Entries, of which there may be too many to name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Found {
    /// In words.
    pub(super) words: String,
    /// The first of them.
    pub(super) entries: BTreeSet<EntryId>,
}

impl Slot {
    pub(super) fn new(question: &Question) -> Self {
        let state = match question {
            Question::Count => State::Count(0),
            Question::Sum(_) => State::Sum(0),
            Question::Unique(_) => State::Unique { groups: BTreeMap::new(), twice: BTreeSet::new() },
            Question::Reference(_) => State::Reference { naming: BTreeMap::new(), dangling: BTreeSet::new() },
            Question::Every(_) => State::Every { broken: BTreeSet::new() },
        };
        Self { state, troubled: BTreeMap::new() }
    }

    /// Takes the share of an entry in or out; `live` says whether an id is that of a live entry.
    pub(super) fn change(
        &mut self,
        entry: &EntryId,
        share: Result<Share, Trouble>,
        comes: bool,
        live: &dyn Fn(&str) -> bool,
    ) {
        let share = match share {
            Ok(share) => share,
            Err(trouble) if comes => return drop(self.troubled.insert(entry.clone(), trouble)),
            Err(_) => return drop(self.troubled.remove(entry)),
        };
        match (&mut self.state, share) {
            (State::Count(count), Share::Counts) if comes => *count += 1,
            (State::Count(count), Share::Counts) => *count = count.saturating_sub(1),
            (State::Sum(sum), Share::Adds(value)) if comes => *sum += value,
            (State::Sum(sum), Share::Adds(value)) => *sum -= value,
            (State::Every { broken }, Share::Breaks) => {
                if comes {
                    broken.insert(entry.clone())
                } else {
                    broken.remove(entry)
                };
            }
            (State::Unique { groups, twice }, Share::Has(key)) => {
                if put(groups, &key, entry, comes) > 1 {
                    twice.insert(key)
                } else {
                    twice.remove(&key)
                };
            }
            (State::Reference { naming, dangling }, Share::Names(name)) => {
                if put(naming, &name, entry, comes) > 0 && !live(&name) {
                    dangling.insert(name);
                } else {
                    dangling.remove(&name);
                }
            }
            _ => {}
        }
    }

    /// Hears that an entry has come to life or is gone.
    pub(super) fn lives(&mut self, entry: &EntryId, lives: bool) {
        if let State::Reference { naming, dangling } = &mut self.state {
            if lives {
                dangling.remove(entry.as_str());
            } else if naming.contains_key(entry.as_str()) {
                dangling.insert(entry.as_str().to_owned());
            }
        }
    }

    /// Gives its value.
    pub(super) fn value(&self) -> Result<Val<'static>, Trouble> {
        let untroubled = || match self.troubled.first_key_value() {
            None => Ok(()),
            Some((entry, trouble)) => Err(Trouble::In(entry.clone(), self.troubled.len(), Box::new(trouble.clone()))),
        };
        let holds = match &self.state {
            State::Count(count) => return untroubled().map(|()| Val::Int((*count).into())),
            State::Sum(sum) => {
                untroubled()?;
                return in_range(*sum).map(Val::Int).ok_or(Trouble::Overflow);
            }
            State::Unique { twice, .. } => twice.is_empty(),
            State::Reference { dangling, .. } => dangling.is_empty(),
            State::Every { broken } => broken.is_empty(),
        };
        // One entry that breaks it settles it, whatever cannot be computed elsewhere.
        if holds {
            untroubled()?;
        }
        Ok(Val::Bool(holds))
    }

    /// Says in words what it comes to, and names up to `max` entries where it is broken.
    pub(super) fn found(&self, aggregate: &Aggregate, max: usize) -> Found {
        let mut found = Found::default();
        found.words = match (&self.state, &aggregate.question, self.value()) {
            (_, _, Err(trouble)) => format!("{aggregate} cannot be computed: {trouble}"),
            (_, _, Ok(Val::Int(value))) => format!("{aggregate} is {value}"),
            (State::Unique { groups, twice }, Question::Unique(fields), _) if !twice.is_empty() => {
                let name = |field: &FieldName| field.to_string();
                let fields = fields.iter().map(name).collect::<Vec<_>>().join(" and ");
                let groups = twice.iter().filter_map(|key| Some((key, groups.get(key)?)));
                let words = groups.take(max).map(|(key, entries)| {
                    let key = key.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
                    format!("{fields} is {key} in {}", found.list(entries.iter(), entries.len(), max))
                });
                some(words.collect(), twice.len(), "; ")
            }
            (State::Reference { naming, dangling }, Question::Reference(field), _) if !dangling.is_empty() => {
                let names = dangling.iter().filter_map(|name| Some((name, naming.get(name)?)));
                let words = names.take(max).map(|(name, entries)| {
                    let entries = found.list(entries.iter(), entries.len(), max);
                    format!("{field} is {}, which is no live entry, in {entries}", crate::policy::excerpt(name))
                });
                some(words.collect(), dangling.len(), "; ")
            }
            (State::Every { broken }, Question::Every(inner), _) if !broken.is_empty() => {
                format!("{inner} is false in {}", found.list(broken.iter(), broken.len(), max))
            }
            _ => format!("{aggregate} is true"),
        };
        found
    }
}

impl Found {
    /// Lists entries in words, and notes those that it names.
    fn list<'a>(&mut self, entries: impl Iterator<Item = &'a EntryId>, all: usize, max: usize) -> String {
        let mut named = Vec::new();
        for entry in entries.take(max) {
            named.push(entry.to_string());
            if self.entries.len() < max {
                self.entries.insert(entry.clone());
            }
        }
        some(named, all, ", ")
    }
}

/// Joins what is named, and says how many are not.
fn some(named: Vec<String>, all: usize, comma: &str) -> String {
    let more = all - named.len();
    let named = named.join(comma);
    if more == 0 { named } else { format!("{named} and {more} more") }
}

/// Puts an entry into a group or takes it out, and gives the number that is in it now.
fn put<K: Ord + Clone>(groups: &mut BTreeMap<K, BTreeSet<EntryId>>, key: &K, entry: &EntryId, comes: bool) -> usize {
    if comes {
        let group = groups.entry(key.clone()).or_default();
        group.insert(entry.clone());
        return group.len();
    }
    let Some(group) = groups.get_mut(key) else { return 0 };
    group.remove(entry);
    let left = group.len();
    if left == 0 {
        groups.remove(key);
    }
    left
}
