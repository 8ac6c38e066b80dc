//! Least squares: how fast something grows, and how sure that is.

/// A line through samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// Growth of the value for each unit of time.
    pub per_unit: f64,
    /// One standard error of it, widened for samples that resemble their neighbours.
    pub noise: f64,
}

impl Slope {
    /// Fits a line through (time, value); `None` below four samples or without any spread in time.
    ///
    /// Memory moves in steps, so one sample says little that the one before has not said. The plain standard error
    /// takes them for independent and claims too much; the correlation of neighbours tells how many samples they are
    /// really worth.
    pub fn fit(samples: &[(f64, f64)]) -> Option<Self> {
        if samples.len() < 4 {
            return None;
        }
        let count = samples.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
        let (time_mean, value_mean) = (mean(|sample| sample.0), mean(|sample| sample.1));
        let spread: f64 = samples.iter().map(|(time, _)| (time - time_mean).powi(2)).sum();
        if spread <= 0.0 {
            return None;
        }
        let together: f64 = samples.iter().map(|(time, value)| (time - time_mean) * (value - value_mean)).sum();
        let per_unit = together / spread;
        let off: Vec<f64> =
            samples.iter().map(|(time, value)| value - value_mean - per_unit * (time - time_mean)).collect();
        let squares: f64 = off.iter().map(|off| off * off).sum();
        let neighbours: f64 = off.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let alike = if squares > 0.0 { (neighbours / squares).clamp(0.0, 0.95) } else { 0.0 };
        let worth = (1.0 + alike) / (1.0 - alike);
        Some(Self { per_unit, noise: (squares / (count - 2.0) / spread * worth).sqrt() })
    }

    /// The growth that is left when chance gets the benefit of the doubt (two standard errors).
    pub fn beyond_noise(&self) -> f64 {
        (self.per_unit.abs() - 2.0 * self.noise).max(0.0).copysign(self.per_unit)
    }
}

#[cfg(test)]
mod tests {
    use super::super::dice::Dice;
    use super::*;

    fn line(growth: f64, noise: u64, seed: u64) -> Vec<(f64, f64)> {
        let mut dice = Dice::new(seed, 0);
        let value = |time: f64, dice: &mut Dice| 50.0 + growth * time + dice.below(noise + 1) as f64;
        (0..120).map(|time| (f64::from(time), value(f64::from(time), &mut dice))).collect()
    }

    #[test]
    fn a_line_is_found_without_noise() {
        let slope = Slope::fit(&line(0.25, 0, 1)).unwrap();
        assert!((slope.per_unit - 0.25).abs() < 1e-9 && slope.noise < 1e-9, "{slope:?}");
    }

    #[test]
    fn noise_alone_is_hardly_ever_taken_for_growth_and_growth_not_for_noise() {
        let beyond = |growth| (0..100).filter(|seed| grows(&line(growth, 10, *seed))).count();
        fn grows(samples: &[(f64, f64)]) -> bool {
            Slope::fit(samples).unwrap().beyond_noise() > 0.0
        }
        assert!(beyond(0.0) <= 8, "{}", beyond(0.0));
        assert_eq!(beyond(0.1), 100);
    }

    #[test]
    fn steps_widen_the_noise() {
        // The same ten values: once each, and six times each.
        let values = [3.0, 9.0, 1.0, 7.0, 4.0, 8.0, 2.0, 9.0, 5.0, 3.0];
        let steps: Vec<(f64, f64)> = (0..60).map(|at| (f64::from(at), values[at as usize / 6])).collect();
        let mixed: Vec<(f64, f64)> = (0..60).map(|at| (f64::from(at), values[at as usize % 10])).collect();
        assert!(Slope::fit(&steps).unwrap().noise > 1.5 * Slope::fit(&mixed).unwrap().noise);
    }

    #[test]
    fn too_little_gives_nothing() {
        assert_eq!(Slope::fit(&line(1.0, 0, 1)[..3]), None);
        assert_eq!(Slope::fit(&[(1.0, 1.0); 8]), None);
    }
}
