//! `import`: rows of a file become entries, all of them or none.

mod bad;
mod three_way;

use std::collections::HashMap;
use std::path::PathBuf;

use clap::Args;
use comity_model::{ActKind, EntryId, FieldName, KindName, KindSchema, RegisterKey, Value};
use comity_node::{Document, Node, NodeError};
use serde_json::json;

use self::bad::Bad;
use super::doc::{Place, check_kind, check_title};
use super::edit::{no_kind, writable};
use crate::error::{CommandError, CommandResult, Kind};
use crate::input::{BadRow, Format, Mapping, Pattern, Row, Rows, Source, read_file};
use crate::output::{Output, count, one_line, progress_bar};
use crate::session::{Need, Session};
use crate::values;

/// Rows between two movements of the progress bar.
const STEP: u64 = 256;

/// Read the rows of a file into a document
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity import modules.csv 'Roof 7'
  comity import modules.csv --new 'Roof 8' --kind audit
  comity import modules.csv 'Roof 7' --map 'entry=Module,status=State,technician=:Adrien'
  comity import labels.csv --new Cells --kind audit --format blank \\
      --number 'M{:04}' --map 'image=1,probability=2,type=3'
  comity export 'Roof 7' --format csv | comity import - --new Copy --kind audit

Without --map the header names the fields, and its column `entry` or `id` the entry. With --map,
FIELD=COLUMN takes a column by its name in the header or its number from 1, FIELD=:TEXT puts the
same text into every row, and entry=COLUMN says which column names the entry; columns that are not
named are left out. An empty cell is no value, and changes nothing.

All rows are checked before the first is written. A bad row is told with its line and the reason,
and then nothing is imported; --skip-bad imports the others and ends with exit code 8. An import is
one change; one with more than 100,000 values (the limit edit_writes_max) is several, and says so.

