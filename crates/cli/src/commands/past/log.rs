//! `log`: who wrote what when.

use std::collections::BTreeSet;

use clap::Args;
use comity_model::{ActKind, EntryId, FieldName, LIFE, RegisterKey, Value};
use comity_node::{Document, HistoryFilter, HistoryItem};
use serde_json::{Value as Json, json};

use super::super::find_document;
use super::super::show::{when, when_exactly};
use super::when::{Past, Then, When};
use super::{CELL_MAX, short};
use crate::entries;
use crate::error::{CommandError, CommandResult, Kind};
use crate::names::Who;
use crate::output::{FAINT, STRONG, count};
use crate::session::{Need, Session};
use crate::values;

/// Groups of writes that are named in the line of one change.
const GROUPS_MAX: usize = 3;

/// Values that are named for one group of entries.
const VALUES_MAX: usize = 4;

/// Runs of entries that are named in one group.
const RUNS_MAX: usize = 4;

/// Show the changes of a document, an entry or a field, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity log 'Roof 7'                            one line a change
  comity log 'Roof 7' M050
  comity log 'Roof 7' M050 status -n 5
  comity log 'Roof 7' --since 2026-11-21T12:00Z
  comity log 'Roof 7' -n 0 --json | jq '.changes | length'

`comity history` is the same command.

A moment is `now`, 4 or more digits of a change (several joined by `+`), or a time: the changes whose
authors' clocks were not later. Clocks may be wrong; what a change builds on is always before it.")]
pub struct Log {
    /// The document: title, id, or the beginning of an id
    #[arg(value_name = "DOC")]
    document: String,
    /// Only what touches this entry (M050/status names one field of it, too)
    #[arg(value_name = "ENTRY")]
    entry: Option<String>,
    /// Only what touches this field of the entry
    #[arg(value_name = "FIELD")]
    field: Option<String>,
    /// How many changes, the latest ones; 0 for all
    #[arg(short = 'n', long, default_value_t = 100, value_name = "NUMBER")]
    limit: usize,
    /// Only what came after this moment
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    since: Option<When>,
}

impl Log {
    pub fn run(self, session: &Session) -> CommandResult {
        let filter = filter(self.entry.as_deref(), self.field.as_deref())?;
        session.run(Need::Documents, |node| async move {
            let document = find_document(&node, &self.document).await?;
            let mut items = self.items(&document, &filter).await?;
            let since = match &self.since {
                Some(when) => Some(Past::read(&document).await?.find(when)?),
                None => None,
            };
            if let Some(since) = &since {
                items.retain(|item| !since.changes.contains(&item.hash));
            }
            let shown = if self.limit == 0 { items.len() } else { self.limit.min(items.len()) };
            let left_out = items.len() - shown;
            items.truncate(shown);
            let out = session.output;
            if out.json {
                let changes: Vec<Json> = items.iter().map(item_json).collect();
                return out.json(
                    "log",
                    json!({
                        "document": document.id().to_string(), "since": since.as_ref().map(Then::json),
                        "left_out": left_out, "changes": changes,
                    }),
                );
            }
            let who = Who::new(&node, &session.config);
            let mut is_cut = false;
            for item in &items {
                let (what, cut) = what(item);
                is_cut |= cut;
                out.line(format_args!(
                    "{FAINT}{}{FAINT:#}  {}  {STRONG}{:<8}{STRONG:#}  {}  {what}",
                    short(&item.hash),
                    when(item.act, item.time_s),
                    act_word(item),
                    who.name(&item.actor),
                ))?;
            }
            if let Some(since) = &since {
                since.explain(out);
            }
            if is_cut {
                out.note("long lines are cut at …; --json lists every write");
            }
            if left_out > 0 {
                out.note(format_args!("{} left out; -n 0 shows all", count(left_out, "older change", "older changes")));
            }
            Ok(())
        })
    }

    /// Gives the changes that touch what is asked for, the newest first.
    async fn items(&self, document: &Document, filter: &HistoryFilter) -> CommandResult<Vec<HistoryItem>> {
        let wanted = filter.clone();
        let mut items = document.read(move |view| view.history(&wanted)).await?;
        if items.is_empty() && *filter != HistoryFilter::Document {
            let parts: Vec<&str> = self.entry.as_deref().into_iter().chain(self.field.as_deref()).collect();
            let what = format!("nothing was ever written to {}", parts.join("/"));
            return Err(CommandError::new(Kind::NotFound, what)
                .hint("`comity show DOC` lists the entries; capital letters matter"));
        }
        items.reverse();
        items.iter_mut().for_each(keep_what_was_left);
        Ok(items)
    }
}

fn filter(entry: Option<&str>, field: Option<&str>) -> CommandResult<HistoryFilter> {
    let wrong = |error| CommandError::new(Kind::Usage, error).hint("write ENTRY and FIELD, as in M050 status");
    match (entry, field) {
        (None, _) => Ok(HistoryFilter::Document),
        (Some(entry), None) if entry.contains('/') => Ok(HistoryFilter::Field(entry.parse().map_err(wrong)?)),
        (Some(entry), None) => Ok(HistoryFilter::Entry(entries::entry(entry)?)),
        (Some(entry), Some(field)) => {
            let field = FieldName::new(field).map_err(wrong)?;
            Ok(HistoryFilter::Field(RegisterKey::new(entries::entry(entry)?, field)))
        }
    }
}

