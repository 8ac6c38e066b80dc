//! Reading entries, registers and remarks.

use std::collections::BTreeMap;

use automerge::iter::MapRange;
use automerge::{Automerge, ObjId, ReadDoc};
use comity_model::{Act, ActorId, ChangeHash, EntryId, FieldName, Heads, KindName, LIFE, RegisterKey, Value};

use crate::genesis::Container;
use crate::{Document, convert};

/// The state of an entry: in each field, the value that Automerge shows.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Entry {
    /// Its fields, without `life`.
    pub fields: BTreeMap<FieldName, Value>,
    /// Whether it is marked deleted. Its fields stay.
    pub deleted: bool,
}

/// One value that stands in a register, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// The value.
    pub value: Value,
    /// The change that wrote it.
    pub change: ChangeHash,
    /// Who wrote it.
    pub actor: ActorId,
    /// What its author says of the change; `None` for the changes of other applications.
    pub act: Option<Act>,
    /// When, in seconds since 1970, as its author's clock said.
    pub time_s: i64,
}

/// Everything that stands in one register: one value or, when nobody has seen them together, several.
#[derive(Clone, Debug, PartialEq)]
pub struct Register {
    /// Ascending in Automerge's order; the last is the one that Automerge shows.
    pub versions: Vec<Version>,
}

impl Register {
    /// Gives the version that Automerge shows. It is the greatest, not the latest.
    pub fn winner(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// Tells whether different values stand in the register.
    pub fn is_disagreement(&self) -> bool {
        self.versions.windows(2).any(|pair| pair[0].value != pair[1].value)
    }
}

/// A comment or a line of chat.
#[derive(Clone, Debug, PartialEq)]
pub struct Remark {
    /// Unique in the document.
    pub id: String,
    /// The text.
    pub text: String,
    /// The change that brought it.
    pub change: ChangeHash,
    /// Who wrote it.
    pub actor: ActorId,
    /// What its author says of the change.
    pub act: Option<Act>,
    /// When, in seconds since 1970, as its author's clock said.
    pub time_s: i64,
}

impl Document {
    /// Gives the kind of the document.
    pub fn kind(&self) -> Option<KindName> {
        self.about("kind")?.as_text()?.parse().ok()
    }

    /// Gives the title of the document.
    pub fn title(&self) -> Option<String> {
        match self.about("title")? {
            Value::Text(title) => Some(title),
            _ => None,
        }
    }

    /// Gives one of the document's own registers: `kind`, `space`, `schema`, `key`, `title`.
    pub fn about(&self, name: &str) -> Option<Value> {
        self.register_in(Container::About, name, None)
            .and_then(|register| Some(register.versions.last()?.value.clone()))
    }

    /// Gives everything that stands in one of the document's own registers, now or as it was at older heads.
    pub fn about_register(&self, name: &str, at: Option<&Heads>) -> Option<Register> {
        self.register_in(Container::About, name, at)
    }

    /// Lists all entries, deleted ones too, now or as they were at older heads. Nothing is shown for heads that are
    /// not part of the document.
    pub fn entries(&self, at: Option<&Heads>) -> BTreeMap<EntryId, Entry> {
        self.entries_within(.., at)
    }

    /// Gives one entry, now or as it was at older heads.
    pub fn entry(&self, entry: &EntryId, at: Option<&Heads>) -> Option<Entry> {
        // '0' comes right after '/', so this range holds what begins with `entry/`.
        let range = format!("{entry}/")..format!("{entry}0");
        self.entries_within(range, at).remove(entry)
    }

    fn entries_within(
        &self,
        range: impl std::ops::RangeBounds<String>,
        at: Option<&Heads>,
    ) -> BTreeMap<EntryId, Entry> {
        let Some(at) = self.at(at) else { return BTreeMap::new() };
        self.quietly("entries", |inner| {
            let mut entries = BTreeMap::<EntryId, Entry>::new();
            for item in values(inner, range, at.as_deref()) {
                let Ok(RegisterKey { entry, field }) = item.key.parse() else { continue };
                let Some(value) = convert::shown(inner, &item.value, || item.id()) else { continue };
                let entry = entries.entry(entry).or_default();
                if field.as_str() == LIFE {
                    entry.deleted = value.as_text() == Some("deleted");
                } else {
                    entry.fields.insert(field, value);
                }
            }
            entries
        })
    }

