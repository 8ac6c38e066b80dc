//! Carries out what engines ask for, as the driver of a real node does.

use std::fmt;

use comity_engine::{Effect, Event, Input, PeerStanding, Ticket};
use comity_model::{DocumentId, LinkId, StorageId};
use comity_wire::Message;

use crate::connection::{ACCEPTED, DEVICE, Frame, Phase};
use crate::coverage::Seen;
use crate::disk::{Content, Write};
use crate::host::{RELAY, limits};
use crate::trace;
use crate::world::{Happening, World};
use crate::{Sabotage, Violation};

impl World<'_> {
    /// Hands an input to an engine and carries out what it answers.
    pub fn handle(&mut self, node: usize, input: Input) {
        let host = &mut self.hosts[node];
        let now = host.instant(self.now_us);
        let Some(engine) = host.engine.as_mut() else { return };
        self.inputs += 1;
        self.trace.note(self.now_us, &host.name, format_args!("< {}", Shown(&input)));
        let settles = matches!(input, Input::Settle);
        for effect in engine.handle(now, input) {
            self.note(node, format_args!("  > {}", Shown(&effect)));
            self.carry_out(node, effect);
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
                let delay_us = self.dice.within((100, 20_000));
                self.after(delay_us, Happening::Loaded { node, run, document });
            }
            Effect::Send { link, message } => self.send(node, link, &message),
            Effect::Close { link, reason } => {
                self.close(node, link);
                self.violate(Violation::Accused { node: self.name(node), detail: reason.to_string() });
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

    /// Answers what has become durable.
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
        for ticket in done.into_iter().filter_map(|write| write.ticket) {
            if !self.strikes(Sabotage::DropStored, 30) {
                self.handle(node, Input::Stored { ticket, result: Ok(()) });
            }
        }
    }

    /// Answers a load.
    pub fn loaded(&mut self, node: usize, document: DocumentId) {
        let mut loaded = self.hosts[node].disk.load(&document);
        if let Some(loaded) = &mut loaded
            && self.strikes(Sabotage::LoadWithoutLast, 100)
        {
            loaded.changes.pop();
        }
        if loaded.is_some() && !self.hosts[node].loaded.insert(document) {
            self.see(Seen::LoadedAgain);
        }
        self.handle(node, Input::Loaded { document, result: Ok(loaded) });
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
        let unwritten = self.connections[&connection].ends[end].unwritten_counted();
        let limit = limits().link_queue_messages_max;
        if unwritten >= limit {
            self.see(Seen::CreditExhausted);
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

    /// Takes note of what an engine tells its user.
    fn notice(&mut self, node: usize, event: Event) {
        match event {
            Event::Edited { token, document, result } => self.edited(node, token, document, result),
            Event::Saved { token, document, result } => self.saved(node, token, document, result),
            Event::Changed { document, before, after, .. } => {
                if after.as_slice().len() > 1 {
                    self.see(Seen::Concurrent);
                }
                let seen = self.hosts[node].seen_heads.entry(document).or_default();
                if seen.is_empty() {
                    seen.push(before);
                }
                seen.push(after);
            }
            Event::Fetched { token, document, result } => self.fetched(node, token, document, result),
            Event::Stands { document, standing } => self.check_standing(node, document, &standing),
            Event::Unavailable { .. } => self.see(Seen::Unavailable),
            Event::Ephemeral { .. } if node != RELAY => self.see(Seen::Ephemeral),
            Event::Failed { document, failure } => {
                let detail = failure.message;
                self.violate(Violation::Unreadable { node: self.name(node), document, detail });
            }
            Event::PeerError { message, .. } => {
                self.violate(Violation::Accused { node: self.name(node), detail: message });
            }
            _ => {}
        }
    }

    /// Whether a planted bug shows itself now.
    pub fn strikes(&mut self, sabotage: Sabotage, permille: u64) -> bool {
        self.sabotage == Some(sabotage) && self.dice.chance(permille)
    }
}

/// Writes inputs and effects for the trace: all that matters for equality, in one line.
struct Shown<'a, T>(&'a T);

impl fmt::Display for Shown<'_, Input> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Input::Received { link, message } => write!(f, "received {link} {}", Shown(message)),
            Input::Loaded { document, result } => match result {
                Ok(Some(loaded)) => {
                    let snapshot = loaded.snapshot.as_ref().map_or(0, bytes::Bytes::len);
                    let (changes, sessions) = (loaded.changes.len(), loaded.sessions.len());
                    write!(
                        f,
                        "loaded {} snapshot {snapshot} B, {changes} changes, {sessions} sessions",
                        short(document)
                    )
                }
                Ok(None) => write!(f, "loaded {} nothing", short(document)),
                Err(failure) => write!(f, "loaded {} {failure}", short(document)),
            },
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for Shown<'_, Message> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, document) = (self.0.type_name(), self.0.document().map(|document| short(&document)));
        let digest = trace::digest(&self.0.encode());
        let bytes = self.0.data().map_or(0, bytes::Bytes::len);
        write!(f, "{kind} {} {bytes} B {digest:016x}", document.unwrap_or_default())
    }
}

impl fmt::Display for Shown<'_, Effect> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Effect::Append { ticket, document, chunks, heads } => {
                let bytes: usize = chunks.iter().map(bytes::Bytes::len).sum();
                write!(f, "append {} {}: {} chunks, {bytes} B, heads {heads}", ticket.0, short(document), chunks.len())
            }
            Effect::Replace { ticket, document, snapshot, heads } => {
                write!(f, "replace {} {}: {} B, heads {heads}", ticket.0, short(document), snapshot.len())
            }
            Effect::KeepSession { document, storage, session } => {
                write!(f, "keep {} {storage} {:016x}", short(document), trace::digest(session))
            }
            Effect::Load { document } => write!(f, "load {}", short(document)),
            Effect::Send { link, message } => write!(f, "send {link} {}", Shown(message)),
            Effect::Notify(Event::Stands { document, standing }) => {
                let shown = |peer: &PeerStanding| {
                    let storage = peer.storage.as_ref().map_or("-", StorageId::as_str);
                    format!("{storage} {} {:?}", peer.behind, peer.answer)
                };
                let peers: Vec<_> = standing.peers.iter().map(shown).collect();
                let (heads, unsaved) = (&standing.heads, standing.unsaved);
                write!(f, "stands {} heads {heads}, unsaved {unsaved}, behind {peers:?}", short(document))
            }
            other => write!(f, "{other:?}"),
        }
    }
}

/// Names a document in the trace.
pub(crate) fn short(document: &DocumentId) -> String {
    document.to_string().chars().take(6).collect()
}
