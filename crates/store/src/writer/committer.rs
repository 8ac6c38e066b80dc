//! Runs commits so that each of them ends: on the writer's own thread, or on one that can be given up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::engine::panic_text;
use crate::error::StoreError;
use crate::op::Op;
use crate::store::Store;

/// Runs commits, so that each of them ends.
pub(super) enum Committer {
    /// On the thread that asks.
    Here(Arc<dyn Store>),
    /// On a thread of its own, so that one that hangs can be given up.
    Apart { jobs: mpsc::Sender<Arc<[Op]>>, results: mpsc::Receiver<Result<(), StoreError>> },
}

impl Committer {
    pub fn start(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        if store.ends_by_itself() {
            return Ok(Self::Here(store));
        }
        let (jobs, jobs_in) = mpsc::channel::<Arc<[Op]>>();
        let (results_out, results) = mpsc::channel();
        spawn("comity-store-commit", move || {
            for ops in jobs_in {
                let result = commit(&*store, &ops);
                drop(ops);
                if results_out.send(result).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self::Apart { jobs, results })
    }

    /// Commits, and gives the store up when it takes too long.
    pub fn commit(&self, ops: Arc<[Op]>, deadline: Duration) -> Result<(), StoreError> {
        let (jobs, results) = match self {
            Self::Here(store) => return commit(&**store, &ops),
            Self::Apart { jobs, results } => (jobs, results),
        };
        let gone = || StoreError::Stopped { cause: "the commit thread is gone".into() };
        jobs.send(ops).map_err(|_| gone())?;
        match results.recv_timeout(deadline) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(StoreError::Deadline { what: "commit a group", after: deadline }),
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }
}

/// Commits; a panic in a store is an error.
fn commit(store: &dyn Store, ops: &[Op]) -> Result<(), StoreError> {
    catch_unwind(AssertUnwindSafe(|| store.commit(ops))).unwrap_or_else(|panic| {
        let message = format!("panic: {}", panic_text(&*panic));
        Err(StoreError::Engine { engine: "the store", what: "commit", message })
    })
}

pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map_err(StoreError::io("start a thread for", std::path::Path::new("the store")))
}
