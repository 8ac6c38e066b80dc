//! Messages from peers.

use bytes::Bytes;
use comity_access::{Verdict, Who};
use comity_crdt::{ReceiveError, Received, admit};
use comity_model::{DocumentId, Instant, LinkId};
use comity_wire::Message;

use crate::slot::{Content, SyncMessage, Waiting, short};
use crate::{CloseReason, Effect, Engine, Event, Origin, RefusedAt};

/// Most documents of a link for which something was not taken.
const REFUSED_MAX: usize = 1_000;

/// How many documents may have to be read again over the messages of one link.
const BROKEN_MAX: usize = 64;

impl Engine {
    pub(crate) fn received(&mut self, now: Instant, link: LinkId, message: Message) {
        let is_relayed = matches!(message, Message::Ephemeral { .. });
        if !matches!(message, Message::Sync { .. } | Message::Request { .. } | Message::Ephemeral { .. }) {
            // It may be the last that is taken from this link; what it sent before was in order.
            self.apply_arrived(now);
        }
        let Some(state) = self.links.get(&link) else { return };
        if let Some(claimed) = message.sender().filter(|sender| !is_relayed && **sender != state.peer.id) {
            let claimed = claimed.clone();
            self.apply_arrived(now);
            return self.refuse_message(link, &message, CloseReason::ForgedSender { claimed });
        }
        match message {
            Message::Request { document, data, .. } => self.sync_bytes(now, link, document, true, data),
            Message::Sync { document, data, .. } => self.sync_bytes(now, link, document, false, data),
            Message::DocUnavailable { document, .. } => {
                // Not answered and not final: when the peer gets the document, it synchronises by itself.
                let announce = state.peer.announce;
                if let Some(slot) = self.slots.get_mut(&document)
                    && let Some(peer) = slot.peers.get_mut(&link)
                {
                    peer.lacks = true;
                    // As with changes, a relay does not keep how strangers stand.
                    if announce || slot.wanted {
                        self.restand.insert(document);
                    }
                }
                self.notify(Event::Unavailable { document, link });
            }
            Message::Ephemeral { sender, document, session, count, data, .. } => {
                self.ephemeral(now, link, document, sender, session, count, data);
            }
            Message::Error { message, .. } => {
                let message = message.chars().take(200).collect();
                self.notify(Event::PeerError { link, message });
            }
            Message::Join { .. } | Message::Peer { .. } => {
                let reason = CloseReason::OutOfPlace { what: message.type_name() };
                self.refuse_message(link, &message, reason);
            }
            // Gossip about third parties' heads is not kept: standing comes from a peer's own sync messages.
            Message::RemoteSubscriptionChange { .. } | Message::RemoteHeadsChanged { .. } => {}
            // The driver closes the connection; the engine hears of it by `LinkDown`.
            Message::Leave { .. } => {}
            _ => {}
        }
    }

    /// Admits the bytes of a sync message. Admission comes before anything else, so that hostile bytes cost neither a
    /// load nor a place in a queue.
    fn sync_bytes(&mut self, now: Instant, link: LinkId, document: DocumentId, is_request: bool, bytes: Bytes) {
        let Some(state) = self.links.get(&link) else { return };
        let who = Who::Peer { id: &state.peer.id, storage: state.peer.storage.as_ref() };
        if let Verdict::Denied { reason } = self.config.rulebook.may_read(&who, &document) {
            self.apply_arrived(now);
            return self.close(link, CloseReason::Denied { reason });
        }
        let admitted = match admit(&bytes, &self.config.limits) {
            Ok(admitted) => admitted,
            Err(refusal) if refusal.is_bound() => {
                return self.not_taken(link, document, RefusedAt::Admission, refusal.to_string(), bytes);
            }
            Err(refusal) => {
                // What it sent before was in order.
                self.apply_arrived(now);
                return self.refuse(link, document, RefusedAt::Admission, refusal.to_string(), bytes);
            }
        };
        if admitted.has_changes()
            && let Verdict::Denied { reason } = self.config.rulebook.may_write(&who, &document)
        {
            self.apply_arrived(now);
            return self.close(link, CloseReason::Denied { reason });
        }
        if !self.open(link, document) {
            return;
        }
        self.touch(now, document);
        let message = SyncMessage { link, is_request, admitted, bytes, parts: Vec::new() };
        let Some(slot) = self.slots.get_mut(&document) else { return };
        let peer = slot.peers.entry(link).or_default();
        peer.has_spoken = true;
        peer.lacks = false;
        let is_ready = matches!(slot.content, Content::Ready(_)) && !slot.reload;
        if is_ready || self.arrived.has(document, link) {
            self.arrive(now, document, message);
        } else {
            self.deliver(now, document, message);
        }
    }

