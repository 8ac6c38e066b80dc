//! How a conflict stands: what was decided about it, and whether that holds still.

use std::collections::BTreeSet;

use comity_crdt::OpId;
use comity_model::RegisterKey;

use crate::decision::Choice;
use crate::detect::Found;
use crate::graph::ChangeIx;
use crate::log::Decided;
use crate::review::Stands;
use crate::{ConflictId, ConflictKind, DecisionId, Place, Review, State, Subject};

impl Review {
    pub(crate) fn stands(&self, id: ConflictId) -> Option<Stands> {
        match self.found(id) {
            Some(found) => {
                Some(Stands { kind: found.kind, subject: found.subject.clone(), state: self.state_of(found) })
            }
            None => {
                let state = self.state_of_past(id)?;
                let record = &self.active(id).next()?.record;
                let subject = Subject::parse(record.kind, &record.subject)?;
                Some(Stands { kind: record.kind, subject, state })
            }
        }
    }

    /// Lists the decisions about a conflict that no other took the place of. A record whose parts do not make the name of
    /// its conflict is not about it.
    pub(crate) fn active(&self, id: ConflictId) -> impl Iterator<Item = &Decided> {
        self.named_active(id).map(|(_, decided)| decided)
    }

    fn named_active(&self, id: ConflictId) -> impl Iterator<Item = (&DecisionId, &Decided)> {
        let ids = self.records.by_conflict.get(&id).into_iter().flatten();
        let all = ids.filter_map(|decision| Some((decision, self.log.decisions.get(decision)?)));
        let each = all.flat_map(|(decision, decided)| decided.iter().map(move |one| (decision, one)));
        each.filter(move |(decision, one)| {
            let superseded = self.records.superseded.get(*decision);
            one.record.conflict == id
                && one.record.is_sound()
                && !superseded.is_some_and(|changes| changes.contains(&one.change))
        })
    }

    /// Lists the decisions about a conflict that stand, by id.
    pub(crate) fn standing(&self, id: ConflictId) -> Vec<DecisionId> {
        let mut standing: Vec<DecisionId> = self.named_active(id).map(|(decision, _)| decision.clone()).collect();
        standing.dedup();
        standing
    }

    /// Lists those of them that closed it without writing anything.
    pub(crate) fn closing(&self, id: ConflictId) -> Vec<DecisionId> {
        let closes = |decision: &DecisionId| {
            let decided = self.log.decisions.get(decision).into_iter().flatten();
            decided
                .into_iter()
                .any(|one| matches!(one.record.choice, Choice::Dismissed | Choice::Confirmed | Choice::Linked))
        };
        self.standing(id).into_iter().filter(closes).collect()
    }

    fn has(&self, id: ConflictId, choices: &[Choice]) -> bool {
        self.active(id).any(|decided| choices.contains(&decided.record.choice))
    }

    fn state_of(&self, found: &Found) -> State {
        let id = found.id;
        if self.has(id, &[Choice::Confirmed, Choice::Linked]) {
            State::Resolved
        } else if self.has(id, &[Choice::Dismissed]) {
            State::Dismissed
        } else if found.is_agreement {
            State::Agreed
        } else if found.kind != ConflictKind::ResolutionConflict
            && (self.has(id, &[Choice::Reopened]) || self.reopens(found).is_some())
        {
            State::Reopened
        } else {
            State::Open
        }
    }

    /// Gives how a conflict stands that is no longer found: somebody wrote over it.
    fn state_of_past(&self, id: ConflictId) -> Option<State> {
        let is_undone = |decided: &Decided| decided.record.choice == Choice::Undone && self.still_stands(decided);
        if self.active(id).any(is_undone) {
            return Some(State::Reopened);
        }
        let answers = [Choice::Current, Choice::Accept, Choice::Merged, Choice::RolledBack];
        let decided: Vec<&Decided> = self.active(id).filter(|one| answers.contains(&one.record.choice)).collect();
        if !decided.is_empty() {
            let waits = decided.iter().any(|one| self.needs_second(one) && !self.is_approved(id, one));
            return Some(if waits { State::NeedsSecondReviewer } else { State::Resolved });
        }
        if self.has(id, &[Choice::Confirmed, Choice::Linked]) {
            return Some(State::Resolved);
        }
        self.has(id, &[Choice::Dismissed]).then_some(State::Dismissed)
    }

    /// Whether what a decision wrote stands still, at least in one register.
    fn still_stands(&self, decided: &Decided) -> bool {
        decided.record.writes.iter().any(|(register, _)| {
            let cell = self.log.cell(&Place::Field(register.clone()));
            cell.is_some_and(|cell| cell.live().any(|write| write.change == decided.change))
        })
    }

    fn needs_second(&self, decided: &Decided) -> bool {
        let needs = |field| self.declared.second_reviewer.contains(field);
        decided.record.writes.iter().any(|(register, _)| needs(&register.field)) && self.still_stands(decided)
    }

    fn is_approved(&self, id: ConflictId, decided: &Decided) -> bool {
        let device = |one: &Decided| self.log.graph.actor_id(self.log.graph.node(one.change).actor).device();
        self.active(id).any(|other| {
            other.record.choice == Choice::Approved
                && device(other) != device(decided)
                && self.log.graph.sees(other.change, decided.change)
        })
    }

    /// Gives the conflict whose answer a later write has overtaken.
    pub(crate) fn reopens(&self, found: &Found) -> Option<ConflictId> {
        if found.kind == ConflictKind::ImplicitResolution {
            return None;
        }
        let sides = || found.sides.iter().flatten();
        let changes: BTreeSet<ChangeIx> = sides().filter_map(|at| Some(self.log.at(at)?.change)).collect();
        let mut deciding =
            changes.iter().filter_map(|change| Some((*change, self.log.deciding.get(change)?))).peekable();
        if deciding.peek().is_some() {
            let registers: BTreeSet<&RegisterKey> = sides().filter_map(|at| at.place.register()).collect();
            let answers = deciding.flat_map(|(change, ids)| {
                let all = ids.iter().filter_map(|id| self.log.decisions.get(id)).flatten();
                all.filter(move |decided| decided.change == change)
            });
            let about_this = |decided: &&Decided| {
                decided.record.conflict != found.id
                    && decided.record.writes.iter().any(|(register, _)| registers.contains(register))
            };
            if let Some(decided) = answers.filter(about_this).max_by_key(|decided| decided.record.conflict) {
                return Some(decided.record.conflict);
            }
        }
        let same = self.records.by_subject.get(&found.subject.to_string())?.iter().filter(|id| **id != found.id);
        let ops: BTreeSet<OpId> = found.sides.iter().flatten().filter_map(|at| self.log.op_of(at)).collect();
        let is_closed = |decided: &Decided| {
            let record = &decided.record;
            let closes = [Choice::Dismissed, Choice::Confirmed, Choice::Linked];
            record.kind == found.kind
                && closes.contains(&record.choice)
                // Of a rule, nothing need be left of what once broke it.
                && (found.kind == ConflictKind::Invariant || record.against.iter().any(|op| ops.contains(op)))
        };
        same.filter(|id| self.active(**id).any(is_closed)).max().copied()
    }
}
