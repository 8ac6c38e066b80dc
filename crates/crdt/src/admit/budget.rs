//! What one message may still cost.

use comity_model::Limits;

use super::Cost;
use super::refusal::{Place, Quantity, Refusal};

/// Counts what a message costs and refuses what goes over the limits.
pub(super) struct Budget<'l> {
    pub(super) limits: &'l Limits,
    pub(super) cost: Cost,
    received_bytes: u64,
    changes: u64,
    references: u64,
}

impl<'l> Budget<'l> {
    pub(super) fn new(limits: &'l Limits, received_bytes: usize) -> Self {
        Self { limits, cost: Cost::default(), received_bytes: received_bytes as u64, changes: 0, references: 0 }
    }

    pub(super) fn take_chunk(&mut self, place: Place) -> Result<(), Refusal> {
        self.cost.chunks += 1;
        within(Quantity::Chunks, self.cost.chunks as u64, self.limits.chunks_max as u64, place)
    }

    pub(super) fn take_changes(&mut self, count: u64, place: Place) -> Result<(), Refusal> {
        self.changes = self.changes.saturating_add(count);
        within(Quantity::Changes, self.changes, self.limits.chunks_max as u64, place)
    }

    /// Refuses a further length that would not fit, without taking it.
    pub(super) fn has_room(&self, bytes: usize, place: Place) -> Result<(), Refusal> {
        let total = self.cost.inflated_bytes.saturating_add(bytes);
        within(Quantity::InflatedBytes, total as u64, self.limits.inflated_bytes_max as u64, place)
    }

    pub(super) fn take_inflated(&mut self, bytes: usize, place: Place) -> Result<(), Refusal> {
        self.has_room(bytes, place)?;
        self.cost.inflated_bytes += bytes;
        Ok(())
    }

    /// Takes the operations of one change.
    pub(super) fn take_change(&mut self, operations: u64, place: Place) -> Result<(), Refusal> {
        within(Quantity::ChangeOperations, operations, self.limits.change_operations_max, place)?;
        self.take_operations(operations, place)
    }

    /// Takes operations of a document chunk.
    pub(super) fn take_operations(&mut self, operations: u64, place: Place) -> Result<(), Refusal> {
        self.cost.operations = self.cost.operations.saturating_add(operations);
        within(Quantity::MessageOperations, self.cost.operations, self.limits.message_operations_max, place)?;
        let dense = self.received_bytes.saturating_mul(self.limits.operations_per_byte_max);
        let limit = self.limits.operations_free_max.saturating_add(dense);
        within(Quantity::Density, self.cost.operations, limit, place)
    }

    /// Takes predecessors or successors, which are bounded like operations.
    pub(super) fn take_references(&mut self, count: u64, place: Place) -> Result<(), Refusal> {
        self.references = self.references.saturating_add(count);
        let dense = self.received_bytes.saturating_mul(self.limits.operations_per_byte_max);
        let limit = self.limits.operations_free_max.saturating_add(dense).min(self.limits.message_operations_max);
        within(Quantity::References, self.references, limit, place)
    }
}

/// Refuses a value above its limit.
pub(super) fn within(quantity: Quantity, value: u64, limit: u64, place: Place) -> Result<(), Refusal> {
    if value <= limit { Ok(()) } else { Err(Refusal::OverLimit { quantity, value, limit, place }) }
}
