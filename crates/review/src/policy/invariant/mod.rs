//! Invariants: rules about all live entries of a document.
//!
//! The language is small and total: every expression comes to true, false, or "cannot be computed", in time that
//! follows the number of entries. There is no division, no loop and no recursion, and numbers are whole.
//!
//! ```text
//! count(entries) == about.modules
//! sum(quantity where region == "north") <= 1000
//! unique(serial) and reference(parent)
//! every(status != "dead" or comment != null)
//! ```
//!
//! What cannot be computed is neither true nor false, and `and` and `or` treat it so: `false and x` is false, whatever
//! `x` is. It happens when a result leaves the range of 64 bits, when a sum meets a number with a fraction, when `<`
//! meets different sorts of values or null, and when a register of the document is not set. `==` never fails over
//! null or over values of different sorts: they differ.

mod eval;
mod expr;
mod parse;
mod slot;
mod tally;
#[cfg(test)]
mod tests;
mod token;

use std::collections::BTreeSet;

use comity_model::FieldName;

pub use self::eval::Row;
pub use self::expr::{Aggregate, Expr, Literal, Operator, Question};
pub use self::tally::{Tally, Verdict};

/// A rule about a document: its name, and what must be true.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invariant {
    /// What it is called. Unique in its kind.
    pub name: String,
    /// What must be true.
    pub expr: Expr,
}

impl Invariant {
    /// Lists the fields whose values it looks at.
    pub fn fields_read(&self) -> BTreeSet<FieldName> {
        let mut fields = BTreeSet::new();
        self.expr.visit(&mut |expr| match expr {
            Expr::Field(field) => drop(fields.insert(field.clone())),
            Expr::Aggregate(Aggregate { question: Question::Unique(named), .. }) => {
                fields.extend(named.iter().cloned())
            }
            Expr::Aggregate(Aggregate { question: Question::Reference(named), .. }) => {
                fields.insert(named.clone());
            }
            _ => {}
        });
        fields
    }

    /// Lists the registers of the document that it looks at.
    pub fn about_read(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.expr.visit(&mut |expr| {
            if let Expr::About(name) = expr {
                names.insert(name.as_str());
            }
        });
        names
    }

    /// Whether it can change when an entry is made, deleted or restored.
    pub fn reads_entries(&self) -> bool {
        let mut found = false;
        self.expr.visit(&mut |expr| found |= matches!(expr, Expr::Aggregate(_)));
        found
    }
}

/// Says why a text is no expression, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {what}: {help}")]
pub struct ExprError {
    /// Where, in bytes from the beginning of the expression.
    pub at: usize,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub help: String,
}

impl ExprError {
    fn new(at: usize, what: String, help: &str) -> Self {
        Self { at, what, help: help.to_owned() }
    }

    fn shifted(self, by: usize) -> Self {
        Self { at: self.at + by, ..self }
    }
}
