//! Tables of how cost grows, with what they have to show.

use std::fmt::Write as _;

/// How the numbers of a column are written.
#[derive(Clone, Copy, PartialEq)]
pub enum Unit {
    Count,
    Seconds,
    Bytes,
    /// Of one: 0.5 is half.
    Percent,
}

/// Numbers by size: the first column is what grows, the others are what it costs.
pub struct Table {
    title: String,
    notes: Vec<String>,
    columns: Vec<(&'static str, Unit)>,
    rows: Vec<Vec<f64>>,
    checks: Vec<Check>,
}

/// What a table has to show, and whether it does.
pub struct Check {
    text: String,
    pub passed: bool,
}

/// Most that the cost of one and the same piece of work may grow, as a power of what grows: fourfold when that grows
/// tenfold. A logarithm and a cold cache stay below, a walk through everything does not.
pub const FLAT: f64 = 0.6;

/// Most that the cost of work may grow which is proportional to what grows. Its square stays far above.
pub const LINEAR: f64 = 1.4;

impl Table {
    pub fn new(title: &str, columns: &[(&'static str, Unit)]) -> Self {
        let (title, columns) = (title.to_owned(), columns.to_vec());
        Self { title, notes: Vec::new(), columns, rows: Vec::new(), checks: Vec::new() }
    }

    /// Adds a sentence that stands above the table.
    pub fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    /// Adds a row: one number for each column. Shows it at once, for a large one takes its time.
    pub fn row(&mut self, cells: Vec<f64>) {
        assert_eq!(cells.len(), self.columns.len(), "a number for each column of {}", self.title);
        let shown: Vec<String> = self.columns.iter().zip(&cells).map(|((_, unit), cell)| unit.show(*cell)).collect();
        eprintln!("{}: {}", self.title, shown.join(" | "));
        self.rows.push(cells);
    }

    /// Checks how fast a column grows from each row to the next, as a power of the first column. What is below the floor
    /// counts as the floor: a few microseconds more or less say nothing.
    pub fn check_growth(&mut self, name: &str, power_max: f64, floor: f64) {
        let column = self.index(name);
        let power = |pair: &[Vec<f64>]| {
            let cost = |row: &[f64]| row[column].max(floor);
            (cost(&pair[1]) / cost(&pair[0])).ln() / (pair[1][0] / pair[0][0]).ln()
        };
        let steepest = self.rows.windows(2).map(|pair| (power(pair), pair[1][0]));
        let Some((power, at)) = steepest.max_by(|a, b| a.0.total_cmp(&b.0)) else { return };
        let text = format!(
            "{name}: grows at most as the power {power_max} (below {} counts as that); steepest {power:.2}, up to {}",
            self.columns[column].1.show(floor),
            Unit::Count.show(at)
        );
        self.checks.push(Check { text, passed: power <= power_max });
    }

    /// Checks the largest number of a column.
    pub fn check_most(&mut self, name: &str, most: f64) {
        let (largest, unit) = (self.largest(name), self.columns[self.index(name)].1);
        let text = format!("{name}: at most {}; largest {}", unit.show(most), unit.show(largest));
        self.checks.push(Check { text, passed: largest <= most });
    }

    /// Checks a column of the row whose first number is `size`. Without such a row there is nothing to check.
    pub fn check_at(&mut self, size: f64, name: &str, most: f64) {
        let (column, unit) = (self.index(name), self.columns[self.index(name)].1);
        let Some(row) = self.rows.iter().find(|row| row[0] == size) else { return };
        let (is, size) = (row[column], self.columns[0].1.show(size));
        let text = format!("{name}: at most {} at {size}; {}", unit.show(most), unit.show(is));
        self.checks.push(Check { text, passed: is <= most });
    }

    /// Checks a number made of several cells.
    pub fn check(&mut self, text: &str, is: f64, below: f64) {
        self.checks.push(Check { text: format!("{text}; {is:.2}"), passed: is < below });
    }

    /// Gives a cell of the row whose first number is `size`, if there is such a row.
    pub fn cell(&self, size: f64, name: &str) -> Option<f64> {
        let column = self.index(name);
        self.rows.iter().find(|row| row[0] == size).map(|row| row[column])
    }

    /// Gives the largest number of a column.
    pub fn largest(&self, name: &str) -> f64 {
        let column = self.index(name);
        self.rows.iter().map(|row| row[column]).fold(0.0, f64::max)
    }

    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    fn index(&self, name: &str) -> usize {
        let found = self.columns.iter().position(|(column, _)| *column == name);
        found.unwrap_or_else(|| panic!("{} has no column {name}", self.title))
    }

    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n", self.title);
        for note in &self.notes {
            text.push_str(&format!("{note}\n\n"));
        }
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        text.push_str(&line(self.columns.iter().map(|(name, _)| (*name).to_owned()).collect()));
        text.push_str(&line(self.columns.iter().map(|_| "--:".to_owned()).collect()));
        for row in &self.rows {
            text.push_str(&line(self.columns.iter().zip(row).map(|((_, unit), cell)| unit.show(*cell)).collect()));
        }
        text.push('\n');
        for check in &self.checks {
            let word = if check.passed { "passed" } else { "**missed**" };
            let _ = writeln!(text, "- {word}: {}", check.text);
        }
        text
    }
}

impl Unit {
    pub fn show(self, value: f64) -> String {
        let scaled = |steps: &[(f64, &str)]| {
            let (size, name) = steps.iter().find(|(size, _)| value.abs() >= *size).unwrap_or(&steps[steps.len() - 1]);
            let number = value / size;
            let digits = if number.abs() >= 100.0 { 0 } else { 1 };
            format!("{number:.digits$} {name}")
        };
        match self {
            Self::Count => grouped(value),
            Self::Seconds => scaled(&[(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")]),
            Self::Percent => format!("{:.1} %", value * 100.0),
            Self::Bytes => scaled(&[(1e9, "GB"), (1e6, "MB"), (1e3, "KB"), (1.0, "B")]),
        }
    }
}

/// Writes a whole number in groups of three digits.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(costs: [f64; 3]) -> Table {
        let mut table = Table::new("t", &[("size", Unit::Count), ("cost", Unit::Seconds)]);
        for (size, cost) in [100.0, 1_000.0, 10_000.0].into_iter().zip(costs) {
            table.row(vec![size, cost]);
        }
        table
    }

    fn passes(costs: [f64; 3], power_max: f64) -> bool {
        let mut table = table(costs);
        table.check_growth("cost", power_max, 1e-6);
        table.checks()[0].passed
    }

    #[test]
    fn linear_cost_passes_as_linear_and_not_as_flat_and_quadratic_cost_passes_as_neither() {
        assert!(passes([1e-3, 1e-2, 1e-1], LINEAR));
        assert!(!passes([1e-3, 1e-2, 1e-1], FLAT));
        assert!(!passes([1e-3, 1e-1, 1e1], LINEAR));
        assert!(passes([1e-3, 1.5e-3, 2e-3], FLAT));
    }

    #[test]
    fn one_steep_step_is_enough_to_miss_and_what_is_below_the_floor_is_not_steep() {
        assert!(!passes([1e-3, 1e-3, 1e-2], FLAT));
        assert!(passes([1e-9, 1e-8, 1e-6], FLAT));
    }

    #[test]
    fn a_table_is_written_with_units_and_with_what_it_has_to_show() {
        let mut table = table([1.5e-6, 2.5e-3, 120.0]);
        table.check_most("cost", 1.0);
        table.check_at(100.0, "cost", 1.0);
        let text = table.markdown();
        assert!(text.contains("| 10,000 | 120 s |"), "{text}");
        assert!(text.contains("| 100 | 1.5 µs |"), "{text}");
        assert!(text.contains("- **missed**: cost: at most 1.0 s; largest 120 s"), "{text}");
        assert!(text.contains("- passed: cost: at most 1.0 s at 100; 1.5 µs"), "{text}");
    }
}
