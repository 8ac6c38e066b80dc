//! What waits in the queue of a world.

use comity_engine::Ticket;
use comity_model::DocumentId;

use crate::connection::Frame;
use crate::decide::Decision;

/// Something that is going to happen.
pub(crate) enum Happening {
    /// A step of the plan.
    Step(usize),
    /// Everything is mended.
    Heal,
    /// A person answers a conflict.
    Answer {
        node: usize,
        run: u32,
        decision: Box<Decision>,
    },
    /// Of an engine.
    Tick {
        node: usize,
        run: u32,
    },
    Settle {
        node: usize,
        run: u32,
    },
    /// Of a disk.
    Flushed {
        node: usize,
        run: u32,
    },
    Loaded {
        node: usize,
        run: u32,
        document: DocumentId,
    },
    /// There is room on it again.
    Room {
        node: usize,
    },
    /// It can be read again.
    Readable {
        node: usize,
    },
    /// Somebody looks after a node whose store has stopped.
    Restart {
        node: usize,
        run: u32,
    },
    /// An answer that is too early.
    LoadedNothing {
        node: usize,
        run: u32,
        document: DocumentId,
    },
    /// An answer of a disk that is dishonest.
    Stored {
        node: usize,
        run: u32,
        ticket: Ticket,
    },
    /// Of a connection.
    Dial {
        device: usize,
        run: u32,
    },
    Written {
        connection: u64,
        end: usize,
    },
    Arrive {
        connection: u64,
        end: usize,
        frame: Frame,
        /// It has arrived before.
        is_again: bool,
    },
    /// Both directions of a device's links work again.
    BothWays {
        device: usize,
    },
    /// An end notices that the connection is gone.
    Hangup {
        connection: u64,
        end: usize,
    },
    /// Of a node.
    Start {
        node: usize,
    },
    Rejoin {
        device: usize,
    },
    /// A clock goes on.
    Thaw {
        node: usize,
    },
}
