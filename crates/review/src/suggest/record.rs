//! What past decisions say of authors, values and changes.

use comity_model::Value;

use super::case::{Author, Candidate, Case, Decided, Kept};
use super::feature::Feature;
use super::regression::{Vector, WIDTH};
use super::table::{Ballot, Key, Table, Tally, key, part, value_part};

/// Most authors that are remembered.
const AUTHORS_MAX: usize = 1_024;
/// Most values that are remembered, over all kinds and fields.
const VALUES_MAX: usize = 4_096;
/// Most changes from one value to another that are remembered.
const TRANSITIONS_MAX: usize = 4_096;

/// How many cases of its own it takes until something is believed as much as what it falls back on.
const STRENGTH: f64 = 2.0;

/// Tables of what was kept, each with what it falls back on: an author on the role, the role on everybody; a value in one
/// field on the value in any; a change of one value to another in one field, on that in any, on that between their types.
#[derive(Clone, Debug)]
pub(super) struct Record {
    authors: Table,
    values: Table,
    transitions: Table,
    features: Table,
    acts: u64,
}

impl Record {
    pub const fn new() -> Self {
        Self {
            authors: Table::new(AUTHORS_MAX),
            values: Table::new(VALUES_MAX),
            transitions: Table::new(TRANSITIONS_MAX),
            features: Table::new(WIDTH),
            acts: 0,
        }
    }

    /// The mean over those who wrote it.
    pub fn author_share(&self, candidate: &Candidate) -> f64 {
        let all = self.authors.get(&everybody()).share(0.5, STRENGTH);
        let shares = candidate.authors.iter().map(|author| {
            let role =
                author.role.as_ref().map_or(all, |role| self.authors.get(&role_key(&role.name)).share(all, STRENGTH));
            self.authors.get(&author_key(author)).share(role, STRENGTH)
        });
        let (mut sum, mut count) = (0.0, 0.0);
        for share in shares {
            sum += share;
            count += 1.0;
        }
        if count > 0.0 { sum / count } else { all }
    }

    pub fn value_share(&self, case: &Case, candidate: &Candidate) -> f64 {
        fall_back(&self.values, &value_keys(case, candidate))
    }

    pub fn transition_share(&self, case: &Case, candidate: &Candidate) -> f64 {
        fall_back(&self.transitions, &transition_keys(case, candidate))
    }

    /// How often the values of an author were kept, of those of whom most is known the first.
    pub fn of_author(&self, author: &Author) -> Tally {
        self.authors.get(&author_key(author))
    }

    pub fn of_role(&self, name: &str) -> Tally {
        self.authors.get(&role_key(name))
    }

    pub fn of_value(&self, case: &Case, candidate: &Candidate) -> Tally {
        self.values.get(&value_keys(case, candidate)[0])
    }

    pub fn of_transition(&self, case: &Case, candidate: &Candidate) -> Tally {
        self.transitions.get(&transition_keys(case, candidate)[0])
    }

    /// In how many past acts a feature told the kept candidate from the others, and in how many the kept one had more.
    pub fn of_feature(&self, feature: Feature) -> Tally {
        self.features.get(&feature_key(feature))
    }

    /// Counts one act. `described` is what was known of each case before.
    pub fn learn(&mut self, act: &[Decided], described: &[Vec<Vector>]) {
        self.acts += 1;
        let (mut authors, mut values) = (Ballot::default(), Ballot::default());
        let (mut transitions, mut features) = (Ballot::default(), Ballot::default());
        for (decided, vectors) in act.iter().zip(described) {
            let case = &decided.case;
            for (index, candidate) in case.candidates.iter().enumerate() {
                let kept = decided.kept == Kept::Candidate(index);
                for author in &candidate.authors {
                    authors.vote(author_key(author), kept);
                    authors.vote(everybody(), kept);
                    if let Some(role) = &author.role {
                        authors.vote(role_key(&role.name), kept);
                    }
                }
                value_keys(case, candidate).into_iter().for_each(|key| values.vote(key, kept));
                transition_keys(case, candidate).into_iter().for_each(|key| transitions.vote(key, kept));
            }
            if let Kept::Candidate(kept) = decided.kept {
                vote_features(&mut features, vectors, kept);
            }
        }
        authors.count(&mut self.authors, self.acts);
        values.count(&mut self.values, self.acts);
        transitions.count(&mut self.transitions, self.acts);
        features.count(&mut self.features, self.acts);
    }

    /// Rows in all tables.
    pub fn len(&self) -> usize {
        self.authors.len() + self.values.len() + self.transitions.len() + self.features.len()
    }

    /// Most rows that there may be.
    pub const LEN_MAX: usize = AUTHORS_MAX + VALUES_MAX + TRANSITIONS_MAX + WIDTH;
}

fn vote_features(ballot: &mut Ballot, vectors: &[Vector], kept: usize) {
    for (at, feature) in Feature::ALL.into_iter().enumerate() {
        let own = vectors[kept][at];
        let others = vectors.iter().enumerate().filter(|(index, _)| *index != kept).map(|(_, vector)| vector[at]);
        let highest = others.fold(f64::NEG_INFINITY, f64::max);
        // Equal facts give equal numbers, to the last bit.
        if own != highest {
            ballot.vote(feature_key(feature), own > highest);
        }
    }
}

/// Goes from the most general key, the last, to the most special.
fn fall_back(table: &Table, keys: &[Key]) -> f64 {
    keys.iter().rev().fold(0.5, |prior, key| table.get(key).share(prior, STRENGTH))
}

fn everybody() -> Key {
    key(&["all"])
}

fn role_key(name: &str) -> Key {
    key(&["role", &part(name)])
}

fn author_key(author: &Author) -> Key {
    key(&["author", &part(&author.id)])
}

fn feature_key(feature: Feature) -> Key {
    key(&[feature.as_str()])
}

fn value_keys(case: &Case, candidate: &Candidate) -> [Key; 2] {
    let (kind, value) = (part(&case.kind), value_part(candidate.value.as_ref()));
    [key(&[&kind, &value, &part(&case.field)]), key(&[&kind, &value])]
}

fn transition_keys(case: &Case, candidate: &Candidate) -> [Key; 3] {
    let (from, to) = (case.base.as_ref(), candidate.value.as_ref());
    let (kind, field) = (part(&case.kind), part(&case.field));
    let [from_part, to_part] = [from, to].map(value_part);
    let [from_type, to_type] = [from, to].map(|value| value.map_or("gone", Value::type_name));
    [key(&[&kind, &from_part, &to_part, &field]), key(&[&kind, &from_part, &to_part]), key(&[from_type, to_type])]
}
