//! One writer thread with a bounded queue and group commit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use comity_model::DocumentId;

use self::committer::{Committer, spawn};
use crate::engine::panic_text;
use crate::error::StoreError;
use crate::op::{GROUP_BYTES_MAX, Op};
use crate::store::Store;

mod committer;

/// Is told how a submission ended. Runs on the writer thread: hand over, do not work.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// How a writer groups and waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterOptions {
    /// Most submissions that wait; then [`Writer::submit`] blocks. 4,096 by default.
    pub queue_submissions_max: usize,
    /// Most bytes that wait; then [`Writer::submit`] blocks. One submission above it is taken when nothing else waits.
    /// 64 MiB by default.
    pub queue_bytes_max: usize,
    /// Most submissions in one group. 1,024 by default.
    pub group_submissions_max: usize,
    /// Most bytes in one group. 8 MiB by default.
    pub group_bytes_max: usize,
    /// How long a group may take before the store is given up. Stores with an engine have their own deadline, which
    /// knows when the engine's files are written anew in between; this one is for all others. 24 h by default.
    pub deadline: Duration,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            queue_submissions_max: 4_096,
            queue_bytes_max: 64 << 20,
            group_submissions_max: 1_024,
            group_bytes_max: 8 << 20,
            deadline: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Commits submissions in order, all that wait at once as one group, so that one flush serves them all.
///
/// Call [`Writer::submit`] from any thread; it blocks while the queue is full. Every submission's `done` is called
/// exactly once, in order. After a final error every later submission fails with [`StoreError::Stopped`]. Dropping the
/// writer waits for everything that was submitted; it does not close the store.
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Submission {
    ops: Vec<Op>,
    bytes: usize,
    done: Done,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Submission>,
    waiting_bytes: usize,
    /// A group is being committed.
    busy: bool,
    closing: bool,
    stopped: Option<Arc<str>>,
}

