//! A connection between a device and the relay: two pipes that keep the order.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use comity_engine::Handshake;
use comity_model::{DocumentId, LinkId};

/// Which end of a connection.
pub(crate) const DEVICE: usize = 0;
pub(crate) const ACCEPTED: usize = 1;

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub bytes: Bytes,
    /// Bytes of data that the engine counts; `None` for the handshake, of which the engine does not know.
    pub counted: Option<usize>,
    pub document: Option<DocumentId>,
    pub sent_us: u64,
}

pub(crate) enum Phase {
    /// Waits for the peer's first message.
    Shaking(Handshake),
    Up(LinkId),
    /// This end knows that the connection is gone.
    Gone,
}

pub(crate) struct End {
    pub node: usize,
    /// Which run of the node it belongs to.
    pub run: u32,
    pub phase: Phase,
    /// What this end writes is lost on its way.
    pub is_lossy: bool,
    /// Nothing that this end has begun to write is taken before this time.
    pub stalled_until_us: u64,
    /// Frames not written to the socket yet; the first is being written.
    pub unwritten: VecDeque<Frame>,
    /// When the last frame that this end has written arrives at the other.
    pub last_arrival_us: u64,
    /// How often each document has changed here since the other end was last told of it.
    pub untold: BTreeMap<DocumentId, u32>,
}

pub(crate) struct Connection {
    pub ends: [End; 2],
    pub is_slow: bool,
}

impl Connection {
    /// What is on its way is lost, and whatever is written from now on.
    pub fn break_off(&mut self) {
        self.ends.iter_mut().for_each(|end| end.is_lossy = true);
    }
}

impl End {
    pub fn new(node: usize, run: u32, phase: Phase) -> Self {
        Self {
            node,
            run,
            phase,
            is_lossy: false,
            stalled_until_us: 0,
            unwritten: VecDeque::new(),
            last_arrival_us: 0,
            untold: BTreeMap::new(),
        }
    }

    pub fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up(_))
    }

    pub fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Gone)
    }

    /// Messages of the engine that are not written yet.
    pub fn unwritten_counted(&self) -> usize {
        self.unwritten.iter().filter(|frame| frame.counted.is_some()).count()
    }
}
