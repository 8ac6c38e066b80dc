//! Rows that are not taken, and how they are told.

use serde_json::{Value as Json, json};

use crate::error::{CommandError, Kind};
use crate::input::BadRow;
use crate::output::{Output, count};

/// Bad rows that are listed in text.
const LISTED_MAX: usize = 20;

/// Bad rows that are kept for `--json`.
const BAD_MAX: usize = 10_000;

/// The rows that are not taken, in the order of the file.
#[derive(Debug, Default)]
pub struct Bad {
    rows: Vec<BadRow>,
    count: usize,
}

impl Bad {
    /// Takes note of one.
    pub fn reject(&mut self, bad: BadRow) {
        self.count += 1;
        if self.rows.len() < BAD_MAX {
            self.rows.push(bad);
        }
    }

    /// Counts them all, also those that are not kept.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Lists them for a person.
    pub fn say(&self, output: Output) {
        if output.json {
            return;
        }
        for bad in self.rows.iter().take(LISTED_MAX) {
            output.warn(format_args!("line {}: {}", bad.line, bad.reason));
        }
        if self.count > LISTED_MAX {
            let more = count(self.count - LISTED_MAX, "bad row", "bad rows");
            output.warn(format_args!("… and {more} more; --json lists them"));
        }
    }

    /// Gives them for programs.
    pub fn json(&self) -> Vec<Json> {
        self.rows.iter().map(|bad| json!({ "line": bad.line, "reason": bad.reason })).collect()
    }

    /// Says that nothing is imported because of them; as JSON, with each of them.
    pub fn refusal(&self, output: Output, message: String) -> CommandError {
        let error = CommandError::new(Kind::NotDone, message);
        if !output.json {
            return error;
        }
        error.details(json!({ "bad": self.json(), "bad_count": self.count }))
    }
}
