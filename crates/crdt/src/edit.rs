//! Local edits: one atomic change at the heads that the person saw.

use std::collections::BTreeSet;

use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{Automerge, AutomergeError, PatchLog, ReadDoc, ScalarValue};
use bytes::Bytes;
use comity_model::{Act, ActorId, ChangeHash, EntryId, FieldName, Heads, LIFE, Limits, RegisterKey, Value, Write};

use crate::admit::{Cost, weigh};
use crate::document::Panicked;
use crate::genesis::{self, Container};
use crate::{Document, TooLarge, chunk, convert};

/// What an edit added to the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The change; `None` when every register held its value already, so that there was nothing to write.
    pub hash: Option<ChangeHash>,
    /// The chunks to store, in this order. The first edit of a document brings the genesis change with it.
    pub chunks: Vec<Bytes>,
}

/// Says why an edit is refused. The document is then as it was before, unless it is [`Broken`](Self::Broken).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// Another application's document.
    #[error("the document was made by another application; Comity synchronises it but does not write to it")]
    Foreign,
    /// The heads that the person saw are not part of this document.
    #[error("the edit is based on change {missing}, which this device does not have; fetch it and try again")]
    UnknownBase {
        /// One that is missing.
        missing: ChangeHash,
    },
    /// Too many writes.
    #[error("an edit may hold {max} writes, this one holds {actual}: make several edits of it")]
    TooManyWrites {
        /// How many there are.
        actual: usize,
        /// How many there may be.
        max: usize,
    },
    /// A value is too long.
    #[error("the value of {register} has {actual} bytes, {max} are allowed")]
    ValueTooLong {
        /// Where it was to be written.
        register: String,
        /// Its length.
        actual: usize,
        /// The bound.
        max: usize,
    },
    /// The name of a document register or the id of a remark is empty or too long.
    #[error("{what} must be 1 to {max} bytes, got {actual}")]
    Name {
        /// What it names.
        what: &'static str,
        /// Its length.
        actual: usize,
        /// The bound.
        max: usize,
    },
    /// A sort of value that Comity does not write.
    #[error("{register} cannot take a {type_name}: Comity reads but does not write such values")]
    ReadOnlyType {
        /// Where it was to be written.
        register: String,
        /// What it is.
        type_name: &'static str,
    },
    /// `life` was written as if it were an ordinary field.
    #[error("field `life` of {entry} says whether it is deleted: use delete and restore")]
    LifeIsReserved {
        /// Of which entry.
        entry: EntryId,
    },
    /// A sort of write that is newer than this code.
    #[error("this release does not know this sort of write")]
    UnknownWrite,
    /// The id of a remark or of a decision is taken.
    #[error("there is a {what} {id:?} already; they are only ever added, under a new id each")]
    Duplicate {
        /// A remark or a decision.
        what: &'static str,
        /// The id.
        id: String,
    },
    /// The document would hold too much.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// Automerge refused.
    #[error("automerge refused the edit: {detail}")]
    Automerge {
        /// What it says.
        detail: String,
    },
    /// The document in memory was thrown away; nothing was written.
    #[error("the document in memory was damaged and thrown away: load it again from the store")]
    Broken,
}

impl From<Panicked> for EditError {
    fn from(_: Panicked) -> Self {
        Self::Broken
    }
}

impl From<AutomergeError> for EditError {
    fn from(error: AutomergeError) -> Self {
        Self::Automerge { detail: error.to_string() }
    }
}

/// Most bytes of a change without its operations: header, actor, message, and a dependency or two.
const CHANGE_BYTES: usize = 512;
/// Most bytes of a put without its key and value.
const PUT_BYTES: usize = 32;

/// One put, ready for Automerge.
struct Put {
    container: Container,
    key: String,
    value: ScalarValue,
    /// Whether it is written even when it stands there already.
    is_forced: bool,
}

impl Put {
    fn new(container: Container, key: String, value: ScalarValue) -> Self {
        Self { container, key, value, is_forced: false }
    }
}