/// Keeps the last write to each register: a decision writes twice, so that its write counts.
fn keep_what_was_left(item: &mut HistoryItem) {
    let mut seen = BTreeSet::new();
    let mut writes: Vec<_> = std::mem::take(&mut item.writes);
    writes.reverse();
    writes.retain(|(register, _)| seen.insert(register.clone()));
    writes.reverse();
    item.writes = writes;
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

/// Says on one line what a change wrote, and whether something had to be cut.
fn what(item: &HistoryItem) -> (String, bool) {
    if item.writes.is_empty() {
        let nothing = match item.act.map(|act| act.kind) {
            Some(ActKind::Create) => "the document itself",
            Some(ActKind::Decision) => "nothing written to entries",
            _ => "nothing in entries",
        };
        return (format!("{FAINT}{nothing}{FAINT:#}"), false);
    }
    let groups = group(&item.writes);
    let mut is_cut = false;
    let mut parts: Vec<String> = Vec::new();
    for (entries, writes) in groups.iter().take(GROUPS_MAX) {
        let runs = entries::compress(entries.iter().copied());
        let mut part = runs.iter().take(RUNS_MAX).cloned().collect::<Vec<_>>().join(", ");
        if runs.len() > RUNS_MAX {
            is_cut = true;
            part.push_str(", …");
        }
        if entries.len() > 1 {
            part.push_str(&format!(" ({})", entries.len()));
        }
        let values: Vec<String> =
            writes.iter().take(VALUES_MAX).map(|(field, value)| write_in(field, *value, CELL_MAX)).collect();
        is_cut |= values.iter().any(|value| value.ends_with('…'));
        part.push_str(&format!(" {}", values.join(", ")));
        if writes.len() > VALUES_MAX {
            is_cut = true;
            part.push_str(&format!(", … {} more", writes.len() - VALUES_MAX));
        }
        parts.push(part);
    }
    if groups.len() > GROUPS_MAX {
        is_cut = true;
        let rest = groups[GROUPS_MAX..].iter().map(|(entries, writes)| entries.len() * writes.len()).sum();
        parts.push(format!("{FAINT}… {}{FAINT:#}", count(rest, "more write", "more writes")));
    }
    (parts.join("; "), is_cut)
}

/// Says what was written, in words where there are any.
pub fn write(field: &FieldName, value: Option<&Value>) -> String {
    write_in(field, value, 60)
}

fn write_in(field: &FieldName, value: Option<&Value>, max: usize) -> String {
    match value {
        None => format!("{field} removed"),
        Some(value) if field.as_str() == LIFE => match value.as_text() {
            Some("live") => "restored".to_owned(),
            _ => "deleted".to_owned(),
        },
        Some(value) => format!("{field} = {}", values::shown(value, max)),
    }
}

type Wrote<'a> = (&'a FieldName, Option<&'a Value>);

/// Entries, and what all of them got.
type Group<'a> = (Vec<&'a EntryId>, Vec<Wrote<'a>>);

/// Puts together the entries that got the same value in the same field, then the fields of the same entries, in the
/// order of the first of each.
fn group(writes: &[(RegisterKey, Option<Value>)]) -> Vec<Group<'_>> {
    let mut by_value: Vec<(Wrote<'_>, Vec<&EntryId>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (key, value) in writes {
        let mark = (key.field.as_str(), value.as_ref().map(|value| (value.type_name(), value.to_string())));
        let place = *places.entry(mark).or_insert_with(|| {
            by_value.push(((&key.field, value.as_ref()), Vec::new()));
            by_value.len() - 1
        });
        by_value[place].1.push(&key.entry);
    }
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (wrote, entries) in by_value {
        let place = *places.entry(entries.clone()).or_insert_with(|| {
            groups.push((entries, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(wrote);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(writes: &[(&str, &str)]) -> HistoryItem {
        let write = |(register, value): &(&str, &str)| (register.parse().unwrap(), Some(Value::from(*value)));
        HistoryItem {
            hash: comity_model::ChangeHash([1; 32]),
            actor: comity_model::ActorId::from_bytes(&[1; 24]),
            act: None,
            time_s: 0,
            writes: writes.iter().map(write).collect(),
        }
    }

    #[test]
    fn a_change_is_one_line_whatever_it_wrote() {
        let line = |writes: &[(&str, &str)]| what(&item(writes));
        assert_eq!(
            line(&[("M1/status", "dead"), ("M1/comment", "x"), ("M2/status", "dead"), ("M2/comment", "x")]),
            ("M1..M2 (2) status = dead, comment = x".to_owned(), false)
        );
        assert_eq!(line(&[("M1/a", "1\n2"), ("M3/life", "deleted")]).0, "M1 a = 1·2; M3 deleted");
        assert_eq!(line(&[("M1/a", &"x".repeat(41))]), (format!("M1 a = {}…", "x".repeat(40)), true));
        let (four, cut) = line(&[("M1/a", "1"), ("M3/a", "2"), ("M5/a", "3"), ("M7/a", "4")]);
        assert!(four.contains("1 more write") && cut, "{four}");
    }

    #[test]
    fn a_write_that_was_written_over_in_the_same_change_is_not_told() {
        let mut decided = item(&[("M1/status", "no"), ("M1/status", "dead"), ("M2/status", "ok")]);
        keep_what_was_left(&mut decided);
        assert_eq!(decided.writes, item(&[("M1/status", "dead"), ("M2/status", "ok")]).writes);
    }
}
