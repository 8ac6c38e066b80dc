//! What the regression looks at.

use comity_model::Value;

use super::case::{Candidate, Case};
use super::record::Record;
use super::regression::{Vector, WIDTH};

/// What is looked at in each candidate. The order is that of the explanation where two weigh the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// How often the values of those who wrote it were kept.
    Author,
    /// How often this value was kept in this field.
    Value,
    /// How often this change from what stood there was kept.
    Transition,
    /// The verified rank of those who wrote it.
    Role,
    /// How many found it independently.
    Corroboration,
    /// Whether a remark came with it.
    Remark,
    /// Whether its author had seen one of the others.
    SeenOther,
    /// Whether it is the later one, as far as the clocks can tell.
    Later,
    /// How lately its author had heard of others.
    Freshness,
    /// How much of the text of all is its own.
    Detail,
    /// Whether it is a removal.
    Removal,
    /// Whether it is the value that is shown while nobody has decided: the base rate.
    Shown,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; WIDTH] = [
        Self::Author,
        Self::Value,
        Self::Transition,
        Self::Role,
        Self::Corroboration,
        Self::Remark,
        Self::SeenOther,
        Self::Later,
        Self::Freshness,
        Self::Detail,
        Self::Removal,
        Self::Shown,
    ];

    /// The word for it, in tables and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Author => "author",
            Self::Value => "value",
            Self::Transition => "transition",
            Self::Role => "role",
            Self::Corroboration => "corroboration",
            Self::Remark => "remark",
            Self::SeenOther => "seen-other",
            Self::Later => "later",
            Self::Freshness => "freshness",
            Self::Detail => "detail",
            Self::Removal => "removal",
            Self::Shown => "shown",
        }
    }
}

/// A day, in milliseconds: who heard of others a day ago stands halfway between now and never.
const DAY_MS: f64 = 86_400_000.0;

/// Describes each candidate in numbers from -1 to 1, of which only differences matter.
pub(super) fn describe(case: &Case, record: &Record, masked: Option<Feature>) -> Vec<Vector> {
    let describe = |(index, candidate): (usize, &Candidate)| {
        let mut vector = [0.0; WIDTH];
        for (slot, feature) in vector.iter_mut().zip(Feature::ALL) {
            if Some(feature) != masked {
                *slot = measure(feature, case, index, candidate, record);
            }
        }
        vector
    };
    case.candidates.iter().enumerate().map(describe).collect()
}

fn measure(feature: Feature, case: &Case, index: usize, candidate: &Candidate, record: &Record) -> f64 {
    let yes = |is: bool| f64::from(u8::from(is));
    match feature {
        Feature::Author => record.author_share(candidate),
        Feature::Value => record.value_share(case, candidate),
        Feature::Transition => record.transition_share(case, candidate),
        Feature::Role => rank(case, candidate),
        Feature::Corroboration => 1.0 - 1.0 / count(candidate.authors.len().max(1)),
        Feature::Remark => yes(candidate.has_remark),
        Feature::SeenOther => yes(candidate.has_seen_other),
        Feature::Later => later(case, index),
        Feature::Freshness => candidate.stale_ms.map_or(0.5, |age_ms| DAY_MS / (DAY_MS + number(age_ms.max(0)))),
        Feature::Detail => detail(case, candidate),
        Feature::Removal => yes(is_removal(candidate)),
        Feature::Shown => yes(index == case.shown),
    }
}

/// Tells whether it takes away what stood there.
pub(super) fn is_removal(candidate: &Candidate) -> bool {
    matches!(candidate.value, None | Some(Value::Null))
}

/// The highest verified rank, as a share of all ranks.
fn rank(case: &Case, candidate: &Candidate) -> f64 {
    let highest = candidate.authors.iter().filter_map(|author| author.role.as_ref()).map(|role| role.rank).max();
    let highest = highest.unwrap_or(0).min(case.ranks);
    if case.ranks == 0 { 0.0 } else { f64::from(highest) / f64::from(case.ranks) }
}