    /// Hands a message to its document, wherever that is.
    pub(crate) fn deliver(&mut self, now: Instant, document: DocumentId, message: SyncMessage) {
        let link = message.link;
        let Some(slot) = self.slots.get_mut(&document) else { return };
        match &slot.content {
            Content::Ready(_) if !slot.reload => self.apply(now, document, message),
            Content::Failed { failure, .. } => {
                let failure = failure.message.clone();
                // Its session starts over when this is repaired, also one that was not open: there was nothing to say.
                if let Some(peer) = slot.peers.get_mut(&link).filter(|_| message.admitted.says_what_it_can()) {
                    peer.session.get_or_insert_default().hear(&message.admitted);
                }
                self.report_failure(link, &failure);
            }
            _ => {
                let limit = self.config.limits.waiting_inputs_max;
                if slot.wait(Waiting::Message(Box::new(message)), &self.config.limits, &mut self.waiting).is_err() {
                    return self.close(link, CloseReason::TooMany { what: "messages for one document", limit });
                }
                self.start_load(document);
            }
        }
    }

    /// Applies an admitted message to a document in memory.
    pub(crate) fn apply(&mut self, now: Instant, document: DocumentId, message: SyncMessage) {
        let SyncMessage { link, is_request, admitted, bytes, parts } = message;
        let Some(state) = self.links.get_mut(&link) else { return };
        let storage = state.peer.storage.clone();
        let announce = state.peer.announce;
        // It may have been forgotten while its message waited.
        state.open.touch(document);
        let Some(slot) = self.slots.get_mut(&document) else { return };
        Self::ensure_session(slot, link, storage.as_ref());
        let Content::Ready(content) = &mut slot.content else { return };
        let Some(peer) = slot.peers.get_mut(&link) else { return };
        peer.is_refused |= state.refused.contains(&document);
        let session = peer.session.as_mut().expect("opened above, since the document is in memory");

        // What it brings or names may be on its way to the disk, unless it only confirms what we sent: say nothing of it
        // before it is there.
        let heads = admitted.heads();
        let has_changes = admitted.has_changes();
        let confirms = !has_changes && heads.as_slice().iter().all(|hash| session.has_sent(hash));
        let before = content.heads().clone();
        let received = content.receive(session, admitted, &self.config.limits);
        let received = match received {
            Ok(received) => received,
            Err(error) if !parts.is_empty() => return self.take_apart(now, document, link, parts, &error),
            Err(ReceiveError::Waited) => {
                // Not this peer's fault, or not for all that is known: it is tried with nothing waiting.
                if let Ok(admitted) = admit(&bytes, &self.config.limits) {
                    let message = SyncMessage { link, is_request, admitted, bytes, parts };
                    slot.wait_first(message, &mut self.waiting);
                }
                return self.reload_after_peer(document);
            }
            Err(error) => {
                let is_broken = content.is_broken();
                self.refused_by_document(link, document, &error, bytes);
                if is_broken {
                    self.broken_by(link, document);
                }
                return;
            }
        };
        if received.forgot {
            self.forgetful.insert(document);
        }
        let is_empty = content.is_empty();
        peer.is_ahead = !content.covers(&heads);
        peer.awaits_receipt |= has_changes;
        // New changes make new heads, which are told anyhow; changes that are all here already do not.
        if peer.awaits_receipt && received.chunks.is_empty() {
            session.owe_receipt();
        }
        let in_step = session.peer_heads().is_some_and(|heads| heads == content.heads());
        let told = in_step && announce && peer.in_step_at.as_ref() != Some(content.heads());
        if told {
            peer.in_step_at = Some(content.heads().clone());
        }
        // A relay has a few wanted documents too: those that its store lost.
        if announce || slot.wanted {
            self.restand.insert(document);
        }
        let Received { new_changes, chunks, whole, .. } = received;
        // One that has something brings it; it must not be forgotten meanwhile.
        let asks_anew = is_empty && heads.is_empty() && self.note_asked(link, document);
        self.weigh(&document);
        if !chunks.is_empty() {
            self.note_present(document);
            self.append_received(document, chunks, whole);
            self.hold_those_ahead(document);
            self.spread(document, Some(link));
            self.announce_change(now, document, Origin::Link(link), before, &new_changes);
        }
        if told {
            self.notify(Event::InStep { document, link });
        }
        let Some(slot) = self.slots.get_mut(&document) else { return };
        if !confirms && let Some(peer) = slot.peers.get_mut(&link) {
            peer.hold_until = slot.appended;
        }
        if is_request && is_empty {
            let limits = &self.config.limits;
            let at = now.monotonic + limits.unavailable_after;
            let state = self.links.get_mut(&link).expect("its message is being read");
            if !asks_anew || !state.note_absent(document, at, limits) {
                self.say_absent(link, document);
            }
            self.busy.insert(link);
            return self.drop_if_empty(document);
        }
        if let Some(state) = self.links.get_mut(&link) {
            state.news.insert(document);
            self.busy.insert(link);
        }
    }