impl Document {
    /// Applies writes as one atomic change, made at the heads that the person saw: `base`, or the current heads when
    /// it is `None`. Registers that hold their value already are not written again.
    ///
    /// A change at older heads must not look as if its author had seen what came between. When this actor has itself
    /// written since `base`, the change is therefore written under a second actor of the same session, whose id is
    /// this one with a number behind it and so names the same device. So it is when changes of this actor wait for others
    /// that the store lost.
    ///
    /// # Errors
    /// When a write cannot be carried out, or `base` names a change that is not here. Nothing is written then.
    pub fn edit(
        &mut self,
        actor: &ActorId,
        act: Act,
        base: Option<&Heads>,
        writes: &[Write],
        limits: &Limits,
    ) -> Result<Edited, EditError> {
        if self.is_broken() {
            return Err(EditError::Broken);
        }
        let puts = prepare(writes, limits)?;
        if !self.is_empty() && !self.is_comity() {
            return Err(EditError::Foreign);
        }
        self.check_unique(&puts)?;
        let base = self.base(base)?;
        let mut chunks = Vec::new();
        if puts.is_empty() {
            return Ok(Edited { hash: None, chunks });
        }
        let cost = cost(&puts);
        self.check_breadth(limits)?;
        self.check_room(&cost, limits)?;
        if self.is_empty() {
            chunks.push(self.apply_genesis()?);
        }
        // The genesis change alone is what somebody knows who knows nothing.
        let base = base.map(|base| if base.is_empty() { Heads::new(vec![genesis::HASH]) } else { base });
        let base = base.filter(|base| *base != self.heads);
        let actor = self.free_actor(actor, base.as_ref());
        let written = match self.guarded("edit", |inner| write(inner, actor, act, base.as_ref(), &puts)) {
            Ok(written) => written?,
            Err(Panicked) => return Err(EditError::Broken),
        };
        let hash = written.map(|(hash, chunk)| {
            chunks.push(chunk);
            hash
        });
        self.advanced();
        for chunk in &chunks {
            self.size.add(&weigh(chunk));
        }
        Ok(Edited { hash, chunks })
    }

    /// Chooses who writes: the given actor, or the first numbered one of its session that has written nothing beyond the
    /// heads that the author saw, and nothing that the store has and cannot place. Automerge would choose by itself, but
    /// puts its marker in front, where ours names the device.
    fn free_actor(&self, actor: &ActorId, base: Option<&Heads>) -> automerge::ActorId {
        let later = base.map_or_else(Vec::new, |base| self.inner.get_changes_meta(&convert::their_heads(base)));
        let later: BTreeSet<&[u8]> = later.iter().map(|change| change.actor.to_bytes()).collect();
        let is_taken = |bytes: &[u8]| later.contains(bytes) || self.stranded.has_actor(&ActorId::from_bytes(bytes));
        let mut candidate = actor.as_bytes().to_vec();
        for number in 1_u32.. {
            if !is_taken(&candidate) {
                break;
            }
            candidate.truncate(actor.as_bytes().len());
            candidate.extend_from_slice(&number.to_be_bytes());
        }
        automerge::ActorId::from(candidate)
    }

    /// Checks that the heads somebody saw are here.
    fn base(&self, base: Option<&Heads>) -> Result<Option<Heads>, EditError> {
        let Some(base) = base else { return Ok(None) };
        match base.as_slice().iter().find(|hash| !self.contains(hash)) {
            Some(missing) => Err(EditError::UnknownBase { missing: *missing }),
            None => Ok(Some(base.clone())),
        }
    }

    /// Checks that what is only ever added has an id of its own.
    fn check_unique(&self, puts: &[Put]) -> Result<(), EditError> {
        let mut seen = BTreeSet::new();
        for put in puts {
            let what = match put.container {
                Container::Remarks => "remark",
                Container::Decisions => "decision",
                _ => continue,
            };
            let is_taken = |inner: &Automerge| matches!(inner.get(put.container.id(), put.key.as_str()), Ok(Some(_)));
            if self.quietly(what, is_taken) || !seen.insert((what, &put.key)) {
                return Err(EditError::Duplicate { what, id: put.key.clone() });
            }
        }
        Ok(())
    }

    fn apply_genesis(&mut self) -> Result<Bytes, EditError> {
        let chunk = Bytes::from_static(genesis::CHUNK);
        let change = chunk::split(&chunk)
            .and_then(|chunks| chunks[0].change())
            .expect("the golden bytes are one change, as a test shows");
        self.guarded("genesis", |inner| inner.apply_changes([change]))??;
        self.advanced();
        Ok(chunk)
    }
}

/// Estimates from above what a change with these puts costs whoever receives it.
fn cost(puts: &[Put]) -> Cost {
    let operations = puts.iter().map(|put| if put.is_forced { 2 } else { 1 }).sum::<u64>();
    let bytes = |put: &Put| 2 * put.key.len() + value_bytes(&put.value) + 2 * PUT_BYTES;
    Cost {
        operations,
        changes: 1,
        references: operations + 1,
        inflated_bytes: CHANGE_BYTES + puts.iter().map(bytes).sum::<usize>(),
        ..Cost::default()
    }
}

fn value_bytes(value: &ScalarValue) -> usize {
    match value {
        ScalarValue::Bytes(bytes) => bytes.len(),
        ScalarValue::Str(text) => text.len(),
        _ => size_of::<u64>(),
    }
}

