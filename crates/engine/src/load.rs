//! How much an engine holds.

use crate::Engine;
use crate::slot::Content;

/// How much an engine holds. For metrics and for the simulator's bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Open links.
    pub links: usize,
    /// Documents it knows something about.
    pub documents: usize,
    /// Documents in memory.
    pub in_memory: usize,
    /// Things asked of the store and not answered.
    pub tickets: usize,
    /// Messages waiting in outboxes, over all links.
    pub outbox_messages: usize,
    /// The longest outbox of a link.
    pub outbox_messages_max: usize,
    /// Messages handed to links and not reported as written, over all open links.
    pub in_flight_messages: usize,
    /// Bytes of data that were handed to links and not reported as written, over all that have not ended, open or closed.
    pub in_flight_bytes: usize,
    /// Inputs that wait for documents to load.
    pub waiting: usize,
    /// (Sender, session) pairs remembered for ephemerals.
    pub ephemeral_sessions: usize,
    /// (Document, link) pairs remembered because the document was asked for and is not here.
    pub asked: usize,
    /// Memory of the documents in memory, in bytes, by estimate.
    pub weight_bytes: usize,
}

impl Engine {
    /// Gives how much the engine holds. The cost follows the links, and is the same for one document and a million.
    pub fn load(&self) -> Load {
        Load {
            links: self.links.len(),
            documents: self.slots.len(),
            in_memory: self.in_memory.len(),
            tickets: self.tickets.len(),
            outbox_messages: self.links.values().map(|link| link.outbox.len()).sum(),
            outbox_messages_max: self.links.values().map(|link| link.outbox.len()).max().unwrap_or(0),
            in_flight_messages: self.links.values().map(|link| link.in_flight_messages()).sum(),
            in_flight_bytes: self.in_flight.bytes(),
            waiting: self.waiting,
            ephemeral_sessions: self.ephemerals.len(),
            asked: self.asked.len(),
            weight_bytes: self.in_memory.weight_bytes(),
        }
    }

    /// Gives the same as [`load`](Self::load), counted anew from every document and link: for tests of the counters.
    #[doc(hidden)]
    pub fn recount(&self) -> Load {
        let is_ready = |content: &Content| matches!(content, Content::Ready(_));
        let ready = || self.slots.values().filter(|slot| is_ready(&slot.content));
        Load {
            in_memory: ready().count(),
            in_flight_bytes: self.links.values().map(|link| link.in_flight_bytes()).sum::<usize>()
                + self.in_flight.bytes_of_closed(),
            waiting: self.slots.values().map(|slot| slot.waiting.len()).sum(),
            weight_bytes: ready().filter_map(|slot| slot.document()).map(|content| content.weight_bytes()).sum(),
            ..self.load()
        }
    }
}
