//! Taking in a change by writing it once more.
//!
//! To apply a change, Automerge walks over all operations of the object that stand before the changed key; to write one, it
//! looks the key up. So a change that would come out of a transaction made here, just as it came from its author, is
//! written under its author's name, and costs the same in a document of any size. That it will come out the same is known
//! beforehand ([`Plan`]): it builds on all that is here, gets the number that it has, and all its operations write or remove
//! plain values in maps, knowing all that stands there. Whatever else there is, changes made at the same time above all,
//! is applied as ever.
//!
//! Should one come out otherwise in spite of that, then what is in memory is nobody's document: it is thrown away, and the
//! same message is received again on the one that is loaded. There it is applied, for nothing is written in this way
//! before a first message was taken in without.

mod plan;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{Automerge, AutomergeError, Change, ChangeHash};

use crate::{Document, ReceiveError};
use plan::{Plan, Transaction};

/// Most operations that are written: several changes that came together, or rows of a table. More of them are an import,
/// or what was written offline, for which nobody waits key by key.
const OPERATIONS_MAX: usize = 256;

/// So many operations Automerge walks over in the time in which it writes one, or begins and ends a transaction, with some to
/// spare. With fewer for each in the document, a change is applied about as fast as it is written: measured, one of one
/// operation in a document of 100, one of 25 in one of 1,500 and ten of one in one of 1,000. In tests no document is too
/// small.
const WALKED_OPERATIONS: usize = if cfg!(test) { 0 } else { 100 };

/// What a document keeps to know whether a change can be written.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Whether a message was taken in since the document was made or loaded.
    is_open: bool,
    /// At these heads…
    heads: Vec<ChangeHash>,
    /// … no operation had a greater number.
    newest: u64,
    /// Counts the changes that were written.
    #[cfg(test)]
    pub(crate) written: usize,
}

impl Replay {
    /// Takes note that a message was taken in.
    pub(crate) fn open(&mut self) {
        self.is_open = true;
    }

    /// Gives the greatest number of an operation. The cost follows what was added since it was last asked for.
    fn newest(&mut self, inner: &Automerge) -> u64 {
        let heads = inner.get_heads();
        if heads != self.heads {
            let added = inner.get_changes_meta(&self.heads);
            self.newest = added.iter().map(|change| change.max_op).fold(self.newest, u64::max);
            self.heads = heads;
        }
        self.newest
    }
}

impl Document {
    /// Writes changes in place of applying them, each after what it depends on. False when that cannot be or would not pay;
    /// nothing has happened then.
    pub(crate) fn replay(&mut self, changes: &[Change]) -> Result<bool, ReceiveError> {
        let operations = changes.iter().map(Change::len).sum::<usize>();
        let pays = (operations + changes.len()).saturating_mul(WALKED_OPERATIONS) <= self.operation_count();
        // The first of them must name all heads; to count them is cheap, and among thousands it says nearly always no.
        let may_fit = changes.first().is_some_and(|first| first.deps().len() >= self.heads.as_slice().len());
        if !self.replay.is_open || operations > OPERATIONS_MAX || !pays || !may_fit {
            return Ok(false);
        }
        let actor = self.inner.get_actor().clone();
        let plan = self.plan(changes);
        let done = plan.map(|plan| (plan.newest, self.guarded("replay", |inner| carry_out(inner, plan.transactions))));
        let is_same = match done {
            None => false,
            Some((newest, Ok(Ok(true)))) => {
                (self.replay.heads, self.replay.newest) = (self.inner.get_heads(), newest);
                #[cfg(test)]
                {
                    self.replay.written += changes.len();
                }
                true
            }
            Some((_, outcome)) => {
                tracing::error!(heads = %self.heads, ?outcome, "a change came out otherwise than it came in");
                self.discard();
                return Err(ReceiveError::Waited);
            }
        };
        self.inner.set_actor(actor);
        Ok(is_same)
    }

    /// Draws up a plan. Automerge may panic over what stands in the document, but nothing is changed.
    fn plan(&mut self, changes: &[Change]) -> Option<Plan> {
        let (inner, replay) = (&mut self.inner, &mut self.replay);
        let draw = || Plan::draw(inner, replay.newest(inner), changes);
        catch_unwind(AssertUnwindSafe(draw)).unwrap_or(None)
    }
}

/// Makes the transactions; false when one comes out otherwise.
fn carry_out(inner: &mut Automerge, transactions: Vec<Transaction>) -> Result<bool, AutomergeError> {
    for planned in transactions {
        let mut transaction = inner.set_actor(planned.actor).transaction();
        for write in planned.writes {
            match write.value {
                Some(value) => transaction.put(&write.object, write.key, value)?,
                None => transaction.delete(&write.object, write.key)?,
            }
        }
        let mut options = CommitOptions::default().with_time(planned.time_s);
        options.message = planned.message;
        let written = transaction.commit_with(options).0;
        #[cfg(test)]
        let written = tests::meddle(written);
        if written != Some(planned.hash) {
            return Ok(false);
        }
    }
    Ok(true)
}
