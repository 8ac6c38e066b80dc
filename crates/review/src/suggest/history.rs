//! The decisions of a space, as what to learn from.

use std::collections::{BTreeMap, BTreeSet};

use comity_model::{ChangeHash, HybridTime};

use super::case::Decided;
use super::extract::{Setting, case, kept};
use super::model::Model;
use crate::{DecisionId, DecisionRecord, Review, SuggestionShown};

/// All that one change decided.
#[derive(Clone, Debug, PartialEq)]
pub struct PastAct {
    /// When, in hybrid time: never before anything that its author had seen.
    pub time: HybridTime,
    /// The change.
    pub change: ChangeHash,
    /// What was decided in it, by the ids of the decisions.
    pub decided: Vec<Decided>,
    /// Whether suggestions were shown. Before, when one of its decisions says so.
    pub shown: SuggestionShown,
}

/// Lists what was decided in a document, in the order in which it is to be learned.
///
/// Decisions that another one took the place of are left out, undone ones too: the last word counts.
pub fn past_acts(review: &Review, setting: &Setting<'_>) -> Vec<PastAct> {
    let all = || review.decisions().flat_map(|id| review.decision(id).map(move |found| (id, found)));
    let superseded: BTreeSet<&DecisionId> = all().flat_map(|(_, (record, ..))| &record.supersedes).collect();
    let mut acts: BTreeMap<(HybridTime, ChangeHash), PastAct> = BTreeMap::new();
    for (id, (record, change, act)) in all() {
        let (Some(act), false) = (act, superseded.contains(id)) else { continue };
        let Some(decided) = decided(review, record, setting) else { continue };
        let fresh = || PastAct { time: act.time, change, decided: Vec::new(), shown: record.suggestion };
        let past = acts.entry((act.time, change)).or_insert_with(fresh);
        past.decided.push(decided);
        if record.suggestion == SuggestionShown::Before {
            past.shown = SuggestionShown::Before;
        }
    }
    acts.into_values().collect()
}

fn decided(review: &Review, record: &DecisionRecord, setting: &Setting<'_>) -> Option<Decided> {
    let conflict = review.conflict(record.conflict)?;
    let case = case(&conflict, setting)?;
    let kept = kept(&case, &conflict, record)?;
    Some(Decided { case, kept })
}

impl Model {
    /// Learns from the acts of any number of documents of one space, given in any order.
    pub fn of(mut acts: Vec<PastAct>) -> Self {
        // The order of hybrid time, equal ones by change: the same on every device that has the same documents.
        acts.sort_by_key(|act| (act.time, act.change));
        acts.dedup_by(|a, b| a.change == b.change);
        let mut model = Self::new();
        for act in &acts {
            model.learn(&act.decided, act.shown);
        }
        model
    }
}
