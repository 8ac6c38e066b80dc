//! A policy in plain words.

use std::fmt;

use comity_model::{FieldName, KindName, LIFE};

use super::{FieldPolicy, KindPolicy, Policy, Rule, excerpt, time};
use crate::policy::judge::show;

/// What is in force for a kind, or for one field of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The kind.
    pub kind: KindName,
    /// The field; `None` for the kind as a whole.
    pub field: Option<FieldName>,
    /// Sentences.
    pub lines: Vec<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(field) = &self.field {
            write!(f, ", {field}")?;
        }
        self.lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl Policy {
    /// Tells a person what is in force: for each kind, then for each field of which the policy says something.
    pub fn explain(&self) -> Vec<Explanation> {
        let mut all = Vec::new();
        for (name, kind) in &self.kinds {
            all.push(Explanation { kind: name.clone(), field: None, lines: kind.explain() });
            for (field, special) in &kind.fields {
                let lines = kind.explain_field(field, special);
                all.push(Explanation { kind: name.clone(), field: Some(field.clone()), lines });
            }
        }
        all
    }
}

impl KindPolicy {
    fn explain(&self) -> Vec<String> {
        let mut lines = vec![format!("A conflict: {}", self.in_words(&self.default, &self.order))];
        for group in &self.groups {
            lines.push(format!(
                "Belong together, and are looked at when two devices write to them: {}.",
                list(group, " and ")
            ));
        }
        if !self.natural_key.is_empty() {
            let key = list(&self.natural_key, " and ");
            lines.push(format!(
                "Entries with the same {key}, made by people who did not know of each other's, are duplicates."
            ));
        }
        for invariant in &self.invariants {
            lines.push(format!("Must be true ({}): {}", excerpt(&invariant.name), invariant.expr));
        }
        lines.push(
            "Decisions that differ, duplicates, broken invariants and stale values are always for a person.".to_owned(),
        );
        lines
    }

    fn explain_field(&self, field: &FieldName, special: &FieldPolicy) -> Vec<String> {
        let FieldPolicy { rules, order: _, always_manual, second_reviewer, depends_on } = special;
        let what = if field.as_str() == LIFE { "A deletion against an update" } else { "A conflict" };
        let words = match rules {
            Some(rules) => self.in_words(rules, self.order(field)),
            None => format!("as for the kind: {}", self.in_words(&self.default, self.order(field))),
        };
        let mut lines = vec![format!("{what}: {words}")];
        if !always_manual.is_empty() {
            let values = always_manual.iter().map(show).collect::<Vec<_>>().join(" or ");
            lines.push(format!("When a side says {values}, a person decides, whatever the rules say."));
        }
        if *second_reviewer {
            lines.push("A decision counts when a second reviewer has agreed.".to_owned());
        }
        if !depends_on.is_empty() {
            let fields = list(depends_on, " or ");
            lines.push(format!("It is looked at again when somebody else changes {fields} at the same time."));
        }
        lines
    }

    fn in_words(&self, rules: &[Rule], order: &[String]) -> String {
        let deciding = rules.iter().filter(|rule| !matches!(rule, Rule::Suggested | Rule::Manual));
        let mut words: Vec<String> = deciding.map(|rule| self.rule_in_words(*rule, order)).collect();
        let suggests = rules.contains(&Rule::Suggested);
        words.push(if suggests { "a person decides, with a suggestion" } else { "a person decides" }.to_owned());
        format!("{}.", words.join("; else "))
    }

    fn rule_in_words(&self, rule: Rule, order: &[String]) -> String {
        match rule {
            Rule::LastWriteWins => {
                let apart = time::show_ms(self.clock_uncertainty_ms.saturating_mul(2));
                format!("the last write is shown, if it came more than {apart} after the others")
            }
            Rule::MergeFields => "writes to different fields stand side by side".to_owned(),
            Rule::UserPriority => {
                format!("the higher verified role is shown ({})", list(order, " before "))
            }
            Rule::DeviceSpecific => "the value of each device stands for that device".to_owned(),
            Rule::Manual => "a person decides".to_owned(),
            Rule::Suggested => "a suggestion is asked for".to_owned(),
        }
    }
}

fn list<T: fmt::Display>(items: &[T], and: &str) -> String {
    items.iter().map(|item| excerpt(&item.to_string())).collect::<Vec<_>>().join(and)
}
