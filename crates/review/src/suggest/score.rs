//! How good the suggestions were, measured on decisions that were not yet learned from.

use std::collections::VecDeque;

use super::number::ln;

/// Fewest acts before skill can be spoken of. The interval rests on the mean of that many being about normal.
pub const ACTS_MIN: u32 = 30;

/// Chance that skill is ever seen where there is none.
const ALPHA: f64 = 0.05;

/// Where the interval is narrowest: this value makes it so at about 100 acts, `(-2 ln α + ln(1 - 2 ln α)) / 100`.
const RHO_SQUARED: f64 = 0.079_4;

/// One imagined difference of a quarter, so that a run of equal differences is not taken for certainty.
const PRIOR_SQUARES: f64 = 0.062_5;

/// How many of the last acts must on the whole have gone well too: a space whose people changed must not be advised by
/// what it once was.
const RECENT: usize = 50;

/// A mean with the bounds within which the true one lies, at every moment at once, with a chance of 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

/// Of the cases with such a confidence, how many were right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Least confidence.
    pub from: f64,
    /// Greatest confidence, which only the last bin includes.
    pub to: f64,
    /// How many cases.
    pub cases: u32,
    /// Their mean confidence; 0 when there are none.
    pub confidence: f64,
    /// The share in which the value thought likeliest was kept; 0 when there are none.
    pub right: f64,
}

/// How good the suggestions of a space are, measured test-then-train: every case was predicted by what was known before its
/// act, then learned from.
///
/// The Brier score is half of the sum, over the values to choose from, of the squared distance between their chance and
/// what came (for two values, the squared error of one chance): 0 is perfect, 0.25 a coin. The base rate, against which it
/// is held, predicts for every case the share of past acts in which the shown value was kept; it learns in the same way.
///
/// An act is one trial however many cases it settled, for they share one judgement. The interval holds at all moments at
/// once (a confidence sequence: Robbins' normal mixture with the observed variance), because it is looked at after every
/// act: an ordinary 95 % interval, looked at again and again, sooner or later excludes zero where there is no skill at all.
/// It is about half again as wide. It presumes that the mean of 30 differences is about normal.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Acts that were trials.
    pub acts: u32,
    /// Cases in them.
    pub cases: u32,
    /// Cases in which people took neither value. They are learned from, and not scored: no suggestion says "neither".
    pub neither: u32,
    /// Cases passed over because their reviewer had seen the suggestion, or there was nothing to choose from.
    pub passed_over: u32,
    /// The mean Brier score of the model.
    pub brier: f64,
    /// The mean Brier score of the base rate.
    pub base_brier: f64,
    /// By how much the base rate is worse, act by act: above zero is skill.
    pub difference: Interval,
    /// The same mean over the last 50 acts.
    pub recent: f64,
    /// Whether that is skill: enough acts, the whole interval above zero, and the last acts not worse than the base rate.
    pub has_skill: bool,
    /// Confidence against truth.
    pub calibration: Vec<Bin>,
    /// Cases in which a suggestion would have been made when they came: skill was shown by then, and it was confident.
    pub suggested: u32,
    /// How many of these were right.
    pub suggested_right: u32,
}

/// Lower bounds of the bins of confidence.
const BINS: [f64; 6] = [0.0, 0.5, 0.6, 0.7, 0.8, 0.9];

/// One prediction and what came.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// The chance of each candidate.
    pub chances: Vec<f64>,
    /// What the base rate says of each.
    pub base: Vec<f64>,
    pub shown: usize,
    pub kept: usize,
    pub suggested: bool,
}

/// Sums over trials.
#[derive(Clone, Debug)]
pub(super) struct Scores {
    acts: u32,
    cases: u32,
    pub neither: u32,
    pub passed_over: u32,
    brier: f64,
    base_brier: f64,
    squares: f64,
    shown_kept: f64,
    recent: VecDeque<f64>,
    bins: [(u32, f64, u32); BINS.len()],
    suggested: u32,
    suggested_right: u32,
}

