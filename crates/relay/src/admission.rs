//! Who is connected: caps, counts, and how to reach everybody at shutdown.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use comity_model::Limits;
use comity_net::{Goodbye, Network, Room};
use serde::Serialize;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use crate::open_files;

/// How the relay's door is doing.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Vitals {
    /// Seconds since the relay began to serve.
    pub uptime_s: u64,
    /// Open sockets, whatever they speak.
    pub connections: usize,
    /// Open WebSockets.
    pub websockets: usize,
    /// Connections since the start.
    pub accepted: u64,
    /// Most connections at once: the limit, or fewer when this process may not have that many files open.
    pub connections_max: usize,
    /// Connections refused since the start, because of the total or the cap for one address.
    pub refused: u64,
    /// Bytes of long messages that are on their way in.
    pub receiving_bytes: usize,
    /// Connections cut since the start, because they held room for long messages and did not use it.
    pub cut: u64,
    /// Whether the relay is shutting down.
    pub draining: bool,
}

/// Everything that is connected.
pub(crate) struct Admissions {
    connections_max: usize,
    per_address_max: usize,
    started: Instant,
    accepted: AtomicU64,
    refused: AtomicU64,
    room: Arc<Room>,
    table: Mutex<Table>,
    emptied: Notify,
}

#[derive(Default)]
struct Table {
    connections: usize,
    addresses: HashMap<Network, usize>,
    websockets: HashMap<u64, Live>,
    next: u64,
    draining: bool,
}

struct Live {
    goodbye: Option<oneshot::Sender<Goodbye>>,
    task: Option<AbortHandle>,
}

/// One admitted connection. Its place is free again when the last clone is dropped, a panic included.
#[must_use]
pub(crate) struct Admission {
    admissions: Arc<Admissions>,
    key: Network,
}

/// One upgraded connection, as long as it lives.
#[must_use]
pub(crate) struct Upgrade {
    admissions: Arc<Admissions>,
    id: u64,
}

/// Which cap was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Relay,
    Address,
}

