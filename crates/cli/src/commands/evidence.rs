//! What was refused: `evidence list|show`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use comity_model::Timestamp;
use comity_node::evidence::{self, Contents, Kept, Kind, Record, Unreadable};
use serde_json::{Value as Json, json};

use super::show::clock;
use crate::error::{CommandError, CommandResult, Kind as ErrorKind};
use crate::output::{FAINT, Table, count, one_line};
use crate::session::Session;
use crate::units::about_bytes;

/// Longest reason and peer in a list, in characters.
const REASON_MAX: usize = 70;
const PEER_MAX: usize = 24;

/// Bytes on a line of a hex dump.
const DUMP_BYTES: usize = 16;

/// Candidates and damaged files that are listed.
const LISTED_MAX: usize = 10;

/// What was refused: messages that peers should not have sent, and damage to the store
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  comity evidence list
  comity evidence list --data /var/lib/comity-relay --kind admission
  comity evidence show 7

A device and a relay keep the bytes of what they refuse, with who sent it, when, and why. It can be
read while they run. How much is kept is bounded (evidence_max, evidence_bytes_max,
evidence_total_bytes_max), and so is how fast it is written (evidence_per_minute); the rest is counted.
Kinds:
  frame      below the protocol: a message that is too long, text, a broken WebSocket; no bytes
  handshake  a first message that does not introduce its sender
  message    bytes that are no message of the protocol
  protocol   a message with a forged sender, or out of place
  admission  a sync message that was refused before anything of it was applied
  apply      a sync message that does not fit its document
  panic      a sync message at which the library for documents panicked
  store      the store was damaged when it was opened; the bytes are the report")]
pub enum Evidence {
    List(List),
    Show(Show),
}

impl Evidence {
    pub fn run(self, session: &Session) -> CommandResult {
        if !session.config.is_initialised() {
            return Err(session.not_initialised());
        }
        match self {
            Self::List(command) => command.run(session),
            Self::Show(command) => command.run(session),
        }
    }
}

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
    fn run(self, session: &Session) -> CommandResult {
        let folder = folder(session);
        let mut contents = read(&folder)?;
        contents.records.retain(|record| self.kind.is_none_or(|kind| kind.0 == record.kind));
        let left_out = if self.limit == 0 { 0 } else { contents.records.len().saturating_sub(self.limit) };
        contents.records.drain(..left_out);
        let aside = set_aside(&session.config.store());
        if session.output.json {
            session.output.json("evidence", list_json(&folder, &contents, left_out, &aside))?;
        } else {
            say_list(session, &contents, left_out, &aside)?;
        }
        if contents.damaged.is_empty() { Ok(()) } else { Err(damaged(&contents.damaged)) }
    }
}

