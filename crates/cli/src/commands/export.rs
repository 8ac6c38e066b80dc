//! `export`: a document as JSON or CSV, the same bytes on every device that has the same changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use comity_model::{DocumentId, EntryId, FieldName, KindName, KindSchema, Value};
use comity_node::{Disagreement, Entry, View};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::find_document;
use crate::error::{CommandError, CommandResult, Kind};
use crate::names::Who;
use crate::output::count;
use crate::session::{Need, Session};
use crate::values;

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Everything that stands in the document: entries, deleted ones, disagreements
    Json,
    /// A table of the live entries; `comity import` reads it back
    Csv,
}

/// Write a document as JSON or CSV
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity export 'Roof 7' > roof-7.json
  comity export 'Roof 7' --format csv -o roof-7.csv
  comity export 'Roof 7' -o roof-7.json --force         over the one of yesterday
  comity export 'Roof 7' --format csv | head

Devices with the same changes write the same bytes. In CSV an empty cell is no value, and a ' at the
beginning of a cell says that the rest is text, not what it looks like: '42 is a text, 42 a number.
Where values disagree, CSV has the one that Comity shows; JSON has all.")]
pub struct Export {
    /// The document: title, id, or the beginning of an id
    #[arg(value_name = "DOC")]
    document: String,
    /// How to write it [default: json, or as the ending of FILE says]
    #[arg(long)]
    format: Option<Form>,
    /// Write to a new file, whole or not at all, instead of to stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// With -o: write over a file that is there
    #[arg(long, requires = "output")]
    force: bool,
}

impl Export {
    pub fn run(self, session: &Session) -> CommandResult {
        let is_csv = |path: &PathBuf| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
        let by_name = if self.output.as_ref().is_some_and(is_csv) { Form::Csv } else { Form::Json };
        let form = self.format.unwrap_or(by_name);
        if let Some(path) = self.output.as_ref().filter(|path| !self.force && path.exists()) {
            return Err(CommandError::new(Kind::NotAllowed, format_args!("{} is there already", path.display()))
                .hint("choose another name, or write over it with --force"));
        }
        session.run(Need::Documents, |node| async move {
            let document = find_document(&node, &self.document).await?;
            let id = document.id();
            let (kind, entries, content) = document
                .read(move |view| {
                    let entries = view.entries();
                    let content = (form == Form::Json).then(|| everything(id, view, &entries));
                    (view.kind(), entries, content)
                })
                .await?;
            let disagreements = document.read(|view| view.disagreements().len()).await?;
            let write = |out: &mut dyn Write| match &content {
                Some(content) => write_json(out, content),
                None => write_csv(out, &entries, &schema(session, kind.as_ref())),
            };
            match &self.output {
                None => {
                    let mut out = session.output.data();
                    write(&mut out)?;
                    out.flush()?;
                }
                Some(path) => write_file(path, write)?,
            }
            self.say_what_is_left_out(session, form, &entries, disagreements);
            Ok(())
        })
    }

    fn say_what_is_left_out(
        &self,
        session: &Session,
        form: Form,
        entries: &BTreeMap<EntryId, Entry>,
        disagreements: usize,
    ) {
        let out = session.output;
        let deleted = entries.values().filter(|entry| entry.deleted).count();
        if form == Form::Csv && deleted > 0 {
            out.note(format_args!("left out: {} marked deleted; --format json has them", session.entries(deleted)));
        }
        if form == Form::Csv && disagreements > 0 {
            out.note(format_args!(
                "values disagree in {}: this has the one that is shown, --format json has all",
                count(disagreements, "field", "fields")
            ));
        }
        if let Some(path) = &self.output {
            out.done(format_args!(
                "{} in {}",
                session.entries(entries.len() - if form == Form::Csv { deleted } else { 0 }),
                path.display()
            ));
        }
    }
}

/// Gives the schema by which cells of a document are written and read.
pub fn schema(session: &Session, kind: Option<&KindName>) -> KindSchema {
    let open = || KindSchema::open(KindName::new("any").expect("a constant that is a kind name"));
    kind.map_or_else(open, |kind| session.config.schema(kind))
}