struct Shared {
    options: WriterOptions,
    queue: Mutex<Queue>,
    /// Something was added, or the writer closes.
    added: Condvar,
    /// Something was taken or finished.
    taken: Condvar,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("waiting", &self.shared.queue().waiting.len()).finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the writer thread of a store. Reads go to the store directly.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(store: Arc<dyn Store>, options: WriterOptions) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            options,
            queue: Mutex::new(Queue::default()),
            added: Condvar::new(),
            taken: Condvar::new(),
        });
        let worker = Committer::start(store)?;
        let for_thread = Arc::clone(&shared);
        let thread = spawn("comity-store-writer", move || run(&for_thread, worker))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Hands over ops that belong together: they are in one group. Blocks while the queue is full.
    pub fn submit(&self, ops: Vec<Op>, done: Done) {
        let bytes = ops.iter().map(op_bytes).sum();
        let mut queue = self.shared.queue();
        let full = |queue: &mut Queue| {
            let options = &self.shared.options;
            let many = queue.waiting.len() >= options.queue_submissions_max;
            let large =
                !queue.waiting.is_empty() && queue.waiting_bytes.saturating_add(bytes) > options.queue_bytes_max;
            queue.stopped.is_none() && !queue.closing && (many || large)
        };
        queue = self.shared.taken.wait_while(queue, full).unwrap_or_else(PoisonError::into_inner);
        let refusal = match &queue.stopped {
            Some(cause) => Some(StoreError::Stopped { cause: cause.clone() }),
            None if queue.closing => Some(StoreError::Closed),
            None => None,
        };
        if let Some(error) = refusal {
            drop(queue);
            return done(Err(error));
        }
        queue.waiting_bytes += bytes;
        queue.waiting.push_back(Submission { ops, bytes, done });
        drop(queue);
        self.shared.added.notify_one();
    }

    /// Waits until everything that was submitted before has ended.
    ///
    /// # Errors
    /// When the store has stopped.
    pub fn flush(&self) -> Result<(), StoreError> {
        let queue = self.shared.queue();
        let going = |queue: &mut Queue| queue.busy || !queue.waiting.is_empty();
        let queue = self.shared.taken.wait_while(queue, going).unwrap_or_else(PoisonError::into_inner);
        match &queue.stopped {
            Some(cause) => Err(StoreError::Stopped { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Waits for everything that was submitted and ends the thread. The store stays open.
    ///
    /// # Errors
    /// When the store has stopped.
    pub fn close(mut self) -> Result<(), StoreError> {
        let flushed = self.flush();
        self.end();
        flushed
    }

    /// Says why the store has stopped, if it has: nothing more is taken.
    pub fn stopped(&self) -> Option<Arc<str>> {
        self.shared.queue().stopped.clone()
    }

    /// Gives how many submissions wait.
    pub fn waiting(&self) -> usize {
        self.shared.queue().waiting.len()
    }

    fn end(&mut self) {
        self.shared.queue().closing = true;
        self.shared.added.notify_all();
        self.shared.taken.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer thread panicked");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

/// The writer thread: takes what waits, commits it, tells everybody.
fn run(shared: &Shared, worker: Committer) {
    let mut spoiled = Spoiled::default();
    while let Some(group) = next_group(shared) {
        let stopped = shared.queue().stopped.clone();
        let final_error = match stopped {
            Some(cause) => {
                group.into_iter().for_each(|submission| tell(submission.done, Err(stopped_by(&cause))));
                None
            }
            None => commit_group(shared, &worker, &mut spoiled, group),
        };
        let mut queue = shared.queue();
        queue.busy = false;
        if let Some(error) = final_error {
            queue.stopped = Some(match error {
                // The cause of the cause, or the words would pile up.
                StoreError::Stopped { cause } => cause,
                error => error.to_string().into(),
            });
        }
        drop(queue);
        shared.taken.notify_all();
    }
}

fn stopped_by(cause: &Arc<str>) -> StoreError {
    StoreError::Stopped { cause: cause.clone() }
}

/// Takes the next group, waiting for one; `None` when the writer closes and nothing is left.
fn next_group(shared: &Shared) -> Option<Vec<Submission>> {
    let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.closing;
    let mut queue = shared.added.wait_while(shared.queue(), idle).unwrap_or_else(PoisonError::into_inner);
    let mut group = Vec::new();
    let mut bytes: usize = 0;
    while let Some(next) = queue.waiting.front() {
        let options = &shared.options;
        let bytes_max = options.group_bytes_max.min(GROUP_BYTES_MAX);
        if !group.is_empty() && (group.len() >= options.group_submissions_max || bytes + next.bytes > bytes_max) {
            break;
        }
        bytes += next.bytes;
        queue.waiting_bytes -= next.bytes;
        group.extend(queue.waiting.pop_front());
    }
    queue.busy = !group.is_empty();
    drop(queue);
    shared.taken.notify_all();
    (!group.is_empty()).then_some(group)
}

/// Documents that lost an append: what is appended to them later builds on what is missing. Nothing of it is taken
/// until a snapshot replaces it all, or the document could not be read again.
#[derive(Default)]
struct Spoiled(BTreeMap<DocumentId, StoreError>);

impl Spoiled {
    /// Takes the submissions that may be committed out of a group; tells the others.
    fn sift(&self, group: Vec<Submission>) -> Vec<Submission> {
        let mut healed = BTreeSet::new();
        let mut kept = Vec::new();
        for submission in group {
            match submission.ops.iter().find_map(|op| self.reason(op, &healed)) {
                Some(error) => tell(submission.done, Err(error)),
                None => {
                    healed.extend(submission.ops.iter().filter_map(replaced));
                    kept.push(submission);
                }
            }
        }
        kept
    }

    fn reason(&self, op: &Op, healed: &BTreeSet<DocumentId>) -> Option<StoreError> {
        match op {
            Op::Append { document, .. } if !healed.contains(document) => self.0.get(document).cloned(),
            _ => None,
        }
    }

    fn note(&mut self, ops: &[Op], result: &Result<(), StoreError>) {
        for op in ops {
            match (op, result) {
                (Op::Append { document, .. }, Err(error)) => {
                    self.0.entry(*document).or_insert_with(|| error.clone());
                }
                (Op::Replace { document, .. }, Ok(())) => {
                    self.0.remove(document);
                }
                _ => {}
            }
        }
    }
}

fn replaced(op: &Op) -> Option<DocumentId> {
    match op {
        Op::Replace { document, .. } => Some(*document),
        _ => None,
    }
}

/// Commits a group and tells everybody. Gives the error that was final, if one was.
fn commit_group(
    shared: &Shared,
    worker: &Committer,
    spoiled: &mut Spoiled,
    group: Vec<Submission>,
) -> Option<StoreError> {
    let group = spoiled.sift(group);
    if group.is_empty() {
        return None;
    }
    let all: Arc<[Op]> = group.iter().flat_map(|submission| &submission.ops).cloned().collect();
    let deadline = shared.options.deadline;
    let result = worker.commit(all, deadline);
    let is_final = result.as_ref().is_err_and(StoreError::is_final);
    if result.is_ok() || is_final || group.len() == 1 {
        for submission in group {
            spoiled.note(&submission.ops, &result);
            tell(submission.done, result.clone());
        }
        return result.err().filter(|_| is_final);
    }
    // One submission spoiled the group (a damaged document, something too large): each on its own.
    let mut fatal: Option<StoreError> = None;
    for submission in group {
        let Some(submission) = spoiled.sift(vec![submission]).pop() else { continue };
        let result = match &fatal {
            Some(error) => Err(stopped_by(&error.to_string().into())),
            None => worker.commit(submission.ops.clone().into(), deadline),
        };
        fatal = fatal.or_else(|| result.as_ref().err().filter(|error| error.is_final()).cloned());
        spoiled.note(&submission.ops, &result);
        tell(submission.done, result);
    }
    fatal
}

/// Calls back; a panic there must not end the writer for everybody else.
fn tell(done: Done, result: Result<(), StoreError>) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| done(result))) {
        tracing::error!(panic = panic_text(&*panic), "a completion callback panicked");
    }
}

fn op_bytes(op: &Op) -> usize {
    128 + match op {
        Op::Append { chunks, heads, .. } => {
            chunks.iter().map(|chunk| chunk.len() + 64).sum::<usize>() + heads.as_slice().len() * 32
        }
        Op::Replace { snapshot, heads, .. } => snapshot.len() + heads.as_slice().len() * 32,
        Op::SyncState { state, .. } => state.len(),
        Op::PutMeta { value, .. } => value.len(),
        Op::RemoveMeta { .. } => 0,
    }
}