    /// Deals with a message that a document refused.
    fn refused_by_document(&mut self, link: LinkId, document: DocumentId, error: &ReceiveError, bytes: Bytes) {
        let is_contradiction = matches!(error, ReceiveError::Equivocation { .. });
        if is_contradiction || error.is_bound() {
            return self.not_taken(link, document, RefusedAt::Apply, error.to_string(), bytes);
        }
        let at = match error {
            ReceiveError::Panicked | ReceiveError::Undecodable => RefusedAt::Panic,
            _ => RefusedAt::Apply,
        };
        self.refuse(link, document, at, error.to_string(), bytes);
    }

    /// Does not take a message, of a peer that may be honest: it keeps its link, for all other documents, and is told once.
    ///
    /// So it is with a change that contradicts one that is here (same actor and number, other content). Both cannot be in
    /// one document, so here the first stays. Somebody's device was copied, or cheats, but this peer may only have heard
    /// the other one first. And so it is with what goes over a bound: two devices may fill a document while they are
    /// offline, or have other bounds than we.
    fn not_taken(&mut self, link: LinkId, document: DocumentId, at: RefusedAt, reason: String, bytes: Bytes) {
        self.quarantine(link, Some(document), at, reason.clone(), bytes);
        let Some(state) = self.links.get_mut(&link) else { return };
        if !state.refused.insert(document) {
            return;
        }
        if state.refused.len() > REFUSED_MAX {
            return self.close(link, CloseReason::TooMany { what: "documents that are not taken", limit: REFUSED_MAX });
        }
        if let Some(peer) = self.slots.get_mut(&document).and_then(|slot| slot.peers.get_mut(&link)) {
            peer.is_refused = true;
        }
        let (sender, target) = (self.config.peer.clone(), state.peer.id.clone());
        let message = format!("document {} was not taken: {reason}", short(&document));
        self.say(link, Message::Error { sender: Some(sender), target: Some(target), message });
        self.notify(Event::NotTaken { document, link, reason });
    }

    /// Reads a document again that broke over what a peer sent. That costs more than the message did, so a link may do so
    /// only so often.
    pub(crate) fn broken_by(&mut self, link: LinkId, document: DocumentId) {
        self.reload_after_peer(document);
        let Some(state) = self.links.get_mut(&link) else { return };
        state.broke += 1;
        if state.broke > BROKEN_MAX {
            self.close(link, CloseReason::TooMany { what: "messages that are taken in half", limit: BROKEN_MAX });
        }
    }

    /// Holds back what is said to peers that have spoken of changes which were not here: what another has just brought
    /// may be just that.
    fn hold_those_ahead(&mut self, document: DocumentId) {
        let Some(slot) = self.slots.get_mut(&document) else { return };
        for peer in slot.peers.values_mut().filter(|peer| peer.is_ahead) {
            peer.hold_until = slot.appended;
        }
    }

    /// Keeps refused bytes as evidence and closes the link they came by.
    fn refuse(&mut self, link: LinkId, document: DocumentId, at: RefusedAt, reason: String, bytes: Bytes) {
        self.quarantine(link, Some(document), at, reason.clone(), bytes);
        self.close(link, CloseReason::RefusedBytes { document, reason });
    }

    /// Keeps a whole message as evidence and closes the link it came by.
    fn refuse_message(&mut self, link: LinkId, message: &Message, reason: CloseReason) {
        // A long message is not written anew only to be cut: the beginning of its data says as much.
        let bytes = match message.data() {
            Some(data) if data.len() > self.config.limits.evidence_bytes_max => data.clone(),
            _ => message.encode(),
        };
        self.quarantine(link, message.document(), RefusedAt::Protocol, reason.to_string(), bytes);
        self.close(link, reason);
    }

    fn quarantine(&mut self, link: LinkId, document: Option<DocumentId>, at: RefusedAt, reason: String, bytes: Bytes) {
        let Some(state) = self.links.get(&link) else { return };
        let (peer, size) = (state.peer.id.clone(), bytes.len());
        let bytes = bytes.slice(..size.min(self.config.limits.evidence_bytes_max));
        self.effects.push(Effect::Quarantine { link, peer, document, at, reason, bytes, size });
    }

    /// Closes a link. The driver answers with `LinkDown`; until then, nothing more is taken from it or sent to it.
    pub(crate) fn close(&mut self, link: LinkId, reason: CloseReason) {
        if !self.links.contains_key(&link) {
            return;
        }
        self.forget_link(link);
        self.effects.push(Effect::Close { link, reason });
    }
}
