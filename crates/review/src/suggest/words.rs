//! The explanation, in words.

use comity_model::Value;

use super::case::{Author, Candidate, Case};
use super::feature::{Feature, is_removal};
use super::record::Record;
use super::regression::Vector;
use super::table::Tally;

/// One reason for a suggestion, or against it.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Of what sort.
    pub feature: Feature,
    /// The reason: "Ana's values were kept in 14 of 16 past decisions".
    pub words: String,
    /// How many past decisions are behind it.
    pub cases: u32,
    /// What it adds to the logarithm of the odds against the next likely value: above zero it speaks for the suggestion.
    pub log_odds: f64,
}

/// Something that would turn a suggestion round, or leave nothing to suggest.
#[derive(Clone, Debug, PartialEq)]
pub struct Flip {
    /// What would have to be different.
    pub words: String,
    /// The candidate that would then be suggested; `None` when nothing would be.
    pub becomes: Option<usize>,
}

/// Reasons that move the odds by less are not worth reading.
const LOG_ODDS_MIN: f64 = 0.01;

/// Longest value or name in a sentence, in characters.
const CHARS_MAX: usize = 40;

/// Lists what tells a candidate from its rival, the weightiest first. `x` is by how much they differ, `log_odds` what that
/// is worth.
pub(super) fn terms(
    case: &Case,
    record: &Record,
    best: usize,
    rival: usize,
    x: &Vector,
    log_odds: &Vector,
) -> Vec<Term> {
    let sides = Sides { case, record, best: &case.candidates[best], rival: &case.candidates[rival] };
    let term = |(at, feature): (usize, Feature)| {
        let (words, cases) = sides.explain(feature, x[at] > 0.0);
        Term { feature, words, cases, log_odds: log_odds[at] }
    };
    let mut terms: Vec<Term> = Feature::ALL.into_iter().enumerate().map(term).collect();
    terms.retain(|term| term.log_odds.abs() >= LOG_ODDS_MIN);
    // A stable sort: equals stay in the order of the features.
    terms.sort_by(|a, b| b.log_odds.abs().total_cmp(&a.log_odds.abs()));
    terms
}

struct Sides<'a> {
    case: &'a Case,
    record: &'a Record,
    best: &'a Candidate,
    rival: &'a Candidate,
}

impl Sides<'_> {
    /// Says what the past knows of a feature, and how many decisions that is.
    fn explain(&self, feature: Feature, best_has_more: bool) -> (String, u32) {
        match feature {
            Feature::Author => self.both(|candidate| self.authors(candidate)),
            Feature::Value => self.both(|candidate| {
                let tally = self.record.of_value(self.case, candidate);
                (format!("{} was kept {}", name(candidate.value.as_ref()), counted(tally)), tally.cases())
            }),
            Feature::Transition => self.both(|candidate| {
                let tally = self.record.of_transition(self.case, candidate);
                let (from, to) = (name(self.case.base.as_ref()), name(candidate.value.as_ref()));
                (format!("a change from {from} to {to} was kept {}", counted(tally)), tally.cases())
            }),
            other => self.told_apart(other, best_has_more),
        }
    }

    fn both(&self, of: impl Fn(&Candidate) -> (String, u32)) -> (String, u32) {
        let ((best, best_cases), (rival, rival_cases)) = (of(self.best), of(self.rival));
        let words = if best == rival { best } else { format!("{best}; {rival}") };
        (capital(&words), best_cases.saturating_add(rival_cases))
    }

    fn authors(&self, candidate: &Candidate) -> (String, u32) {
        let known = |author: &&Author| self.record.of_author(author).cases();
        // Of those of whom equally much is known, the first.
        let best_known = candidate.authors.iter().rev().max_by_key(known);
        let Some(author) = best_known else { return ("nobody knows who wrote the other".to_owned(), 0) };
        let (tally, label) = (self.record.of_author(author), readable(&author.label));
        let role = author.role.as_ref().map(|role| (&role.name, self.record.of_role(&role.name)));
        match role {
            Some((name, of_role)) if tally.cases() == 0 && of_role.cases() > 0 => {
                let words = format!(
                    "nothing is known of {} yet; values by role {} were kept {}",
                    label,
                    readable(name),
                    counted(of_role)
                );
                (words, of_role.cases())
            }
            _ if tally.cases() == 0 => (format!("nothing is known of {label} yet"), 0),
            _ => (format!("{label}'s values were kept {}", counted(tally)), tally.cases()),
        }
    }

    /// For facts without a table of their own: how often whoever had more of it was kept.
    fn told_apart(&self, feature: Feature, best_has_more: bool) -> (String, u32) {
        let tally = self.record.of_feature(feature);
        let fact = match feature {
            Feature::Role => "its author has the higher verified role",
            Feature::Corroboration => "more people found it independently",
            Feature::Remark => "it came with a remark",
            Feature::SeenOther => "its author had seen another of the values",
            Feature::Later => "it is the later one",
            Feature::Freshness => "its author had heard of others more lately",
            Feature::Detail => "it says more",
            Feature::Removal => "it is a removal",
            _ => "it is the value shown",
        };
        let which = if best_has_more { "Of this value" } else { "Of the other value" };
        let (kept, cases) = (tally.kept(), tally.cases());
        (format!("{which}: {fact}; such values were kept {}", in_decisions(kept, cases)), cases)
    }
}

