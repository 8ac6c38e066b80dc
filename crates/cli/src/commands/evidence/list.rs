//! `evidence list`.

use std::path::Path;

use clap::{Args, ValueEnum};
use comity_node::evidence::{Contents, Kind};
use comity_store::SetAside;
use serde_json::{Value as Json, json};

use super::{damaged, folder, read, record_json};
use crate::commands::show::clock;
use crate::error::CommandResult;
use crate::output::{Table, count, one_line};
use crate::session::Session;
use crate::units::about_bytes;

/// Longest reason and peer in a list, in characters.
const REASON_MAX: usize = 70;
const PEER_MAX: usize = 24;

/// A kind, as a word of the command line.
#[derive(Clone, Copy, Debug)]
struct KindWord(Kind);

impl ValueEnum for KindWord {
    fn value_variants<'a>() -> &'a [Self] {
        const WORDS: [KindWord; Kind::ALL.len()] = {
            let mut words = [KindWord(Kind::Frame); Kind::ALL.len()];
            let mut i = 0;
            while i < words.len() {
                words[i] = KindWord(Kind::ALL[i]);
                i += 1;
            }
            words
        };
        &WORDS
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.as_str()))
    }
}

/// List what is kept, the newest last
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity evidence list
  comity evidence list --kind store
  comity evidence list --limit 5
  comity evidence list --json | jq '.records[] | .reason'

Files that the store set aside because they were damaged are listed too. Exit code 9 when a record was
altered or cut short; the others are listed all the same.")]
pub struct List {
    /// Only this kind
    #[arg(long)]
    kind: Option<KindWord>,
    /// Only the newest ones; 0 shows all
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    limit: usize,
}

impl List {
    pub fn run(self, session: &Session) -> CommandResult {
        let folder = folder(session);
        let mut contents = read(&folder)?;
        let nothing = self.nothing(&contents);
        contents.records.retain(|record| self.kind.is_none_or(|kind| kind.0 == record.kind));
        let left_out = if self.limit == 0 { 0 } else { contents.records.len().saturating_sub(self.limit) };
        contents.records.drain(..left_out);
        let aside = comity_store::set_aside(&session.config.store()).unwrap_or_else(|error| {
            session.output.warn(error);
            Vec::new()
        });
        if session.output.json {
            session.output.json("evidence", list_json(&folder, &contents, left_out, &aside))?;
        } else {
            // What was set aside, or cannot be read, is not nothing.
            if contents.records.is_empty() && contents.damaged.is_empty() && aside.is_empty() {
                session.output.note(nothing);
            }
            say_list(session, &contents, left_out, &aside)?;
        }
        if contents.damaged.is_empty() { Ok(()) } else { Err(damaged(&contents.damaged)) }
    }

    /// Says that there is nothing to list; of a kind that was asked for, with what there is of other kinds.
    fn nothing(&self, contents: &Contents) -> String {
        let Some(KindWord(kind)) = self.kind.filter(|_| !contents.records.is_empty()) else {
            return "nothing is kept".to_owned();
        };
        let of = |kind: &Kind| contents.records.iter().filter(|record| record.kind == *kind).count();
        let others = Kind::ALL.iter().map(|kind| (of(kind), kind)).filter(|(number, _)| *number > 0);
        let others: Vec<String> = others.map(|(number, kind)| format!("{number} {kind}")).collect();
        let records = count(contents.records.len(), "record of another kind is", "records of other kinds are");
        format!("nothing of the kind {kind} is kept; {records}: {}", others.join(", "))
    }
}

fn say_list(session: &Session, contents: &Contents, left_out: usize, aside: &[SetAside]) -> CommandResult {
    let out = session.output;
    if !contents.records.is_empty() {
        let mut table = Table::new(&["number", "time", "kind", "peer", "size", "reason"]);
        for record in &contents.records {
            let peer = record.peer.as_ref().map_or("-", |peer| peer.as_str());
            table.row([
                record.number.to_string(),
                clock(record.time),
                record.kind.to_string(),
                one_line(peer, PEER_MAX),
                about_bytes(record.size),
                one_line(&record.reason, REASON_MAX),
            ]);
        }
        out.print(table)?;
    }
    if !aside.is_empty() {
        let mut table = Table::new(&["set aside by the store", "time", "size"]);
        for aside in aside {
            table.row([aside.folder.display().to_string(), clock(aside.time), about_bytes(aside.bytes)]);
        }
        out.print(table)?;
        out.note("`comity store salvage FOLDER --into NEW` reads these; remove them when they are of no more use");
    }
    if left_out > 0 {
        out.note(format_args!("{} left out; --limit 0 shows all", count(left_out, "older record", "older records")));
    }
    if let (1.., Some(last)) = (contents.dropped.count, contents.dropped.last) {
        let number = usize::try_from(contents.dropped.count).unwrap_or(usize::MAX);
        out.note(format_args!(
            "{} refused and not kept, because it came too fast; the last at {}",
            count(number, "more was", "more were"),
            clock(last)
        ));
    }
    for path in &contents.foreign {
        out.warn(format_args!("{} is no evidence; Comity did not put it there", path.display()));
    }
    Ok(())
}

fn list_json(folder: &Path, contents: &Contents, left_out: usize, aside: &[SetAside]) -> Json {
    let aside = aside
        .iter()
        .map(|aside| json!({ "folder": aside.folder, "time": aside.time.to_string(), "bytes": aside.bytes }));
    let damaged = contents.damaged.iter().map(|damaged| json!({ "file": damaged.path, "reason": damaged.reason }));
    json!({
        "folder": folder, "records": contents.records.iter().map(record_json).collect::<Vec<_>>(), "left_out": left_out,
        "dropped": {
            "count": contents.dropped.count, "last": contents.dropped.last.map(|last| last.to_string()),
        },
        "set_aside": aside.collect::<Vec<_>>(), "damaged": damaged.collect::<Vec<_>>(), "foreign": contents.foreign,
    })
}
