//! Learning from decisions and suggesting the next.

use comity_model::Value;

use super::case::{Case, Decided, Kept};
use super::feature::{Feature, describe};
use super::number::ln;
use super::record::Record;
use super::regression::{Regression, Vector, WIDTH, difference};
use super::score::{ACTS_MIN, Evaluation, Scores, Trial, top};
use super::words::{self, Flip, Term};
use crate::SuggestionShown;

/// Least confidence of a suggestion: whoever is less sure has nothing to say.
pub const CONFIDENCE_MIN: f64 = 0.6;

/// Where the base rate stands among the features. It is no weight of the regression but where that begins.
const SHOWN: usize = WIDTH - 1;

/// What a person might choose, how sure that is, and why. It decides nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion {
    /// Which candidate.
    pub candidate: usize,
    /// Its value; `None` is a removal.
    pub value: Option<Value>,
    /// The chance that people keep it, from 0 to 1.
    pub confidence: f64,
    /// What speaks for it and against it, the weightiest first.
    pub terms: Vec<Term>,
    /// What would turn it round.
    pub flips: Vec<Flip>,
}

/// Why nothing is suggested.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Abstention {
    /// Too few decisions to judge the suggestions by.
    #[error(
        "{have} decisions made without seeing a suggestion so far; {ACTS_MIN} are needed to judge whether suggestions are any good"
    )]
    TooFew {
        /// How many there are.
        have: u32,
    },
    /// The suggestions would not have been better than the base rate.
    #[error("on {} past decisions the suggestions were not reliably better than saying how often the shown value is kept", .0.acts)]
    NoSkill(Box<Evaluation>),
    /// Neither value is much likelier than the others.
    #[error("past decisions do not tell these values apart: the likeliest has a chance of {:.0} %", confidence * 100.0)]
    Unsure {
        /// The chance of the likeliest.
        confidence: f64,
    },
    /// Fewer than two values, or too many.
    #[error("there is no choice between {candidates} values to suggest")]
    NoChoice {
        /// How many there are.
        candidates: usize,
    },
}

/// What was done with an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// It was a trial, and was learned from.
    Counted,
    /// Its reviewer had seen the suggestion first, so it says more of the suggestion than of them.
    NotBlind,
    /// There was nothing to choose from in it.
    Nothing,
}

/// Learns what people in one space keep, and suggests it.
///
/// Calls: [`learn`](Self::learn) for every act of decision, in an order that is the same on every device (that of the
/// document's history), then [`suggest`](Self::suggest) and [`evaluation`](Self::evaluation) as often as wanted. Equal
/// acts in an equal order give an equal model, to the last bit, on every device: there is no clock, no randomness and no
/// hash map in it, sums run in one order, and `number.rs` says why the floating-point results agree.
///
/// Memory is bounded: tables of 1,024 authors, 4,096 values and 4,096 changes, from which what was met least gives way.
///
/// Where suggestions are shown before every decision, no further decision is made blind, and the measurement stands still.
/// Show them after the choice, or not at all, for part of the decisions.
#[derive(Clone, Debug)]
pub struct Model {
    record: Record,
    regression: Regression,
    scores: Scores,
    masked: Option<Feature>,
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

impl Model {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::masking(None)
    }

    /// Knows nothing yet, and never looks at one of the features: to measure what it is worth.
    pub fn without(feature: Feature) -> Self {
        Self::masking(Some(feature))
    }

    /// Learns from one act: a decision, or all that one plan decided together. Everything in it is predicted before any of
    /// it is learned.
    pub fn learn(&mut self, act: &[Decided], shown: SuggestionShown) -> Learned {
        let count = |cases: usize| u32::try_from(cases).unwrap_or(u32::MAX);
        if shown == SuggestionShown::Before {
            self.scores.passed_over = self.scores.passed_over.saturating_add(count(act.len()));
            return Learned::NotBlind;
        }
        let is_usable = |decided: &&Decided| {
            let is_one = |kept| kept < decided.case.candidates.len();
            decided.case.is_sound() && !matches!(decided.kept, Kept::Candidate(kept) if !is_one(kept))
        };
        let usable: Vec<Decided> = act.iter().filter(is_usable).cloned().collect();
        self.scores.passed_over = self.scores.passed_over.saturating_add(count(act.len() - usable.len()));
        if usable.is_empty() {
            return Learned::Nothing;
        }
        let described: Vec<Vec<Vector>> = usable.iter().map(|decided| self.describe(&decided.case)).collect();
        let chosen: Vec<(usize, &Vec<Vector>, &Case)> = usable
            .iter()
            .zip(&described)
            .filter_map(|(decided, vectors)| match decided.kept {
                Kept::Candidate(kept) => Some((kept, vectors, &decided.case)),
                Kept::Neither => None,
            })
            .collect();
        self.scores.neither = self.scores.neither.saturating_add(count(usable.len() - chosen.len()));
        let offsets: Vec<Vec<f64>> = chosen.iter().map(|(_, _, case)| self.offsets(case)).collect();
        let trials: Vec<Trial> = chosen.iter().map(|(kept, vectors, case)| self.trial(*kept, vectors, case)).collect();
        self.scores.add(&trials);
        let cases = f64::from(count(chosen.len()));
        for ((kept, vectors, _), offsets) in chosen.iter().zip(&offsets) {
            let rivals = f64::from(count(vectors.len() - 1));
            for (index, rival) in vectors.iter().enumerate().filter(|(index, _)| index != kept) {
                let offset = offsets[*kept] - offsets[index];
                self.regression.learn(&difference(&vectors[*kept], rival), offset, 1.0 / (rivals * cases));
            }
        }
        self.record.learn(&usable, &described);
        Learned::Counted
    }

