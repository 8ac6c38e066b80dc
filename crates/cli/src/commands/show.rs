//! `show`: a document, an entry, a field, with every disagreement.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use comity_model::{Act, EntryId, FieldName, LIFE, RegisterKey, Timestamp};
use comity_node::{Disagreement, Document, Entry, Register, View};
use serde_json::json;

use super::export::{disagreements, entry_json};
use super::find_document;
use crate::entries;
use crate::error::{CommandError, CommandResult, Kind};
use crate::names::Who;
use crate::output::{ALERT, FAINT, Output, STRONG, Table, one_line};
use crate::session::{Need, Session};
use crate::values;

/// Longest value in a table, in characters.
const CELL_MAX: usize = 40;

/// Longest value elsewhere.
const VALUE_MAX: usize = 10_000;

/// Show a document, an entry or a field
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity show 'Roof 7'                     a table of all entries, then what disagrees
  comity show 'Roof 7' M050                one entry: who wrote what when
  comity show 'Roof 7' M050 status         one value
  comity show 'Roof 7' --json | jq .entries.M050

≠ marks a field in which several people wrote different values without knowing of each other. The
value shown meanwhile is no verdict; every side is listed with who and when.")]
pub struct Show {
    /// The document: title, id, or the beginning of an id
    #[arg(value_name = "DOC")]
    document: String,
    /// Only this entry
    entry: Option<String>,
    /// Only this field of it
    field: Option<String>,
    /// Deleted entries too
    #[arg(long)]
    deleted: bool,
}

impl Show {
    pub fn run(self, session: &Session) -> CommandResult {
        let entry = self.entry.as_deref().map(entries::entry).transpose()?;
        let field = match &self.field {
            Some(field) => Some(FieldName::new(field).map_err(|error| CommandError::new(Kind::Usage, error))?),
            None => None,
        };
        session.run(Need::Documents, |node| async move {
            let document = find_document(&node, &self.document).await?;
            let who = Who::new(&node, &session.config);
            match (entry, field) {
                (None, _) => self.whole(session, &document, &who).await,
                (Some(entry), None) => one_entry(session, &document, &entry, &who).await,
                (Some(entry), Some(field)) => one_field(session, &document, RegisterKey::new(entry, field), &who).await,
            }
        })
    }

    async fn whole(&self, session: &Session, document: &Document, who: &Who) -> CommandResult {
        let id = document.id();
        let seen = document.read(Seen::of).await?;
        let out = session.output;
        let is_shown = |entry: &Entry| self.deleted || !entry.deleted;
        if out.json {
            let entries: serde_json::Map<_, _> =
                seen.entries.iter().map(|(id, entry)| (id.to_string(), entry_json(entry))).collect();
            let disagreements = document.read(|view| disagreements(view, None)).await?;
            let content = json!({
                "document": { "id": id.to_string(), "kind": seen.kind, "title": seen.title, "heads": seen.heads },
                "entries": entries, "disagreements": disagreements,
            });
            return out.json("show", content);
        }
        let deleted = seen.entries.values().filter(|entry| entry.deleted).count();
        let title = one_line(seen.title.as_deref().unwrap_or("(no title)"), 80);
        out.line(format_args!(
            "{STRONG}{title}{STRONG:#} {FAINT}{} · {}{}{FAINT:#}",
            seen.kind.as_deref().unwrap_or("no kind"),
            session.entries(seen.entries.len() - deleted),
            if deleted > 0 { format!(", {deleted} deleted") } else { String::new() },
        ))?;
        let shown: BTreeMap<_, _> = seen.entries.iter().filter(|(_, entry)| is_shown(entry)).collect();
        let is_cut = print_table(out, &shown, &seen.disagreements)?;
        if !seen.disagreements.is_empty() {
            out.line(format_args!("\n{ALERT}disagreements{ALERT:#}"))?;
            for disagreement in &seen.disagreements {
                out.print(sides(disagreement, who))?;
            }
        }
        if is_cut {
            out.note("long values are cut at …; `comity show DOC ENTRY` shows them whole");
        }
        if deleted > 0 && !self.deleted {
            out.note(format_args!("{} marked deleted and not shown; --deleted shows them", session.entries(deleted)));
        }
        Ok(())
    }
}