fn say_list(session: &Session, contents: &Contents, left_out: usize, aside: &[Aside]) -> CommandResult {
    let out = session.output;
    if contents.records.is_empty() {
        out.note("nothing was refused");
    } else {
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
            let time = aside.time.map_or_else(|| "-".to_owned(), clock);
            table.row([aside.folder.display().to_string(), time, about_bytes(aside.bytes)]);
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

fn list_json(folder: &Path, contents: &Contents, left_out: usize, aside: &[Aside]) -> Json {
    let aside = aside.iter().map(|aside| {
        json!({ "folder": aside.folder, "time": aside.time.map(|time| time.to_string()), "bytes": aside.bytes })
    });
    let damaged = contents.damaged.iter().map(|damaged| json!({ "file": damaged.path, "reason": damaged.reason }));
    json!({
        "folder": folder, "records": contents.records.iter().map(record_json).collect::<Vec<_>>(), "left_out": left_out,
        "dropped": {
            "count": contents.dropped.count, "last": contents.dropped.last.map(|last| last.to_string()),
        },
        "set_aside": aside.collect::<Vec<_>>(), "damaged": damaged.collect::<Vec<_>>(), "foreign": contents.foreign,
    })
}

fn record_json(record: &Record) -> Json {
    json!({
        "number": record.number, "time": record.time.to_string(), "kind": record.kind.as_str(),
        "reason": record.reason, "document": record.document.map(|document| document.to_string()),
        "peer": record.peer.as_ref().map(|peer| peer.as_str()), "address": record.address,
        "size": record.size, "kept": record.kept, "sha256": record.digest_hex(),
    })
}

/// Show one record: who, when, why, and the bytes
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity evidence show 7
  comity evidence show 7 --bytes 0               all of its bytes
  comity evidence show 3f9a1c --raw > refused.bin

A record is named by its number, or by the beginning of its SHA-256 digest. Nothing in it is applied:
the parsers only say how far they understand it. Exit code 9 when it was altered or cut short.")]
pub struct Show {
    /// Its number, or the beginning of its digest
    #[arg(value_name = "NUMBER|DIGEST")]
    record: String,
    /// Show so many bytes, 0 for all
    #[arg(long, value_name = "NUMBER", default_value_t = 256)]
    bytes: usize,
    /// Write the bytes themselves and nothing else
    #[arg(long)]
    raw: bool,
}

impl Show {
    fn run(self, session: &Session) -> CommandResult {
        let kept = find(&folder(session), &self.record)?;
        let out = session.output;
        if self.raw {
            return raw(session, &kept);
        }
        let shown = if self.bytes == 0 { kept.bytes.len() } else { self.bytes.min(kept.bytes.len()) };
        if out.json {
            let mut content = record_json(&kept.record);
            content["understood"] = json!(evidence::explain(&kept));
            content["hex"] = json!(hex(&kept.bytes[..shown]));
            return out.json("evidence-record", content);
        }
        out.print(describe(&kept.record))?;
        if kept.record.kind == Kind::Store {
            let report = String::from_utf8_lossy(&kept.bytes);
            return report.lines().try_for_each(|line| out.line(format_args!("  {}", one_line(line, 1_000))));
        }
        let understood = evidence::explain(&kept);
        if !understood.is_empty() {
            out.line(format_args!("{FAINT}understood{FAINT:#}"))?;
            understood.iter().try_for_each(|line| out.line(format_args!("  {}", one_line(line, 1_000))))?;
        }
        if kept.bytes.is_empty() {
            out.note("no bytes are kept: it was refused before they were read");
            return Ok(());
        }
        out.line(format_args!("{FAINT}bytes{FAINT:#}"))?;
        out.print(dump(&kept.bytes[..shown]))?;
        if shown < kept.bytes.len() {
            out.note(format_args!("{} more; --bytes 0 shows all", about_bytes((kept.bytes.len() - shown) as u64)));
        }
        Ok(())
    }
}

fn raw(session: &Session, kept: &Kept) -> CommandResult {
    if session.output.json {
        return Err(CommandError::new(ErrorKind::Usage, "--raw and --json cannot go together")
            .hint("--json has the bytes as hexadecimal digits; --bytes 0 for all of them"));
    }
    if session.output.is_terminal() {
        return Err(CommandError::new(ErrorKind::Usage, "bytes of a stranger could take over the terminal")
            .hint("send them into a file: --raw > refused.bin"));
    }
    let mut out = session.output.data();
    out.write_all(&kept.bytes)?;
    Ok(out.flush()?)
}

fn describe(record: &Record) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<9} {}\n", one_line(&value, 1_000)));
    line("number", record.number.to_string());
    line("time", clock(record.time));
    line("kind", record.kind.to_string());
    line("reason", record.reason.clone());
    if let Some(document) = &record.document {
        line("document", document.to_string());
    }
    if let Some(peer) = &record.peer {
        line("peer", format!("{peer} (so it calls itself)"));
    }
    if let Some(address) = &record.address {
        line("address", address.clone());
    }
    let size = match (record.size, record.kept) {
        (0, _) => "not known".to_owned(),
        (size, kept) if size == kept => format!("{size} bytes, all of them kept"),
        (size, 0) => format!("{size} bytes, none of them kept"),
        (size, kept) => format!("{size} bytes, the first {kept} kept"),
    };
    line("size", size);
    line("sha256", record.digest_hex());
    text
}

