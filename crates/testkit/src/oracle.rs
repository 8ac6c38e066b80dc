//! Checks every promise.

use std::collections::BTreeMap;

use comity_crdt::Document;
use comity_engine::Standing;
use comity_model::{ChangeHash, DocumentId, Heads};

use crate::coverage::Seen;
use crate::host::{RELAY, limits};
use crate::world::{EditRecord, Outcome, World};
use crate::{Violation, foreign, trace};

/// What a node has of a document when all is quiet.
pub(crate) struct Copy {
    heads: Heads,
    /// Digest of the entries and remarks; another application knows nothing of them.
    shown: Option<u64>,
    /// Digest of what another application sees in what was saved. Saving and reading back costs time: it is asked of the
    /// relay, of other applications, and of every node for documents that are not ours.
    shown_elsewhere: Option<u64>,
    /// Edits of this document that were made and are missing here.
    missing: Vec<u64>,
}

impl Copy {
    /// Whether two copies are equal as far as both can be compared.
    fn is_like(&self, other: &Self) -> bool {
        let differ = |one: Option<u64>, other: Option<u64>| one.zip(other).is_some_and(|(one, other)| one != other);
        self.heads == other.heads
            && !differ(self.shown, other.shown)
            && !differ(self.shown_elsewhere, other.shown_elsewhere)
    }

    fn digests(&self) -> String {
        format!("{:016x} {:016x}", self.shown.unwrap_or(0), self.shown_elsewhere.unwrap_or(0))
    }
}

