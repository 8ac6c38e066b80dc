//! What engines tell their users.

use comity_crdt::Document;
use comity_engine::{Event, Origin};
use comity_model::{ChangeHash, DocumentId, Heads, HybridClock, PeerId};

use crate::Violation;
use crate::conditions::YEAR_MS;
use crate::connection::ACCEPTED;
use crate::coverage::Seen;
use crate::host::{RELAY, limits};
use crate::world::World;

impl World<'_> {
    /// Takes note of what an engine tells.
    pub fn notice(&mut self, node: usize, event: Event) {
        match event {
            Event::Edited { token, document, result } => self.edited(node, token, document, result),
            Event::Saved { token, document, result } => self.saved(node, token, document, result),
            Event::Changed { document, origin, before, after, changes } => {
                self.review_change(node, document, &before, &after, &changes);
                self.changed(node, document, origin, before, after);
            }
            Event::Fetched { token, document, result } => self.fetched(node, token, document, result),
            Event::Stands { document, standing } => self.check_standing(node, document, &standing),
            Event::Unavailable { .. } => self.see(Seen::Unavailable),
            Event::Ephemeral { sender, data, .. } => self.heard(node, sender, data),
            Event::Failed { document, failure } => {
                if !self.hosts[node].is_troubled {
                    let detail = failure.message;
                    return self.violate(Violation::Unreadable { node: self.name(node), document, detail });
                }
                self.see(Seen::ReadOnly);
                self.hosts[node].failed.insert(document);
            }
            Event::Recovered { document } => {
                self.see(Seen::WritableAgain);
                self.hosts[node].failed.remove(&document);
            }
            Event::PeerError { message, .. } => {
                let is_known = |host: &crate::host::Host| host.was_troubled && message.contains(&host.name);
                if self.hosts.iter().any(is_known) {
                    return self.see(Seen::ToldOfFailure);
                }
                self.violate(Violation::Accused { node: self.name(node), detail: message });
            }
            _ => {}
        }
    }

    fn changed(&mut self, node: usize, document: DocumentId, origin: Origin, before: Heads, after: Heads) {
        if after.as_slice().len() > 1 {
            self.see(Seen::Concurrent);
        }
        if origin == Origin::Here {
            self.check_time(node, &document, &before, &after);
        }
        if self.hosts[node].engine().is_some_and(|engine| engine.document(&document).is_some_and(is_foreign)) {
            self.see(Seen::ForeignDocument);
        }
        if node == RELAY {
            for connection in self.connections.values_mut() {
                *connection.ends[ACCEPTED].untold.entry(document).or_default() += 1;
            }
        }
        let seen = self.hosts[node].seen_heads.entry(document).or_default();
        if seen.is_empty() {
            seen.push(before);
        }
        seen.push(after);
    }

    /// A short-lived message is heard once.
    fn heard(&mut self, node: usize, sender: PeerId, data: bytes::Bytes) {
        if node == RELAY {
            return;
        }
        self.see(Seen::Ephemeral);
        let key = (node, self.hosts[node].run, sender, data);
        // A table that is full forgets the oldest speaker.
        if !self.heard.insert(key.clone()) && self.speakers.len() <= limits().ephemeral_sessions_max {
            self.violate(Violation::HeardTwice { node: self.name(node), sender: key.2 });
        }
    }

    /// The time of a change is later than that of the one before it by the same run, and later than that of whatever its
    /// author saw, save what is further ahead than a clock may pull another; and its author's clock is not dragged along.
    fn check_time(&mut self, node: usize, document: &DocumentId, before: &Heads, after: &Heads) {
        let host = &self.hosts[node];
        let Some(content) = host.engine().and_then(|engine| engine.document(document)) else { return };
        let is_new = |hash: &&ChangeHash| !before.as_slice().contains(hash);
        let Some(act) = after.as_slice().iter().find(is_new).and_then(|hash| content.act_of(hash)) else { return };
        let wall_ms = host.clock.wall_ms(self.now_us);
        let seen: Vec<_> = before.as_slice().iter().filter_map(|hash| content.act_of(hash)).collect();
        let near = seen.iter().filter(|seen| seen.time.wall_ms <= wall_ms.saturating_add(HybridClock::AHEAD_MS_MAX));
        let latest = near.map(|seen| seen.time).chain(host.clock.last_act).max();
        let is_years_behind = seen.iter().any(|seen| {
            seen.time.wall_ms > wall_ms.saturating_add(i64::try_from(YEAR_MS).expect("milliseconds of a year"))
        });
        let bound_ms = host.clock.greatest_ms.saturating_add(HybridClock::AHEAD_MS_MAX);
        let (is_frozen, time) = (host.clock.frozen_ms.is_some(), act.time);
        if latest.is_some_and(|latest| time <= latest) || time.wall_ms > bound_ms {
            let detail = format!("{time} after {latest:?}, and no clock showed more than {bound_ms} less a day");
            self.violate(Violation::Time { node: self.name(node), document: *document, detail });
        }
        if is_frozen {
            self.see(Seen::EditWhileFrozen);
        }
        if is_years_behind {
            self.see(Seen::YearsApart);
        }
        self.hosts[node].clock.last_act = Some(time);
    }
}

fn is_foreign(content: &Document) -> bool {
    !content.is_empty() && !content.is_comity()
}
