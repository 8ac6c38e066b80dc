//! Policies: which conflicts a rule may settle, and which need a person.
//!
//! A policy is a text in TOML that a space carries, so that every device applies the same. It never writes: it says
//! which value is shown until somebody decides. [`Policy::parse`] reads one, [`judge`] applies it to a conflict, and
//! [`Tally`] keeps the verdicts on its invariants.
//!
//! ```
//! use comity_model::{EntryId, FieldName};
//! use comity_review::policy::{Policy, Row, Tally, Verdict};
//!
//! let policy = Policy::parse(
//!     r#"
//!     [kind.audit]
//!     default = ["merge-fields", "manual"]
//!     groups = [["status", "comment"]]
//!     [[kind.audit.invariant]]
//!     name = "dead-has-comment"
//!     expr = 'every(status != "dead" or comment != null)'
//!     "#,
//! )?;
//! let (_, audit) = policy.kinds().next().unwrap();
//! let mut tally = Tally::new(&audit.invariants);
//! let row = Row::from([(FieldName::new("status")?, "dead".into())]);
//! tally.update(&EntryId::new("M050")?, None, Some(&row));
//! assert!(matches!(tally.verdicts()[0], ("dead-has-comment", Verdict::Broken { .. })));
//!
//! let error = Policy::parse("[kind.audit]\ndefault = ['last-write-win']").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "line 2, column 12: there is no rule \"last-write-win\": did you mean last-write-wins?"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod canon;
mod error;
mod examples;
mod explain;
mod invariant;
mod judge;
mod locate;
mod nearest;
mod read;
mod rule;
#[cfg(test)]
mod tests;
mod time;

use std::collections::BTreeMap;

use comity_model::{FieldName, KindName, Value};

pub use self::error::{Fault, PolicyError};
pub use self::explain::Explanation;
pub use self::invariant::{Aggregate, Expr, ExprError, Invariant, Literal, Operator, Question, Row, Tally, Verdict};
pub use self::judge::{Judgement, Outcome, Roles, Step, judge};
pub use self::rule::{Rule, UnknownRule};

/// What is to be done about conflicts, by kind of document and by field.
#[derive(Clone, PartialEq, Debug)]
pub struct Policy {
    epoch: u64,
    kinds: BTreeMap<KindName, KindPolicy>,
    hash: [u8; 32],
}

/// The rules for one kind of document.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct KindPolicy {
    /// The rules of fields that have none of their own; without any, a person decides.
    pub default: Vec<Rule>,
    /// The roles for `user-priority`, the first before the others, for fields that have no order of their own.
    pub order: Vec<String>,
    /// Fields that belong together: each group ascending, the groups ascending.
    pub groups: Vec<Vec<FieldName>>,
    /// The fields that tell one entry from another, ascending; none when only its id does.
    pub natural_key: Vec<FieldName>,
    /// How far a device's clock may be off, either way, in milliseconds.
    pub clock_uncertainty_ms: u64,
    /// What is special about single fields.
    pub fields: BTreeMap<FieldName, FieldPolicy>,
    /// What must be true of a document, by name.
    pub invariants: Vec<Invariant>,
}

/// What is special about one field.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct FieldPolicy {
    /// Its rules; `None` for those of the kind.
    pub rules: Option<Vec<Rule>>,
    /// The roles for `user-priority`; `None` for those of the kind.
    pub order: Option<Vec<String>>,
    /// Values about which a person decides always, in canonical order.
    pub always_manual: Vec<Value>,
    /// Whether a decision needs a second reviewer.
    pub second_reviewer: bool,
    /// Fields of the same entry that its value was chosen by, ascending: when one of them changes, it may be stale.
    pub depends_on: Vec<FieldName>,
}

impl Policy {
    /// Longest text, in bytes.
    pub const BYTES_MAX: usize = 256 * 1024;
    /// Most kinds.
    pub const KINDS_MAX: usize = 64;

    /// Gives the epoch: a policy with a greater one replaces those before it.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Gives the rules for a kind; without any, a person decides everything.
    pub fn kind(&self, kind: &KindName) -> Option<&KindPolicy> {
        self.kinds.get(kind)
    }

    /// Lists the kinds, by name.
    pub fn kinds(&self) -> impl Iterator<Item = (&KindName, &KindPolicy)> {
        self.kinds.iter()
    }

    /// Gives the SHA-256 of what it says: comments, white space, the order of tables and members, and the spelling of
    /// defaults do not matter, and neither does the order within what is a set (groups, `always-manual`, `natural-key`,
    /// `depends-on`, invariants). The order of rules and of roles does.
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// Gives the first bytes of the hash, as they stand in [`Act::policy`](comity_model::Act).
    pub fn short_hash(&self) -> [u8; 8] {
        self.hash[..8].try_into().expect("a SHA-256 digest has 32 bytes")
    }

    /// Gives what orders policies: of several, the greatest is in force.
    pub const fn rank(&self) -> (u64, [u8; 32]) {
        (self.epoch, self.hash)
    }

    /// Gives the policy in force among several, which is the same in whatever order they come.
    pub fn in_force<'p>(policies: impl IntoIterator<Item = &'p Self>) -> Option<&'p Self> {
        policies.into_iter().max_by_key(|policy| policy.rank())
    }
}

impl KindPolicy {
    /// Most fields that a kind says something about.
    pub const FIELDS_MAX: usize = 256;
    /// Most groups of fields.
    pub const GROUPS_MAX: usize = 64;
    /// Most fields in one group, in a natural key, or that one field depends on.
    pub const FIELDS_TOGETHER_MAX: usize = 16;
    /// Most invariants.
    pub const INVARIANTS_MAX: usize = 64;
    /// Most roles in one order.
    pub const ROLES_MAX: usize = 32;
    /// Longest name of a role, of an invariant, or of a value in `always-manual`, in bytes.
    pub const WORD_BYTES_MAX: usize = 128;
    /// The clock uncertainty when the policy gives none.
    pub const CLOCK_UNCERTAINTY_MS: u64 = 60_000;
    /// The greatest clock uncertainty: a day.
    pub const CLOCK_UNCERTAINTY_MS_MAX: u64 = 86_400_000;

    /// Gives what is special about a field.
    pub fn field(&self, field: &FieldName) -> Option<&FieldPolicy> {
        self.fields.get(field)
    }

    /// Gives the rules of a field: its own, or those of the kind.
    pub fn rules(&self, field: &FieldName) -> &[Rule] {
        self.field(field).and_then(|field| field.rules.as_deref()).unwrap_or(&self.default)
    }

    /// Gives the order of roles of a field: its own, or that of the kind.
    pub fn order(&self, field: &FieldName) -> &[String] {
        self.field(field).and_then(|field| field.order.as_deref()).unwrap_or(&self.order)
    }
}

impl FieldPolicy {
    /// Most values about which a person decides always.
    pub const ALWAYS_MANUAL_MAX: usize = 64;
}

/// Cuts a text for a message, so that no input can flood a terminal.
fn excerpt(text: &str) -> String {
    let mut cut: String = text.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(64).is_some() {
        cut.push('…');
    }
    cut
}