/// What is read of a document.
struct Seen {
    title: Option<String>,
    kind: Option<String>,
    heads: Vec<String>,
    entries: BTreeMap<EntryId, Entry>,
    disagreements: Vec<Disagreement>,
}

impl Seen {
    fn of(view: &View<'_>) -> Self {
        Self {
            title: view.title(),
            kind: view.kind().map(|kind| kind.to_string()),
            heads: view.heads().as_slice().iter().map(ToString::to_string).collect(),
            entries: view.entries(),
            disagreements: comity_review::disagreements(view.document()),
        }
    }
}

/// Prints entries by field; gives whether values were cut.
pub fn print_table(
    out: Output,
    entries: &BTreeMap<&EntryId, &Entry>,
    disagreements: &[Disagreement],
) -> CommandResult<bool> {
    if entries.is_empty() {
        return Ok(false);
    }
    let disputed: BTreeSet<&RegisterKey> = disagreements.iter().map(|disagreement| &disagreement.register).collect();
    let columns: BTreeSet<&FieldName> = entries.values().flat_map(|entry| entry.fields.keys()).collect();
    let mut table = Table::new(&["entry"]);
    columns.iter().for_each(|column| table.column(one_line(column.as_str(), CELL_MAX)));
    let mut is_cut = false;
    for (id, entry) in entries {
        let mut row = vec![one_line(id.as_str(), CELL_MAX)];
        if entry.deleted {
            row[0].push_str(&format!(" {FAINT}(deleted){FAINT:#}"));
        }
        for column in &columns {
            let value = entry.fields.get(*column);
            let mut cell = value.map(|value| values::shown(value, CELL_MAX)).unwrap_or_default();
            is_cut |= cell.ends_with('…');
            if disputed.contains(&RegisterKey::new((*id).clone(), (*column).clone())) {
                cell.push_str(&format!(" {ALERT}≠{ALERT:#}"));
            }
            row.push(cell);
        }
        table.row(row);
    }
    out.print(table)?;
    Ok(is_cut)
}

async fn one_entry(session: &Session, document: &Document, id: &EntryId, who: &Who) -> CommandResult {
    let wanted = id.clone();
    let found = document
        .read(move |view| {
            let entry = view.entry(&wanted)?;
            let mut names: Vec<FieldName> = entry.fields.keys().cloned().collect();
            names.extend(FieldName::new(LIFE).ok());
            let register = |name: FieldName| {
                let register = view.register(&RegisterKey::new(wanted.clone(), name.clone()))?;
                Some((name, register))
            };
            let registers: Vec<Field> = names.into_iter().filter_map(register).collect();
            let heads: Vec<String> = view.heads().as_slice().iter().map(ToString::to_string).collect();
            Some((entry, registers, heads, disagreements(view, Some(&wanted))))
        })
        .await?;
    let Some((entry, registers, heads, disagreements)) = found else { return Err(no_entry(id)) };
    let out = session.output;
    if out.json {
        let content = json!({
            "document": { "id": document.id().to_string(), "heads": heads },
            "entry": id.as_str(), "content": entry_json(&entry), "disagreements": disagreements,
        });
        return out.json("entry", content);
    }
    let mark = if entry.deleted { format!(" {ALERT}deleted{ALERT:#}") } else { String::new() };
    out.line(format_args!("{STRONG}{id}{STRONG:#}{mark}"))?;
    print_fields(out, &registers, who)
}

/// A field with everything that stands in it.
pub type Field = (FieldName, Register);

/// Prints fields, with who wrote each value and when.
pub fn print_fields(out: Output, registers: &[Field], who: &Who) -> CommandResult {
    let width = registers.iter().map(|(name, _)| name.as_str().chars().count()).max().unwrap_or_default();
    for (name, register) in registers {
        let mut label = one_line(name.as_str(), 60);
        let mark = if register.is_disagreement() { format!(" {ALERT}≠{ALERT:#}") } else { String::new() };
        // What is shown stands last in the register and first on the screen.
        for version in register.versions.iter().rev() {
            let value = values::shown(&version.value, VALUE_MAX);
            let by = format!("{}, {}", who.name(&version.actor), when(version.act, version.time_s));
            out.line(format_args!("  {label:<width$}  {value}{mark}  {FAINT}{by}{FAINT:#}"))?;
            label.clear();
        }
    }
    Ok(())
}

