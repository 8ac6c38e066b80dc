//! A store whose every call ends: each runs on a helper thread and is given up at its deadline.
//!
//! An engine on a full or broken disk may hang for ever. Whoever called must not: the call fails with
//! [`StoreError::Deadline`], which is final, and every later one fails at once. The helper that hangs is left behind; it
//! ends with the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::disk;
use crate::durable::Durable;
use crate::engine::{Engine, panic_text};
use crate::error::StoreError;

/// Most helper threads that wait for work. There are never more threads than calls at a time, and these.
const IDLE_MAX: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// A store with deadlines.
#[derive(Debug)]
pub(crate) struct Guarded<E: Engine> {
    store: Arc<Durable<E>>,
    helpers: Arc<Helpers>,
}

impl<E: Engine> Guarded<E> {
    pub(crate) fn new(store: Durable<E>) -> Self {
        Self { store: Arc::new(store), helpers: Arc::default() }
    }

    /// Makes a call that reads or writes little.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Durable<E>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(what, false, work)
    }

    /// Makes a call that may read or write all that the engine holds: it gets more time for large files.
    pub(crate) fn long_call<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Durable<E>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(what, true, work)
    }

    fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        is_long: bool,
        work: impl FnOnce(&Durable<E>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.store.check_running()?;
        let (answer, answers) = mpsc::sync_channel(1);
        let store = Arc::clone(&self.store);
        self.helpers.run(Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(|| work(&store))).unwrap_or_else(|panic| {
                let message = format!("panic: {}", panic_text(&*panic));
                Err(StoreError::Engine { engine: E::NAME, what, message })
            });
            // Before the answer: whoever gets it may drop the store and open the folder again.
            drop(store);
            // The one who waited may have given up; then nobody wants the result.
            let _ = answer.send(result);
        }))?;
        let mut waited = self.store.options.call_deadline;
        let mut answered = answers.recv_timeout(waited);
        if is_long && matches!(answered, Err(RecvTimeoutError::Timeout)) {
            let more = Duration::from_secs(self.engine_bytes() >> 22);
            waited += more;
            answered = answers.recv_timeout(more);
        }
        match answered {
            Ok(result) => self.store.note(result),
            Err(_) => self.store.note(Err(StoreError::Deadline { what, after: waited })),
        }
    }

    /// Adds up the engine's files; nothing when the disk does not even tell their sizes in time.
    fn engine_bytes(&self) -> u64 {
        let (answer, answers) = mpsc::sync_channel(1);
        let folder = self.store.folder.engine(E::NAME);
        let asked = self.helpers.run(Box::new(move || {
            let _ = answer.send(disk::bytes_below(&folder).unwrap_or(0));
        }));
        asked.ok().and_then(|()| answers.recv_timeout(self.store.options.call_deadline).ok()).unwrap_or(0)
    }
}

impl<E: Engine> Drop for Guarded<E> {
    fn drop(&mut self) {
        self.helpers.end();
    }
}

/// Threads that make calls.
#[derive(Default)]
struct Helpers(Mutex<Idle>);

#[derive(Default)]
struct Idle {
    waiting: Vec<mpsc::Sender<Job>>,
    ended: bool,
}

impl std::fmt::Debug for Helpers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Helpers").field("waiting", &self.idle().waiting.len()).finish_non_exhaustive()
    }
}

impl Helpers {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(self: &Arc<Self>, mut job: Job) -> Result<(), StoreError> {
        // The lock is not held while a job is handed over.
        let waiting = self.idle().waiting.pop();
        if let Some(helper) = waiting {
            match helper.send(job) {
                Ok(()) => return Ok(()),
                Err(mpsc::SendError(unsent)) => job = unsent,
            }
        }
        let helpers = Arc::clone(self);
        let work = move || {
            let mut next = Some(job);
            while let Some(job) = next.take() {
                job();
                let (sender, jobs) = mpsc::channel();
                next = if helpers.take_in(sender) { jobs.recv().ok() } else { None };
            }
        };
        let spawned = std::thread::Builder::new().name("comity-store-call".to_owned()).spawn(work);
        spawned.map(drop).map_err(StoreError::io("start a thread for", Path::new("the store")))
    }

