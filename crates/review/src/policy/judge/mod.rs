//! Applies the rules of a policy to a conflict.
//!
//! Pure and total, in whole numbers, without a clock. The order of the sides does not matter, and neither does anything
//! that is not in the conflict, the policy or the roles: equal heads give equal judgements on every device.

mod rules;
#[cfg(test)]
mod tests;

use comity_model::{DeviceTag, FieldName, LIFE, Value};

pub(super) use self::rules::show;
use super::{KindPolicy, Rule};
use crate::{Conflict, ConflictKind, Place, Subject};

/// Knows the verified role of a device.
pub trait Roles {
    /// Gives the role, when there is a proof of it that the space accepts.
    fn role(&self, device: &DeviceTag) -> Option<&str>;
}

/// What a policy says about a conflict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// What is to be shown meanwhile, or that a person is needed.
    pub outcome: Outcome,
    /// Which rules were asked, in order, and what each of them said.
    pub steps: Vec<Step>,
    /// Whether the policy asks for a suggestion.
    pub suggest: bool,
}

/// What comes of a conflict.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// One side is shown.
    Decided {
        /// Its index among the sides of the conflict.
        side: usize,
        /// By which rule.
        rule: Rule,
    },
    /// The value of each device stands for that device.
    PerDevice,
    /// All writes stand side by side.
    Merged,
    /// A person decides.
    Manual {
        /// Why, in words.
        reason: String,
    },
}

/// What one rule said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The rule; `None` for what holds before any rule is asked.
    pub rule: Option<Rule>,
    /// Whether it decided; else it abstained.
    pub decided: bool,
    /// Why, in words.
    pub why: String,
}

/// Judges a conflict under the policy of its kind. Without a policy a person decides.
pub fn judge(policy: Option<&KindPolicy>, conflict: &Conflict, roles: &dyn Roles) -> Judgement {
    let Some(policy) = policy else {
        return before("no policy says anything about this kind of document".to_owned());
    };
    if let Some(reason) = beyond_rules(conflict.kind) {
        return before(reason.to_owned());
    }
    match conflict.sides.len() {
        0 => return before("it has no sides to choose from".to_owned()),
        1 => {
            let why = "everybody wrote the same".to_owned();
            let steps = vec![Step { rule: None, decided: true, why }];
            return Judgement { outcome: Outcome::Merged, steps, suggest: false };
        }
        _ => {}
    }
    if let Some(reason) = always_manual(policy, conflict) {
        return before(reason);
    }
    let mut judgement = Judgement { outcome: Outcome::Merged, steps: Vec::new(), suggest: false };
    let lists = lists(policy, conflict);
    let several = lists.len() > 1;
    for list in lists {
        let case = rules::Case { conflict, roles, order: list.order, uncertainty_ms: policy.clock_uncertainty_ms };
        let one = walk(list.rules, &case);
        let prefix = if several { format!("for {}: ", list.fields.join(" and ")) } else { String::new() };
        let steps = one.steps.into_iter().map(|step| Step { why: format!("{prefix}{}", step.why), ..step });
        judgement.steps.extend(steps);
        judgement.suggest |= one.suggest;
        if judgement.outcome == Outcome::Merged {
            judgement.outcome = match one.outcome {
                Outcome::Manual { reason } => Outcome::Manual { reason: format!("{prefix}{reason}") },
                other => other,
            };
        }
    }
    judgement
}

/// Asks the rules one after the other.
fn walk(rules: &[Rule], case: &rules::Case<'_>) -> Judgement {
    let mut steps = Vec::new();
    let mut suggest = false;
    for rule in rules {
        suggest |= *rule == Rule::Suggested;
        match case.ask(*rule) {
            Ok((outcome, why)) => {
                steps.push(Step { rule: Some(*rule), decided: true, why });
                return Judgement { outcome, steps, suggest };
            }
            Err(why) => steps.push(Step { rule: Some(*rule), decided: false, why }),
        }
    }
    let reason = if rules.is_empty() { "the policy gives no rule for this" } else { "no rule could decide" };
    Judgement { outcome: Outcome::Manual { reason: reason.to_owned() }, steps, suggest }
}

/// The judgement when no rule is asked at all.
fn before(reason: String) -> Judgement {
    let steps = vec![Step { rule: None, decided: true, why: reason.clone() }];
    Judgement { outcome: Outcome::Manual { reason }, steps, suggest: false }
}

/// Says why a person decides a kind of conflict under every policy.
const fn beyond_rules(kind: ConflictKind) -> Option<&'static str> {
    Some(match kind {
        ConflictKind::ConcurrentUpdate | ConflictKind::FieldGroup | ConflictKind::DeleteAgainstUpdate => return None,
        ConflictKind::ResolutionConflict => "people decided it differently, and no rule stands above them",
        ConflictKind::Duplicate => "whether two entries are one thing is for people to say",
        ConflictKind::Invariant => "a broken invariant says that something is wrong, and not what",
        ConflictKind::StaleDecision => "whoever chose the value has to look at it again",
        ConflictKind::ImplicitResolution => "several values were overwritten, and nobody said that it was meant",
        ConflictKind::Counter => "a rule cannot tell what a counter should be",
        ConflictKind::TextOverlap => "a rule cannot tell what a text should say",
        ConflictKind::HiddenEdit => "a rule cannot tell what to do with what was hidden",
    })
}

/// Looks for a value about which a person decides always.
fn always_manual(policy: &KindPolicy, conflict: &Conflict) -> Option<String> {
    let found = conflict.writes().filter_map(|write| {
        let field = &write.place.register()?.field;
        let value = write.value.as_ref()?;
        let listed = policy.field(field)?.always_manual.iter().any(|listed| same(listed, value));
        listed.then(|| format!("{field} = {} is always for a person", rules::show(value)))
    });
    // The least, so that the order of the sides does not matter.
    found.min()
}

/// Compares values as a policy means them: other applications write a whole number in several ways.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Int(left), Value::Uint(right)) => u64::try_from(*left) == Ok(*right),
        _ => left == right,
    }
}

/// Rules, and for which fields of the conflict they are.
struct List<'p> {
    fields: Vec<&'p str>,
    rules: &'p [Rule],
    order: &'p [String],
}

/// Gives the rules that have to agree: those of the field, or of each field of a group, equal ones once.
fn lists<'p>(policy: &'p KindPolicy, conflict: &'p Conflict) -> Vec<List<'p>> {
    let of = |field: &'p FieldName| List {
        fields: vec![field.as_str()],
        rules: policy.rules(field),
        order: policy.order(field),
    };
    match &conflict.subject {
        Subject::Place(Place::Field(register)) => vec![of(&register.field)],
        Subject::Fields { fields, .. } if !fields.is_empty() => {
            let mut lists: Vec<List<'p>> = Vec::new();
            for list in fields.iter().map(of) {
                match lists.iter_mut().find(|known| known.rules == list.rules && known.order == list.order) {
                    Some(known) => known.fields.extend(list.fields),
                    None => lists.push(list),
                }
            }
            lists
        }
        Subject::Entry(_) => {
            let life = policy.fields.iter().find(|(field, _)| field.as_str() == LIFE);
            let own = life.and_then(|(_, field)| field.rules.as_deref());
            let order = life.and_then(|(_, field)| field.order.as_deref());
            let order = order.unwrap_or(&policy.order);
            vec![List { fields: vec![LIFE], rules: own.unwrap_or(&policy.default), order }]
        }
        _ => vec![List { fields: Vec::new(), rules: &policy.default, order: &policy.order }],
    }
}
