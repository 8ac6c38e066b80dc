//! `at`: a document as it was.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use comity_model::{EntryId, FieldName, Heads, LIFE, RegisterKey, Value};
use comity_node::{Disagreement, Document, Entry, Register, View};
use serde_json::json;

use super::super::export::{disagreement_json, entry_json};
use super::super::find_document;
use super::super::show::{Field, print_fields, print_table, sides as sides_text};
use super::when::{Past, Then, When};
use super::{CELL_MAX, sides};
use crate::entries;
use crate::error::{CommandError, CommandResult, Kind};
use crate::names::Who;
use crate::output::{ALERT, FAINT, STRONG, one_line};
use crate::session::{Need, Session};

/// Show a document or an entry as it was
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity at 'Roof 7' 5f3a1b2c                what the author of that change had left
  comity at 'Roof 7' 2026-11-21T12:00Z
  comity at 'Roof 7' 5f3a+9c2d M050          one entry: who wrote what when
  comity at 'Roof 7' 2026-11-21 --json | jq .entries.M050

A moment is `now`, 4 or more digits of a change (several joined by `+`), or a time: the changes whose
authors' clocks were not later. Clocks may be wrong; what a change builds on is always before it.
What others had written by then and had not been heard of yet is in it, too, if it is here now.")]
pub struct At {
    /// The document: title, id, or the beginning of an id
    #[arg(value_name = "DOC")]
    document: String,
    /// The moment
    #[arg(value_name = "WHEN", value_parser = When::parse)]
    when: When,
    /// Only this entry
    #[arg(value_name = "ENTRY")]
    entry: Option<String>,
    /// Deleted entries too
    #[arg(long)]
    deleted: bool,
}

/// What a document was.
struct Was {
    kind: Option<String>,
    title: Option<String>,
    entries: BTreeMap<EntryId, Entry>,
    disagreements: Vec<Disagreement>,
    /// The registers of the entry that was asked for.
    fields: Vec<Field>,
}

impl At {
    pub fn run(self, session: &Session) -> CommandResult {
        let entry = self.entry.as_deref().map(entries::entry).transpose()?;
        session.run(Need::Documents, |node| async move {
            let document = find_document(&node, &self.document).await?;
            let past = Past::read(&document).await?;
            let then = past.find(&self.when)?;
            let was = read(&document, &past, &then, entry.clone()).await?;
            if let (Some(entry), true) = (&entry, was.entries.is_empty()) {
                let what = format!("there was no entry {entry} at {}", then.label());
                return Err(CommandError::new(Kind::NotFound, what)
                    .hint(format!("`comity log DOC {entry}` says when something was written to it")));
            }
            if session.output.json {
                return print_json(session, &document, &then, &was);
            }
            let who = Who::new(&node, &session.config);
            match &entry {
                Some(entry) => print_entry(session, entry, &was, &who)?,
                None => self.print(session, &was, &who)?,
            }
            if was.kind.is_none() && was.entries.is_empty() {
                session.output.note("there was nothing yet");
            }
            session.output.note(format_args!("as it was at {}", then.label()));
            then.explain(session.output);
            Ok(())
        })
    }

    fn print(&self, session: &Session, was: &Was, who: &Who) -> CommandResult {
        let out = session.output;
        let deleted = was.entries.values().filter(|entry| entry.deleted).count();
        out.line(format_args!(
            "{STRONG}{}{STRONG:#} {FAINT}{} · {}{}{FAINT:#}",
            one_line(was.title.as_deref().unwrap_or("(no title)"), 80),
            was.kind.as_deref().unwrap_or("no kind"),
            session.entries(was.entries.len() - deleted),
            if deleted > 0 { format!(", {deleted} deleted") } else { String::new() },
        ))?;
        let shown = was.entries.iter().filter(|(_, entry)| self.deleted || !entry.deleted).collect();
        let is_cut = print_table(out, &shown, &was.disagreements)?;
        if !was.disagreements.is_empty() {
            out.line(format_args!("\n{ALERT}disagreements{ALERT:#}"))?;
            was.disagreements.iter().try_for_each(|disagreement| out.print(sides_text(disagreement, who)))?;
        }
        if is_cut {
            out.note("long values are cut at …; --json has them whole");
        }
        if deleted > 0 && !self.deleted {
            out.note(format_args!("{} marked deleted and not shown; --deleted shows them", session.entries(deleted)));
        }
        Ok(())
    }
}

