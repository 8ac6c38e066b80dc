//! What takes an entry back to what it was.

use comity_crdt::{Document, OpId};
use comity_model::{EntryId, Heads, LIFE, RegisterKey, Value, Write};

use crate::decide::{About, compose};
use crate::decision::Choice;
use crate::{CannotDecide, ConflictKind, DecisionId, Note, Place, Review, Subject};

/// One field of an entry that is taken back.
#[derive(Clone, Debug, PartialEq)]
pub struct TakenBack {
    /// Which; `life` when the entry was deleted or restored since.
    pub register: RegisterKey,
    /// What it shows now.
    pub now: Option<Value>,
    /// What it is to be: what it was then, or null when it was never written then.
    pub then: Value,
}

impl TakenBack {
    /// Whether it would show anything else.
    pub fn is_change(&self) -> bool {
        self.now.as_ref() != Some(&self.then)
    }
}

/// What takes an entry back.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollback {
    /// Its fields, by name.
    pub fields: Vec<TakenBack>,
    /// What is written: all of it belongs into one change, made at the heads that the person had on screen.
    pub writes: Vec<Write>,
}

/// Says why an entry cannot be taken back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CannotRollBack {
    /// The heads are not part of the document.
    #[error("the document here has not been at {heads}")]
    UnknownHeads {
        /// Which heads.
        heads: Heads,
    },
    /// There is no such entry.
    #[error("there is no entry {entry} in this document")]
    NoSuchEntry {
        /// Its id.
        entry: EntryId,
    },
    /// There was no such entry.
    #[error("there was no entry {entry} yet at {heads}")]
    NotThere {
        /// Its id.
        entry: EntryId,
        /// When.
        heads: Heads,
    },
    /// The record cannot be written.
    #[error(transparent)]
    Decide(#[from] CannotDecide),
}

impl Review {
    /// Gives what takes an entry back to what it was at older heads: every field that it has now, `life` too, is written
    /// again, null for what was not there then. History stays, and the rollback can be undone like any decision. The review
    /// is that of `document`; `id` is of random bytes.
    ///
    /// # Errors
    /// When the heads are not part of the document, or the entry is not there or was not then.
    pub fn rollback(
        &self,
        document: &Document,
        entry: &EntryId,
        at: &Heads,
        note: &Note,
        id: &DecisionId,
    ) -> Result<Rollback, CannotRollBack> {
        if !document.covers(at) {
            return Err(CannotRollBack::UnknownHeads { heads: at.clone() });
        }
        let log = self.log.entries.get(entry);
        let log = log.ok_or_else(|| CannotRollBack::NoSuchEntry { entry: entry.clone() })?;
        let not_there = || CannotRollBack::NotThere { entry: entry.clone(), heads: at.clone() };
        let then = document.entry(entry, Some(at)).ok_or_else(not_there)?;
        let mut fields = Vec::new();
        let mut against: Vec<OpId> = Vec::new();
        for (field, cell) in &log.fields {
            let value = match field.as_str() {
                LIFE if then.deleted => Value::from("deleted"),
                LIFE => Value::from("live"),
                _ => then.fields.get(field).cloned().unwrap_or(Value::Null),
            };
            let register = RegisterKey::new(entry.clone(), field.clone());
            fields.push(TakenBack { register, now: cell.shown().cloned(), then: value });
            against.extend(cell.live().map(|write| self.log.op_id(write)));
        }
        // A record names a conflict. This one is about no conflict in particular: no list shows it as one.
        let (kind, subject) = (ConflictKind::ConcurrentUpdate, Subject::Entry(entry.clone()));
        let about = About::of(kind, &subject, against);
        let values = fields.iter().map(|field| (Place::Field(field.register.clone()), field.then.clone())).collect();
        let writes = compose(about, Choice::RolledBack, values, Vec::new(), note, id)?;
        Ok(Rollback { fields, writes })
    }
}
