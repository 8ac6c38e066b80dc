//! Where a merge is correct for the data structure but not for the people.
//!
//! Open conflicts are a pure function of the accepted changes and of the policy: equal heads give equal conflicts on every
//! peer, nothing about them is stored, and nothing here writes. What people answer is a change like any other.

mod conflict;
mod decide;
mod decision;
mod detect;
mod disagreement;
mod foreign;
mod graph;
mod log;
mod plan;
pub mod policy;
mod review;
mod rollback;
mod rules;
mod standing;
pub mod suggest;
pub mod three_way;
mod whole;

pub use conflict::{
    Base, Conflict, ConflictId, ConflictKind, InvalidConflictId, Place, Side, State, Subject, UnknownWord, Written,
};
pub use decide::{Answer, CannotDecide, Note};
pub use decision::{Choice, DecisionId, DecisionRecord, InvalidRecord, SuggestionShown};
pub use detect::Declarations;
pub use disagreement::{Disagreement, Side as DisagreementSide, disagreements};
pub use plan::Ended;
pub use policy::{
    FieldPolicy, Invariant, Judgement, KindPolicy, Outcome, Policy, PolicyError, Roles, Rule, Step, Tally, Verdict,
    judge,
};
pub use review::{Brief, Review, Turn};
pub use rollback::{CannotRollBack, Rollback, TakenBack};