impl Scores {
    pub const fn new() -> Self {
        Self {
            acts: 0,
            cases: 0,
            neither: 0,
            passed_over: 0,
            brier: 0.0,
            base_brier: 0.0,
            squares: 0.0,
            shown_kept: 0.0,
            recent: VecDeque::new(),
            bins: [(0, 0.0, 0); BINS.len()],
            suggested: 0,
            suggested_right: 0,
        }
    }

    /// What the base rate says of each candidate: of those that are not shown it knows no difference.
    pub fn base(&self, candidates: usize, shown: usize) -> Vec<f64> {
        let shown_chance = (self.shown_kept + 1.0) / (f64::from(self.acts) + 2.0);
        let others = f64::from(u32::try_from(candidates.saturating_sub(1)).unwrap_or(u32::MAX));
        (0..candidates).map(|at| if at == shown { shown_chance } else { (1.0 - shown_chance) / others }).collect()
    }

    /// Counts the trials of one act.
    pub fn add(&mut self, act: &[Trial]) {
        if act.is_empty() {
            return;
        }
        let (mut brier, mut base_brier, mut shown_kept, mut count) = (0.0, 0.0, 0.0, 0.0);
        for trial in act {
            brier += error(&trial.chances, trial.kept);
            base_brier += error(&trial.base, trial.kept);
            shown_kept += if trial.kept == trial.shown { 1.0 } else { 0.0 };
            count += 1.0;
            self.file(trial);
        }
        let difference = (base_brier - brier) / count;
        self.acts = self.acts.saturating_add(1);
        self.brier += brier / count;
        self.base_brier += base_brier / count;
        self.squares += difference * difference;
        self.shown_kept += shown_kept / count;
        self.recent.push_back(difference);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    fn file(&mut self, trial: &Trial) {
        let top = top(&trial.chances);
        let is_right = u32::from(top == trial.kept);
        let bin = BINS.iter().rposition(|from| trial.chances[top] >= *from).unwrap_or(0);
        let (cases, confidence, right) = &mut self.bins[bin];
        *cases += 1;
        *confidence += trial.chances[top];
        *right += is_right;
        self.cases += 1;
        self.suggested += u32::from(trial.suggested);
        self.suggested_right += if trial.suggested { is_right } else { 0 };
    }

    pub fn difference(&self) -> Interval {
        let n = f64::from(self.acts);
        if self.acts == 0 {
            return Interval { mean: 0.0, low: -1.0, high: 1.0 };
        }
        let mean = (self.base_brier - self.brier) / n;
        let variance = ((self.squares - n * mean * mean).max(0.0) + PRIOR_SQUARES) / n;
        let spread = n * RHO_SQUARED;
        let width = (2.0 * (spread + 1.0) / (n * spread) * ln((spread + 1.0).sqrt() / ALPHA) * variance).sqrt();
        Interval { mean, low: (mean - width).max(-1.0), high: (mean + width).min(1.0) }
    }

    pub fn has_skill(&self) -> bool {
        self.acts >= ACTS_MIN && self.difference().low > 0.0 && self.recent() >= 0.0
    }

    pub const fn acts(&self) -> u32 {
        self.acts
    }

    pub fn recent(&self) -> f64 {
        let count = u32::try_from(self.recent.len()).unwrap_or(u32::MAX).max(1);
        self.recent.iter().sum::<f64>() / f64::from(count)
    }

    pub fn evaluation(&self) -> Evaluation {
        let mean = |sum: f64| if self.acts == 0 { 0.0 } else { sum / f64::from(self.acts) };
        let bin = |(at, (cases, confidence, right)): (usize, &(u32, f64, u32))| {
            let over = f64::from((*cases).max(1));
            let to = BINS.get(at + 1).copied().unwrap_or(1.0);
            Bin { from: BINS[at], to, cases: *cases, confidence: confidence / over, right: f64::from(*right) / over }
        };
        Evaluation {
            acts: self.acts,
            cases: self.cases,
            neither: self.neither,
            passed_over: self.passed_over,
            brier: mean(self.brier),
            base_brier: mean(self.base_brier),
            difference: self.difference(),
            recent: self.recent(),
            has_skill: self.has_skill(),
            calibration: self.bins.iter().enumerate().map(bin).collect(),
            suggested: self.suggested,
            suggested_right: self.suggested_right,
        }
    }
}

/// The likeliest; of equal ones the first.
pub(super) fn top(chances: &[f64]) -> usize {
    let better = |best: usize, (at, chance): (usize, &f64)| if *chance > chances[best] { at } else { best };
    chances.iter().enumerate().fold(0, better)
}

fn error(chances: &[f64], kept: usize) -> f64 {
    let mut sum = 0.0;
    for (at, chance) in chances.iter().enumerate() {
        let off = chance - if at == kept { 1.0 } else { 0.0 };
        sum += off * off;
    }
    sum / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(chance: f64, kept: usize) -> Trial {
        Trial { chances: vec![chance, 1.0 - chance], base: vec![0.5; 2], shown: 0, kept, suggested: false }
    }

    #[test]
    fn the_brier_score_of_two_is_the_squared_error_and_of_more_half_the_sum() {
        assert!((error(&[0.7, 0.3], 0) - 0.09).abs() < 1e-15);
        assert!((error(&[0.5, 0.3, 0.2], 0) - (0.25 + 0.09 + 0.04) / 2.0).abs() < 1e-15);
    }

    #[test]
    fn skill_is_spoken_of_from_thirty_acts_on_and_not_before() {
        let mut scores = Scores::new();
        for _ in 0..ACTS_MIN - 1 {
            scores.add(&[trial(0.95, 0)]);
        }
        assert!(!scores.has_skill());
        scores.add(&[trial(0.95, 0)]);
        assert!(scores.has_skill(), "{:?}", scores.evaluation());
    }

    #[test]
    fn whoever_looks_after_every_act_is_fooled_in_one_of_twenty_at_most() {
        // The truth is 0.55, the model says 0.6 and the base rate 0.5: both are off by as much.
        let mut state = 1_u64;
        let mut kept = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::from((state >> 33) % 100 >= 55)
        };
        let mut fooled = || {
            let mut scores = Scores::new();
            (0..1_000).any(|_| {
                scores.add(&[trial(0.6, kept())]);
                scores.acts() >= ACTS_MIN && scores.difference().low > 0.0
            })
        };
        let fooled = (0..200).filter(|_| fooled()).count();
        // An interval for one look, 1.96 standard errors to each side, is fooled in 37 of these 200.
        assert!(fooled <= 10, "{fooled} of 200");
    }

