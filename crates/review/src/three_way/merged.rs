//! Three devices that write the three versions of a record, and what their documents then hold.

use std::collections::BTreeSet;

use comity_crdt::{Document, EditError, ReceiveError, Refusal, SyncSession, admit};
use comity_model::{Act, ActKind, ActorId, DeviceTag, EntryId, HybridTime, Limits, RegisterKey, Value, Write};
use serde_json::Value as Json;

use super::flatten::{FlattenOptions, InvalidRecord, Leaves, flatten};
use super::leaf::is_gone;
use super::outcome::{Fate, LeafOutcome, Rule, Who};
use super::{Clash, clashes};

/// A record thrice.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreeWay {
    /// As both had seen it.
    pub base: Json,
    /// As one left it.
    pub ours: Json,
    /// As the other left it.
    pub theirs: Json,
}

/// When each of the three was written, as far as anybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Moments {
    /// The base.
    pub base: Option<HybridTime>,
    /// Ours.
    pub ours: Option<HybridTime>,
    /// Theirs.
    pub theirs: Option<HybridTime>,
    /// How far the clocks of the two may be apart, in milliseconds.
    pub uncertainty_ms: i64,
}

/// What each of the three devices writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Edits {
    /// Every leaf of the base.
    pub base: Vec<Write>,
    /// What ours changed of it. A leaf that is gone is written as null.
    pub ours: Vec<Write>,
    /// What theirs changed of it.
    pub theirs: Vec<Write>,
}

impl Edits {
    /// Finds out what was written. Importers make these edits in a document of their own: the base first, then both
    /// others at the heads of the base.
    ///
    /// # Errors
    /// When one of the records cannot become leaves.
    pub fn of(three: &ThreeWay, options: &FlattenOptions) -> Result<Self, InvalidRecord> {
        let base = flatten(&three.base, options)?;
        Ok(Self::between(&base, &flatten(&three.ours, options)?, &flatten(&three.theirs, options)?))
    }

    fn between(base: &Leaves, ours: &Leaves, theirs: &Leaves) -> Self {
        Self { base: changes(&Leaves::new(), base), ours: changes(base, ours), theirs: changes(base, theirs) }
    }
}

fn changes(from: &Leaves, to: &Leaves) -> Vec<Write> {
    let removed = from.keys().filter(|key| !to.contains_key(key)).map(|key| (key, &Value::Null));
    let written = to.iter().filter(|(key, value)| from.get(key) != Some(value));
    let set = |(key, value): (&RegisterKey, &Value)| Write::Set { key: key.clone(), value: value.clone() };
    removed.chain(written).map(set).collect()
}

/// Says why a three-way merge failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// One of the records cannot become leaves.
    #[error("{which}: {reason}")]
    Record {
        /// Which of the three.
        which: &'static str,
        /// Why.
        reason: InvalidRecord,
    },
    /// A device could not write.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A device refused what another sent.
    #[error("what one device sent was refused by the other: {0}")]
    Refused(#[from] Refusal),
    /// A device could not take what another sent.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The two have different documents.
    #[error("the two devices did not come into step: this is a fault in Comity, keep the record and report it")]
    NotInStep,
}

/// A record that two devices changed at the same time, after both have heard of everything.
#[derive(Debug)]
pub struct Merged {
    document: Document,
    root: EntryId,
    moments: Moments,
    base: Leaves,
    ours: Leaves,
    theirs: Leaves,
}

impl Merged {
    /// Lets one device write the base, two others change what they got of it without hearing of each other, and brings
    /// all together again, through the sync protocol and the door for foreign bytes like any other changes.
    ///
    /// # Errors
    /// When a record is beyond a bound. The other errors would be faults of ours.
    pub fn new(three: &ThreeWay, options: &FlattenOptions, moments: Moments) -> Result<Self, MergeError> {
        let leaves = |which, record| flatten(record, options).map_err(|reason| MergeError::Record { which, reason });
        let base = leaves("base", &three.base)?;
        let ours = leaves("ours", &three.ours)?;
        let theirs = leaves("theirs", &three.theirs)?;
        let edits = Edits::between(&base, &ours, &theirs);

        let mut devices = [Document::new(), Document::new(), Document::new()];
        let [at_base, at_ours, at_theirs] = &mut devices;
        write(at_base, 1, moments.base, &edits.base)?;
        synchronise(at_base, at_ours)?;
        synchronise(at_base, at_theirs)?;
        write(at_ours, 2, moments.ours, &edits.ours)?;
        write(at_theirs, 3, moments.theirs, &edits.theirs)?;
        synchronise(at_ours, at_theirs)?;
        let [_, document, other] = devices;
        if document.heads() != other.heads() || document.disagreements() != other.disagreements() {
            return Err(MergeError::NotInStep);
        }
        Ok(Self { document, root: options.root.clone(), moments, base, ours, theirs })
    }