/// Checks the writes and turns them into puts.
fn prepare(writes: &[Write], limits: &Limits) -> Result<Vec<Put>, EditError> {
    if writes.len() > limits.edit_writes_max {
        return Err(EditError::TooManyWrites { actual: writes.len(), max: limits.edit_writes_max });
    }
    let life = |entry: &EntryId, word: &str| {
        let key = RegisterKey::life(entry.clone()).to_string();
        Put::new(Container::Values, key, ScalarValue::Str(word.into()))
    };
    let put = |container, key: String, value: &Value| {
        let size = value.size_bytes();
        if size > limits.value_bytes_max {
            return Err(EditError::ValueTooLong { register: key, actual: size, max: limits.value_bytes_max });
        }
        match convert::scalar(value) {
            Some(value) => Ok(Put::new(container, key, value)),
            None => Err(EditError::ReadOnlyType { register: key, type_name: value.type_name() }),
        }
    };
    let prepare_one = |write: &Write| match write {
        Write::Set { key, .. } if key.field.as_str() == LIFE => {
            Err(EditError::LifeIsReserved { entry: key.entry.clone() })
        }
        Write::Set { key, value } => put(Container::Values, key.to_string(), value),
        Write::Delete { entry } => Ok(life(entry, "deleted")),
        Write::Restore { entry } => Ok(life(entry, "live")),
        Write::About { name, value } => {
            put(Container::About, checked("the name of a document register", name, FieldName::BYTES_MAX)?, value)
        }
        Write::Remark { id, text } => {
            put(Container::Remarks, checked("the id of a remark", id, EntryId::BYTES_MAX)?, &text.as_str().into())
        }
        Write::Force { key, value } => {
            if key.field.as_str() == LIFE && !matches!(value.as_text(), Some("deleted" | "live")) {
                return Err(EditError::LifeIsReserved { entry: key.entry.clone() });
            }
            Ok(Put { is_forced: true, ..put(Container::Values, key.to_string(), value)? })
        }
        Write::ForceAbout { name, value } => {
            let name = checked("the name of a document register", name, FieldName::BYTES_MAX)?;
            Ok(Put { is_forced: true, ..put(Container::About, name, value)? })
        }
        Write::Decision { id, record } => {
            let id = checked("the id of a decision", id, EntryId::BYTES_MAX)?;
            put(Container::Decisions, id, &record.as_str().into())
        }
        _ => Err(EditError::UnknownWrite),
    };
    writes.iter().map(prepare_one).collect()
}

fn checked(what: &'static str, name: &str, max: usize) -> Result<String, EditError> {
    if name.is_empty() || name.len() > max {
        return Err(EditError::Name { what, actual: name.len(), max });
    }
    Ok(name.to_owned())
}

/// Writes the change and gives its hash and chunk; `None` when there was nothing to write.
fn write(
    inner: &mut Automerge,
    actor: automerge::ActorId,
    act: Act,
    base: Option<&Heads>,
    puts: &[Put],
) -> Result<Option<(ChangeHash, Bytes)>, EditError> {
    inner.set_actor(actor);
    let transaction = match base {
        None => inner.transaction(),
        Some(base) => {
            let base = convert::their_heads(base);
            inner.transaction_at(PatchLog::inactive(), &base).map_err(AutomergeError::from)?
        }
    };
    let Some(hash) = commit(transaction, act, puts)? else { return Ok(None) };
    let mut change = inner.get_change_by_hash(&hash).ok_or(AutomergeError::MissingHash(hash))?;
    Ok(Some((convert::hash(hash), Bytes::copy_from_slice(&change.bytes()))))
}

fn commit(
    mut transaction: Transaction<'_>,
    act: Act,
    puts: &[Put],
) -> Result<Option<automerge::ChangeHash>, AutomergeError> {
    for put in puts {
        // A transaction that is dropped is rolled back.
        if put.is_forced {
            force(&mut transaction, put)?;
        } else {
            transaction.put(put.container.id(), put.key.as_str(), put.value.clone())?;
        }
    }
    // Automerge counts seconds; the message holds the full time.
    let time_s = act.time.wall_ms.div_euclid(1_000);
    let options = CommitOptions::default().with_message(act.to_message()).with_time(time_s);
    Ok(transaction.commit_with(options).0)
}

/// Writes a value even when it stands there already: Automerge leaves out a put of the value that it shows, or only
/// deletes the others, and then a concurrent write would not be seen to contradict it. So another value goes before it.
fn force(transaction: &mut Transaction<'_>, put: &Put) -> Result<(), AutomergeError> {
    let key = put.key.as_str();
    let shown = transaction.get(put.container.id(), key)?;
    let is_shown = |value: &ScalarValue| shown.as_ref().and_then(|(shown, _)| shown.as_scalar()) == Some(value);
    let others = [ScalarValue::Null, ScalarValue::Boolean(false), ScalarValue::Boolean(true)];
    let other = others.into_iter().find(|other| *other != put.value && !is_shown(other));
    let other = other.expect("of three values, at most one is shown and one is to be written");
    transaction.put(put.container.id(), key, other)?;
    transaction.put(put.container.id(), key, put.value.clone())
}