    #[test]
    fn one_act_of_a_thousand_cases_is_one_trial() {
        let mut scores = Scores::new();
        for _ in 0..5 {
            scores.add(&vec![trial(0.95, 0); 1_000]);
        }
        let evaluation = scores.evaluation();
        assert_eq!((evaluation.acts, evaluation.cases), (5, 5_000));
        assert!(!evaluation.has_skill);
    }

    #[test]
    fn skill_that_was_lost_is_skill_no_more() {
        let mut scores = Scores::new();
        for _ in 0..400 {
            scores.add(&[trial(0.9, 0)]);
        }
        assert!(scores.has_skill());
        for _ in 0..RECENT {
            scores.add(&[trial(0.9, 1)]);
        }
        let evaluation = scores.evaluation();
        assert!(evaluation.difference.low > 0.0 && evaluation.recent < 0.0 && !evaluation.has_skill, "{evaluation:?}");
    }

    #[test]
    fn calibration_sets_confidence_against_truth() {
        let mut scores = Scores::new();
        for kept in [0, 0, 0, 1] {
            scores.add(&[trial(0.75, kept)]);
        }
        let bin = scores.evaluation().calibration[3];
        assert_eq!((bin.from, bin.to, bin.cases, bin.confidence, bin.right), (0.7, 0.8, 4, 0.75, 0.75));
    }
}
