//! What one message may still cost.

use comity_model::Limits;

use super::Cost;
use super::refusal::{Place, Quantity, Refusal};

// What taking in a message costs in memory, at the peak and with the snapshot that may follow. Measured with
// `examples/memory_cost.rs`: the worst of all kinds of messages, rounded up. Not limits but prices.

/// Bytes for an operation that is part of the document: its columns, indexes, admission.
const OPERATION_BYTES: u64 = 90;
/// Bytes besides for an operation that Automerge applies, for the moment of applying. Operations of a document chunk that
/// comes first are not applied but loaded. What a message holds is applied in slices, so not all of it counts.
const APPLIED_BYTES: u64 = 480;
/// Bytes for a change: header, graph, indexes of both by hash.
const CHANGE_BYTES: u64 = 950;
/// Bytes for a predecessor, a successor or a dependency.
const REFERENCE_BYTES: u64 = 24;
/// How often the inflated bytes stand in memory at once: received, inflated, decoded, applied, written, read back.
const INFLATED_COPIES: u64 = 7;

/// Counts what a message costs and refuses what goes over the limits.
pub(super) struct Budget<'l> {
    pub(super) limits: &'l Limits,
    pub(super) cost: Cost,
    received_bytes: u64,
    /// Operations of change chunks.
    applied: u64,
}

impl<'l> Budget<'l> {
    pub(super) fn new(limits: &'l Limits, received_bytes: usize) -> Self {
        Self { limits, cost: Cost::default(), received_bytes: received_bytes as u64, applied: 0 }
    }

    pub(super) fn take_chunk(&mut self, place: Place) -> Result<(), Refusal> {
        self.cost.chunks += 1;
        within(Quantity::Chunks, self.cost.chunks as u64, self.limits.chunks_max as u64, place)
    }

    pub(super) fn take_changes(&mut self, count: u64, place: Place) -> Result<(), Refusal> {
        self.cost.changes = self.cost.changes.saturating_add(count);
        within(Quantity::Changes, self.cost.changes, self.limits.chunks_max as u64, place)?;
        self.pay(place)
    }

    /// Refuses a further length that would not fit, without taking it.
    pub(super) fn has_room(&self, bytes: usize, place: Place) -> Result<(), Refusal> {
        let total = self.cost.inflated_bytes.saturating_add(bytes);
        within(Quantity::InflatedBytes, total as u64, self.limits.inflated_bytes_max as u64, place)?;
        within(Quantity::Price, self.price(total), self.allowance(), place)
    }

    pub(super) fn take_inflated(&mut self, bytes: usize, place: Place) -> Result<(), Refusal> {
        self.has_room(bytes, place)?;
        self.cost.inflated_bytes += bytes;
        self.pay(place)
    }

    /// Takes the operations of one change, which Automerge will apply.
    pub(super) fn take_change(&mut self, operations: u64, place: Place) -> Result<(), Refusal> {
        self.check_change(operations, place)?;
        self.applied = self.applied.saturating_add(operations);
        self.take_operations(operations, place)
    }

    /// Refuses a change with too many operations, also one that comes inside a document chunk: it must be possible to
    /// send it on by itself.
    pub(super) fn check_change(&self, operations: u64, place: Place) -> Result<(), Refusal> {
        within(Quantity::ChangeOperations, operations, self.limits.change_operations_max, place)
    }

    /// Takes operations of a document chunk.
    pub(super) fn take_operations(&mut self, operations: u64, place: Place) -> Result<(), Refusal> {
        self.cost.operations = self.cost.operations.saturating_add(operations);
        within(Quantity::MessageOperations, self.cost.operations, self.limits.message_operations_max, place)?;
        self.pay(place)
    }

    /// Takes predecessors, successors or dependencies, which are bounded like operations.
    pub(super) fn take_references(&mut self, count: u64, place: Place) -> Result<(), Refusal> {
        self.cost.references = self.cost.references.saturating_add(count);
        within(Quantity::References, self.cost.references, self.limits.message_operations_max, place)?;
        self.pay(place)
    }

    /// Works out the price with so many inflated bytes.
    fn price(&self, inflated_bytes: usize) -> u64 {
        let applied = self.applied.min(self.limits.change_operations_max).saturating_mul(APPLIED_BYTES);
        price(&Cost { inflated_bytes, ..self.cost }).saturating_add(applied)
    }

    fn allowance(&self) -> u64 {
        allowance(self.received_bytes, self.limits)
    }

    fn pay(&mut self, place: Place) -> Result<(), Refusal> {
        self.cost.price_bytes = self.price(self.cost.inflated_bytes);
        within(Quantity::Price, self.cost.price_bytes, self.allowance(), place)
    }
}

/// Works out what it takes to load so much, and to write it.
fn price(cost: &Cost) -> u64 {
    let parts = [
        (cost.operations, OPERATION_BYTES),
        (cost.changes, CHANGE_BYTES),
        (cost.references, REFERENCE_BYTES),
        (cost.inflated_bytes as u64, INFLATED_COPIES),
    ];
    parts.iter().fold(0, |sum: u64, (count, each)| sum.saturating_add(count.saturating_mul(*each)))
}

/// Gives the price that a message of this length may have.
fn allowance(received_bytes: u64, limits: &Limits) -> u64 {
    let paid = received_bytes.saturating_mul(limits.price_per_byte_max);
    limits.price_free_bytes_max.saturating_add(paid).min(limits.price_bytes_max)
}

/// Tells whether one message of this length may hold a document of this cost.
pub(crate) fn fits_whole(cost: &Cost, whole_bytes: usize, limits: &Limits) -> Result<(), Refusal> {
    // Who weighs stored chunks does not count references. An operation and a change have about one each.
    let about = cost.operations.saturating_add(cost.changes);
    let cost = Cost { references: cost.references.max(about), ..*cost };
    let place = Place { chunk: None, byte: 0, inflated: false };
    within(Quantity::Changes, cost.changes, limits.chunks_max as u64, place)?;
    within(Quantity::MessageOperations, cost.operations, limits.message_operations_max, place)?;
    within(Quantity::References, cost.references, limits.message_operations_max, place)?;
    within(Quantity::InflatedBytes, cost.inflated_bytes as u64, limits.inflated_bytes_max as u64, place)?;
    within(Quantity::Price, price(&cost), allowance(whole_bytes as u64, limits), place)
}

/// Refuses a value above its limit.
pub(super) fn within(quantity: Quantity, value: u64, limit: u64, place: Place) -> Result<(), Refusal> {
    if value <= limit { Ok(()) } else { Err(Refusal::OverLimit { quantity, value, limit, place }) }
}
