//! People who look through the conflicts that their device lists, and answer them.

use comity_engine::{Edit as EngineEdit, Input, Token};
use comity_model::{ActKind, DocumentId, Heads, Write};
use comity_review::{Answer, Conflict, ConflictKind, DecisionId, Note, Review, State, Subject};

use crate::Sabotage;
use crate::coverage::Seen;
use crate::happening::Happening;
use crate::plan::{DOCUMENTS, Deed, Reply, Work};
use crate::work::READING;
use crate::world::{Asked, EditRecord, Outcome, World};

/// An answer that a person has made up their mind about.
pub(crate) struct Decision {
    step: usize,
    document: DocumentId,
    asked: Asked,
}

impl World<'_> {
    /// A person looks for something to answer, in this document first. It has to be read for that.
    pub fn look_through(&mut self, step: usize, device: usize, first: DocumentId) {
        let Some((reply, ..)) = self.reply(step) else { return };
        let ours = &self.documents[..DOCUMENTS];
        let start = ours.iter().position(|document| *document == first).unwrap_or(0);
        let reviews = &self.hosts[device].reviews;
        let waits =
            |document: &&DocumentId| reviews.get(*document).is_some_and(|kept| fitting(&kept.review, reply).is_some());
        let mut queue = ours.iter().cycle().skip(start).take(DOCUMENTS);
        let Some(document) = queue.find(waits).copied() else { return };
        self.handle(device, Input::Fetch { token: Token(READING + 1 + step as u64), document });
    }

    fn reply(&self, step: usize) -> Option<(Reply, bool, u64)> {
        match self.plan.steps.get(step)?.deed {
            Deed::Work { work: Work::Answer { answer, older, think_us }, .. } => Some((answer, older, think_us)),
            _ => None,
        }
    }

    /// The document is on screen: the person chooses an answer, and gives it after a while.
    pub fn choose(&mut self, node: usize, step: u64, document: DocumentId) {
        let step = usize::try_from(step).expect("few steps");
        let Some((reply, older, think_us)) = self.reply(step) else { return };
        self.catch_up(node, document);
        self.check_digest(node, document);
        self.check_review(node, document);
        let pick = if self.dice.chance(600) { self.dice.index(3) } else { self.dice.index(1_000) };
        let base = if older { self.older_heads(node, &document) } else { None };
        let Some(asked) = self.asked(node, document, base, |review, id| writes(review, reply, pick, step, id), step)
        else {
            return;
        };
        if older {
            self.see(Seen::DecisionOnOlderHeads);
        }
        let run = self.hosts[node].run;
        let decision = Box::new(Decision { step, document, asked });
        self.after(think_us, Happening::Answer { node, run, decision });
    }

    /// Gives what an answer writes, to the conflicts at older heads or those that the device lists now.
    fn asked(
        &self,
        node: usize,
        document: DocumentId,
        base: Option<Heads>,
        writes: impl Fn(&Review, &DecisionId) -> Option<Vec<Write>>,
        step: usize,
    ) -> Option<Asked> {
        let id = DecisionId::new(&format!("decision-{step}"))?;
        let host = &self.hosts[node];
        let (base, writes) = match base {
            Some(base) => {
                let content = host.engine()?.document(&document)?;
                let past = Review::at(content, &base, self.declared_at(node))?;
                (base, writes(&past, &id)?)
            }
            None => {
                let kept = host.reviews.get(&document)?;
                (kept.heads.clone(), writes(&kept.review, &id)?)
            }
        };
        Some(Asked { base: Some(base), writes, decision: Some(id) })
    }

    /// A person answers a conflict at the heads that they had on screen.
    pub fn answer(&mut self, device: usize, decision: Decision) {
        let Decision { step, document, asked } = decision;
        let (token, run) = (Token(step as u64), self.hosts[device].run);
        let mut writes = asked.writes.clone();
        if self.sabotage == Some(Sabotage::AnswerWithoutRecord) {
            writes.retain(|write| !matches!(write, Write::Decision { .. }));
        }
        if self.sabotage == Some(Sabotage::AnswerUnforced) {
            writes = writes.into_iter().map(unforced).collect();
        }
        let edit = EngineEdit { token, document, kind: ActKind::Decision, base: asked.base.clone(), writes };
        let record = EditRecord { device, run, document, asked, change: None, outcome: Outcome::Open };
        self.edits.insert(token.0, record);
        self.handle(device, Input::Edit(edit));
    }
}

/// The states of conflicts to which somebody may give this answer.
fn is_for(reply: Reply, state: State) -> bool {
    match reply {
        Reply::Reopen => matches!(state, State::Dismissed | State::Resolved),
        Reply::Approve => state == State::NeedsSecondReviewer,
        _ => state.is_open(),
    }
}

/// Gives the reply, or another when it fits nothing that is listed; `None` when there is nothing to answer.
fn fitting(review: &Review, reply: Reply) -> Option<Reply> {
    let fits = |reply: Reply| match reply {
        Reply::Undo => review.decisions().next().is_some(),
        _ => review.briefs().any(|brief| is_for(reply, brief.state)),
    };
    [reply, Reply::Accept { side: 1 }].into_iter().find(|reply| fits(*reply))
}

/// Gives what an answer to one of the conflicts writes; `None` when there is nothing to answer.
fn writes(review: &Review, reply: Reply, pick: usize, step: usize, id: &DecisionId) -> Option<Vec<Write>> {
    let reply = fitting(review, reply)?;
    let note = Note { reason: Some(format!("at step {step}")), ..Note::default() };
    if matches!(reply, Reply::Undo) {
        let made: Vec<&DecisionId> = review.decisions().collect();
        let undone = made.get(pick.checked_rem(made.len())?)?;
        return review.undo(undone, &note, id).ok();
    }
    let conflicts = review.conflicts(|state| is_for(reply, state));
    let conflict = conflicts.get(pick.checked_rem(conflicts.len())?)?;
    // What does not fit is looked at again, and right as it stands.
    let given = review.decide(conflict, &answer(conflict, reply, step), &note, id);
    given.or_else(|_| review.decide(conflict, &Answer::Confirm, &note, id)).ok()
}

fn answer(conflict: &Conflict, reply: Reply, step: usize) -> Answer {
    // Two people may find the same.
    let value = if step.is_multiple_of(2) { "decided".to_owned() } else { format!("decided at step {step}") };
    match reply {
        Reply::Current | Reply::Undo => Answer::Current,
        Reply::Accept { side } => Answer::Accept(side.checked_rem(conflict.sides.len()).unwrap_or(side)),
        Reply::Value => match (conflict.kind, &conflict.subject) {
            (ConflictKind::FieldGroup, Subject::Fields { fields, .. }) => {
                Answer::Values(fields.iter().take(1).map(|field| (field.clone(), value.as_str().into())).collect())
            }
            _ => Answer::Value(value.into()),
        },
        Reply::Dismiss => Answer::Dismiss,
        Reply::Confirm => Answer::Confirm,
        Reply::Link => Answer::Link,
        Reply::Reopen => Answer::Reopen,
        Reply::Approve => Answer::Approve,
    }
}

fn unforced(write: Write) -> Write {
    match write {
        Write::Force { key, value } if key.field.as_str() != comity_model::LIFE => Write::Set { key, value },
        Write::ForceAbout { name, value } => Write::About { name, value },
        other => other,
    }
}