impl Admissions {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            connections_max: open_files::connections_max(limits.connections_max),
            per_address_max: limits.connections_per_address_max,
            started: Instant::now(),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            room: Room::new(limits.received_bytes_max, limits.message_bytes_max),
            table: Mutex::default(),
            emptied: Notify::new(),
        })
    }

    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Arc<Admission>, Full> {
        let key = Network::from(address);
        let mut table = self.lock();
        let from_address = table.addresses.get(&key).copied().unwrap_or(0);
        let full = if table.connections >= self.connections_max {
            Some(Full::Relay)
        } else if from_address >= self.per_address_max {
            Some(Full::Address)
        } else {
            None
        };
        if let Some(full) = full {
            self.refused.fetch_add(1, Relaxed);
            return Err(full);
        }
        table.connections += 1;
        table.addresses.insert(key, from_address + 1);
        self.accepted.fetch_add(1, Relaxed);
        drop(table);
        Ok(Arc::new(Admission { admissions: self.clone(), key }))
    }

    /// Registers an upgraded connection; `None` when the relay is shutting down.
    pub(crate) fn upgrade(self: &Arc<Self>) -> Option<(Upgrade, oneshot::Receiver<Goodbye>)> {
        let mut table = self.lock();
        if table.draining {
            return None;
        }
        let id = table.next;
        table.next += 1;
        let (sender, receiver) = oneshot::channel();
        table.websockets.insert(id, Live { goodbye: Some(sender), task: None });
        drop(table);
        Some((Upgrade { admissions: self.clone(), id }, receiver))
    }

    /// Tells every client to come back, each at its own time between one second and `spread`. No more are let in.
    pub(crate) fn say_goodbye(&self, spread: Duration) {
        let mut table = self.lock();
        table.draining = true;
        let all: Vec<_> = table.websockets.values_mut().filter_map(|live| live.goodbye.take()).collect();
        drop(table);
        let count = all.len().max(1) as u32;
        for (position, goodbye) in all.into_iter().enumerate() {
            let wait = Duration::from_secs(1) + spread.saturating_sub(Duration::from_secs(1)) * position as u32 / count;
            // A receiver that is gone has ended already.
            let _ = goodbye.send(Goodbye::restart(wait));
        }
    }

    /// Cuts what has not ended; gives how many that were.
    pub(crate) fn cut(&self) -> usize {
        let table = self.lock();
        table.websockets.values().filter_map(|live| live.task.as_ref()).for_each(AbortHandle::abort);
        table.connections
    }

    /// Waits until nobody is connected.
    pub(crate) async fn emptied(&self) {
        loop {
            let notified = self.emptied.notified();
            if self.lock().connections == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Gives the room for long messages that all connections share.
    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    pub(crate) fn vitals(&self) -> Vitals {
        let table = self.lock();
        Vitals {
            uptime_s: self.started.elapsed().as_secs(),
            connections: table.connections,
            websockets: table.websockets.len(),
            accepted: self.accepted.load(Relaxed),
            connections_max: self.connections_max,
            refused: self.refused.load(Relaxed),
            receiving_bytes: self.room.taken_bytes(),
            cut: self.room.cut(),
            draining: table.draining,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it is held, and the counts are right at every point.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission {
    pub(crate) fn admissions(&self) -> &Arc<Admissions> {
        &self.admissions
    }

    /// Gives where the connection comes from.
    pub(crate) fn network(&self) -> Network {
        self.key
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut table = self.admissions.lock();
        table.connections -= 1;
        if let Some(count) = table.addresses.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                table.addresses.remove(&self.key);
            }
        }
        if table.connections == 0 {
            self.admissions.emptied.notify_waiters();
        }
    }
}

impl Upgrade {
    /// Names the task that serves it, so that it can be cut.
    pub(crate) fn served_by(admissions: &Admissions, id: u64, task: AbortHandle) {
        if let Some(live) = admissions.lock().websockets.get_mut(&id) {
            live.task = Some(task);
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        self.admissions.lock().websockets.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(total: usize, per_address: usize) -> Limits {
        let mut limits = Limits::default();
        limits.connections_max = total;
        limits.connections_per_address_max = per_address;
        limits
    }

    #[test]
    fn one_address_cannot_take_every_place() {
        let admissions = Admissions::new(&limits(3, 2));
        let [noisy, quiet] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let first = admissions.admit(noisy).unwrap();
        let _second = admissions.admit(noisy).unwrap();
        assert_eq!(admissions.admit(noisy).err(), Some(Full::Address));
        let _third = admissions.admit(quiet).unwrap();
        assert_eq!(admissions.admit(quiet).err(), Some(Full::Relay));
        drop(first);
        let _again = admissions.admit(noisy).unwrap();
        assert_eq!((admissions.vitals().connections, admissions.vitals().refused), (3, 2));
    }

    #[test]
    fn a_panic_frees_the_place() {
        let admissions = Admissions::new(&limits(1, 1));
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let inner = admissions.clone();
        let panicked = std::thread::spawn(move || {
            let _place = inner.admit(address).unwrap();
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        assert!(admissions.admit(address).is_ok());
        assert!(admissions.lock().addresses.is_empty());
    }

    #[tokio::test]
    async fn clients_are_asked_back_at_different_times() {
        let admissions = Admissions::new(&limits(10, 10));
        let clients: Vec<_> = (0..10).map(|_| admissions.upgrade().unwrap()).collect();
        admissions.say_goodbye(Duration::from_secs(21));
        assert!(admissions.upgrade().is_none());
        let mut waits = Vec::new();
        for (_upgrade, goodbye) in clients {
            waits.push(goodbye.await.unwrap().retry_after().unwrap().as_secs());
        }
        waits.sort_unstable();
        assert_eq!(waits, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
    }
}