    /// Keeps a helper for the next call, unless there are enough.
    fn take_in(&self, helper: mpsc::Sender<Job>) -> bool {
        let mut idle = self.idle();
        let wanted = !idle.ended && idle.waiting.len() < IDLE_MAX;
        if wanted {
            idle.waiting.push(helper);
        }
        wanted
    }

    /// Sends all helpers away.
    fn end(&self) {
        let mut idle = self.idle();
        idle.ended = true;
        idle.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::{Condvar, Mutex};
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use comity_model::{DocumentId, Heads};

    use super::*;
    use crate::engine::Visit;
    use crate::op::Op;
    use crate::options::Options;
    use crate::row::{RowChange, Space};
    use crate::store::Store;

    /// Holds every scan while it is set.
    static STUCK: Mutex<bool> = Mutex::new(false);
    static RELEASED: Condvar = Condvar::new();

    fn set_stuck(stuck: bool) {
        *STUCK.lock().unwrap() = stuck;
        RELEASED.notify_all();
    }

    /// An engine that may hang.
    #[derive(Debug, Default)]
    struct Hanging(Mutex<Rows>);

    type Rows = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

    impl Engine for Hanging {
        const NAME: &'static str = "hanging";

        fn open(folder: &Path, _: u64) -> Result<Self, StoreError> {
            disk::create_folder(folder)?;
            Ok(Self::default())
        }

        fn value(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(self.0.lock().unwrap().get(&(space, key.to_vec())).cloned())
        }

        fn scan(&self, space: Space, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
            drop(RELEASED.wait_while(STUCK.lock().unwrap(), |stuck| *stuck).unwrap());
            let rows = self.0.lock().unwrap().clone();
            for ((_, key), value) in rows.range((space, from.to_vec())..(space, to.to_vec())) {
                if !visit(key, value) {
                    break;
                }
            }
            Ok(())
        }

        fn write(&self, changes: &[RowChange]) -> Result<(), StoreError> {
            let mut rows = self.0.lock().unwrap();
            for RowChange { space, key, value } in changes.iter().cloned() {
                match value {
                    Some(value) => drop(rows.insert((space, key), value)),
                    None => drop(rows.remove(&(space, key))),
                }
            }
            Ok(())
        }

        fn sync(&self) -> Result<(), StoreError> {
            Ok(())
        }

        fn close(self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[test]
    fn a_call_that_hangs_is_given_up_at_its_deadline_and_the_next_fail_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let usual = Options { free_bytes_floor: 0, ..Options::default() };
        // Long enough for a flush of a busy disk.
        let hasty = Options { call_deadline: Duration::from_secs(3), ..usual.clone() };
        let open =
            |options: &Options| Guarded::<Hanging>::new(crate::open::open(folder.path(), options.clone()).unwrap().0);
        let document = DocumentId::from_bytes([1; 16]);
        let op = Op::Append { document, chunks: vec![Bytes::from_static(b"change")], heads: Heads::default() };
        let ops = vec![op];
        let commit = |store: &Guarded<Hanging>| {
            let ops = ops.clone();
            store.long_call("commit", move |store| store.commit(&ops))
        };
        let load = |store: &Guarded<Hanging>| store.call("load a document", move |store| store.load(&document));
        let store = open(&hasty);
        commit(&store).unwrap();
        set_stuck(true);
        let start = Instant::now();
        let error = load(&store).unwrap_err();
        assert!(matches!(error, StoreError::Deadline { what: "load a document", .. }) && error.is_final(), "{error}");
        assert!(matches!(load(&store), Err(StoreError::Stopped { .. })));
        assert!(matches!(commit(&store), Err(StoreError::Stopped { .. })));
        assert!(start.elapsed() < Duration::from_secs(30));
        // What hung goes on when the disk does; nothing that was acknowledged is lost.
        set_stuck(false);
        drop(store);
        assert_eq!(load(&open(&usual)).unwrap().unwrap().changes.len(), 1);
    }
}
