//! From a command to a node and back.

use std::future::Future;
use std::sync::Arc;

use comity_node::{Node, NodeConfig};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::error::{CommandError, CommandResult, Kind};
use crate::losses;
use crate::output::{Output, count};

/// What every command is given.
#[derive(Clone)]
pub struct Session {
    /// What is in force.
    pub config: Arc<Config>,
    /// How to print.
    pub output: Output,
    /// How to call the command again on the same data folder.
    pub comity: Arc<str>,
}

/// How much of a node a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Reads or writes documents here.
    Documents,
    /// Keeps all documents in step with relays, or says how far they are.
    Sync,
}

impl Session {
    /// Opens the node, runs the command, closes the node, whatever the command gives. Ctrl-C ends the command early.
    pub fn run<T, F>(&self, need: Need, command: impl FnOnce(Node) -> F) -> CommandResult<T>
    where
        F: Future<Output = CommandResult<T>>,
    {
        self.run_until(need, |node| async move {
            tokio::select! {
                done = command(node) => done,
                () = interrupt() => Err(CommandError::new(Kind::Interrupted, "interrupted")
                    .hint("what was acknowledged is kept; a change that was being written is there whole or not at all")),
            }
        })
    }

    /// Like [`run`](Self::run) for commands that look after Ctrl-C themselves.
    pub fn run_until<T, F>(&self, need: Need, command: impl FnOnce(Node) -> F) -> CommandResult<T>
    where
        F: Future<Output = CommandResult<T>>,
    {
        if !self.config.is_initialised() {
            return Err(self.not_initialised());
        }
        runtime()?.block_on(async {
            let node = self.open(need).await?;
            let done = command(node.clone()).await;
            let closed = node.close().await;
            match (done, closed) {
                (Ok(done), Ok(())) => Ok(done),
                (Ok(_), Err(error)) => Err(error.into()),
                (Err(error), _) => Err(error),
            }
        })
    }

    async fn open(&self, need: Need) -> CommandResult<Node> {
        let (node, report) = Node::open(self.node_config(need)).await?;
        if report.is_damaged() {
            losses::say(self.output, &node, &report).await;
        } else if !report.clean && !report.created {
            let groups = usize::try_from(report.journal.groups).unwrap_or(usize::MAX);
            tracing::info!(groups, "the last run did not end properly; the journal was replayed and verified");
        }
        Ok(node)
    }

    /// Gives how to open the node of the data folder.
    pub fn node_config(&self, need: Need) -> NodeConfig {
        let mut config = NodeConfig::device(&self.config.data);
        config.limits = self.config.limits.clone();
        config.schemas = self.config.kinds.clone();
        config.wants_all = need == Need::Sync;
        config.decode = need == Need::Sync;
        config
    }

    /// Says that there is no data folder yet.
    pub fn not_initialised(&self) -> CommandError {
        CommandError::new(Kind::Missing, format_args!("there is no Comity data in {}", self.config.data.display()))
            .hint("make it with `comity init`, or name another folder with --data FOLDER or COMITY_DATA")
    }

    /// Says what a number of writes came to.
    pub fn entries(&self, number: usize) -> String {
        count(number, "entry", "entries")
    }
}

/// Makes the runtime of a command.
pub fn runtime() -> CommandResult<Runtime> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|error| {
        CommandError::new(Kind::NotDone, format_args!("cannot start: {error}"))
            .hint("the system may be out of threads or files: check `ulimit -a`")
    })
}

/// Resolves at Ctrl-C, or when asked to terminate. Listens from the call on, not only from the first poll.
pub fn interrupt() -> impl Future<Output = ()> {
    let listen = |kind: SignalKind| match signal(kind) {
        Ok(signal) => Some(signal),
        Err(error) => {
            // Then the signal ends the process, as it does by itself.
            tracing::warn!(%error, "cannot listen for signals");
            None
        }
    };
    let (pressed, terminate) = (listen(SignalKind::interrupt()), listen(SignalKind::terminate()));
    async move {
        tokio::select! {
            () = arrives(pressed) => {}
            () = arrives(terminate) => {}
        }
    }
}

async fn arrives(signal: Option<Signal>) {
    let arrived = match signal {
        Some(mut signal) => signal.recv().await,
        None => None,
    };
    if arrived.is_none() {
        std::future::pending::<()>().await;
    }
}