    /// The document that both have.
    pub const fn document(&self) -> &Document {
        &self.document
    }

    /// Tells of every leaf of the three records what became of it, by register.
    pub fn outcomes(&self) -> Vec<LeafOutcome> {
        let listed: BTreeSet<RegisterKey> = self.document.disagreements().into_iter().map(|(key, _)| key).collect();
        let registers: BTreeSet<&RegisterKey> =
            self.base.keys().chain(self.ours.keys()).chain(self.theirs.keys()).collect();
        registers.into_iter().map(|key| self.outcome(key, listed.contains(key))).collect()
    }

    /// Looks at what stands in the register, and not at what ought to: this is where a loss would show.
    fn outcome(&self, register: &RegisterKey, is_listed: bool) -> LeafOutcome {
        let leaf = |leaves: &Leaves| leaves.get(register).cloned();
        let (base, ours, theirs) = (leaf(&self.base), leaf(&self.ours), leaf(&self.theirs));
        let standing = self.document.register(register, None);
        let shown = standing.as_ref().and_then(|register| register.winner()).map(|version| version.value.clone());
        let shown = shown.filter(|value| !is_gone(value));
        // What somebody wrote is there when it is shown, or stands beside what is shown and is listed.
        let is_there = |wanted: &Option<Value>| {
            let versions = standing.iter().flat_map(|register| &register.versions);
            let mut values = versions.map(|version| Some(&version.value).filter(|value| !is_gone(value)));
            shown == *wanted || (is_listed && values.any(|value| value == wanted.as_ref()))
        };
        let changed = |side: &Option<Value>| *side != base;
        let fate = match (changed(&ours), changed(&theirs)) {
            (true, _) if !is_there(&ours) => Fate::Lost(Who::Ours),
            (_, true) if !is_there(&theirs) => Fate::Lost(Who::Theirs),
            (false, false) if shown != base => Fate::Lost(Who::Both),
            (false, false) => Fate::Unchanged,
            (true, false) => Fate::OneSided(Who::Ours),
            (false, true) => Fate::OneSided(Who::Theirs),
            (true, true) if is_listed => Fate::Conflict,
            (true, true) => Fate::Agreement,
        };
        LeafOutcome { register: register.clone(), base, ours, theirs, shown, fate }
    }

    /// Lists the leaves that no record can hold together, though the document does.
    pub fn clashes(&self) -> Vec<Clash> {
        clashes(&self.under(Rule::Shown).expect("this rule decides everything"), &self.root)
    }

    /// Gives the leaves of the record when a rule settles the conflicts; `None` when it leaves one to people.
    pub fn under(&self, rule: Rule) -> Option<Leaves> {
        let settled = self.outcomes().into_iter().map(|outcome| {
            let value = rule.settle(&outcome, &self.moments)?;
            Some(value.map(|value| (outcome.register, value)))
        });
        Some(settled.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

fn write(document: &mut Document, device: u8, time: Option<HybridTime>, writes: &[Write]) -> Result<(), EditError> {
    let actor = ActorId::for_session(DeviceTag([device; 16]), [0; 8]);
    let act = Act { time: time.unwrap_or_default(), policy: [0; 8], kind: ActKind::Import };
    document.edit(&actor, act, None, writes, &Limits::default()).map(|_| ())
}

/// Carries messages both ways until neither has anything to say.
fn synchronise(a: &mut Document, b: &mut Document) -> Result<(), MergeError> {
    let limits = Limits::default();
    let (mut to_b, mut to_a) = (SyncSession::new(), SyncSession::new());
    loop {
        let (message, answer) = (a.generate(&mut to_b), b.generate(&mut to_a));
        if message.is_none() && answer.is_none() {
            return Ok(());
        }
        if let Some(bytes) = message {
            b.receive(&mut to_a, admit(&bytes, &limits)?, &limits)?;
        }
        if let Some(bytes) = answer {
            a.receive(&mut to_b, admit(&bytes, &limits)?, &limits)?;
        }
    }
}

#[cfg(test)]
mod tests;
