//! The verdicts on all invariants of a document, kept up as it changes.

use std::collections::{BTreeMap, BTreeSet};

use comity_model::{EntryId, Value};

use super::eval::{Names, Row, Trouble, Val, eval_truth};
use super::slot::{Share, Slot};
use super::{Aggregate, Expr, Invariant, Question};

/// Whether an invariant is true of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// It is true.
    Holds,
    /// It is false.
    Broken {
        /// Why, in words, with the numbers.
        because: String,
        /// Entries that break it, ascending: [`Tally::ENTRIES_NAMED_MAX`] at most, and none when it is about numbers.
        entries: Vec<EntryId>,
    },
    /// It cannot be computed, so it is neither.
    Unknown {
        /// Why, in words.
        why: String,
    },
}

/// The invariants of one kind over one document.
///
/// Call [`update`](Self::update) for every entry that changes, with what it was and what it is, and
/// [`about`](Self::about) for every register of the document; in any order. An update costs what the row costs (and the
/// logarithm of the number of entries), [`verdicts`](Self::verdicts) what the invariants cost, whatever the number of
/// entries.
#[derive(Clone, Debug)]
pub struct Tally {
    invariants: Vec<Invariant>,
    /// By aggregate, so that two rules which ask the same share the answer.
    slots: BTreeMap<Aggregate, Slot>,
    about: BTreeMap<String, Value>,
    /// The live entries, when a rule is about references.
    live: Option<BTreeSet<EntryId>>,
}

impl Tally {
    /// Most entries that a verdict names.
    pub const ENTRIES_NAMED_MAX: usize = 8;

    /// Begins with an empty document.
    pub fn new(invariants: &[Invariant]) -> Self {
        let mut slots = BTreeMap::new();
        for invariant in invariants {
            invariant.expr.visit(&mut |expr| {
                if let Expr::Aggregate(aggregate) = expr {
                    slots.entry(aggregate.clone()).or_insert_with(|| Slot::new(&aggregate.question));
                }
            });
        }
        let refers = slots.keys().any(|aggregate: &Aggregate| matches!(aggregate.question, Question::Reference(_)));
        Self { invariants: invariants.to_vec(), slots, about: BTreeMap::new(), live: refers.then(BTreeSet::new) }
    }

    /// Hears that an entry changed. `old` is what the last update gave as `new`; `None` is an entry that is not there or
    /// is deleted.
    pub fn update(&mut self, entry: &EntryId, old: Option<&Row>, new: Option<&Row>) {
        if let Some(live) = &mut self.live
            && old.is_some() != new.is_some()
        {
            if new.is_some() {
                live.insert(entry.clone())
            } else {
                live.remove(entry)
            };
            self.slots.values_mut().for_each(|slot| slot.lives(entry, new.is_some()));
        }
        let lives = |name: &str| match (&self.live, EntryId::new(name)) {
            (Some(live), Ok(entry)) => live.contains(&entry),
            _ => false,
        };
        for (aggregate, slot) in &mut self.slots {
            let (was, is) = (Share::of(aggregate, old), Share::of(aggregate, new));
            if was != is {
                slot.change(entry, was, false, &lives);
                slot.change(entry, is, true, &lives);
            }
        }
    }

    /// Hears what stands in one of the document's own registers; `None` when nothing does.
    pub fn about(&mut self, name: &str, value: Option<&Value>) {
        match value {
            Some(value) => self.about.insert(name.to_owned(), value.clone()),
            None => self.about.remove(name),
        };
    }

    /// Gives the verdict on each invariant, in the order in which they were given.
    pub fn verdicts(&self) -> Vec<(&str, Verdict)> {
        self.invariants.iter().map(|invariant| (invariant.name.as_str(), self.verdict(&invariant.expr))).collect()
    }

    fn verdict(&self, expr: &Expr) -> Verdict {
        match eval_truth(expr, self) {
            Ok(true) => Verdict::Holds,
            Err(trouble) => Verdict::Unknown { why: trouble.to_string() },
            Ok(false) => {
                let (facts, entries) = self.facts(expr);
                let entries = entries.into_iter().take(Self::ENTRIES_NAMED_MAX).collect();
                Verdict::Broken { because: format!("{expr} is false: {}", facts.join("; ")), entries }
            }
        }
    }

    /// Says what everything in an expression comes to.
    fn facts(&self, expr: &Expr) -> (Vec<String>, BTreeSet<EntryId>) {
        let mut facts: Vec<String> = Vec::new();
        let mut entries = BTreeSet::new();
        expr.visit(&mut |part| {
            let fact = match part {
                Expr::Aggregate(aggregate) => {
                    let Some(slot) = self.slots.get(aggregate) else { return };
                    let found = slot.found(aggregate, Self::ENTRIES_NAMED_MAX);
                    entries.extend(found.entries);
                    found.words
                }
                Expr::About(name) => match self.about.get(name) {
                    None | Some(Value::Null) => format!("{part} is not set"),
                    Some(value) => format!("{part} is {}", crate::policy::excerpt(&value.to_string())),
                },
                _ => return,
            };
            if !facts.contains(&fact) {
                facts.push(fact);
            }
        });
        if facts.is_empty() {
            facts.push("it is so whatever the document holds".to_owned());
        }
        (facts, entries)
    }
}

impl Names for Tally {
    fn about_value(&self, name: &str) -> Option<&Value> {
        self.about.get(name)
    }

    fn answer(&self, aggregate: &Aggregate) -> Result<Val<'_>, Trouble> {
        self.slots.get(aggregate).map_or(Ok(Val::Null), Slot::value)
    }
}
