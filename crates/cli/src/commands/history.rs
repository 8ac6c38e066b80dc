//! `history`: who wrote what when.

use clap::Args;
use comity_model::{ActKind, EntryId, FieldName, LIFE, RegisterKey, Value};
use comity_node::{HistoryFilter, HistoryItem};
use serde_json::{Value as Json, json};

use super::find_document;
use super::show::{when, when_exactly};
use crate::entries;
use crate::error::{CommandError, CommandResult, Kind};
use crate::names::Who;
use crate::output::{FAINT, STRONG, count};
use crate::session::{Need, Session};
use crate::values;

/// Groups of writes that are listed under one change.
const GROUPS_MAX: usize = 8;

/// Runs of entries that are named in one group.
const RUNS_MAX: usize = 6;

/// Longest value, in characters.
const VALUE_MAX: usize = 60;

/// Show the changes of a document, an entry or a field, the oldest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity history 'Roof 7'
  comity history 'Roof 7' M050
  comity history 'Roof 7' M050/status
  comity history 'Roof 7' --limit 0 --json | jq '.changes | length'")]
pub struct History {
    /// The document: title, id, or the beginning of an id
    #[arg(value_name = "DOC")]
    document: String,
    /// Only what touches this entry, or this field of it
    #[arg(value_name = "ENTRY[/FIELD]")]
    part: Option<String>,
    /// How many changes, the latest ones; 0 for all
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    limit: usize,
}

impl History {
    pub fn run(self, session: &Session) -> CommandResult {
        let filter = filter(self.part.as_deref())?;
        session.run(Need::Documents, |node| async move {
            let document = find_document(&node, &self.document).await?;
            let wanted = filter.clone();
            let mut items = document.read(move |view| view.history(&wanted)).await?;
            if items.is_empty() && filter != HistoryFilter::Document {
                let part = self.part.unwrap_or_default();
                return Err(CommandError::new(Kind::NotFound, format_args!("nothing was ever written to {part}"))
                    .hint("`comity show DOC` lists the entries; capital letters matter"));
            }
            let left_out = if self.limit == 0 { 0 } else { items.len().saturating_sub(self.limit) };
            items.drain(..left_out);
            let out = session.output;
            if out.json {
                let changes: Vec<Json> = items.iter().map(item_json).collect();
                let content =
                    json!({ "document": document.id().to_string(), "left_out": left_out, "changes": changes });
                return out.json("history", content);
            }
            let who = Who::new(&node, &session.config);
            for item in &items {
                out.print(describe(item, &who))?;
            }
            if left_out > 0 {
                out.note(format_args!(
                    "{} left out; --limit 0 shows all",
                    count(left_out, "older change", "older changes")
                ));
            }
            Ok(())
        })
    }
}

fn filter(part: Option<&str>) -> CommandResult<HistoryFilter> {
    let Some(part) = part else { return Ok(HistoryFilter::Document) };
    if !part.contains('/') {
        return Ok(HistoryFilter::Entry(entries::entry(part)?));
    }
    let key = part
        .parse()
        .map_err(|error| CommandError::new(Kind::Usage, error).hint("write ENTRY or ENTRY/FIELD, as in M050/status"))?;
    Ok(HistoryFilter::Field(key))
}

fn act_word(item: &HistoryItem) -> &'static str {
    item.act.map_or("foreign", |act| act.kind.as_str())
}

fn item_json(item: &HistoryItem) -> Json {
    let writes = item.writes.iter().map(|(key, value)| {
        json!({
            "entry": key.entry.as_str(), "field": key.field.as_str(),
            "value": value.as_ref().map(values::to_json), "removed": value.is_none(),
        })
    });
    json!({
        "change": item.hash.to_string(), "time": when_exactly(item.act, item.time_s), "act": act_word(item),
        "device": Who::device(&item.actor), "actor": item.actor.to_string(), "writes": writes.collect::<Vec<_>>(),
    })
}

fn describe(item: &HistoryItem, who: &Who) -> String {
    let hash: String = item.hash.to_string().chars().take(8).collect();
    let mut text = format!(
        "{FAINT}{hash}{FAINT:#}  {}  {STRONG}{}{STRONG:#}  {}\n",
        when(item.act, item.time_s),
        act_word(item),
        who.name(&item.actor),
    );
    let groups = group(&item.writes);
    for (field, value, entries) in groups.iter().take(GROUPS_MAX) {
        let runs = entries::compress(entries.iter().copied());
        let mut named = runs.iter().take(RUNS_MAX).cloned().collect::<Vec<_>>().join(", ");
        if runs.len() > RUNS_MAX {
            named.push_str(&format!(", … ({} in all)", count(entries.len(), "entry", "entries")));
        } else if entries.len() > 1 {
            named.push_str(&format!(" ({})", entries.len()));
        }
        text.push_str(&format!("    {named}  {}\n", write(field, *value)));
    }
    if groups.len() > GROUPS_MAX {
        let rest: usize = groups[GROUPS_MAX..].iter().map(|(.., entries)| entries.len()).sum();
        text.push_str(&format!(
            "    {FAINT}… and {}; --json lists all{FAINT:#}\n",
            count(rest, "more write", "more writes")
        ));
    }
    if groups.is_empty() && item.act.is_some_and(|act| act.kind == ActKind::Create) {
        text.push_str(&format!("    {FAINT}the document itself{FAINT:#}\n"));
    }
    text
}

/// Says what was written, in words where there are any.
pub fn write(field: &FieldName, value: Option<&Value>) -> String {
    match value {
        None => format!("{field} removed"),
        Some(value) if field.as_str() == LIFE => match value.as_text() {
            Some("live") => "restored".to_owned(),
            _ => "deleted".to_owned(),
        },
        Some(value) => format!("{field} = {}", values::shown(value, VALUE_MAX)),
    }
}

type Group<'a> = (&'a FieldName, Option<&'a Value>, Vec<&'a EntryId>);

/// Puts together the entries that got the same value in the same field, in the order of the first of each.
fn group(writes: &[(RegisterKey, Option<Value>)]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (key, value) in writes {
        let mark = (key.field.as_str(), value.as_ref().map(|value| (value.type_name(), value.to_string())));
        let place = *places.entry(mark).or_insert_with(|| {
            groups.push((&key.field, value.as_ref(), Vec::new()));
            groups.len() - 1
        });
        groups[place].2.push(&key.entry);
    }
    groups
}
