//! What is wrong with a policy, and where.

use std::fmt;

/// One thing that is wrong. Prints as `line 3, column 15: WHAT: HELP`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub help: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}: {}", self.line, self.column, self.what, self.help)
    }
}

/// Says why a text is no policy: everything that is wrong with it, each on a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PolicyError {
    faults: Vec<Fault>,
    more: usize,
}

impl PolicyError {
    /// Most faults that are told at once.
    pub const FAULTS_MAX: usize = 20;

    pub(super) const fn new(faults: Vec<Fault>, more: usize) -> Self {
        Self { faults, more }
    }

    /// Lists the faults by place: one at least, [`FAULTS_MAX`](Self::FAULTS_MAX) at most.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Gives how many more there are.
    pub const fn more(&self) -> usize {
        self.more
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if i == 0 { "" } else { "\n" })?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}
