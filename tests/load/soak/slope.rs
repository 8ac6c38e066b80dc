//! Least squares: how fast something grows, and how sure that is.

/// Growth that several stretches of samples have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// Growth of the value for each unit of time.
    pub per_unit: f64,
    /// One standard error of it, widened for samples that resemble their neighbours.
    pub noise: f64,
}

impl Slope {
    /// Fits parallel lines, one through each stretch of (time, value): a process that is started again begins at a level
    /// of its own, so only what happens within a stretch says how fast something grows. `None` when no stretch has four
    /// samples and any spread in time; shorter ones are left out.
    ///
    /// Memory moves in steps, so one sample says little that the one before has not said. The plain standard error
    /// takes them for independent and claims too much; the correlation of neighbours tells how many samples they are
    /// really worth.
    pub fn pooled(stretches: &[Vec<(f64, f64)>]) -> Option<Self> {
        let stretches: Vec<Vec<(f64, f64)>> = stretches.iter().filter(|s| s.len() >= 4).map(|s| centred(s)).collect();
        let all = || stretches.iter().flatten();
        let spread: f64 = all().map(|(time, _)| time * time).sum();
        if spread <= 0.0 {
            return None;
        }
        let per_unit = all().map(|(time, value)| time * value).sum::<f64>() / spread;
        let off = |(time, value): &(f64, f64)| value - per_unit * time;
        let squares: f64 = all().map(|sample| off(sample).powi(2)).sum();
        let pairs = stretches.iter().flat_map(|stretch| stretch.windows(2));
        let neighbours: f64 = pairs.map(|pair| off(&pair[0]) * off(&pair[1])).sum();
        let alike = if squares > 0.0 { (neighbours / squares).clamp(0.0, 0.95) } else { 0.0 };
        let worth = (1.0 + alike) / (1.0 - alike);
        // Each stretch has spent one sample on its level, and all of them one on the growth.
        let free = (all().count() - stretches.len() - 1) as f64;
        Some(Self { per_unit, noise: (squares / free / spread * worth).sqrt() })
    }

    /// The least growth that chance leaves possible (two standard errors).
    pub fn least(&self) -> f64 {
        self.per_unit - 2.0 * self.noise
    }

    /// The most growth that chance leaves possible (two standard errors).
    pub fn most(&self) -> f64 {
        self.per_unit + 2.0 * self.noise
    }
}

/// Moves a stretch so that its mean time and its mean value are zero.
fn centred(samples: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let count = samples.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (time_mean, value_mean) = (mean(|sample| sample.0), mean(|sample| sample.1));
    samples.iter().map(|(time, value)| (time - time_mean, value - value_mean)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::dice::Dice;
    use super::*;

    fn fit(samples: &[(f64, f64)]) -> Option<Slope> {
        Slope::pooled(&[samples.to_vec()])
    }

    fn line(growth: f64, noise: u64, seed: u64) -> Vec<(f64, f64)> {
        let mut dice = Dice::new(seed, 0);
        let value = |time: f64, dice: &mut Dice| 50.0 + growth * time + dice.below(noise + 1) as f64;
        (0..120).map(|time| (f64::from(time), value(f64::from(time), &mut dice))).collect()
    }

    #[test]
    fn a_line_is_found_without_noise() {
        let slope = fit(&line(0.25, 0, 1)).unwrap();
        assert!((slope.per_unit - 0.25).abs() < 1e-9 && slope.noise < 1e-9, "{slope:?}");
    }

    #[test]
    fn noise_alone_is_hardly_ever_taken_for_growth_and_growth_not_for_noise() {
        let beyond = |growth| (0..100).filter(|seed| grows(&line(growth, 10, *seed))).count();
        fn grows(samples: &[(f64, f64)]) -> bool {
            let slope = fit(samples).unwrap();
            slope.least() > 0.0 || slope.most() < 0.0
        }
        assert!(beyond(0.0) <= 8, "{}", beyond(0.0));
        assert_eq!(beyond(0.1), 100);
    }

    #[test]
    fn levels_of_their_own_are_no_growth_and_every_stretch_counts() {
        let raised = |by: f64, seed| line(0.25, 4, seed).iter().map(|(time, value)| (*time, value + by)).collect();
        let stretches: [Vec<(f64, f64)>; 3] = [raised(0.0, 1), raised(500.0, 2), raised(-300.0, 3)];
        let (one, pooled) = (fit(&stretches[0]).unwrap(), Slope::pooled(&stretches).unwrap());
        assert!((pooled.per_unit - 0.25).abs() < 3.0 * pooled.noise, "{pooled:?}");
        assert!(pooled.noise < 0.7 * one.noise, "{pooled:?} {one:?}");
    }

    #[test]
    fn steps_widen_the_noise() {
        // The same ten values: once each, and six times each.
        let values = [3.0, 9.0, 1.0, 7.0, 4.0, 8.0, 2.0, 9.0, 5.0, 3.0];
        let steps: Vec<(f64, f64)> = (0..60).map(|at| (f64::from(at), values[at as usize / 6])).collect();
        let mixed: Vec<(f64, f64)> = (0..60).map(|at| (f64::from(at), values[at as usize % 10])).collect();
        assert!(fit(&steps).unwrap().noise > 1.5 * fit(&mixed).unwrap().noise);
    }

    #[test]
    fn too_little_gives_nothing() {
        assert_eq!(fit(&line(1.0, 0, 1)[..3]), None);
        assert_eq!(fit(&[(1.0, 1.0); 8]), None);
    }
}
