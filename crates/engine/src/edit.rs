//! Local edits.

use std::sync::Arc;

use comity_access::{Verdict, Who};
use comity_model::{Act, Instant};

use crate::slot::{Content, Slot, Waiting};
use crate::{Edit, Engine, Event, Origin, RefusedEdit};

impl Engine {
    pub(crate) fn edit(&mut self, now: Instant, edit: Edit) {
        let document = edit.document;
        if let Verdict::Denied { reason } = self.config.rulebook.may_write(&Who::Here, &document) {
            return self.refuse_edit(&edit, RefusedEdit::Denied { reason });
        }
        self.touch(now, document);
        let Some(slot) = self.slots.get_mut(&document) else { return };
        match &slot.content {
            Content::Ready(_) if !slot.reload => self.edit_ready(now, edit),
            Content::Failed { failure, .. } => {
                let failure = failure.clone();
                self.refuse_edit(&edit, RefusedEdit::Store(failure));
            }
            _ => match slot.wait(Waiting::Edit(edit), &self.config.limits, &mut self.waiting) {
                Ok(()) => self.start_load(document),
                Err(Waiting::Edit(edit)) => {
                    let limit = self.config.limits.waiting_inputs_max;
                    self.refuse_edit(&edit, RefusedEdit::Busy { limit });
                }
                Err(_) => {}
            },
        }
    }

    /// Makes an edit in a document that is in memory.
    pub(crate) fn edit_ready(&mut self, now: Instant, edit: Edit) {
        let document = edit.document;
        let Some(Slot { content: Content::Ready(content), .. }) = self.slots.get_mut(&document) else { return };
        // Later than anything that its author can have seen, whatever the device's clock says.
        for hash in content.heads().as_slice() {
            if let Some(act) = content.act_of(hash) {
                self.clock.observe(act.time, now.wall);
            }
        }
        let act = Act { time: self.clock.tick(now.wall), policy: self.config.policy, kind: edit.kind };
        let before = content.heads().clone();
        let edited = content.edit(&self.config.actor, act, edit.base.as_ref(), &edit.writes, &self.config.limits);
        let edited = match edited {
            Ok(edited) => edited,
            Err(error) => {
                let is_broken = content.is_broken();
                self.refuse_edit(&edit, RefusedEdit::Edit(Arc::new(error)));
                if is_broken {
                    self.reload(document);
                }
                return;
            }
        };
        self.notify(Event::Edited { token: edit.token, document, result: Ok(edited.hash) });
        if edited.chunks.is_empty() {
            return self.saved_with_the_rest(document, edit.token);
        }
        self.weigh(&document);
        self.note_present(document);
        self.append(document, edited.chunks, Some(edit.token));
        self.want(now, document);
        self.spread(document, None);
        let new: Vec<_> = edited.hash.into_iter().collect();
        self.announce_change(now, document, Origin::Here, before, &new);
    }

    fn refuse_edit(&mut self, edit: &Edit, reason: RefusedEdit) {
        self.notify(Event::Edited { token: edit.token, document: edit.document, result: Err(reason) });
    }
}
