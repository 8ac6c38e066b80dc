//! The figures of all runs: medians, ratios, a table.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, ensure};

use super::scenarios::{self, Better, Metric, Scenario};
use super::server::Server;

/// What came of one run.
pub enum Outcome {
    Finished {
        /// One for each metric of the scenario.
        values: Vec<f64>,
        /// Processor time of the relay since its start, or since its restart in the middle.
        cpu_s: f64,
        /// The most memory that it had.
        most_bytes: u64,
    },
    Failed(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished { values, cpu_s, most_bytes } => {
                let values: Vec<String> = values.iter().map(|value| short(*value)).collect();
                let most_mb = *most_bytes as f64 / 1e6;
                write!(f, "{}; {cpu_s:.2} s of processor, {most_mb:.0} MB at most", values.join(", "))
            }
            Self::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

/// All runs of a benchmark.
pub struct Report {
    rounds: usize,
    machine: String,
    outcomes: BTreeMap<(&'static str, Server), Vec<Outcome>>,
}

impl Report {
    pub fn new(rounds: usize, machine: String) -> Self {
        Self { rounds, machine, outcomes: BTreeMap::new() }
    }

    pub fn add(&mut self, scenario: &Scenario, server: Server, outcome: Outcome) {
        self.outcomes.entry((scenario.name, server)).or_default().push(outcome);
    }

    /// Gives the scenarios that were run, in the order of the table.
    pub fn scenarios(&self) -> impl Iterator<Item = &'static Scenario> {
        let ran = |name| Server::ALL.iter().any(|server| self.outcomes.contains_key(&(name, *server)));
        scenarios::ALL.iter().filter(move |scenario| ran(scenario.name))
    }

    /// Gives the median of a metric over the rounds; of two in the middle, the worse. A round that failed is worse than
    /// any, so there is nothing when half of them failed.
    pub fn median(&self, scenario: &Scenario, metric: usize, server: Server) -> Option<f64> {
        let better = scenario.metrics[metric].better;
        let worst = if better == Better::Lower { f64::INFINITY } else { f64::NEG_INFINITY };
        let outcomes = self.outcomes.get(&(scenario.name, server))?;
        let value = |outcome: &Outcome| match outcome {
            Outcome::Finished { values, .. } => values.get(metric).copied().unwrap_or(worst),
            Outcome::Failed(_) => worst,
        };
        let mut values: Vec<f64> = outcomes.iter().map(value).collect();
        values.sort_by(|a, b| if better == Better::Lower { a.total_cmp(b) } else { b.total_cmp(a) });
        values.get(values.len() / 2).copied().filter(|value| value.is_finite())
    }

    /// Tells how many times better we are than a peer.
    pub fn ratio(&self, scenario: &Scenario, metric: usize, peer: Server) -> Option<f64> {
        let ours = self.median(scenario, metric, Server::Comity)?;
        let theirs = self.median(scenario, metric, peer)?;
        let ratio = match scenario.metrics[metric].better {
            Better::Lower => theirs / ours,
            Better::Higher => ours / theirs,
        };
        // Memory that the system did not see grow is no measure.
        Some(ratio).filter(|ratio| ratio.is_finite())
    }

    /// Tells whether a relay was put through a scenario.
    pub fn has_run(&self, scenario: &Scenario, server: Server) -> bool {
        self.outcomes.contains_key(&(scenario.name, server))
    }

    /// Draws the table.
    pub fn markdown(&self) -> String {
        let [ours, samod, javascript] = Server::ALL.map(Server::title);
        let mut text = format!(
            "| scenario | figure | {ours} | {samod} | {javascript} | than samod | than JavaScript | to reach |\n\
             |---|---|--:|--:|--:|--:|--:|--:|\n",
        );
        for scenario in self.scenarios() {
            for (i, metric) in scenario.metrics.iter().enumerate() {
                let title = if i == 0 { scenario.title } else { "" };
                let cells: Vec<String> = Server::ALL.map(|server| self.cell(scenario, i, server)).into();
                let ratio =
                    |peer| self.ratio(scenario, i, peer).map_or("–".to_owned(), |ratio| format!("{ratio:.1} ×"));
                text.push_str(&format!(
                    "| {title} | {}, {} | {} | {} | {} | {} |\n",
                    metric.name,
                    metric.unit,
                    cells.join(" | "),
                    ratio(Server::Samod),
                    ratio(Server::JavaScript),
                    reach(metric, self.median(scenario, i, Server::Comity))
                ));
            }
        }
        text.push_str(&format!("\nMedians of {} rounds on {}.\n", self.rounds, self.machine));
        for (scenario, server, why) in self.failures() {
            text.push_str(&format!("\n- {} on {}: {why}\n", server.name(), scenario));
        }
        text
    }

    fn cell(&self, scenario: &Scenario, metric: usize, server: Server) -> String {
        match self.median(scenario, metric, server) {
            Some(value) => short(value),
            None if self.has_run(scenario, server) => "does not finish".to_owned(),
            None => "–".to_owned(),
        }
    }

    /// Gives each kind of failure with the number of rounds that it took.
    fn failures(&self) -> Vec<(&'static str, Server, String)> {
        let mut failures = Vec::new();
        for ((scenario, server), outcomes) in &self.outcomes {
            let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
            for outcome in outcomes {
                if let Outcome::Failed(why) = outcome {
                    *reasons.entry(why).or_default() += 1;
                }
            }
            for (why, times) in reasons {
                failures.push((*scenario, *server, format!("{why} ({times} of {} rounds)", outcomes.len())));
            }
        }
        failures
    }

    /// Writes every figure of every run.
    pub fn json(&self) -> String {
        let mut runs = Vec::new();
        for scenario in self.scenarios() {
            for server in Server::ALL {
                for outcome in self.outcomes.get(&(scenario.name, server)).into_iter().flatten() {
                    let mut run = serde_json::json!({ "scenario": scenario.name, "server": server.name() });
                    match outcome {
                        Outcome::Failed(why) => run["failed"] = why.as_str().into(),
                        Outcome::Finished { values, cpu_s, most_bytes } => {
                            for (metric, value) in scenario.metrics.iter().zip(values) {
                                run[format!("{} ({})", metric.name, metric.unit)] = (*value).into();
                            }
                            run["relay_cpu_s"] = (*cpu_s).into();
                            run["relay_most_bytes"] = (*most_bytes).into();
                        }
                    }
                    runs.push(run);
                }
            }
        }
        let whole = serde_json::json!({ "machine": self.machine, "rounds": self.rounds, "runs": runs });
        format!("{whole:#}\n")
    }

    /// Checks that our relay finished every run.
    ///
    /// # Errors
    /// The first that it did not.
    pub fn check_ours(&self) -> Result<()> {
        for (scenario, server, why) in self.failures() {
            ensure!(server != Server::Comity, "our relay failed in {scenario}: {why}");
        }
        Ok(())
    }
}

/// Writes what is to be reached, and whether it was.
fn reach(metric: &Metric, ours: Option<f64>) -> String {
    let Some(reach) = metric.reach else { return String::new() };
    let is_reached = ours.is_some_and(|ours| match metric.better {
        Better::Lower => ours <= reach,
        Better::Higher => ours >= reach,
    });
    format!("{} {}", short(reach), if is_reached { "✓" } else { "missed" })
}

/// Writes a number with three digits or so.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => {
            let digits = format!("{value:.0}");
            let mut grouped = String::new();
            for (i, digit) in digits.chars().enumerate() {
                if i > 0 && (digits.len() - i).is_multiple_of(3) && !grouped.ends_with('-') {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            grouped
        }
        size if size >= 10.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(value: f64) -> Outcome {
        Outcome::Finished { values: vec![value], cpu_s: 0.0, most_bytes: 0 }
    }

    #[test]
    fn the_table_has_medians_ratios_and_what_failed() {
        let scenario = scenarios::ALL.iter().find(|scenario| scenario.name == "reunion-50").unwrap();
        let mut report = Report::new(3, "a machine".to_owned());
        for seconds in [0.3, 0.4, 0.9] {
            report.add(scenario, Server::Comity, finished(seconds));
        }
        for seconds in [7.0, 8.0] {
            report.add(scenario, Server::Samod, finished(seconds));
        }
        // Worse than both: the median is the larger one.
        report.add(scenario, Server::Samod, Outcome::Failed("it hung up".to_owned()));
        for _ in 0..3 {
            report.add(scenario, Server::JavaScript, Outcome::Failed("not finished in 60 s".to_owned()));
        }
        let table = report.markdown();
        assert!(
            table.contains("until all have all, s | 0.40 | 8.0 | does not finish | 20.0 × | – | 0.50 ✓ |"),
            "{table}"
        );
        assert!(table.contains("samod on reunion-50: it hung up (1 of 3 rounds)"), "{table}");
        report.check_ours().unwrap();
        report.add(scenario, Server::Comity, Outcome::Failed("panic".to_owned()));
        report.check_ours().unwrap_err();
    }

    #[test]
    fn numbers_are_short() {
        let written = [1234567.8, 999.6, 12.34, 1.25, 0.046, 0.0].map(short);
        assert_eq!(written, ["1,234,568", "1,000", "12", "1.2", "0.05", "0.00"]);
    }
}
