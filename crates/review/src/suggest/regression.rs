//! Bayesian logistic regression that learns case by case.
//!
//! The weights have a normal distribution. A new case multiplies it by the case's likelihood, and the product is replaced
//! by the normal distribution with the same peak and the same curvature there (assumed density filtering with Laplace's
//! approximation; the full covariance is kept). For one case the peak lies on a known line, so it is found by bisection of
//! one number: exactly, and without a step that could overshoot. The covariance changes by a matrix of rank one.
//!
//! What is learned are corrections to the base rate, which comes in as an offset to each score. So a model that has learned
//! nothing else says what the base rate says.

use super::number::{exp, sigmoid};

/// Of how many things the regression makes its judgement.
pub(super) const WIDTH: usize = 12;

/// One number for each.
pub(super) type Vector = [f64; WIDTH];

/// Variance of each weight before anything is learned. Inputs are within ±1, so a weight of 1 is already a strong one:
/// alone it makes a chance of three quarters.
const PRIOR_VARIANCE: f64 = 1.0;

/// Halvings of the interval in which the peak lies: to the last bit.
const HALVINGS: u32 = 64;

#[derive(Clone, Debug)]
pub(super) struct Regression {
    mean: Vector,
    covariance: [Vector; WIDTH],
}

impl Regression {
    /// Knows nothing yet. The weight at `fixed` stays 0 for ever: what it would say, the offsets say.
    pub fn new(fixed: usize) -> Self {
        let mut covariance = [[0.0; WIDTH]; WIDTH];
        for (i, row) in covariance.iter_mut().enumerate() {
            row[i] = if i == fixed { 0.0 } else { PRIOR_VARIANCE };
        }
        Self { mean: [0.0; WIDTH], covariance }
    }

    pub const fn mean(&self) -> &Vector {
        &self.mean
    }

    /// Learns that what differs from its rival by `x` was preferred to it. `offset` is the logarithm of the odds without any
    /// of this, `weight` how much of a decision it is.
    pub fn learn(&mut self, x: &Vector, offset: f64, weight: f64) {
        let direction = self.spread(x);
        let (score, variance) = (offset + dot(&self.mean, x), dot(&direction, x));
        if variance <= 0.0 {
            return;
        }
        // The peak is at mean + step × direction, where step = weight × (1 − sigmoid(score + step × variance)). The left
        // side rises and the right falls, so there is one such step, between 0 and `weight`.
        let (mut low, mut high) = (0.0, weight);
        for _ in 0..HALVINGS {
            let middle = (low + high) / 2.0;
            if middle < weight * sigmoid(-(score + middle * variance)) { low = middle } else { high = middle }
        }
        let step = (low + high) / 2.0;
        let chance = sigmoid(score + step * variance);
        let curvature = weight * chance * (1.0 - chance);
        let shrink = curvature / (1.0 + curvature * variance);
        for i in 0..WIDTH {
            self.mean[i] += step * direction[i];
            for j in 0..WIDTH {
                self.covariance[i][j] -= shrink * direction[i] * direction[j];
            }
        }
    }

    /// Gives for each of the candidates the chance that it is kept, given the logarithm of its chance without any of this.
    /// What is not yet known of the weights draws the chances towards each other (MacKay's approximation; exact in form for
    /// two candidates).
    pub fn chances(&self, candidates: &[Vector], offsets: &[f64]) -> Vec<f64> {
        let count = f64::from(u32::try_from(candidates.len()).unwrap_or(u32::MAX));
        let mut middle = [0.0; WIDTH];
        for candidate in candidates {
            for i in 0..WIDTH {
                middle[i] += candidate[i] / count;
            }
        }
        let level: f64 = offsets.iter().map(|offset| offset / count).sum();
        let score = |(candidate, offset): (&Vector, &f64)| {
            let x = difference(candidate, &middle);
            // Between two candidates lies twice what lies between one and the middle.
            let variance = 4.0 * dot(&self.spread(&x), &x);
            (offset - level + dot(&self.mean, &x)) / (1.0 + std::f64::consts::PI * variance.max(0.0) / 8.0).sqrt()
        };
        let scores: Vec<f64> = candidates.iter().zip(offsets).map(score).collect();
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = scores.iter().map(|score| exp(score - highest)).collect();
        let sum: f64 = powers.iter().sum();
        powers.iter().map(|power| power / sum).collect()
    }

    fn spread(&self, x: &Vector) -> Vector {
        let mut out = [0.0; WIDTH];
        for (i, row) in self.covariance.iter().enumerate() {
            out[i] = dot(row, x);
        }
        out
    }
}