/// Gives bytes with their offsets, as `hexdump -C` does.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (row, bytes) in bytes.chunks(DUMP_BYTES).enumerate() {
        let mut cells = String::new();
        for (i, byte) in bytes.iter().enumerate() {
            cells.push_str(&format!("{byte:02x} "));
            if i == DUMP_BYTES / 2 - 1 {
                cells.push(' ');
            }
        }
        let letters: String = bytes
            .iter()
            .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { *byte as char } else { '.' })
            .collect();
        text.push_str(&format!("  {:08x}  {cells:<50}|{letters}|\n", row * DUMP_BYTES));
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Finds the record that a person means.
fn find(folder: &Path, name: &str) -> CommandResult<Kept> {
    let one = |number| evidence::read_one(folder, number).map_err(|unreadable| damaged(&[unreadable]));
    if let Ok(number) = name.parse::<u64>()
        && let Some(kept) = one(number)?
    {
        return Ok(kept);
    }
    let prefix = name.to_ascii_lowercase();
    let is_digest = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    let contents = read(folder)?;
    let fits = |record: &&Record| is_digest && record.digest_hex().starts_with(&prefix);
    let found: Vec<&Record> = contents.records.iter().filter(fits).collect();
    match found.as_slice() {
        [] => Err(CommandError::new(ErrorKind::NotFound, format_args!("there is no record {:?}", one_line(name, 70)))
            .hint("`comity evidence list` shows what is kept; old records give way to new ones")),
        [record] => one(record.number)?.ok_or_else(|| gone(record.number)),
        several => {
            let what = format!("{:?} fits {} records", one_line(name, 70), several.len());
            let numbers = several.iter().take(LISTED_MAX).map(|record| record.number.to_string());
            let numbers = numbers.collect::<Vec<_>>().join(", ");
            Err(CommandError::new(ErrorKind::Ambiguous, what).hint(format!("use its number: {numbers}")))
        }
    }
}

fn gone(number: u64) -> CommandError {
    CommandError::new(ErrorKind::NotFound, format_args!("record {number} has just given way to a newer one"))
        .hint("`comity evidence list` shows what is kept")
}

fn damaged(damaged: &[Unreadable]) -> CommandError {
    let number = count(damaged.len(), "record of evidence", "records of evidence");
    let mut error = CommandError::new(ErrorKind::Integrity, format_args!("{number} cannot be read"));
    for damaged in damaged.iter().take(LISTED_MAX) {
        error = error.hint(format!("{}: {}", damaged.path.display(), damaged.reason));
    }
    error
}

fn read(folder: &Path) -> CommandResult<Contents> {
    evidence::read(folder).map_err(|error| CommandError::file("read the folder", folder, error))
}

fn folder(session: &Session) -> PathBuf {
    session.config.data.join(evidence::FOLDER)
}

/// Damaged files that the store set aside.
struct Aside {
    folder: PathBuf,
    time: Option<Timestamp>,
    bytes: u64,
}

fn set_aside(store: &Path) -> Vec<Aside> {
    let Ok(entries) = fs::read_dir(store) else { return Vec::new() };
    let aside = |folder: PathBuf| {
        // Its name says when, as in damaged-1795269301 or damaged-1795269301-1.
        let stamp = folder.file_name()?.to_str()?.strip_prefix("damaged-")?.split('-').next()?.parse::<i64>().ok();
        let time = stamp.map(|seconds| Timestamp::from_unix_ms(seconds.saturating_mul(1_000)));
        Some(Aside { bytes: bytes_below(&folder), time, folder })
    };
    let mut aside: Vec<Aside> = entries.flatten().filter_map(|entry| aside(entry.path())).collect();
    aside.sort_unstable_by(|a, b| a.folder.cmp(&b.folder));
    aside
}

/// Counts the bytes of the files below a folder, as far as they can be seen.
fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_dumped_with_offsets_and_nothing_that_moves_a_cursor() {
        let bytes: Vec<u8> = (0x18..0x2a).collect();
        assert_eq!(
            dump(&bytes),
            "  00000000  18 19 1a 1b 1c 1d 1e 1f  20 21 22 23 24 25 26 27  |........ !\"#$%&'|\n  \
             00000010  28 29                                             |()|\n"
        );
        assert_eq!(dump(&[]), "");
    }
}