    /// Suggests one of the values, or says why not.
    ///
    /// # Errors
    /// When there is no demonstrated skill in this space, or no value is much likelier than the others.
    pub fn suggest(&self, case: &Case) -> Result<Suggestion, Abstention> {
        if !case.is_sound() {
            return Err(Abstention::NoChoice { candidates: case.candidates.len() });
        }
        if self.scores.acts() < ACTS_MIN {
            return Err(Abstention::TooFew { have: self.scores.acts() });
        }
        if !self.scores.has_skill() {
            return Err(Abstention::NoSkill(Box::new(self.evaluation())));
        }
        let chances = self.chances(case);
        let candidate = top(&chances);
        let confidence = chances[candidate];
        if confidence < CONFIDENCE_MIN {
            return Err(Abstention::Unsure { confidence });
        }
        let rival = runner_up(&chances, candidate);
        let vectors = self.describe(case);
        let x = difference(&vectors[candidate], &vectors[rival]);
        let offsets = self.offsets(case);
        let mut log_odds = [0.0; WIDTH];
        for (slot, (weight, x)) in log_odds.iter_mut().zip(self.regression.mean().iter().zip(&x)) {
            *slot = weight * x;
        }
        log_odds[SHOWN] = offsets[candidate] - offsets[rival];
        let terms = words::terms(case, &self.record, candidate, rival, &x, &log_odds);
        let flips = words::flips(case, candidate, rival, &terms, |changed| {
            let chances = self.chances(changed);
            let likeliest = top(&chances);
            (chances[likeliest] >= CONFIDENCE_MIN).then_some(likeliest)
        });
        Ok(Suggestion { candidate, value: case.candidates[candidate].value.clone(), confidence, terms, flips })
    }

    /// Gives the chance of each candidate, whether there is skill or not: for those who look into the model, and not for
    /// those who decide. Empty when there is no choice.
    pub fn chances(&self, case: &Case) -> Vec<f64> {
        if !case.is_sound() {
            return Vec::new();
        }
        self.regression.chances(&self.describe(case), &self.offsets(case))
    }

    /// Says how good the suggestions were so far.
    pub fn evaluation(&self) -> Evaluation {
        self.scores.evaluation()
    }

    /// Gives what was learned of each feature: above zero, candidates that have more of it are kept. That of the base rate is
    /// always 0.
    pub fn weights(&self) -> Vec<(Feature, f64)> {
        Feature::ALL.into_iter().zip(self.regression.mean().iter().copied()).collect()
    }

    /// Counts the rows of all tables.
    pub fn row_count(&self) -> usize {
        self.record.len()
    }

    /// Most rows that there may be.
    pub const ROWS_MAX: usize = Record::LEN_MAX;

    fn masking(masked: Option<Feature>) -> Self {
        Self { record: Record::new(), regression: Regression::new(SHOWN), scores: Scores::new(), masked }
    }

    fn describe(&self, case: &Case) -> Vec<Vector> {
        describe(case, &self.record, self.masked)
    }

    /// The logarithms of what the base rate says: where the regression begins.
    fn offsets(&self, case: &Case) -> Vec<f64> {
        if self.masked == Some(Feature::Shown) {
            return vec![0.0; case.candidates.len()];
        }
        self.scores.base(case.candidates.len(), case.shown).into_iter().map(ln).collect()
    }

    fn trial(&self, kept: usize, vectors: &[Vector], case: &Case) -> Trial {
        let chances = self.regression.chances(vectors, &self.offsets(case));
        let suggested = self.scores.has_skill() && chances[top(&chances)] >= CONFIDENCE_MIN;
        let base = self.scores.base(case.candidates.len(), case.shown);
        Trial { chances, base, shown: case.shown, kept, suggested }
    }
}

/// The likeliest of the others; of equal ones the first.
fn runner_up(chances: &[f64], best: usize) -> usize {
    let others = (0..chances.len()).filter(|index| *index != best);
    others.reduce(|second, at| if chances[at] > chances[second] { at } else { second }).unwrap_or(best)
}

/// One feature, and the Brier score of a model that never looks at it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ablation {
    /// The feature.
    pub feature: Feature,
    /// The score without it.
    pub brier: f64,
}

/// Measures what each feature is worth on these acts: those without which the score is worse are.
pub fn ablate(acts: &[(Vec<Decided>, SuggestionShown)]) -> Vec<Ablation> {
    let without = |feature| {
        let mut model = Model::without(feature);
        for (act, shown) in acts {
            model.learn(act, *shown);
        }
        Ablation { feature, brier: model.evaluation().brier }
    };
    Feature::ALL.into_iter().map(without).collect()
}

#[cfg(test)]
mod tests;
