//! What is on its way to a link's socket.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use comity_engine::CloseReason;
use comity_model::Limits;
use comity_net::pump::Outgoing;
use comity_net::{Goodbye, code};
use comity_wire::Message;
use tokio::sync::{mpsc, watch};

/// Data from this length on are not copied for each link: many peers that do not read may have asked for the same.
const LONG_BYTES: usize = 16 * 1024;

/// The messages on their way to one link's socket, and whose they are.
///
/// Engines never hand over more than their limit, so the channel behind it cannot fill up.
pub(crate) struct LinkQueue {
    /// Where the peer is, for evidence.
    pub remote: String,
    sender: mpsc::Sender<Outgoing>,
    /// The lock is held while a message enters the channel, so that both have the same order.
    account: Mutex<Account>,
    /// What is written is reported to a shard once it is so much: to wake it for each message would cost more than to
    /// make the message.
    report_at: Credit,
    dead_after: Duration,
    /// How long the peer has to read what was queued before the engine closed the link.
    closed: watch::Sender<Option<Duration>>,
}

/// Longest time for a goodbye to a peer that has not read for a while.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(1);

/// What is queued on a link, and what has been written and not been reported.
#[derive(Default)]
struct Account {
    /// For each message in the channel: the shard that made it and the length of its data, which is what the engine
    /// counts.
    queued: VecDeque<(u16, usize)>,
    owed: Vec<Credit>,
}

/// What was written for a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Credit {
    pub shard: u16,
    pub messages: usize,
    pub bytes: usize,
}

impl LinkQueue {
    pub fn new(shards: usize, limits: &Limits, remote: String) -> (Arc<Self>, mpsc::Receiver<Outgoing>) {
        let (sender, receiver) = mpsc::channel(shards * limits.link_queue_messages_max + 16);
        // An engine that waits for the link has used up all of its allowance, so it never waits for what is not reported.
        // Nor does one that waits for all links together: what they do not report is a quarter of what they may have.
        let of_all = limits.queued_bytes_max / 4 / limits.connections_max.max(1);
        let (messages, bytes) = (limits.link_queue_messages_max.div_ceil(4), limits.link_queue_bytes_max.div_ceil(4));
        let report_at = Credit { shard: 0, messages, bytes: bytes.min(of_all).max(1) };
        let queue = Self {
            remote,
            sender,
            account: Mutex::default(),
            report_at,
            dead_after: limits.dead_after,
            closed: watch::Sender::new(None),
        };
        (Arc::new(queue), receiver)
    }

    /// Queues a message of a shard. Dropped when the link is gone: the engine hears of that by itself.
    pub fn post(&self, shard: u16, message: &Message) {
        let data_bytes = message.data().map_or(0, Bytes::len);
        let outgoing = if data_bytes >= LONG_BYTES {
            let (head, data) = message.encode_apart();
            Outgoing::Parts(head, data)
        } else {
            Outgoing::Message(message.encode())
        };
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        if self.sender.try_send(outgoing).is_ok() {
            account.queued.push_back((shard, data_bytes));
        }
    }

    /// Ends the link after what was queued before.
    pub fn close(&self, reason: &CloseReason) {
        let close_code = match reason {
            CloseReason::Denied { .. } => code::FORBIDDEN,
            CloseReason::Store { .. } => code::INTERNAL,
            CloseReason::GaveWay { .. } => code::TRY_LATER,
            CloseReason::ForgedSender { .. } | CloseReason::OutOfPlace { .. } => code::PROTOCOL,
            _ => code::POLICY,
        };
        self.end(Goodbye::new(close_code, reason.to_string()));
        // The engine counts what is queued here until the link has ended, and others wait for that.
        let is_stalled = matches!(reason, CloseReason::GaveWay { .. });
        self.closed.send_replace(Some(if is_stalled { GOODBYE_DEADLINE } else { self.dead_after }));
    }