impl World<'_> {
    /// An engine holds no more than it may.
    pub fn check_load(&mut self, node: usize) {
        let Some(engine) = self.hosts[node].engine() else { return };
        let load = engine.load();
        let limits = limits();
        let links = self.connections.values().flat_map(|connection| &connection.ends);
        // A link that the engine closed is known to the driver a moment longer.
        let links = links.filter(|end| end.node == node && end.is_up()).count();
        let bounds = [
            ("links", load.links, links),
            ("documents", load.documents, self.documents.len()),
            ("messages in an outbox", load.outbox_messages_max, limits.link_queue_messages_max),
            ("waiting inputs", load.waiting, limits.waiting_inputs_max * self.documents.len()),
            ("sessions of ephemerals", load.ephemeral_sessions, limits.ephemeral_sessions_max),
        ];
        for (what, actual, limit) in bounds {
            if actual > limit {
                self.violate(Violation::OverLimit { node: self.name(node), what, actual, limit });
            }
        }
    }

    /// After a tick, no more documents are in memory than may be, save those that must be written first.
    pub fn check_memory(&mut self, node: usize) {
        let Some(engine) = self.hosts[node].engine() else { return };
        let unsaved = |document: &&DocumentId| engine.standing(document).is_some_and(|standing| standing.unsaved);
        let pinned = self.documents.iter().filter(unsaved).count();
        let (actual, limit) = (engine.load().in_memory, limits().documents_loaded_max + pinned);
        if actual > limit {
            self.violate(Violation::OverLimit { node: self.name(node), what: "documents in memory", actual, limit });
        }
    }

    /// Whatever a device says is at the relay is on the relay's disk.
    pub fn check_standing(&mut self, node: usize, document: DocumentId, standing: &Standing) {
        let relay = self.hosts[RELAY].storage();
        let is_safe = standing.peers.iter().any(|peer| peer.storage.as_ref() == Some(relay) && peer.behind == 0);
        if node == RELAY || !is_safe {
            return;
        }
        let Some(own) = self.hosts[node].own.get(&document) else { return };
        let unproven: Vec<ChangeHash> =
            own.iter().filter(|change| !self.on_relay.contains(&(document, **change))).copied().collect();
        if unproven.is_empty() {
            return;
        }
        self.see(Seen::SafeAtRelay);
        let Ok(durable) = self.hosts[RELAY].disk.durable(&document) else { return };
        for change in unproven {
            if durable.contains(&change) {
                self.on_relay.insert((document, change));
            } else {
                self.violate(Violation::Dishonest { node: self.name(node), document, change });
            }
        }
    }

    pub fn check_all_standings(&mut self) {
        for node in 1..self.hosts.len() {
            for document in self.documents.clone() {
                let engine = self.hosts[node].engine();
                if let Some(standing) = engine.and_then(|engine| engine.standing(&document)) {
                    self.check_standing(node, document, &standing);
                }
            }
        }
    }

    /// What was called durable has survived a crash: edits called saved at their device, and changes of which a device
    /// said that the relay has them.
    pub fn check_survivors(&mut self, node: usize) {
        let saved = self.edits.values().filter(|edit| edit.is_saved() && edit.device == node);
        let saved = saved.filter_map(|edit| Some((edit.document, edit.change?)));
        let believed = self.on_relay.iter().copied().filter(|_| node == RELAY);
        let mut promised: BTreeMap<DocumentId, Vec<ChangeHash>> = BTreeMap::new();
        let is_due = |(document, change): &(DocumentId, ChangeHash)| !self.taken.contains(&(node, *document, *change));
        for (document, change) in saved.chain(believed).filter(is_due) {
            promised.entry(document).or_default().push(change);
        }
        for (document, changes) in promised {
            let name = self.name(node);
            match self.hosts[node].disk.durable(&document) {
                Ok(content) => {
                    if let Some(change) = changes.into_iter().find(|change| !content.contains(change)) {
                        self.violate(Violation::Lost { change, document, node: name });
                    }
                }
                Err(error) => self.violate(Violation::DiskDiffers { document, node: name, detail: error.to_string() }),
            }
        }
    }

    /// Takes note of what a node has of a document.
    pub fn copy(&mut self, node: usize, document: DocumentId) {
        let engine = self.hosts[node].engine();
        // A document that turned out to be empty is not kept in memory.
        let nobodys = Document::new();
        let content = engine.and_then(|engine| engine.document(&document)).unwrap_or(&nobodys);
        let made = self.edits.iter().filter(|(_, edit)| edit.document == document);
        let missing = made.filter(|(_, edit)| edit.change.is_some_and(|change| !content.contains(&change)));
        // As Comity shows it, and as another application would see what Comity saves.
        let is_compared = node == RELAY || !content.is_comity();
        let saved = is_compared.then(|| content.save().and_then(|saved| foreign::shown_to_others(&saved).ok()));
        let shown = format!("{:?}{:?}", content.entries(None), content.remarks());
        let copy = Copy {
            heads: content.heads().clone(),
            shown: Some(trace::digest(shown.as_bytes())),
            shown_elsewhere: saved.map(|shown| trace::digest(shown.unwrap_or_default().as_bytes())),
            missing: missing.map(|(token, _)| *token).collect(),
        };
        let standing = engine.and_then(|engine| engine.standing(&document)).unwrap_or_default();
        self.note(node, format_args!("has {} at {}, {}", document, copy.heads, copy.digests()));
        self.check_synced(node, document, &standing);
        self.copies.insert((node, document), copy);
    }

    /// When all is quiet, every device knows that the relay has everything: its indicator says *synced*.
    fn check_synced(&mut self, node: usize, document: DocumentId, standing: &Standing) {
        let relay = self.hosts[RELAY].storage();
        let with_relay = standing.peers.iter().filter(|peer| peer.storage.as_ref() == Some(relay));
        let behind = with_relay.map(|peer| peer.behind).min();
        if node != RELAY && !standing.heads.is_empty() && behind != Some(0) {
            self.violate(Violation::NeverSynced { node: self.name(node), document, behind });
        }
    }

    /// Takes note of what another application has of a document.
    pub fn copy_elsewhere(&mut self, node: usize, document: DocumentId) {
        let Some(app) = self.hosts[node].app() else { return };
        let (heads, shown) = app.shown(&document);
        let made = self.edits.iter().filter_map(|(token, edit)| Some((*token, edit, edit.change?)));
        let missing = made.filter(|(_, edit, change)| edit.document == document && !app.contains(&document, change));
        let missing = missing.map(|(token, ..)| token).collect();
        let copy = Copy { heads, shown: None, shown_elsewhere: Some(trace::digest(shown.as_bytes())), missing };
        self.note(node, format_args!("has {} at {}, {}", document, copy.heads, copy.digests()));
        self.copies.insert((node, document), copy);
    }

    /// Compares everything with everything, now that all is quiet.
    pub fn judge(&mut self) {
        for node in 0..self.hosts.len() {
            for document in self.documents.clone() {
                if node == RELAY || self.hosts[node].wants.contains(&document) {
                    self.judge_copy(node, document);
                }
            }
            self.judge_rest(node);
        }
        self.judge_saved();
        self.note_returned();
    }

    fn judge_copy(&mut self, node: usize, document: DocumentId) {
        let name = self.name(node);
        let (Some(copy), Some(relay)) = (self.copies.get(&(node, document)), self.copies.get(&(RELAY, document)))
        else {
            let detail = "nobody said whether it can be read".to_owned();
            return self.violate(Violation::Unreadable { node: name, document, detail });
        };
        if !copy.is_like(relay) {
            let shown = |copy: &Copy| format!("heads {} and contents {}", copy.heads, copy.digests());
            let (theirs, ours) = (shown(copy), shown(relay));
            let reference = self.name(RELAY);
            return self.violate(Violation::Diverged { document, node: name, reference, theirs, ours });
        }
        let due = copy.missing.iter().filter(|token| self.edits[token].is_saved());
        let due = due.filter_map(|token| self.edits[token].change).find(|change| !self.excused.contains(change));
        if let Some(change) = due {
            return self.violate(Violation::Lost { change, document, node: name });
        }
        if self.hosts[node].app().is_some() {
            return;
        }
        let detail = match self.hosts[node].disk.durable(&document) {
            Ok(durable) if *durable.heads() == copy.heads => return,
            Ok(durable) => format!("heads {} on disk, {} in memory", durable.heads(), copy.heads),
            Err(error) => error.to_string(),
        };
        self.violate(Violation::DiskDiffers { document, node: name, detail });
    }

    /// Nothing waits any more.
    fn judge_rest(&mut self, node: usize) {
        let Some(engine) = self.hosts[node].engine() else { return };
        let load = engine.load();
        let links = if node == RELAY { self.hosts.len() - 1 } else { 1 };
        let rests = [
            ("unanswered writes when all is quiet", load.tickets, 0),
            ("waiting inputs when all is quiet", load.waiting, 0),
            ("unsent messages when all is quiet", load.outbox_messages, 0),
            ("links when all is quiet", load.links, links),
        ];
        for (what, actual, limit) in rests {
            if actual != limit {
                self.violate(Violation::OverLimit { node: self.name(node), what, actual, limit });
            }
        }
    }

    /// Every edit of a run that is still going on has been saved.
    fn judge_saved(&mut self) {
        let never = self.edits.values().find(|edit| {
            let is_same_run = self.hosts[edit.device].run == edit.run;
            is_same_run && edit.change.is_some() && edit.outcome == Outcome::Open
        });
        if let Some(edit) = never {
            let violation = Violation::NeverSaved { node: self.name(edit.device), document: edit.document };
            self.violate(violation);
        }
    }

    /// Takes note of what crashes took and peers gave back.
    fn note_returned(&mut self) {
        for (document, heads) in std::mem::take(&mut self.lost_at_relay) {
            let engine = self.hosts[RELAY].disk.durable(&document);
            if engine.is_ok_and(|content| content.covers(&heads)) {
                self.see(Seen::RelayGotBack);
            }
        }
        let unsaved = |edit: &&EditRecord| !edit.is_saved() && self.hosts[edit.device].run != edit.run;
        let crashed: Vec<_> =
            self.edits.values().filter(unsaved).filter_map(|edit| Some((edit.document, edit.change?))).collect();
        for (document, change) in crashed {
            let is_back = self.hosts[RELAY].disk.durable(&document).is_ok_and(|content| content.contains(&change));
            self.see(if is_back { Seen::DeviceGotBack } else { Seen::DeviceLostEdit });
        }
        for (node, document, change) in self.taken.clone() {
            let disk = &self.hosts[node].disk;
            let is_back = disk.durable(&document).is_ok_and(|content| content.contains(&change));
            if is_back {
                self.see(Seen::DurableCameBack);
            } else if self.excused.contains(&change) {
                self.see(Seen::LostForGood);
            }
        }
    }
}