/// Sums from the first to the last, always.
pub(super) fn dot(a: &Vector, b: &Vector) -> f64 {
    let mut sum = 0.0;
    for i in 0..WIDTH {
        sum += a[i] * b[i];
    }
    sum
}

pub(super) fn difference(a: &Vector, b: &Vector) -> Vector {
    let mut out = [0.0; WIDTH];
    for i in 0..WIDTH {
        out[i] = a[i] - b[i];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(first: f64, second: f64) -> Vector {
        let mut x = [0.0; WIDTH];
        (x[0], x[1]) = (first, second);
        x
    }

    /// The peak of prior × likelihood by brute force over one weight.
    fn peak_by_search(x: f64) -> f64 {
        let log_density = |w: f64| -w * w / (2.0 * PRIOR_VARIANCE) - (1.0 + (-w * x).exp()).ln();
        (0..400_000)
            .map(|i| f64::from(i) / 100_000.0)
            .max_by(|a, b| log_density(*a).total_cmp(&log_density(*b)))
            .unwrap()
    }

    #[test]
    fn one_case_moves_the_weights_to_the_peak() {
        for x in [0.1, 0.5, 1.0, 2.0] {
            let mut regression = Regression::new(WIDTH - 1);
            regression.learn(&with(x, 0.0), 0.0, 1.0);
            assert!((regression.mean()[0] - peak_by_search(x)).abs() < 2e-5, "{x}");
            assert_eq!(regression.mean()[1..], [0.0; WIDTH - 1]);
        }
    }

    #[test]
    fn what_is_repeated_becomes_certain_and_what_contradicts_itself_does_not() {
        let (mut sure, mut torn) = (Regression::new(WIDTH - 1), Regression::new(WIDTH - 1));
        for i in 0..200 {
            sure.learn(&with(1.0, 0.0), 0.0, 1.0);
            torn.learn(&with(if i % 2 == 0 { 1.0 } else { -1.0 }, 0.0), 0.0, 1.0);
        }
        let of = |regression: &Regression| regression.chances(&[with(1.0, 0.0), with(0.0, 0.0)], &[0.0; 2])[0];
        assert!(of(&sure) > 0.95, "{}", of(&sure));
        assert!((of(&torn) - 0.5).abs() < 0.02, "{}", of(&torn));
    }

    #[test]
    fn chances_add_up_do_not_depend_on_the_order_and_begin_equal() {
        let mut regression = Regression::new(WIDTH - 1);
        let candidates = [with(1.0, 0.0), with(0.0, 1.0), with(0.3, 0.3)];
        assert!(regression.chances(&candidates, &[0.0; 3]).iter().all(|chance| (chance - 1.0 / 3.0).abs() < 1e-15));
        for _ in 0..5 {
            regression.learn(&with(1.0, -0.5), 0.0, 0.5);
        }
        let chances = regression.chances(&candidates, &[0.0; 3]);
        assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(chances[0] > chances[2] && chances[2] > chances[1], "{chances:?}");
        let [a, b] = [[0, 1], [1, 0]].map(|order| regression.chances(&order.map(|i| candidates[i]), &[0.0; 2]));
        assert!((a[0] - b[1]).abs() < 1e-15);
    }

    #[test]
    fn a_decision_in_parts_weighs_as_much_as_a_whole_one_about() {
        let (mut whole, mut parts) = (Regression::new(WIDTH - 1), Regression::new(WIDTH - 1));
        whole.learn(&with(1.0, 0.0), 0.0, 1.0);
        for _ in 0..100 {
            parts.learn(&with(1.0, 0.0), 0.0, 0.01);
        }
        assert!((whole.mean()[0] - parts.mean()[0]).abs() < 0.02, "{} {}", whole.mean()[0], parts.mean()[0]);
    }

    #[test]
    fn who_has_learned_nothing_says_what_the_base_rate_says() {
        let nothing = Regression::new(WIDTH - 1);
        for base in [[0.9, 0.1], [0.02, 0.98]] {
            let chances = nothing.chances(&[[0.0; WIDTH]; 2], &base.map(crate::suggest::number::ln));
            assert!((chances[0] - base[0]).abs() < 1e-12, "{chances:?}");
        }
        let mut fixed = Regression::new(1);
        fixed.learn(&with(0.0, 1.0), 0.0, 1.0);
        assert_eq!(fixed.mean()[1], 0.0);
    }
}
