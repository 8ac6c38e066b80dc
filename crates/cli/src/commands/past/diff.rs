//! `diff`: what differs between two moments of a document.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use comity_model::{EntryId, FieldName, Heads, LIFE, Value};
use comity_node::{Document, Entry};
use serde_json::{Map, Value as Json, json};

use super::super::find_document;
use super::when::{Past, Then, When};
use super::{CELL_MAX, never};
use crate::entries;
use crate::error::CommandResult;
use crate::output::{FAINT, Output, Table, count, one_line};
use crate::session::{Need, Session};
use crate::values;

/// What a document says of itself.
const ABOUT: [&str; 5] = ["kind", "key", "schema", "space", "title"];

/// Show what differs between two moments of a document
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity diff 'Roof 7' 5f3a1b2c                        since that change, up to now
  comity diff 'Roof 7' 5f3a 9c2d                       between two changes
  comity diff 'Roof 7' 2026-11-20 2026-11-21T12:00Z    between two times
  comity diff 'Roof 7' 5f3a --entry M050 --json

A moment is `now`, 4 or more digits of a change (several joined by `+`), or a time: the changes whose
authors' clocks were not later. Clocks may be wrong; what a change builds on is always before it.
Values that are shown are compared; `comity at` and `comity blame` list what contradicts them.")]
pub struct Diff {
    /// The document: title, id, or the beginning of an id
    #[arg(value_name = "DOC")]
    document: String,
    /// The one moment
    #[arg(value_name = "FROM", value_parser = When::parse)]
    from: When,
    /// The other moment
    #[arg(value_name = "TO", value_parser = When::parse, default_value = "now")]
    to: When,
    /// Only this entry
    #[arg(long, value_name = "ENTRY")]
    entry: Option<String>,
}

/// What one moment shows.
#[derive(Debug, Default)]
struct Shown {
    entries: BTreeMap<EntryId, Entry>,
    about: BTreeMap<&'static str, Value>,
}

/// A value at both moments, where it differs.
type Pair<'a> = (&'a str, Option<&'a Value>, Option<&'a Value>);

impl Diff {
    pub fn run(self, session: &Session) -> CommandResult {
        let entry = self.entry.as_deref().map(entries::entry).transpose()?;
        session.run(Need::Documents, |node| async move {
            let document = find_document(&node, &self.document).await?;
            let past = Past::read(&document).await?;
            let (from, to) = (past.find(&self.from)?, past.find(&self.to)?);
            let mut before = shown(&document, &from.heads).await?;
            let mut after = shown(&document, &to.heads).await?;
            if let Some(entry) = &entry {
                let is_there = before.only(entry) | after.only(entry);
                if !is_there
                    && document
                        .read({
                            let entry = entry.clone();
                            move |view| view.entry(&entry).is_none()
                        })
                        .await?
                {
                    return Err(never(entry));
                }
            }
            let out = session.output;
            if out.json {
                return out.json("diff", json(&document, (&from, &before), (&to, &after)));
            }
            print(out, &before, &after)?;
            summary(out, &from, &to);
            Ok(())
        })
    }
}

async fn shown(document: &Document, heads: &Heads) -> CommandResult<Shown> {
    if heads.is_empty() {
        return Ok(Shown::default());
    }
    let heads = heads.clone();
    let look = move |view: &comity_node::View<'_>| {
        let about = |name: &'static str| {
            let register = view.document().about_register(name, Some(&heads))?;
            Some((name, register.winner()?.value.clone()))
        };
        Shown { entries: view.document().entries(Some(&heads)), about: ABOUT.into_iter().filter_map(about).collect() }
    };
    Ok(document.read(look).await?)
}

impl Shown {
    /// Forgets all but one entry; tells whether that is there.
    fn only(&mut self, entry: &EntryId) -> bool {
        self.about.clear();
        self.entries.retain(|id, _| id == entry);
        !self.entries.is_empty()
    }
}

/// Lists what differs in maps of values.
fn pairs<'a, K: Ord>(
    before: &'a BTreeMap<K, Value>,
    after: &'a BTreeMap<K, Value>,
    name: impl Fn(&'a K) -> &'a str,
) -> Vec<Pair<'a>> {
    let keys: BTreeSet<&K> = before.keys().chain(after.keys()).collect();
    let pair = |key: &'a K| (name(key), before.get(key), after.get(key));
    keys.into_iter().map(pair).filter(|(_, before, after)| before != after).collect()
}