async fn read(document: &Document, past: &Past, then: &Then, entry: Option<EntryId>) -> CommandResult<Was> {
    let mut disputed = disputed(past, then);
    if let Some(entry) = &entry {
        disputed.retain(|register| register.entry == *entry);
    }
    let heads = then.heads.clone();
    Ok(document.read(move |view| Was::of(view, &heads, entry, disputed)).await?)
}

impl Was {
    fn of(view: &View<'_>, heads: &Heads, entry: Option<EntryId>, disputed: BTreeSet<RegisterKey>) -> Self {
        let document = view.document();
        // Without heads there was nothing yet.
        let at = |key: &RegisterKey| if heads.is_empty() { None } else { document.register(key, Some(heads)) };
        let about = |name: &str| {
            if heads.is_empty() {
                return None;
            }
            match &document.about_register(name, Some(heads))?.winner()?.value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            }
        };
        let entries = match &entry {
            _ if heads.is_empty() => BTreeMap::new(),
            None => document.entries(Some(heads)),
            Some(id) => document.entry(id, Some(heads)).into_iter().map(|entry| (id.clone(), entry)).collect(),
        };
        let mut fields = Vec::new();
        if let Some((id, content)) = entry.as_ref().and_then(|id| entries.get_key_value(id)) {
            let names = content.fields.keys().cloned().chain(FieldName::new(LIFE).ok());
            fields.extend(names.filter_map(|name| Some((name.clone(), at(&RegisterKey::new(id.clone(), name))?))));
        }
        let disagreements = disputed.into_iter().filter_map(|key| {
            let content = at(&key).filter(Register::is_disagreement)?;
            Some(sides(key, content))
        });
        Self { kind: about("kind"), title: about("title"), disagreements: disagreements.collect(), entries, fields }
    }
}

/// Finds the registers in which several writes stood. The cost follows the history.
fn disputed(past: &Past, then: &Then) -> BTreeSet<RegisterKey> {
    let mut standing = BTreeMap::<RegisterKey, Vec<_>>::new();
    for change in past.changes().iter().filter(|change| then.changes.contains(&change.hash)) {
        for op in &change.ops {
            let Some(register) = op.register() else { continue };
            let standing = standing.entry(register).or_default();
            standing.retain(|write| !op.pred.contains(*write));
            standing.push(&op.id);
        }
    }
    standing.into_iter().filter(|(_, writes)| writes.len() > 1).map(|(register, _)| register).collect()
}

fn print_entry(session: &Session, id: &EntryId, was: &Was, who: &Who) -> CommandResult {
    let is_deleted = was.entries.get(id).is_some_and(|entry| entry.deleted);
    let mark = if is_deleted { format!(" {ALERT}deleted{ALERT:#}") } else { String::new() };
    session.output.line(format_args!("{STRONG}{}{STRONG:#}{mark}", one_line(id.as_str(), CELL_MAX)))?;
    print_fields(session.output, &was.fields, who)
}

fn print_json(session: &Session, document: &Document, then: &Then, was: &Was) -> CommandResult {
    let entries: serde_json::Map<_, _> =
        was.entries.iter().map(|(id, entry)| (id.to_string(), entry_json(entry))).collect();
    let disagreements: Vec<_> = was.disagreements.iter().cloned().map(disagreement_json).collect();
    session.output.json(
        "at",
        json!({
            "document": { "id": document.id().to_string(), "kind": was.kind, "title": was.title },
            "moment": then.json(), "entries": entries, "disagreements": disagreements,
        }),
    )
}
