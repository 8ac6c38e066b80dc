//! Connections: dialling, writing, arriving, hanging up.

use comity_crdt::admit;
use comity_engine::{Established, Handshake, Input};
use comity_model::LinkId;
use comity_wire::Message;

use crate::connection::{ACCEPTED, Connection, DEVICE, End, Frame, Phase};
use crate::coverage::Seen;
use crate::happening::Happening;
use crate::host::{RELAY, limits};
use crate::plan::DOCUMENTS;
use crate::world::World;
use crate::{Sabotage, Violation};

/// A message that was on its way for longer than this was late.
const LATE_US: u64 = 5_000_000;

impl World<'_> {
    /// A device dials the relay, unless it has a connection.
    pub fn dial(&mut self, device: usize) {
        let run = self.hosts[device].run;
        let is_of_device = |end: &End| end.node == device && end.run == run && !end.is_gone();
        if self.connections.values().any(|connection| is_of_device(&connection.ends[DEVICE])) {
            return;
        }
        if self.hosts[device].cut || !self.hosts[RELAY].is_up() {
            return self.dial_later(device);
        }
        let is_old =
            |connection: &&Connection| connection.ends[DEVICE].node == device && connection.ends[ACCEPTED].is_up();
        if self.connections.values().any(|connection| is_old(&connection)) {
            self.see(Seen::HalfOpen);
        }
        let (dialing, mut join) = Handshake::dial(self.hosts[device].local());
        if let (Message::Join { metadata, .. }, Some(_)) = (&mut join, self.hosts[device].app()) {
            // Another application has no abilities of ours.
            metadata.comity = None;
        }
        let accepting = Handshake::accept(self.hosts[RELAY].local());
        let mut ends = [
            End::new(device, run, Phase::Shaking(dialing)),
            End::new(RELAY, self.hosts[RELAY].run, Phase::Shaking(accepting)),
        ];
        let connection = self.next_connection;
        self.next_connection += 1;
        if let Some(end) = self.hosts[device].one_way {
            ends[end].is_lossy = true;
            // The handshake cannot end: the device gives up.
            let patience_us = self.dice.within((1_000_000, 3_000_000));
            self.after(patience_us, Happening::Hangup { connection, end: DEVICE });
            self.after(patience_us + 50_000, Happening::Hangup { connection, end: ACCEPTED });
        }
        let is_slow = self.dice.chance(self.conditions.slow.0);
        self.connections.insert(connection, Connection { ends, is_slow });
        self.note(device, format_args!("dials, connection {connection}"));
        self.shake(connection, DEVICE, &join);
    }

    fn dial_later(&mut self, device: usize) {
        let run = self.hosts[device].run;
        let delay_us = self.dice.within((50_000, 800_000));
        self.after(delay_us, Happening::Dial { device, run });
    }

    fn shake(&mut self, connection: u64, end: usize, message: &Message) {
        let frame = Frame { bytes: message.encode(), counted: None, document: None, sent_us: self.now_us };
        self.post(connection, end, frame);
    }

    /// Queues a frame for writing.
    pub fn post(&mut self, connection: u64, end: usize, frame: Frame) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        let unwritten = &mut state.ends[end].unwritten;
        unwritten.push_back(frame);
        if unwritten.len() == 1 {
            self.start_write(connection, end);
        }
    }

    fn start_write(&mut self, connection: u64, end: usize) {
        let Some(state) = self.connections.get(&connection) else { return };
        let stalled_us = state.ends[end].stalled_until_us.saturating_sub(self.now_us);
        let span_us = if state.is_slow { self.conditions.slow.1 } else { self.conditions.write_us };
        let delay_us = stalled_us + self.dice.within(span_us);
        self.after(delay_us, Happening::Written { connection, end });
    }

    /// A frame has been written to its socket: it is on its way.
    pub fn written(&mut self, connection: u64, end: usize) {
        let (late, late_us) = self.conditions.late;
        let span_us = if self.dice.chance(late) { late_us } else { self.conditions.delay_us };
        let delay_us = self.dice.within(span_us);
        let Some(state) = self.connections.get_mut(&connection) else { return };
        let from = &mut state.ends[end];
        let Some(frame) = from.unwritten.pop_front() else { return };
        let more = !from.unwritten.is_empty();
        let (node, link) = match &from.phase {
            Phase::Up(link) => (from.node, Some(*link)),
            _ => (from.node, None),
        };
        // A pipe keeps the order.
        from.last_arrival_us = from.last_arrival_us.max(self.now_us + delay_us);
        let (arrival_us, counted) = (from.last_arrival_us, frame.counted);
        if more {
            self.start_write(connection, end);
        }
        if !self.is_swallowed(node, link, &frame) {
            self.deliver(arrival_us, connection, 1 - end, frame);
        }
        if let (Some(link), Some(bytes)) = (link, counted)
            && !self.strikes(Sabotage::ForgetWritten, 100)
        {
            self.handle(node, Input::Written { link, messages: 1, bytes });
        }
    }

    /// Whether a planted bug loses a frame.
    fn is_swallowed(&mut self, node: usize, link: Option<LinkId>, frame: &Frame) -> bool {
        match self.sabotage {
            Some(Sabotage::LoseFrame) => self.dice.chance(20),
            Some(Sabotage::DropReceipt) if node == RELAY && !brings_changes(frame) => self.dice.chance(50),
            Some(Sabotage::ForgetAfterReconnect) if node != RELAY => link.is_some_and(|link| {
                let forgotten = self.documents.get(link.0 as usize % DOCUMENTS);
                link.0 > 1 && frame.document.as_ref() == forgotten
            }),
            _ => false,
        }
    }

    /// Lets a frame arrive, and sometimes a second time: at once, or after later ones.
    fn deliver(&mut self, arrival_us: u64, connection: u64, end: usize, frame: Frame) {
        if frame.counted.is_some() && self.dice.chance(self.conditions.duplicates) {
            let behind_us = if self.dice.chance(500) { 0 } else { self.dice.within((1_000, 2_000_000)) };
            let (again, is_again) = (frame.clone(), true);
            self.at(arrival_us, Happening::Arrive { connection, end, frame, is_again: false });
            self.at(arrival_us + behind_us, Happening::Arrive { connection, end, frame: again, is_again });
        } else {
            self.at(arrival_us, Happening::Arrive { connection, end, frame, is_again: false });
        }
    }

    /// A frame arrives at an end.
    pub fn arrive(&mut self, connection: u64, end: usize, frame: Frame, is_again: bool) {
        let Some(state) = self.connections.get(&connection) else { return };
        let (to, from) = (&state.ends[end], &state.ends[1 - end]);
        if from.is_lossy || to.is_gone() {
            let one_way = from.is_lossy && !to.is_lossy && !to.is_gone();
            return self.see(if one_way { Seen::LostOneWay } else { Seen::MessageLost });
        }
        let (node, from) = (to.node, from.node);
        let message = match Message::decode(&frame.bytes, &limits()) {
            Ok(message) => message,
            Err(error) => {
                return self.violate(Violation::Frame { node: self.name(node), detail: error.to_string() });
            }
        };
        let Phase::Up(link) = to.phase else { return self.establish(connection, end, message) };
        if is_again {
            self.see(Seen::Duplicated);
        }
        if self.now_us - frame.sent_us > LATE_US {
            self.see(Seen::Late);
        }
        self.note_order(node, from, &frame);
        let again = self.repeated(&message);
        self.handle(node, Input::Received { link, message });
        if let Some(message) = again {
            self.handle(node, Input::Received { link, message });
        }
    }

    /// What a planted bug hands over once more.
    fn repeated(&mut self, message: &Message) -> Option<Message> {
        let is_short_lived = matches!(message, Message::Ephemeral { .. });
        let mut again = (is_short_lived && self.strikes(Sabotage::RepeatEphemeral, 200)).then(|| message.clone())?;
        if let Message::Ephemeral { count, .. } = &mut again {
            *count += 1;
        }
        Some(again)
    }

    /// Watches for messages that were overtaken on another link.
    fn note_order(&mut self, node: usize, from: usize, frame: &Frame) {
        let Some(document) = frame.document.filter(|_| node == RELAY) else { return };
        let latest = self.latest_sent.entry(document).or_insert((frame.sent_us, from));
        if latest.0 > frame.sent_us && latest.1 != from {
            self.see(Seen::Overtaken);
        } else if latest.0 <= frame.sent_us {
            *latest = (frame.sent_us, from);
        }
    }

    fn establish(&mut self, connection: u64, end: usize, message: Message) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        let to = &mut state.ends[end];
        let (node, Phase::Shaking(handshake)) = (to.node, &to.phase) else { return };
        let Established { peer, reply } = match handshake.receive(message) {
            Ok(established) => established,
            Err(error) => {
                return self.violate(Violation::Accused { node: self.name(node), detail: error.to_string() });
            }
        };
        let link = self.hosts[node].next_link();
        to.phase = Phase::Up(link);
        if let Some(reply) = reply {
            self.shake(connection, end, &reply);
        }
        self.handle(node, Input::LinkUp { link, peer });
    }

    /// An end notices that the connection is gone; a device dials again after a while.
    pub fn hangup(&mut self, connection: u64, end: usize) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        let this = &mut state.ends[end];
        let node = this.node;
        let phase = std::mem::replace(&mut this.phase, Phase::Gone);
        this.unwritten.clear();
        state.break_off();
        if state.ends.iter().all(End::is_gone) {
            self.connections.remove(&connection);
        }
        if let Phase::Up(link) = phase
            && self.sabotage != Some(Sabotage::ForgetLinkDown)
        {
            self.handle(node, Input::LinkDown { link });
        }
        if end == DEVICE && !matches!(phase, Phase::Gone) {
            self.dial_later(node);
        }
    }

    /// Cuts a connection: what is on its way is lost, and each end notices in its own time.
    pub fn cut(&mut self, connection: u64) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        state.break_off();
        for end in [DEVICE, ACCEPTED] {
            // Mostly at once; sometimes only when a ping stays without an answer.
            let span_us = if self.dice.chance(150) { (1_000_000, 4_000_000) } else { (0, 60_000) };
            let delay_us = self.dice.within(span_us);
            self.after(delay_us, Happening::Hangup { connection, end });
        }
    }

    /// Cuts every connection of a node.
    pub fn cut_all(&mut self, node: usize) {
        for connection in self.connections_of(node) {
            self.cut(connection);
        }
    }

    /// What one end of a device's connections writes is lost. The other end hears nothing, gives up after a while, and
    /// its goodbye arrives.
    pub fn lose_one_way(&mut self, device: usize, end: usize) {
        for connection in self.connections_of(device) {
            let Some(state) = self.connections.get_mut(&connection) else { continue };
            state.ends[end].is_lossy = true;
            let patience_us = self.dice.within((2_000_000, 6_000_000));
            self.after(patience_us, Happening::Hangup { connection, end: 1 - end });
            self.after(patience_us + 60_000, Happening::Hangup { connection, end });
        }
    }

    /// A device's connections break, and one end does not notice for long.
    pub fn half_open(&mut self, device: usize, unaware: usize, for_us: u64) {
        for connection in self.connections_of(device) {
            let Some(state) = self.connections.get_mut(&connection) else { continue };
            state.break_off();
            self.after(10_000, Happening::Hangup { connection, end: 1 - unaware });
            self.after(for_us, Happening::Hangup { connection, end: unaware });
        }
    }

    /// Nothing that one end of a device's connections writes is taken for a while.
    pub fn stall(&mut self, device: usize, writer: usize, for_us: u64) {
        let until_us = self.now_us + for_us;
        for connection in self.connections_of(device) {
            if let Some(state) = self.connections.get_mut(&connection) {
                state.ends[writer].stalled_until_us = until_us;
            }
        }
    }

    pub fn connections_of(&self, node: usize) -> Vec<u64> {
        let of_node = |connection: &Connection| connection.ends.iter().any(|end| end.node == node);
        self.connections.iter().filter(|(_, state)| of_node(state)).map(|(connection, _)| *connection).collect()
    }
}

/// Whether a frame is anything but a sync message without changes.
fn brings_changes(frame: &Frame) -> bool {
    match Message::decode(&frame.bytes, &limits()) {
        Ok(Message::Sync { data, .. }) => admit(&data, &limits()).is_ok_and(|admitted| admitted.has_changes()),
        _ => true,
    }
}
