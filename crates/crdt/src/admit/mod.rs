//! The only door for foreign bytes.
//!
//! Automerge trusts what it reads: ten bytes of a sync message make it divide by zero, fifteen make it allocate
//! 16 GB, a change of a hundred bytes grows to gigabytes, and damaged columns with right checksums panic in many
//! places. So nothing from outside reaches it but through here: received bytes → [`Admitted`] → applied.
//!
//! Admission reads the message itself, bounds every count before anything is allocated for it, inflates under a
//! budget, counts operations from their run lengths, and then reads every row once, without keeping it: ids, order,
//! values, references. It accepts only the one form that Automerge writes, because Automerge writes changes anew
//! when it saves them, and their hashes must come out the same.
//!
//! What it cannot know is the document that a change is for: a change may still name an object or an element that is
//! not there. So applying stays behind `catch_unwind` all the same.

mod budget;
mod change;
mod change_rows;
mod chunk;
mod columns;
mod document;
mod document_rows;
mod inflate;
mod message;
mod reader;
mod refusal;
mod rows;
mod runs;
mod weigh;

use automerge::sync::{Message, MessageFlags};
use comity_model::{ChangeHash, Heads, Limits};

use budget::Budget;
pub(crate) use budget::fits_whole;
use reader::Reader;
pub use refusal::{ColumnFault, Place, Quantity, Refusal, RowFault};
pub(crate) use weigh::{unlimited, weigh};

/// What admitted bytes cost to apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Operations, deletions included.
    pub operations: u64,
    /// Bytes of the chunks when inflated, and of names that stand once for many operations.
    pub inflated_bytes: usize,
    /// Bytes of memory, at the peak, by estimate.
    pub price_bytes: u64,
    /// Chunks.
    pub chunks: usize,
    /// Changes, those inside document chunks included.
    pub changes: u64,
    /// Predecessors, successors and dependencies.
    pub references: u64,
}

impl Cost {
    /// Adds up what two things cost, one after the other.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self {
            operations: self.operations.saturating_add(other.operations),
            inflated_bytes: self.inflated_bytes.saturating_add(other.inflated_bytes),
            price_bytes: self.price_bytes.saturating_add(other.price_bytes),
            chunks: self.chunks.saturating_add(other.chunks),
            changes: self.changes.saturating_add(other.changes),
            references: self.references.saturating_add(other.references),
        }
    }
}

/// A sync message that passed admission: the only thing that can be received.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub(crate) message: Message,
    pub(crate) cost: Cost,
}

impl Admitted {
    /// Makes one message of several that a peer sent one after the other, as if it had sent all changes with the last.
    /// `None` when there are none. One whose heads are empty means more than that, and is not to be among them.
    pub fn joined(messages: impl Iterator<Item = Self>) -> Option<Self> {
        let (mut changes, mut cost) = (Vec::new(), Cost::default());
        let (mut last, mut flags): (Option<Message>, Option<MessageFlags>) = (None, None);
        for Self { mut message, cost: of_message } in messages {
            changes.extend(message.changes.iter().map(<[u8]>::to_vec));
            cost = cost.plus(&of_message);
            let starts_over = flags.is_some_and(|flags| flags.contains(MessageFlags::SYNC_RESET));
            flags = message.flags.take().or(flags);
            if let Some(flags) = flags.as_mut().filter(|_| starts_over) {
                flags.set(MessageFlags::SYNC_RESET);
            }
            last = Some(message);
        }
        Some(Self { message: Message { changes: changes.into(), flags, ..last? }, cost })
    }

    /// Tells whether its sender says what it understands, as all but old clients do.
    pub fn says_what_it_can(&self) -> bool {
        self.message.flags.is_some()
    }

    /// Tells whether the message brings changes.
    pub fn has_changes(&self) -> bool {
        !self.message.changes.is_empty()
    }

    /// Gives the heads that the sender says it has.
    pub fn heads(&self) -> Heads {
        self.message.heads.iter().map(|hash| ChangeHash(hash.0)).collect()
    }

    /// Gives what the message costs to apply.
    pub fn cost(&self) -> Cost {
        self.cost
    }
}

/// A saved document, or changes one after the other, that passed admission.
#[derive(Clone, Debug)]
pub struct AdmittedDocument {
    pub(crate) bytes: Vec<u8>,
    pub(crate) cost: Cost,
}

impl AdmittedDocument {
    /// Gives the bytes that were admitted.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives what the document costs to load.
    pub fn cost(&self) -> Cost {
        self.cost
    }
}

/// Admits a sync message, or says why not.
///
/// Besides the plain limits, a message has a price: the memory that taking it in costs, by estimate. It may not exceed
/// `price_free_bytes_max` plus `price_per_byte_max` for each byte received, nor `price_bytes_max`: what run lengths and
/// deflate make of a few bytes costs the receiver as much as what was typed by hand.
///
/// # Errors
/// A [`Refusal`] that names what is wrong, where, and the limit if one is exceeded.
///
/// ```
/// use comity_crdt::{admit, Refusal};
/// use comity_model::Limits;
///
/// // A Bloom filter with one entry and no bits, at which Automerge would divide by zero.
/// let message = [0x42, 0, 0, 1, 0, 3, 1, 0, 7, 0];
/// assert!(matches!(admit(&message, &Limits::default()), Err(Refusal::BloomParameters { .. })));
/// ```
pub fn admit(received: &[u8], limits: &Limits) -> Result<Admitted, Refusal> {
    let mut budget = Budget::new(limits, received.len());
    let message = message::read_message(received, &mut budget)?;
    Ok(Admitted { message, cost: budget.cost })
}

/// Admits a saved document: a document chunk, change chunks, or both one after the other.
///
/// # Errors
/// A [`Refusal`], as in [`admit`].
pub fn admit_document(received: &[u8], limits: &Limits) -> Result<AdmittedDocument, Refusal> {
    let mut budget = Budget::new(limits, received.len());
    chunk::check_chunks(Reader::message(received), &mut budget)?;
    Ok(AdmittedDocument { bytes: received.to_vec(), cost: budget.cost })
}

#[cfg(test)]
pub(crate) mod tests;