/// Lists what would turn the suggestion round: what somebody could still bring, and which reasons carry it.
pub(super) fn flips(
    case: &Case,
    best: usize,
    rival: usize,
    terms: &[Term],
    suggested: impl Fn(&Case) -> Option<usize>,
) -> Vec<Flip> {
    let other = name(case.candidates[rival].value.as_ref());
    let mut flips = Vec::new();
    if !case.candidates[rival].has_remark {
        let mut changed = case.clone();
        changed.candidates[rival].has_remark = true;
        push(&mut flips, best, suggested(&changed), &format!("a remark that comes with {other}"));
    }
    let mut changed = case.clone();
    for more in 1..=2 {
        let nobody = Author { id: format!("\u{0}{more}"), label: "somebody new".to_owned(), role: None };
        changed.candidates[rival].authors.push(nobody);
        let who = if more == 1 { "one more person who finds" } else { "two more people who find" };
        if push(&mut flips, best, suggested(&changed), &format!("{who} {other} independently")) {
            break;
        }
    }
    if let Some(flip) = carried(terms, rival) {
        flips.push(flip);
    }
    flips
}

fn push(flips: &mut Vec<Flip>, best: usize, becomes: Option<usize>, what: &str) -> bool {
    let is_flip = becomes != Some(best);
    if is_flip {
        let words = match becomes {
            Some(_) => format!("{} would turn it round", capital(what)),
            None => format!("{} would leave nothing to suggest", capital(what)),
        };
        flips.push(Flip { words, becomes });
    }
    is_flip
}

/// Finds the fewest reasons without which the rival would be likelier.
fn carried(terms: &[Term], rival: usize) -> Option<Flip> {
    let mut rest: f64 = terms.iter().map(|term| term.log_odds).sum();
    let mut carrying = Vec::new();
    for term in terms.iter().filter(|term| term.log_odds > 0.0) {
        if rest < 0.0 {
            break;
        }
        rest -= term.log_odds;
        carrying.push(term.feature.as_str());
    }
    let words = format!("Without this it would turn round: {}", carrying.join(", "));
    (rest < 0.0).then_some(Flip { words, becomes: Some(rival) })
}

fn counted(tally: Tally) -> String {
    in_decisions(tally.kept(), tally.cases())
}

fn in_decisions(kept: u32, cases: u32) -> String {
    format!("in {kept} of {cases} past decision{}", if cases == 1 { "" } else { "s" })
}

fn name(value: Option<&Value>) -> String {
    if is_removal(&Candidate::of(value.cloned())) {
        return "nothing".to_owned();
    }
    format!("“{}”", readable(&value.map(ToString::to_string).unwrap_or_default()))
}

/// What a person typed must not break the sentence, or the terminal.
fn readable(text: &str) -> String {
    let mut letters = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut out: String = letters.by_ref().take(CHARS_MAX).collect();
    if letters.next().is_some() {
        out.push('…');
    }
    out
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_typed_is_cut_and_harmless_in_a_sentence() {
        assert_eq!(name(Some(&"dead".into())), "“dead”");
        assert_eq!(name(Some(&"a\n\u{1b}[2Jb".into())), "“a  [2Jb”");
        let long = "ü".repeat(CHARS_MAX);
        assert_eq!(name(Some(&long.clone().into())), format!("“{long}”"));
        assert_eq!(name(Some(&format!("{long}x").into())), format!("“{long}…”"));
        assert_eq!((name(None), name(Some(&Value::Null))), ("nothing".to_owned(), "nothing".to_owned()));
    }
}
