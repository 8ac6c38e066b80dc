//! A standing link to a relay: dialed again, with growing pauses, for as long as it is wanted.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use comity_engine::Peer;
use comity_net::{Backoff, DialOptions, Goodbye, Url, code, dial};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::link;
use crate::{Node, identity};

/// How long the peer may take to answer a goodbye.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(1);

/// How long a link must have lasted to count as good: only then do the pauses begin small again.
const GOOD_AFTER: Duration = Duration::from_secs(2);

/// Where an uplink stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum UplinkState {
    /// Dialing.
    Connecting,
    /// The handshake is done.
    Online {
        /// Who is there.
        peer: Peer,
    },
    /// Waiting before the next try.
    Waiting {
        /// How long.
        pause: Duration,
        /// Why the last try or link ended.
        reason: String,
    },
    /// Stopped.
    Stopped,
}

impl UplinkState {
    /// Whether the relay is there.
    pub const fn is_online(&self) -> bool {
        matches!(self, Self::Online { .. })
    }
}

/// A standing link to a relay. Dropping it hangs up.
#[derive(Debug)]
pub struct Uplink {
    state: watch::Receiver<UplinkState>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Uplink {
    /// Gives where it stands now.
    pub fn state(&self) -> UplinkState {
        self.state.borrow().clone()
    }

    /// Gives a watch on where it stands.
    pub fn watch(&self) -> watch::Receiver<UplinkState> {
        self.state.clone()
    }

    /// Waits until the relay is there.
    pub async fn online(&self) {
        let mut state = self.state.clone();
        // The sender lives as long as the task, and the task as long as `self`.
        let _ = state.wait_for(UplinkState::is_online).await;
    }

    /// Hangs up and stops.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            // The task may have ended by itself.
            let _ = stop.send(());
        }
        // It may have been aborted with its runtime.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        // After `stop`, the task has ended and this does nothing.
        self.task.abort();
    }
}

impl Node {
    /// Keeps a link to a relay: dials, and dials again after growing, random pauses of 0.2 to 30 s.
    pub fn connect(&self, url: Url, options: DialOptions) -> Uplink {
        let (sender, state) = watch::channel(UplinkState::Connecting);
        let (stop, stopped) = oneshot::channel();
        let node = self.clone();
        let task = tokio::spawn(async move {
            let farewell = Farewell::default();
            let mut state = sender.subscribe();
            let mut kept = pin!(keep(&node, &url, &options, &sender, &farewell));
            tokio::select! {
                () = &mut kept => {}
                // A dropped handle hangs up without a word; a stopped one says goodbye.
                Ok(()) = stopped => {
                    if farewell.say() {
                        let ended = async {
                            tokio::select! {
                                () = kept => {}
                                // The sender lives until after this.
                                _ = state.wait_for(|state| !state.is_online()) => {}
                            }
                        };
                        // A peer that does not answer is left all the same.
                        let _ = tokio::time::timeout(GOODBYE_PATIENCE, ended).await;
                    }
                }
            }
            sender.send_replace(UplinkState::Stopped);
        });
        Uplink { state, stop: Some(stop), task }
    }
}

/// How to say goodbye on the open connection, if there is one.
#[derive(Default)]
struct Farewell(Mutex<Option<oneshot::Sender<Goodbye>>>);

impl Farewell {
    /// Prepares for a new connection.
    fn arm(&self) -> oneshot::Receiver<Goodbye> {
        let (sender, receiver) = oneshot::channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// Says goodbye; false when there is no connection.
    fn say(&self) -> bool {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        sender.is_some_and(|sender| sender.send(Goodbye::new(code::NORMAL, "goodbye")).is_ok())
    }
}

async fn keep(node: &Node, url: &Url, options: &DialOptions, state: &watch::Sender<UplinkState>, farewell: &Farewell) {
    let mut backoff = Backoff::default();
    while !node.inner.closed.load(Ordering::Acquire) {
        state.send_replace(UplinkState::Connecting);
        let (reason, retry_after) = match dial(url, options).await {
            Err(error) => (error.to_string(), None),
            Ok(connection) => {
                let connection = connection.with_goodbye(farewell.arm());
                let mut up_since = None;
                let end = link::run(&node.inner, connection, true, |info| {
                    up_since = Some(tokio::time::Instant::now());
                    if let Some(storage) = &info.peer.storage
                        && let Err(error) = node.remember_relay(storage, &url.to_string())
                    {
                        tracing::warn!(%error, "the relay was not remembered");
                    }
                    state.send_replace(UplinkState::Online { peer: info.peer.clone() });
                })
                .await;
                if up_since.is_some_and(|since| since.elapsed() >= GOOD_AFTER) {
                    backoff.reset();
                }
                (end.to_string(), end.retry_after())
            }
        };
        // Without randomness the pauses are the longest ones: still right, only less spread.
        let random = identity::random().map_or(u64::MAX, u64::from_be_bytes);
        let pause = backoff.next(random).max(retry_after.unwrap_or_default());
        tracing::debug!(%url, ?pause, %reason, "will dial again");
        state.send_replace(UplinkState::Waiting { pause, reason });
        tokio::time::sleep(pause).await;
    }
}