With --three-way each line is a merge of a JSON record that was made elsewhere, and what both sides
changed differently becomes a conflict; what became of every leaf is looked up, and counted:
  {\"id\": \"M7\", \"base\": {…}, \"ours\": {…}, \"theirs\": {…}}
  comity import --three-way merges.jsonl.gz --new 'Roof 9' --kind audit
A leaf is a field: \"stats\": {\"chrome\": \"y\"} in record M7 is field chrome of entry M7.stats. A
list is one leaf, as JSON; so are null and {}. A leaf that is gone is null. Without base both sides
are new. A record is named by its id, or name, or file (with merge, a commit), else record-LINE;
other members are passed over. The file may be compressed with gzip.
The base is written first, then both sides, as changes of this device of which neither knows the
other. Their times are those of the import, and tell nothing. Fields that belong together by a
policy (groups, depends-on) are not compared between the sides: only different devices are. What is
in already is not written again.")]
pub struct Import {
    /// The file; - reads the standard input
    file: PathBuf,
    /// The document: title, id, or the beginning of an id
    #[arg(value_name = "DOC", required_unless_present = "new", conflicts_with = "new")]
    document: Option<String>,
    /// Make a document with this title
    #[arg(long, value_name = "TITLE", requires = "kind")]
    new: Option<String>,
    /// The kind of the new document
    #[arg(long, requires = "new")]
    kind: Option<String>,
    #[command(flatten)]
    place: Place,
    /// How columns are separated
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
    /// The first row names the columns (the default, save for files separated by blanks)
    #[arg(long, conflicts_with = "no_header")]
    header: bool,
    /// The first row is a row like the others
    #[arg(long)]
    no_header: bool,
    /// What becomes of the columns, with commas between
    #[arg(long, value_name = "FIELD=COLUMN", value_delimiter = ',')]
    map: Vec<String>,
    /// Number the entries in the order of the rows: M{:03} gives M001, M002
    #[arg(long, value_name = "PATTERN", value_parser = Pattern::parse)]
    number: Option<Pattern>,
    /// Import the good rows even if others are bad
    #[arg(long)]
    skip_bad: bool,
    /// Check everything, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Each line is a three-way merge of a record, in JSON
    #[arg(long, conflicts_with_all = ["format", "header", "no_header", "map", "number"])]
    three_way: bool,
    /// Compare lists place by place, where places mean something
    #[arg(long, requires = "three_way")]
    by_position: bool,
}

/// What the rows came to.
#[derive(Debug, Default)]
struct Checked {
    rows: Vec<(EntryId, Vec<(FieldName, Value)>)>,
    bad: Bad,
}

impl Checked {
    fn writes(&self) -> usize {
        self.rows.iter().map(|(_, fields)| fields.len()).sum()
    }
}

/// What was written.
#[derive(Debug, Default)]
struct Written {
    entries: usize,
    values: usize,
    changes: Vec<String>,
}

impl Import {
    pub fn run(self, session: &Session) -> CommandResult {
        if !session.config.is_initialised() {
            return Err(session.not_initialised());
        }
        if self.place.is_given() && self.new.is_none() {
            return Err(CommandError::new(Kind::Usage, "--space and --key are for a new document")
                .hint("add --new TITLE --kind KIND"));
        }
        let kind = self.kind.as_deref().map(|kind| check_kind(&session.config, kind)).transpose()?;
        self.new.as_deref().map(check_title).transpose()?;
        let data = read_file(&self.file)?;
        session.run(Need::Documents, |node| async move {
            let (existing, kind) = self.target(&node, kind).await?;
            if self.three_way {
                return three_way::import(&self, session, &node, &data, existing, kind).await;
            }
            let schema = session.config.schema(&kind);
            let checked = self.check(session, &data, &schema)?;
            self.judge(session, &checked.bad, checked.rows.len())?;
            if self.dry_run {
                return self.report(session, None, &checked, &Written::default());
            }
            let document = self.document(&node, existing, kind).await?;
            let mut written = Written::default();
            let done = write(&node, &document, &checked, session.output, &mut written).await;
            if let Err(error) = done {
                return Err(not_all_written(error, &checked, &written));
            }
            self.report(session, Some(&document), &checked, &written)
        })
    }

    /// Finds the document, if there is to be one already, and its kind.
    async fn target(&self, node: &Node, kind: Option<KindName>) -> CommandResult<(Option<Document>, KindName)> {
        match (&self.document, kind) {
            (Some(name), _) => {
                let document = writable(node, name).await?;
                let kind = document.read(|view| view.kind()).await?.ok_or_else(|| no_kind(name))?;
                Ok((Some(document), kind))
            }
            (None, Some(kind)) => Ok((None, kind)),
            (None, None) => Err(CommandError::new(Kind::Usage, "a new document needs --kind")),
        }
    }

    /// Gives the document, and makes it if it is to be a new one.
    async fn document(&self, node: &Node, existing: Option<Document>, kind: KindName) -> CommandResult<Document> {
        match existing {
            Some(document) => Ok(document),
            None => self.place.create(node, kind, self.new.as_deref().unwrap_or_default()).await,
        }
    }

    /// Reads all rows and checks each by the schema.
    fn check(&self, session: &Session, data: &[u8], schema: &KindSchema) -> CommandResult<Checked> {
        let format = self.format.resolve(data);
        let mut rows = Rows::new(data, format);
        let has_header = self.header || (!self.no_header && format.has_header());
        let first = rows.clone().next();
        let columns = match &first {
            Some(Ok(row)) => row.cells.len(),
            Some(Err(bad)) => {
                return Err(CommandError::new(Kind::NotDone, format_args!("line {}: {}", bad.line, bad.reason))
                    .hint("the first row tells how many columns there are, so it must be sound"));
            }
            None => {
                return Err(CommandError::new(Kind::NotDone, format_args!("{} is empty", self.file.display()))
                    .hint("nothing was imported"));
            }
        };
        let header = if has_header { rows.next().and_then(Result::ok).map(|row| row.cells) } else { None };
        let mapping = Mapping::resolve(&self.map, header.as_deref(), self.number.is_some(), columns)?;
        let bar = progress_bar(session.output, data.iter().filter(|byte| **byte == b'\n').count() as u64);
        bar.set_message("checking");
        let (mut checked, mut seen, mut number) = (Checked::default(), HashMap::new(), 0);
        let value_bytes_max = session.config.limits.value_bytes_max;
        for row in rows {
            if matches!(&row, Ok(row) if row.cells.iter().all(String::is_empty)) {
                continue;
            }
            number += 1;
            if number % STEP == 0 {
                bar.inc(STEP);
            }
            let row = match row {
                Ok(row) => row,
                Err(bad) => {
                    checked.bad.reject(bad);
                    continue;
                }
            };
            let line = row.line;
            let named = self.number.as_ref().map(|pattern| pattern.name(number));
            match read_row(&row, columns, named, &mapping, schema, value_bytes_max) {
                Err(reason) => checked.bad.reject(BadRow::new(line, reason)),
                Ok((entry, fields)) => match seen.insert(entry.clone(), line) {
                    Some(before) => {
                        checked.bad.reject(BadRow::new(line, format!("entry {entry} stands already on line {before}")))
                    }
                    None => checked.rows.push((entry, fields)),
                },
            }
        }
        bar.finish_and_clear();
        tracing::info!(format = format.in_words(), header = has_header, rows = checked.rows.len(), "file read");
        Ok(checked)
    }

    /// Stops when rows are bad, unless they are to be skipped.
    fn judge(&self, session: &Session, bad: &Bad, good: usize) -> CommandResult {
        bad.say(session.output);
        let total = good + bad.count();
        let file = self.file.display();
        if good == 0 {
            let message = format!("{file} has no good row ({})", count(total, "row", "rows"));
            let hint = match self.three_way {
                true => "nothing was imported; --help says what a line looks like",
                false => "nothing was imported; --map and --number say what becomes of the columns",
            };
            return Err(bad.refusal(session.output, message).hint(hint));
        }
        if bad.count() > 0 && !self.skip_bad {
            let rows = count(total, "row", "rows");
            let message = format!("{} of {rows} of {file} are bad; nothing was imported", bad.count());
            let hint = "correct them, or import the others with --skip-bad";
            return Err(bad.refusal(session.output, message).hint(hint));
        }
        Ok(())
    }

    /// Says what was left out, once the rest is in.
    fn left_out(&self, bad: &Bad) -> CommandResult {
        if bad.count() == 0 {
            return Ok(());
        }
        let skipped = count(bad.count(), "bad row was", "bad rows were");
        Err(CommandError::new(Kind::Partly, format_args!("{skipped} left out"))
            .hint("correct them and import the file again: what is in already stays as it is"))
    }

    fn report(
        &self,
        session: &Session,
        document: Option<&Document>,
        checked: &Checked,
        written: &Written,
    ) -> CommandResult {
        let out = session.output;
        let id = document.map(|document| document.id().to_string());
        if out.json {
            let content = json!({
                "document": id, "entries": checked.rows.len(), "values": checked.writes(), "changes": written.changes,
                "bad": checked.bad.json(), "bad_count": checked.bad.count(), "dry_run": self.dry_run,
            });
            out.json("import", content)?;
        } else {
            let what =
                format!("{}, {}", session.entries(checked.rows.len()), count(checked.writes(), "value", "values"));
            match (self.dry_run, written.changes.len()) {
                (true, _) => out.done(format_args!("{what} would be imported; nothing was written")),
                (false, 0) => out.done(format_args!("{what}: nothing to change")),
                (false, changes) => {
                    out.done(format_args!("imported {what}, in {}", count(changes, "change", "changes")))
                }
            }
            if let (Some(id), true) = (id, self.new.is_some()) {
                out.line(id)?;
            }
        }
        self.left_out(&checked.bad)
    }
}

/// Reads one row; the error is the reason why it is bad.
fn read_row(
    row: &Row,
    columns: usize,
    named: Option<String>,
    mapping: &Mapping,
    schema: &KindSchema,
    value_bytes_max: usize,
) -> Result<(EntryId, Vec<(FieldName, Value)>), String> {
    if row.cells.len() != columns {
        return Err(format!("it has {}, the first row has {columns}", count(row.cells.len(), "column", "columns")));
    }
    let named = match (named, mapping.entry) {
        (Some(named), _) => named,
        (None, Some(column)) if row.cells[column].is_empty() => return Err("it names no entry".to_owned()),
        (None, Some(column)) => row.cells[column].clone(),
        (None, None) => return Err("it names no entry".to_owned()),
    };
    let entry = EntryId::new(&named).map_err(|error| {
        let hint = if named.contains('/') { "; number the entries with --number instead" } else { "" };
        format!("{error}{hint}")
    })?;
    let mut fields = Vec::new();
    for (field, source) in &mapping.fields {
        let cell = match source {
            Source::Column(column) => &row.cells[*column],
            Source::Constant(text) => text,
        };
        let Some(value) = values::read_cell(schema, field, cell).map_err(|error| error.to_string())? else { continue };
        if value.size_bytes() > value_bytes_max {
            return Err(format!("{field} has {} bytes, {value_bytes_max} are allowed", value.size_bytes()));
        }
        fields.push((field.clone(), value));
    }
    if fields.is_empty() {
        return Err(format!("entry {} has no value in any column", one_line(&named, 60)));
    }
    Ok((entry, fields))
}

/// Writes all rows: one change, or as few as the limit allows. A row is never divided.
async fn write(
    node: &Node,
    document: &Document,
    checked: &Checked,
    output: Output,
    written: &mut Written,
) -> Result<(), NodeError> {
    let max = node.limits().edit_writes_max;
    let bar = progress_bar(output, checked.rows.len() as u64);
    bar.set_message("writing");
    let mut rows = checked.rows.as_slice();
    while !rows.is_empty() {
        let mut writes = 0;
        let fits = rows.iter().take_while(|(_, fields)| {
            writes += fields.len();
            writes <= max
        });
        let (now, later) = rows.split_at(fits.count().max(1));
        let batch = now.to_vec();
        let values: usize = batch.iter().map(|(_, fields)| fields.len()).sum();
        let edit = document.edit(move |edit| {
            edit.act(ActKind::Import);
            for (entry, fields) in batch {
                for (field, value) in fields {
                    edit.set_register(RegisterKey::new(entry.clone(), field), value)?;
                }
            }
            Ok(())
        });
        written.changes.extend(edit.await?.map(|change| change.to_string()));
        written.entries += now.len();
        written.values += values;
        bar.inc(now.len() as u64);
        rows = later;
    }
    bar.finish_and_clear();
    Ok(())
}

fn not_all_written(error: NodeError, checked: &Checked, written: &Written) -> CommandError {
    let error = CommandError::from(error);
    if written.entries == 0 {
        return error;
    }
    let (done, all) = (written.entries, checked.rows.len());
    CommandError { kind: Kind::Partly, ..error }
        .hint(format!("{done} of {all} entries are in, in whole changes; import the file again for the rest"))
}
