//! Makes a failing plan smaller.

use crate::{Failure, Plan, Sabotage, carry_out};

/// Takes steps out of a failing plan as long as it still fails in the same way, first many at once, then one by one.
/// Gives the smallest plan found and its failure; `None` when the plan does not fail.
pub fn shrink(plan: &Plan, sabotage: Option<Sabotage>) -> Option<(Plan, Failure)> {
    let mut failure = carry_out(plan, sabotage).err()?;
    let mut plan = plan.clone();
    let mut size = plan.steps.len().div_ceil(2);
    loop {
        let mut at = 0;
        let before = plan.steps.len();
        while at < plan.steps.len() {
            let mut smaller = plan.clone();
            smaller.steps.drain(at..(at + size).min(plan.steps.len()));
            match carry_out(&smaller, sabotage) {
                Err(still) if is_alike(&still, &failure) => (plan, failure) = (smaller, still),
                _ => at += size,
            }
        }
        if size > 1 {
            size = size.div_ceil(2);
        } else if plan.steps.len() == before {
            return Some((plan, failure));
        }
    }
}

/// Whether two failures break the same promise.
fn is_alike(one: &Failure, other: &Failure) -> bool {
    std::mem::discriminant(&*one.violation) == std::mem::discriminant(&*other.violation)
}