/// Gives all of a document, in an order that depends on its changes only.
fn everything(id: DocumentId, view: &View<'_>, entries: &BTreeMap<EntryId, Entry>) -> Json {
    let entries: serde_json::Map<String, Json> =
        entries.iter().map(|(id, entry)| (id.to_string(), entry_json(entry))).collect();
    let text = |name: &str| view.about(name).map(|value| values::to_json(&value));
    json!({
        "schema": "comity.export/1",
        "document": {
            "id": id.to_string(), "kind": text("kind"), "title": text("title"), "space": text("space"), "key": text("key"),
            "heads": view.heads().as_slice().iter().map(ToString::to_string).collect::<Vec<_>>(),
        },
        "entries": entries,
        "disagreements": disagreements(view, None),
    })
}

/// Gives an entry as JSON.
pub fn entry_json(entry: &Entry) -> Json {
    let fields: serde_json::Map<String, Json> =
        entry.fields.iter().map(|(name, value)| (name.to_string(), values::to_json(value))).collect();
    if entry.deleted { json!({ "fields": fields, "deleted": true }) } else { json!({ "fields": fields }) }
}

/// Gives the disagreements of a document, or of one entry, as JSON.
pub fn disagreements(view: &View<'_>, entry: Option<&EntryId>) -> Vec<Json> {
    let all = comity_review::disagreements(view.document()).into_iter();
    all.filter(|disagreement| entry.is_none_or(|entry| disagreement.register.entry == *entry))
        .map(disagreement_json)
        .collect()
}

/// Gives a disagreement as JSON.
pub fn disagreement_json(disagreement: Disagreement) -> Json {
    let last = disagreement.sides.len().saturating_sub(1);
    let sides = disagreement.sides.iter().enumerate().map(|(i, side)| {
        let writers = side.versions.iter().map(|version| {
            json!({
                "device": Who::device(&version.actor), "actor": version.actor.to_string(),
                "change": version.change.to_string(), "time": super::show::when_exactly(version.act, version.time_s),
            })
        });
        json!({ "value": values::to_json(&side.value), "shown": i == last, "writers": writers.collect::<Vec<_>>() })
    });
    let sides: Vec<Json> = sides.collect();
    json!({ "entry": disagreement.register.entry.as_str(), "field": disagreement.register.field.as_str(), "sides": sides })
}

fn write_json(out: &mut dyn Write, content: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, content)?;
    out.write_all(b"\n")
}

fn write_csv(out: &mut dyn Write, entries: &BTreeMap<EntryId, Entry>, schema: &KindSchema) -> std::io::Result<()> {
    let has_value = |value: &Value| *value != Value::Null;
    let live = || entries.iter().filter(|(_, entry)| !entry.deleted && entry.fields.values().any(has_value));
    let columns: BTreeSet<&FieldName> = live()
        .flat_map(|(_, entry)| entry.fields.iter().filter(|(_, value)| has_value(value)).map(|(name, _)| name))
        .collect();
    write_cell(out, "entry")?;
    for column in &columns {
        out.write_all(b",")?;
        write_cell(out, column.as_str())?;
    }
    out.write_all(b"\n")?;
    for (id, entry) in live() {
        write_cell(out, id.as_str())?;
        for column in &columns {
            out.write_all(b",")?;
            if let Some(value) = entry.fields.get(*column) {
                write_cell(out, &values::write_cell(schema, column, value))?;
            }
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Writes a cell, quoted where it must be.
fn write_cell(out: &mut dyn Write, text: &str) -> std::io::Result<()> {
    if text.contains([',', '"', '\n', '\r', '\t', ';']) {
        write!(out, "\"{}\"", text.replace('"', "\"\""))
    } else {
        out.write_all(text.as_bytes())
    }
}

/// Writes a file under another name first, so that it is never seen half.
fn write_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> CommandResult {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let temporary = path.with_file_name(name);
    let written = (|| {
        let mut out = BufWriter::new(File::create(&temporary)?);
        write(&mut out)?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&temporary, path)
    })();
    written.map_err(|error| {
        // What was begun is worth nothing; that it stays is worth no second error.
        let _ = fs::remove_file(&temporary);
        CommandError::file("write", path, error)
    })
}
