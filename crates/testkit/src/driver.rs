//! Carries out what engines ask for, as the driver of a real node does.

use comity_engine::{CloseReason, Effect, FailureKind, Input, Ticket};
use comity_model::{DocumentId, LinkId};
use comity_wire::Message;

use crate::connection::{ACCEPTED, DEVICE, Frame, Phase};
use crate::coverage::Seen;
use crate::disk::{Content, Write};
use crate::happening::Happening;
use crate::host::{RELAY, limits};
use crate::shown::Shown;
use crate::world::World;
use crate::{Sabotage, Violation};

impl World<'_> {
    /// Hands an input to whatever runs on a node and carries out what it answers.
    pub fn handle(&mut self, node: usize, input: Input) {
        if !self.hosts[node].is_up() {
            return;
        }
        self.inputs += 1;
        self.trace.note(self.now_us, &self.hosts[node].name, format_args!("< {}", Shown(&input)));
        let settles = matches!(input, Input::Settle);
        let about = if let Input::Received { message, .. } = &input { message.document() } else { None };
        let Some(effects) = self.hosts[node].handle(self.now_us, input) else { return };
        self.carry_out_all(node, effects);
        let Some(engine) = self.hosts[node].engine() else { return };
        let content = about.and_then(|document| engine.document(&document));
        if content.is_some_and(|content| content.orphan_bytes() > 0) {
            self.see(Seen::Orphan);
        }
        if !settles && !self.hosts[node].settles {
            // Whatever arrives in the meantime is answered together.
            self.hosts[node].settles = true;
            let run = self.hosts[node].run;
            let delay_us = self.dice.below(2_000);
            self.after(delay_us, Happening::Settle { node, run });
        }
        self.check_load(node);
    }

    pub fn carry_out_all(&mut self, node: usize, effects: Vec<Effect>) {
        for effect in effects {
            self.note(node, format_args!("  > {}", Shown(&effect)));
            self.carry_out(node, effect);
        }
    }

    fn carry_out(&mut self, node: usize, effect: Effect) {
        match effect {
            Effect::Append { ticket, document, mut chunks, heads } => {
                if self.strikes(Sabotage::HalfAppend, 200) {
                    chunks.truncate(1);
                }
                self.submit(node, Some(ticket), document, Content::Append { chunks, heads });
            }
            Effect::Replace { ticket, document, snapshot, heads } => {
                self.see(Seen::Compacted);
                self.submit(node, Some(ticket), document, Content::Replace { snapshot, heads });
            }
            Effect::KeepSession { document, storage, session } => {
                self.submit(node, None, document, Content::Session { storage, session });
            }
            Effect::Load { document } => {
                let run = self.hosts[node].run;
                if self.strikes(Sabotage::AnswerBeforeLoaded, 200) {
                    self.after(0, Happening::LoadedNothing { node, run, document });
                }
                let delay_us = self.dice.within((100, 20_000));
                self.after(delay_us, Happening::Loaded { node, run, document });
            }
            Effect::Send { link, message } => self.send(node, link, &message),
            Effect::Close { link, reason } => {
                self.close(node, link);
                // A node that cannot read what it was told asks for it again, by a new link.
                if !matches!(reason, CloseReason::Store { .. }) || !self.hosts[node].is_troubled {
                    self.violate(Violation::Accused { node: self.name(node), detail: reason.to_string() });
                }
            }
            Effect::Quarantine { reason, .. } => {
                self.violate(Violation::Accused { node: self.name(node), detail: reason });
            }
            Effect::Notify(event) => self.notice(node, event),
            other => self.violate(Violation::Accused { node: self.name(node), detail: format!("asks for {other:?}") }),
        }
    }

    fn submit(&mut self, node: usize, ticket: Option<Ticket>, document: DocumentId, content: Content) {
        let run = self.hosts[node].run;
        if self.sabotage == Some(Sabotage::StoredBeforeDurable)
            && let Some(ticket) = ticket
        {
            self.after(0, Happening::Stored { node, run, ticket });
        }
        if self.hosts[node].disk.submit(Write { ticket, document, content }) {
            self.start_flush(node);
        }
    }

    fn start_flush(&mut self, node: usize) {
        let run = self.hosts[node].run;
        let (stalls, stall_us) = self.conditions.stall;
        let span_us = if self.dice.chance(stalls) { stall_us } else { self.conditions.flush_us };
        let delay_us = self.dice.within(span_us);
        self.after(delay_us, Happening::Flushed { node, run });
    }

    /// Answers what has become durable, or never will.
    pub fn flushed(&mut self, node: usize) {
        let (done, again) = self.hosts[node].disk.flushed();
        if again {
            self.start_flush(node);
        }
        if done.len() > 1 {
            self.see(Seen::GroupCommit);
        }
        if self.sabotage == Some(Sabotage::StoredBeforeDurable) {
            return;
        }
        for (Write { ticket, document, .. }, mut result) in done {
            let Some(ticket) = ticket else { continue };
            if self.strikes(Sabotage::DropStored, 30) {
                continue;
            }
            if let Err(failure) = &result {
                self.see(match failure.kind {
                    FailureKind::Full => Seen::DiskFull,
                    FailureKind::Damaged => Seen::WriteToDamaged,
                    _ => Seen::WriteRefused,
                });
                if self.sabotage == Some(Sabotage::HideRefusal) {
                    result = Ok(());
                }
            }
            let fails = result.is_err();
            self.handle(node, Input::Stored { ticket, result });
            if fails {
                self.expect_named(node, document);
            }
        }
    }

    /// Answers a load.
    pub fn loaded(&mut self, node: usize, document: DocumentId) {
        let mut result = self.hosts[node].disk.load(&document);
        if let Ok(Some(loaded)) = &mut result
            && self.strikes(Sabotage::LoadWithoutLast, 100)
        {
            loaded.changes.pop();
        }
        let refused = match &result {
            Ok(Some(_)) if !self.hosts[node].loaded.insert(document) => {
                self.see(Seen::LoadedAgain);
                None
            }
            Ok(_) => None,
            Err(failure) => Some(failure.kind),
        };
        self.handle(node, Input::Loaded { document, result });
        if let Some(kind) = refused {
            self.see(if kind == FailureKind::Damaged { Seen::LoadDamaged } else { Seen::LoadRefused });
            self.expect_named(node, document);
            if kind == FailureKind::Io {
                // It is asked for again.
                self.hosts[node].failed.remove(&document);
            }
        }
    }

    /// Trouble is told by the name of the document.
    fn expect_named(&mut self, node: usize, document: DocumentId) {
        if self.hosts[node].is_up() && !self.hosts[node].failed.contains(&document) {
            self.violate(Violation::NotNamed { node: self.name(node), document });
        }
    }

    fn send(&mut self, node: usize, link: LinkId, message: &Message) {
        self.messages += 1;
        let counted = message.data().map_or(0, bytes::Bytes::len);
        let document = message.document();
        let frame = Frame { bytes: message.encode(), counted: Some(counted), document, sent_us: self.now_us };
        let Some((connection, end)) = self.find(node, link) else {
            let detail = format!("sends to {link}, which is closed");
            return self.violate(Violation::Accused { node: self.name(node), detail });
        };
        self.post(connection, end, frame);
        if self.hosts[node].engine().is_none() {
            // Another application queues what it likes.
            return;
        }
        let Some(state) = self.connections.get_mut(&connection) else { return };
        let untold = document.and_then(|document| state.ends[end].untold.remove(&document)).unwrap_or(0);
        let unwritten = state.ends[end].unwritten_counted();
        let limit = limits().link_queue_messages_max;
        if unwritten >= limit {
            self.see(Seen::CreditExhausted);
            if untold > 1 {
                self.see(Seen::Coalesced);
            }
        }
        // What nobody says is written stays on the engine's account.
        if unwritten > limit {
            let (node, what) = (self.name(node), "unwritten messages on a link");
            self.violate(Violation::OverLimit { node, what, actual: unwritten, limit });
        }
    }

    fn close(&mut self, node: usize, link: LinkId) {
        if let Some((connection, end)) = self.find(node, link) {
            self.after(0, Happening::Hangup { connection, end });
            self.after(50_000, Happening::Hangup { connection, end: 1 - end });
        }
    }

    /// Finds the connection of a link.
    fn find(&self, node: usize, link: LinkId) -> Option<(u64, usize)> {
        let end = if node == RELAY { ACCEPTED } else { DEVICE };
        let is_it = |ends: &[crate::connection::End; 2]| {
            ends[end].node == node && matches!(ends[end].phase, Phase::Up(up) if up == link)
        };
        let found = self.connections.iter().find(|(_, connection)| is_it(&connection.ends));
        found.map(|(connection, _)| (*connection, end))
    }

    /// Whether a planted bug shows itself now.
    pub fn strikes(&mut self, sabotage: Sabotage, permille: u64) -> bool {
        self.sabotage == Some(sabotage) && self.dice.chance(permille)
    }
}