async fn one_field(session: &Session, document: &Document, key: RegisterKey, who: &Who) -> CommandResult {
    let wanted = key.clone();
    let (register, disagreement, has_entry) = document
        .read(move |view| {
            let all = comity_review::disagreements(view.document());
            let disagreement = all.into_iter().find(|disagreement| disagreement.register == wanted);
            (view.register(&wanted), disagreement, view.entry(&wanted.entry).is_some())
        })
        .await?;
    let Some(winner) = register.as_ref().and_then(Register::winner) else {
        let error = if has_entry {
            CommandError::new(Kind::NotFound, format_args!("entry {} has no field {:?}", key.entry, key.field.as_str()))
                .hint(format!("`comity show DOC {}` shows its fields", key.entry))
        } else {
            no_entry(&key.entry)
        };
        return Err(error);
    };
    if session.output.json {
        let (entry, field) = (key.entry.clone(), key.field.to_string());
        let sides = document.read(move |view| disagreements(view, Some(&entry))).await?;
        let sides = sides.into_iter().find(|disagreement| disagreement["field"] == field.as_str());
        let content = json!({
            "document": { "id": document.id().to_string() }, "entry": key.entry.as_str(), "field": field,
            "value": values::to_json(&winner.value), "device": Who::device(&winner.actor),
            "change": winner.change.to_string(), "time": when_exactly(winner.act, winner.time_s),
            "disagreement": sides,
        });
        return session.output.json("field", content);
    }
    session.output.line(&winner.value)?;
    if let Some(disagreement) = disagreement {
        session.output.warn(format_args!("values disagree\n{}", sides(&disagreement, who).trim_end()));
    }
    Ok(())
}

fn no_entry(id: &EntryId) -> CommandError {
    CommandError::new(Kind::NotFound, format_args!("there is no entry {id} in this document"))
        .hint("`comity show DOC` lists the entries; capital letters matter")
}

/// Lists every side of a disagreement, the one that is shown first.
pub fn sides(disagreement: &Disagreement, who: &Who) -> String {
    let mut text = format!("  {STRONG}{}{STRONG:#}\n", disagreement.register);
    let width = disagreement.sides.iter().map(|side| values::shown(&side.value, CELL_MAX).chars().count()).max();
    let width = width.unwrap_or_default();
    for (i, side) in disagreement.sides.iter().rev().enumerate() {
        let mut value = values::shown(&side.value, CELL_MAX);
        let mark = if i == 0 { "  shown" } else { "" };
        for version in &side.versions {
            let by = format!("{}, {}", who.name(&version.actor), when(version.act, version.time_s));
            text.push_str(&format!("    {value:<width$}  {FAINT}{by}{mark}{FAINT:#}\n"));
            value.clear();
        }
    }
    text
}

/// Gives when a change was made, for a person.
pub fn when(act: Option<Act>, time_s: i64) -> String {
    clock(moment(act, time_s))
}

/// Gives a time for a person, to the second, with its zone.
pub fn clock(time: Timestamp) -> String {
    let text = time.to_string();
    match text.split_once('T') {
        Some((date, time)) => format!("{date} {} UTC", time.chars().take(8).collect::<String>()),
        None => text,
    }
}

/// Gives when a change was made, for a program; `null` when its author did not say.
pub fn when_exactly(act: Option<Act>, time_s: i64) -> Option<String> {
    (act.is_some() || time_s != 0).then(|| moment(act, time_s).to_string())
}

fn moment(act: Option<Act>, time_s: i64) -> Timestamp {
    act.map_or_else(
        || Timestamp::from_unix_ms(time_s.saturating_mul(1_000)),
        |act| Timestamp::from_unix_ms(act.time.wall_ms),
    )
}