/// Half of how much later it is than the latest of the others, where a distance of the clocks' uncertainty is half sure.
fn later(case: &Case, index: usize) -> f64 {
    let others = case.candidates.iter().enumerate().filter(|(other, _)| *other != index);
    let others: Option<Vec<i64>> = others.map(|(_, other)| other.written_ms).collect();
    let (Some(own), Some(latest)) = (case.candidates[index].written_ms, others.and_then(|all| all.into_iter().max()))
    else {
        return 0.0;
    };
    let apart = number(own.saturating_sub(latest));
    apart / (apart.abs() + number(case.uncertainty_ms.max(1))) / 2.0
}

fn detail(case: &Case, candidate: &Candidate) -> f64 {
    let length = |candidate: &Candidate| candidate.value.as_ref().and_then(Value::as_text).map(str::len);
    let lengths: Option<Vec<usize>> = case.candidates.iter().map(length).collect();
    let all: usize = lengths.into_iter().flatten().sum();
    match length(candidate) {
        Some(own) if all > 0 => count(own) / count(all),
        _ => 1.0 / count(case.candidates.len()),
    }
}

/// Counts and times here are far below 2^53, up to which every whole number is exact; above it they would round, alike
/// everywhere.
#[expect(clippy::cast_precision_loss, reason = "rounds alike everywhere")]
const fn number(value: i64) -> f64 {
    value as f64
}

fn count(value: usize) -> f64 {
    number(i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::case::{Author, Role};
    use super::*;

    fn case() -> Case {
        let role = |name: &str, rank| Some(Role { name: name.to_owned(), rank });
        let author = |id: &str, role| Author { id: id.to_owned(), label: id.to_owned(), role };
        let left = Candidate {
            authors: vec![author("ana", role("expert", 3)), author("ben", None)],
            has_remark: true,
            written_ms: Some(5_000),
            stale_ms: Some(86_400_000),
            ..Candidate::of(Some("dead".into()))
        };
        let right =
            Candidate { written_ms: Some(3_000), stale_ms: Some(0), has_seen_other: true, ..Candidate::of(None) };
        Case {
            kind: "audit".to_owned(),
            field: "status".to_owned(),
            base: Some("ok".into()),
            candidates: vec![left, right],
            shown: 1,
            ranks: 3,
            uncertainty_ms: 2_000,
        }
    }

    #[test]
    fn every_feature_says_what_it_is_said_to_say() {
        let vectors = describe(&case(), &Record::new(), None);
        let of = |feature: Feature| {
            let at = Feature::ALL.iter().position(|one| *one == feature).unwrap();
            [vectors[0][at], vectors[1][at]]
        };
        assert_eq!(of(Feature::Author), [0.5, 0.5], "nothing is known of anybody");
        assert_eq!(of(Feature::Value), [0.5, 0.5]);
        assert_eq!(of(Feature::Transition), [0.5, 0.5]);
        assert_eq!(of(Feature::Role), [1.0, 0.0]);
        assert_eq!(of(Feature::Corroboration), [0.5, 0.0]);
        assert_eq!(of(Feature::Remark), [1.0, 0.0]);
        assert_eq!(of(Feature::SeenOther), [0.0, 1.0]);
        assert_eq!(of(Feature::Later), [0.25, -0.25], "as far apart as the clocks may be: half sure");
        assert_eq!(of(Feature::Freshness), [0.5, 1.0]);
        assert_eq!(of(Feature::Detail), [0.5, 0.5], "a removal has no length");
        assert_eq!(of(Feature::Removal), [0.0, 1.0]);
        assert_eq!(of(Feature::Shown), [0.0, 1.0]);
    }

    #[test]
    fn what_nobody_knows_speaks_for_nobody() {
        let mut case = case();
        case.candidates[0].written_ms = None;
        case.ranks = 0;
        assert_eq!((later(&case, 0), later(&case, 1)), (0.0, 0.0));
        assert_eq!(rank(&case, &case.candidates[0]), 0.0);
    }

    #[test]
    fn a_masked_feature_is_nothing() {
        for (at, feature) in Feature::ALL.into_iter().enumerate() {
            let masked = describe(&case(), &Record::new(), Some(feature));
            assert_eq!((masked[0][at], masked[1][at]), (0.0, 0.0), "{feature:?}");
        }
    }
}
