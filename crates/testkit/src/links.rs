//! Connections: dialling, writing, arriving, hanging up.

use comity_engine::{Established, Handshake, Input};
use comity_wire::Message;

use crate::connection::{ACCEPTED, Connection, DEVICE, End, Frame, Phase};
use crate::coverage::Seen;
use crate::host::{RELAY, limits};
use crate::world::{Happening, World};
use crate::{Sabotage, Violation};

impl World<'_> {
    /// A device dials the relay, unless it has a connection.
    pub fn dial(&mut self, device: usize) {
        let run = self.hosts[device].run;
        let is_of_device = |end: &End| end.node == device && end.run == run && !end.is_gone();
        if self.connections.values().any(|connection| is_of_device(&connection.ends[DEVICE])) {
            return;
        }
        if self.hosts[device].cut || self.hosts[RELAY].engine.is_none() {
            return self.dial_later(device);
        }
        let is_old =
            |connection: &&Connection| connection.ends[DEVICE].node == device && connection.ends[ACCEPTED].is_up();
        if self.connections.values().any(|connection| is_old(&connection)) {
            self.see(Seen::HalfOpen);
        }
        let (dialing, join) = Handshake::dial(self.hosts[device].local());
        let accepting = Handshake::accept(self.hosts[RELAY].local());
        let ends = [
            End::new(device, run, Phase::Shaking(dialing)),
            End::new(RELAY, self.hosts[RELAY].run, Phase::Shaking(accepting)),
        ];
        let connection = self.next_connection;
        self.next_connection += 1;
        let is_slow = self.dice.chance(self.conditions.slow.0);
        self.connections.insert(connection, Connection { ends, broken: false, is_slow });
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
        let is_slow = self.connections.get(&connection).is_some_and(|state| state.is_slow);
        let span_us = if is_slow { self.conditions.slow.1 } else { self.conditions.write_us };
        let delay_us = self.dice.within(span_us);
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
        if !self.strikes(Sabotage::LoseFrame, 20) {
            self.at(arrival_us, Happening::Arrive { connection, end: 1 - end, frame });
        }
        if let (Some(link), Some(bytes)) = (link, counted)
            && !self.strikes(Sabotage::ForgetWritten, 100)
        {
            self.handle(node, Input::Written { link, messages: 1, bytes });
        }
    }

    /// A frame arrives at an end.
    pub fn arrive(&mut self, connection: u64, end: usize, frame: Frame) {
        let Some(state) = self.connections.get(&connection) else { return };
        let (to, from) = (&state.ends[end], state.ends[1 - end].node);
        if state.broken || to.is_gone() {
            return self.see(Seen::MessageLost);
        }
        let node = to.node;
        let message = match Message::decode(&frame.bytes, &limits()) {
            Ok(message) => message,
            Err(error) => {
                return self.violate(Violation::Frame { node: self.name(node), detail: error.to_string() });
            }
        };
        if let Phase::Up(link) = to.phase {
            self.note_order(node, from, &frame);
            return self.handle(node, Input::Received { link, message });
        }
        self.establish(connection, end, message);
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
        state.broken = true;
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
        state.broken = true;
        for end in [DEVICE, ACCEPTED] {
            // Mostly at once; sometimes only when a ping stays without an answer.
            let span_us = if self.dice.chance(150) { (1_000_000, 4_000_000) } else { (0, 60_000) };
            let delay_us = self.dice.within(span_us);
            self.after(delay_us, Happening::Hangup { connection, end });
        }
    }

    /// Cuts every connection of a node.
    pub fn cut_all(&mut self, node: usize) {
        let of_node = |connection: &Connection| connection.ends.iter().any(|end| end.node == node);
        let cut: Vec<u64> =
            self.connections.iter().filter(|(_, state)| of_node(state)).map(|(connection, _)| *connection).collect();
        for connection in cut {
            self.cut(connection);
        }
    }
}
