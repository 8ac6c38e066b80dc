//! Suggestions: what people will probably choose, learned offline from what they chose before, and why.
//!
//! They annotate and never decide. A [`Model`] learns from one space's own decisions, as long as these were made without
//! seeing a suggestion, and says nothing before it has shown, on decisions that it had not yet learned from, that it is
//! better than the base rate. [`Case`] says what it looks at, [`Evaluation`] how it is measured.

mod case;
mod extract;
mod feature;
mod history;
mod model;
mod number;
mod record;
mod regression;
mod score;
mod table;
mod words;

pub use case::{Author, Candidate, Case, Decided, Kept, Role};
pub use extract::{Setting, case, kept};
pub use feature::Feature;
pub use history::{PastAct, past_acts};
pub use model::{Ablation, Abstention, CONFIDENCE_MIN, Learned, Model, Suggestion, ablate};
pub use score::{ACTS_MIN, Bin, Evaluation, Interval};
pub use words::{Flip, Term};
