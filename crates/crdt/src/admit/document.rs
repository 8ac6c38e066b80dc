//! Document chunks: actors, heads, a table of changes and a table of operations.

use super::budget::{Budget, within};
use super::change::{read_actor, read_hashes};
use super::columns::{Columns, Known, Layout};
use super::document_rows::{COLUMNS as OPERATION_COLUMNS, check_operations};
use super::reader::Reader;
use super::refusal::{Place, Quantity, Refusal, RowFault};
use super::rows::{Id, Values};
use super::runs::{Cursor, DeltaCursor, count_rows, sum_rows};

pub(super) const ACTOR: u64 = 0x01;
const SEQUENCE: u64 = 0x03;
const LAST_OPERATION: u64 = 0x13;
const TIME: u64 = 0x23;
const MESSAGE: u64 = 0x35;
const DEPENDENCY_COUNT: u64 = 0x40;
const DEPENDENCY: u64 = 0x43;
const EXTRA_METADATA: u64 = 0x56;
const EXTRA: u64 = 0x57;

pub(super) const CHANGE_COLUMNS: &[Known] = &[
    (ACTOR, "change actor"),
    (SEQUENCE, "change sequence"),
    (LAST_OPERATION, "change last operation"),
    (TIME, "change time"),
    (MESSAGE, "change message"),
    (DEPENDENCY_COUNT, "change dependency count"),
    (DEPENDENCY, "change dependency"),
    (EXTRA_METADATA, "change extra metadata"),
    (EXTRA, "change extra"),
];

/// Metadata of the extra bytes of a change: type `bytes`.
const BYTES: u64 = 7;

/// The operation numbers that belong to one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) actor: u32,
    pub(super) first: u32,
    pub(super) last: u32,
}

/// The changes of a document, by actor and number.
pub(super) struct Spans(Vec<Span>);

impl Spans {
    /// Gives the spans, ascending by actor and number.
    pub(super) fn as_slice(&self) -> &[Span] {
        &self.0
    }

    /// Tells whether an operation's id belongs to a change.
    pub(super) fn contain(&self, id: Id) -> bool {
        let behind = self.0.partition_point(|span| (span.actor, span.first) <= (id.actor, id.counter));
        let span = behind.checked_sub(1).and_then(|index| self.0.get(index));
        span.is_some_and(|span| span.actor == id.actor && id.counter <= span.last)
    }
}

/// Checks the body of a document chunk.
pub(super) fn check_document(mut reader: Reader<'_>, chunk: Place, budget: &mut Budget<'_>) -> Result<(), Refusal> {
    let actors = read_actors(&mut reader, budget)?;
    let heads = read_hashes(&mut reader, Quantity::Hashes, budget.limits.hashes_max)?.len();
    let change_layout = Layout::read(&mut reader, CHANGE_COLUMNS, true)?;
    let operation_layout = Layout::read(&mut reader, OPERATION_COLUMNS, true)?;
    let changes = change_layout.take(&mut reader, budget)?;
    let operations = operation_layout.take(&mut reader, budget)?;
    let actor = changes.get(ACTOR);
    let count = count_rows(actor)?;
    budget.take_changes(count, actor.place())?;
    if actors > count {
        // Automerge has a table of authors as long as there are changes, indexes it by actor, and panics.
        return Err(Refusal::Header { what: "number of actors", value: actors, place: chunk });
    }
    // Old JavaScript versions wrote no index of the heads.
    if !reader.is_empty() {
        for _ in 0..heads {
            let place = reader.place();
            let index = reader.unsigned("index of a head")?;
            if index >= count {
                return Err(Refusal::Header { what: "index of a head", value: index, place });
            }
        }
    }
    reader.finish()?;
    let spans = check_changes(&changes, count, actors, chunk, budget)?;
    check_operations(&operations, &spans, actors, chunk, budget)
}

/// Reads the actors, which are in ascending order, and gives their number.
fn read_actors(reader: &mut Reader<'_>, budget: &Budget<'_>) -> Result<u64, Refusal> {
    let place = reader.place();
    let count = reader.unsigned("number of actors")?;
    within(Quantity::Actors, count, budget.limits.chunk_actors_max as u64, place)?;
    let mut previous = None;
    for index in 0..count {
        let place = reader.place();
        let actor = read_actor(reader)?;
        if previous.is_some_and(|previous| previous >= actor) {
            return Err(Refusal::Header { what: "order of the actors", value: index, place });
        }
        previous = Some(actor);
    }
    Ok(count)
}

/// What the changes seen so far say of an actor.
#[derive(Clone, Copy, Default)]
struct Author {
    sequence: u32,
    last: u32,
}

fn check_changes(
    columns: &Columns<'_>,
    count: u64,
    actors: u64,
    chunk: Place,
    budget: &mut Budget<'_>,
) -> Result<Spans, Refusal> {
    let dependency_count = columns.get(DEPENDENCY_COUNT);
    budget.take_references(sum_rows(dependency_count)?, dependency_count.place())?;
    let mut actor = Cursor::<u64>::new(columns.get(ACTOR));
    let mut sequence = DeltaCursor::new(columns.get(SEQUENCE));
    let mut last_operation = DeltaCursor::new(columns.get(LAST_OPERATION));
    let mut time = DeltaCursor::new(columns.get(TIME));
    let mut message = Cursor::<&str>::new(columns.get(MESSAGE));
    let mut dependency_count = Cursor::<u64>::new(dependency_count);
    let mut dependency = DeltaCursor::new(columns.get(DEPENDENCY));
    let mut extra = Values::new(columns.get(EXTRA_METADATA), columns.get(EXTRA).reader);

    let mut authors = vec![Author::default(); usize::try_from(actors).unwrap_or_default()];
    let mut lasts: Vec<u32> = Vec::new();
    let mut spans = Vec::new();
    for row in 0..count {
        let fault = |fault| Refusal::Row { table: "changes", row, fault, place: chunk };
        let index = actor.required()?;
        let author = usize::try_from(index).ok().and_then(|index| authors.get_mut(index));
        let author = author.ok_or_else(|| fault(RowFault::Id))?;
        let (seq, last) = (sequence.required()?, last_operation.required()?);
        if Some(seq) != author.sequence.checked_add(1) {
            return Err(fault(RowFault::Sequence));
        }
        time.next()?;
        message.next()?;
        if extra.next_raw()?.0 != BYTES {
            return Err(fault(RowFault::Shape));
        }
        let dependencies = dependency_count.required()?;
        within(Quantity::Dependencies, dependencies, budget.limits.dependencies_max as u64, chunk)?;
        let mut before = 0;
        for _ in 0..dependencies {
            let of = dependency.required()?;
            // Changes stand after those they depend on.
            let last = lasts.get(of as usize).ok_or_else(|| fault(RowFault::Dependency))?;
            before = before.max(*last);
        }
        // A change without operations ends where the one before it ended.
        if last < before || before < author.last || last >= u32::MAX - 1 {
            return Err(fault(RowFault::Counter));
        }
        *author = Author { sequence: seq, last };
        lasts.push(last);
        let actor = u32::try_from(index).map_err(|_| fault(RowFault::Id))?;
        spans.push(Span { actor, first: before + 1, last });
    }
    actor.finish()?;
    sequence.finish()?;
    last_operation.finish()?;
    time.finish()?;
    message.finish()?;
    dependency_count.finish()?;
    dependency.finish()?;
    extra.finish()?;
    spans.sort_unstable();
    Ok(Spans(spans))
}