/// Lists the entries that differ, with their fields.
fn differing<'a>(before: &'a Shown, after: &'a Shown) -> Vec<(&'a EntryId, [Life; 2], Vec<Pair<'a>>)> {
    static NOTHING: BTreeMap<FieldName, Value> = BTreeMap::new();
    let ids: BTreeSet<&EntryId> = before.entries.keys().chain(after.entries.keys()).collect();
    let entry = |id: &'a EntryId| {
        let (was, is) = (before.entries.get(id), after.entries.get(id));
        let fields = |entry: Option<&'a Entry>| entry.map_or(&NOTHING, |entry| &entry.fields);
        (id, [Life::of(was), Life::of(is)], pairs(fields(was), fields(is), FieldName::as_str))
    };
    ids.into_iter().map(entry).filter(|(_, [was, is], fields)| was != is || !fields.is_empty()).collect()
}

/// Whether an entry is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Absent,
    Live,
    Deleted,
}

impl Life {
    fn of(entry: Option<&Entry>) -> Self {
        match entry {
            None => Self::Absent,
            Some(entry) if entry.deleted => Self::Deleted,
            Some(_) => Self::Live,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Live => "live",
            Self::Deleted => "deleted",
        }
    }
}

fn print(out: Output, before: &Shown, after: &Shown) -> CommandResult {
    let mut table = Table::new(&["entry", "field", "before", "after"]);
    let cell = |value: Option<&Value>| match value {
        Some(value) => values::shown(value, CELL_MAX),
        None => format!("{FAINT}(nothing){FAINT:#}"),
    };
    let mut is_cut = false;
    let mut add = |entry: &str, (field, was, is): Pair<'_>| {
        let (was, is) = (cell(was), cell(is));
        is_cut |= was.ends_with('…') || is.ends_with('…');
        table.row([one_line(entry, CELL_MAX), one_line(field, CELL_MAX), was, is]);
    };
    pairs(&before.about, &after.about, |name| name).into_iter().for_each(|pair| add("(document)", pair));
    for (id, [was, is], fields) in differing(before, after) {
        // That an entry is new is seen by its fields.
        let says = |life: Life| (life == Life::Deleted).then(|| Value::from("deleted"));
        let (was, is) = (says(was), says(is));
        fields.into_iter().for_each(|pair| add(id.as_str(), pair));
        if was != is {
            add(id.as_str(), (LIFE, was.as_ref(), is.as_ref()));
        }
    }
    if !table.is_empty() {
        out.print(table)?;
    }
    if is_cut {
        out.note("long values are cut at …; --json has them whole");
    }
    Ok(())
}

fn summary(out: Output, from: &Then, to: &Then) {
    let [more, fewer] = counted(from, to);
    out.note(format_args!("from {} to {}", from.label(), to.label()));
    out.note(match (more, fewer) {
        (0, 0) => "the same changes".to_owned(),
        (more, 0) => format!("{} more", count(more, "change", "changes")),
        (0, fewer) => format!("{} fewer", count(fewer, "change", "changes")),
        (more, fewer) => format!("{more} changes more, {fewer} fewer: neither had seen all of the other"),
    });
    from.explain(out);
    to.explain(out);
}

/// Counts the changes that only the second has, and those that only the first has.
fn counted(from: &Then, to: &Then) -> [usize; 2] {
    [to.changes.difference(&from.changes).count(), from.changes.difference(&to.changes).count()]
}

fn json(document: &Document, (from, before): (&Then, &Shown), (to, after): (&Then, &Shown)) -> Json {
    let pair = |name: &str, (field, was, is): Pair<'_>| {
        let mut object = Map::new();
        object.insert(name.to_owned(), json!(field));
        // Null may be a value, so nothing and null are told apart.
        let stood = |value: Option<&Value>| value.map(|value| json!({ "value": values::to_json(value) }));
        object.insert("before".to_owned(), json!(stood(was)));
        object.insert("after".to_owned(), json!(stood(is)));
        Json::Object(object)
    };
    let entries = differing(before, after).into_iter().map(|(id, [was, is], fields)| {
        let fields: Vec<Json> = fields.into_iter().map(|field| pair("field", field)).collect();
        json!({ "entry": id.as_str(), "before": was.as_str(), "after": is.as_str(), "fields": fields })
    });
    let about = pairs(&before.about, &after.about, |name| name).into_iter().map(|about| pair("name", about));
    let [more, fewer] = counted(from, to);
    json!({
        "document": document.id().to_string(), "from": from.json(), "to": to.json(),
        "changes_more": more, "changes_fewer": fewer,
        "about": about.collect::<Vec<_>>(), "entries": entries.collect::<Vec<_>>(),
    })
}