    /// Waits until the engine has closed the link, and the peer has had its time to read what was queued before.
    pub async fn overdue(&self) {
        // The sender lives as long as this does.
        let patience = self.closed.subscribe().wait_for(Option::is_some).await.ok().and_then(|patience| *patience);
        tokio::time::sleep(patience.unwrap_or(self.dead_after)).await;
    }

    /// Ends the link with a goodbye, after what was queued before.
    pub fn end(&self, goodbye: Goodbye) {
        // A link that is gone needs no closing.
        let _ = self.sender.try_send(Outgoing::Close(goodbye));
    }

    /// Takes written messages off the list. Gives what is to be reported now.
    pub fn written(&self, messages: usize) -> Vec<Credit> {
        let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        let Account { queued, owed } = &mut *account;
        for (shard, bytes) in queued.drain(..messages.min(queued.len())) {
            match owed.iter_mut().find(|credit| credit.shard == shard) {
                Some(credit) => {
                    credit.messages += 1;
                    credit.bytes += bytes;
                }
                None => owed.push(Credit { shard, messages: 1, bytes }),
            }
        }
        let least = self.report_at;
        owed.extract_if(.., |credit| credit.messages >= least.messages || credit.bytes >= least.bytes).collect()
    }
}

#[cfg(test)]
mod tests {
    use comity_model::PeerId;

    use super::*;

    fn message(bytes: usize) -> Message {
        let peer = PeerId::new("peer").unwrap();
        let document = comity_model::DocumentId::from_bytes([1; 16]);
        Message::Sync { sender: peer.clone(), target: peer, document, data: vec![0; bytes].into() }
    }

    fn credit(shard: u16, messages: usize, bytes: usize) -> Credit {
        Credit { shard, messages, bytes }
    }

    #[tokio::test]
    async fn what_all_links_do_not_report_is_a_quarter_of_what_they_may_have() {
        let mut limits = Limits::default();
        (limits.connections_max, limits.queued_bytes_max) = (10, 4_000);
        let (queue, _outbound) = LinkQueue::new(1, &limits, "somewhere".to_owned());
        queue.post(0, &message(99));
        queue.post(0, &message(1));
        assert_eq!(queue.written(1), []);
        assert_eq!(queue.written(1), [credit(0, 2, 100)]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_cut_after_the_engine_closed_its_link() {
        let limits = Limits::default();
        for (reason, seconds) in [
            (CloseReason::GaveWay { after: limits.dead_after }, 1),
            (CloseReason::TooMany { what: "unread answers", limit: 4 }, limits.dead_after.as_secs()),
        ] {
            let (queue, _outbound) = LinkQueue::new(1, &limits, "somewhere".to_owned());
            let start = tokio::time::Instant::now();
            assert!(tokio::time::timeout(Duration::from_secs(3_600), queue.overdue()).await.is_err(), "not closed");
            assert_eq!(start.elapsed().as_secs(), 3_600);
            queue.close(&reason);
            queue.overdue().await;
            assert_eq!(start.elapsed().as_secs(), 3_600 + seconds, "{reason}");
        }
    }

    #[tokio::test]
    async fn what_is_written_is_reported_by_the_quarter_and_none_is_forgotten() {
        let mut limits = Limits::default();
        (limits.link_queue_messages_max, limits.link_queue_bytes_max) = (8, 1_000);
        let (queue, mut outbound) = LinkQueue::new(2, &limits, "somewhere".to_owned());
        for (shard, bytes) in [(0, 10), (1, 10), (0, 10), (1, 300), (0, 1)] {
            queue.post(shard, &message(bytes));
        }
        assert_eq!(outbound.len(), 5);
        assert_eq!(queue.written(2), []);
        assert_eq!(queue.written(1), [credit(0, 2, 20)]);
        assert_eq!(queue.written(2), [credit(1, 2, 310)], "by bytes; the last of shard 0 is kept");
        queue.post(0, &message(1));
        assert_eq!(queue.written(9), [credit(0, 2, 2)]);
        outbound.close();
        queue.post(0, &message(1));
        assert_eq!(queue.written(1), [], "what the link does not take is not counted");
    }
}
