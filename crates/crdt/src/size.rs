//! How large a document may become.
//!
//! A document that no message could hold would never reach a new peer. So what bounds messages bounds documents too, on top
//! of two plain counts. To write a document and look at it is dear, so its cost is kept up to date by estimate, from what
//! was added, and looked at anew only when the estimate goes over a bound.

use automerge::ReadDoc;
use comity_model::Limits;

use crate::admit::{Cost, admit_document, fits_whole};
use crate::{Document, Refusal};

/// What a document costs a peer that receives the whole of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    /// The cost of the whole when it was last looked at, and of all that was added since.
    pub(crate) cost: Cost,
    /// Bytes of the whole when it was last looked at: what is long may cost more. 0 when it never was.
    pub(crate) whole_bytes: usize,
    /// It was looked at, and nothing was added since.
    is_exact: bool,
}

impl Size {
    /// The size of a document that is stored as these bytes.
    pub(crate) fn of(cost: Cost, whole_bytes: usize) -> Self {
        Self { cost, whole_bytes, is_exact: false }
    }

    /// Takes note of something that was added.
    pub(crate) fn add(&mut self, cost: &Cost) {
        self.cost = self.cost.plus(cost);
        self.is_exact = false;
    }
}

/// Says that a document would hold too much.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TooLarge {
    /// It is counted.
    #[error(
        "the document would have {actual} {what}, {max} are allowed: begin another one, or raise `{limit}` wherever it is"
    )]
    Count {
        /// What there would be too much of.
        what: &'static str,
        /// How many it would have.
        actual: u64,
        /// The bound.
        max: u64,
        /// Which of the limits that is.
        limit: &'static str,
    },
    /// No message could hold it.
    #[error("the document would become too large to be sent to anybody: begin another one ({0})")]
    Whole(Refusal),
}

impl Document {
    /// Refuses more than the document has room for.
    pub(crate) fn check_room(&mut self, more: &Cost, limits: &Limits) -> Result<(), TooLarge> {
        self.check_counts(more, limits)?;
        self.check_whole(more, limits)
    }

    /// Refuses more operations and changes than a document may hold.
    pub(crate) fn check_counts(&self, more: &Cost, limits: &Limits) -> Result<(), TooLarge> {
        let stats = self.inner.stats();
        let (operations, changes) = (stats.num_ops, stats.num_changes);
        within("operations", operations + more.operations, limits.document_operations_max, "document_operations_max")?;
        within("changes", changes + more.changes, limits.document_changes_max, "document_changes_max")
    }

    /// Refuses more actors than a message may name, and more heads than a message may list or a change depend on. Only what
    /// has been applied shows them.
    pub(crate) fn check_breadth(&self, limits: &Limits) -> Result<(), TooLarge> {
        let heads = self.heads.as_slice().len() as u64;
        within("actors", self.inner.stats().num_actors, limits.chunk_actors_max as u64, "chunk_actors_max")?;
        within("heads", heads, limits.hashes_max as u64, "hashes_max")?;
        within("heads", heads, limits.dependencies_max as u64, "dependencies_max")
    }

    /// Refuses a document that no message could hold, with so much more in it.
    fn check_whole(&mut self, more: &Cost, limits: &Limits) -> Result<(), TooLarge> {
        let fits = |size: &Size| fits_whole(&size.cost.plus(more), size.whole_bytes, limits).map_err(TooLarge::Whole);
        let by_estimate = fits(&self.size);
        if by_estimate.is_ok() || self.size.is_exact {
            return by_estimate;
        }
        // One that cannot be written, because the store lost a part of it, is judged by the estimate.
        let Some(whole) = self.save() else { return by_estimate };
        // Whatever comes of it, it is not written again before something is added.
        self.size.is_exact = true;
        let admitted = admit_document(&whole, limits).map_err(TooLarge::Whole)?;
        self.size = Size { cost: admitted.cost(), whole_bytes: whole.len(), is_exact: true };
        fits(&self.size)
    }
}

fn within(what: &'static str, actual: u64, max: u64, limit: &'static str) -> Result<(), TooLarge> {
    if actual <= max { Ok(()) } else { Err(TooLarge::Count { what, actual, max, limit }) }
}
