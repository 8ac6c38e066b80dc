//! Where a merge is correct for the data structure but not for the people.
//!
//! Open conflicts are a pure function of the accepted changes and of the policy: equal heads give equal conflicts on every
//! peer, nothing about them is stored, and nothing here writes. What people answer is a change like any other.

mod conflict;
mod decision;
mod disagreement;

pub use conflict::{Base, Conflict, ConflictId, ConflictKind, InvalidConflictId, Place, Side, State, Subject, UnknownWord, Written};
pub use decision::{Choice, DecisionId, DecisionRecord, InvalidRecord, SuggestionShown};
pub use disagreement::{Disagreement, Side as DisagreementSide, disagreements};
