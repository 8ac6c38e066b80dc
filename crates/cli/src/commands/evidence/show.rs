//! `evidence show`.

use std::io::Write;
use std::path::Path;

use clap::Args;
use comity_node::evidence::{self, Kept, Kind, Record};
use serde_json::json;

use super::{LISTED_MAX, damaged, folder, read, record_json};
use crate::commands::show::clock;
use crate::error::{CommandError, CommandResult, Kind as ErrorKind};
use crate::output::{FAINT, one_line};
use crate::session::Session;
use crate::units::about_bytes;

/// Bytes on a line of a hex dump.
const DUMP_BYTES: usize = 16;

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
    pub fn run(self, session: &Session) -> CommandResult {
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
