//! Who wrote what when.

use comity_model::{Act, ActorId, ChangeHash, EntryId, RegisterKey, Value};

use crate::{DecodedChange, Document, genesis};

/// Chooses a part of a document's history.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HistoryFilter {
    /// Every change.
    #[default]
    Document,
    /// Changes that wrote to an entry.
    Entry(EntryId),
    /// Changes that wrote to one field of an entry.
    Field(RegisterKey),
}

impl HistoryFilter {
    fn takes(&self, register: &RegisterKey) -> bool {
        match self {
            Self::Document => true,
            Self::Entry(entry) => register.entry == *entry,
            Self::Field(wanted) => register == wanted,
        }
    }
}

/// One change of a document's history.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryItem {
    /// The change.
    pub hash: ChangeHash,
    /// Who wrote it.
    pub actor: ActorId,
    /// What its author says of it; `None` for the changes of other applications.
    pub act: Option<Act>,
    /// When, in seconds since 1970, as its author's clock said.
    pub time_s: i64,
    /// What it wrote to registers of entries, as far as the filter takes it. `None` is the removal of a value, which
    /// only other applications do.
    pub writes: Vec<(RegisterKey, Option<Value>)>,
}

impl Document {
    /// Lists the history, oldest first: each change after those that its author had seen and, where nobody had seen
    /// the other, in the same order on every device. The cost follows the whole history.
    pub fn history(&self, filter: &HistoryFilter) -> Vec<HistoryItem> {
        let mut changes = self.decode_all();
        changes.sort_by(|a, b| a.order().cmp(&b.order()));
        let all = *filter == HistoryFilter::Document;
        let items =
            changes.into_iter().filter(|change| change.hash != genesis::HASH).map(|change| item(change, filter));
        items.filter(|item| all || !item.writes.is_empty()).collect()
    }
}

fn item(change: DecodedChange, filter: &HistoryFilter) -> HistoryItem {
    let writes = change.ops.iter().filter_map(|op| {
        let register = op.register().filter(|register| filter.takes(register))?;
        Some((register, op.value().cloned()))
    });
    let writes = writes.collect();
    HistoryItem { hash: change.hash, actor: change.actor, act: change.act, time_s: change.time_s, writes }
}