    /// Gives everything that stands in a register, now or as it was at older heads; `None` when nothing was written.
    pub fn register(&self, key: &RegisterKey, at: Option<&Heads>) -> Option<Register> {
        self.register_in(Container::Values, &key.to_string(), at)
    }

    /// Lists the registers in which different values stand that were written concurrently. The cost follows the
    /// number of registers.
    pub fn disagreements(&self) -> Vec<(RegisterKey, Register)> {
        let conflicting = self.quietly("disagreements", |inner| {
            let items = values(inner, .., None).filter(|item| item.conflict);
            items.filter_map(|item| item.key.parse::<RegisterKey>().ok()).collect::<Vec<_>>()
        });
        let registers = conflicting.into_iter().filter_map(|key| {
            let register = self.register(&key, None)?;
            Some((key, register))
        });
        registers.filter(|(_, register)| register.is_disagreement()).collect()
    }

    /// Lists the remarks, each after those that its author had seen, in the same order on every device.
    pub fn remarks(&self) -> Vec<Remark> {
        self.quietly("remarks", |inner| {
            let mut remarks = Vec::new();
            for item in inner.map_range(Container::Remarks.id(), ..) {
                let id = item.id();
                let Some(Value::Text(text)) = convert::shown(inner, &item.value, || id.clone()) else { continue };
                let Some(version) = version(inner, Value::Null, &id) else { continue };
                let Version { change, actor, act, time_s, .. } = version;
                let order = counter(&id);
                remarks.push((order, Remark { id: item.key.to_string(), text, change, actor, act, time_s }));
            }
            remarks.sort_by(|(a, left), (b, right)| a.cmp(b).then_with(|| left.actor.cmp(&right.actor)));
            remarks.into_iter().map(|(_, remark)| remark).collect()
        })
    }

    fn register_in(&self, container: Container, key: &str, at: Option<&Heads>) -> Option<Register> {
        let at = self.at(at)?;
        let versions = self.quietly("register", |inner| {
            let standing = match &at {
                Some(heads) => inner.get_all_at(container.id(), key, heads),
                None => inner.get_all(container.id(), key),
            };
            let versions = standing.unwrap_or_default().into_iter().filter_map(|(value, id)| {
                let value = match value {
                    automerge::Value::Scalar(scalar) => convert::value(&scalar),
                    automerge::Value::Object(kind) => {
                        convert::shown(inner, &automerge::ValueRef::Object(kind), || id.clone())?
                    }
                };
                version(inner, value, &id)
            });
            versions.collect::<Vec<_>>()
        });
        (!versions.is_empty()).then_some(Register { versions })
    }

    /// Turns heads to read at into Automerge's: outer `None` when they are not part of the document, inner `None` for
    /// the present.
    #[expect(clippy::option_option, reason = "three cases, used in this file only")]
    fn at(&self, at: Option<&Heads>) -> Option<Option<Vec<automerge::ChangeHash>>> {
        match at {
            None => Some(None),
            Some(heads) if *heads == self.heads => Some(None),
            Some(heads) => self.covers(heads).then(|| Some(convert::their_heads(heads))),
        }
    }
}

fn values<'a>(
    inner: &'a Automerge,
    range: impl std::ops::RangeBounds<String> + 'a,
    at: Option<&[automerge::ChangeHash]>,
) -> MapRange<'a> {
    match at {
        Some(heads) => inner.map_range_at(Container::Values.id(), range, heads),
        None => inner.map_range(Container::Values.id(), range),
    }
}

/// Finds out where the value of an operation comes from.
fn version(inner: &Automerge, value: Value, id: &ObjId) -> Option<Version> {
    let hash = inner.hash_for_opid(id)?;
    let change = inner.get_change_meta_by_hash(&hash)?;
    Some(Version {
        value,
        change: convert::hash(hash),
        actor: convert::actor(&change.actor),
        act: change.message.as_deref().and_then(Act::from_message),
        time_s: change.timestamp,
    })
}

fn counter(id: &ObjId) -> u64 {
    match id {
        ObjId::Root => 0,
        ObjId::Id(counter, ..) => *counter,
    }
}
