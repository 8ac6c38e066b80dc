//! Lines of a file as records, each with its base and both sides.

use std::collections::HashMap;
use std::io::Read;

use comity_model::{EntryId, KindSchema, Limits, Write};
use comity_review::three_way::{Arrays, Edits, FlattenOptions, Leaves, ThreeWay, flatten};
use flate2::read::MultiGzDecoder;
use serde_json::Value as Json;

use super::super::bad::Bad;
use crate::error::{CommandError, CommandResult, Kind};
use crate::input::BadRow;
use crate::output::count;

/// Longest line. A record of 100,000 leaves thrice is shorter.
const LINE_BYTES_MAX: usize = 32 << 20;

/// Most records of a file.
const RECORDS_MAX: usize = 100_000;

/// Most bytes that a compressed file may inflate to: as long as a file may be.
const INFLATED_BYTES_MAX: u64 = 256 << 20;

/// Digits of a commit that are enough to tell a file's merges apart.
const COMMIT_DIGITS: usize = 8;

/// A record that two changed.
#[derive(Debug)]
pub struct Record {
    /// The line it stands on, from 1.
    pub line: u64,
    /// The entry of its leaves at the top.
    pub root: EntryId,
    /// As both had seen it.
    pub base: Leaves,
    /// As one left it.
    pub ours: Leaves,
    /// As the other left it.
    pub theirs: Leaves,
    /// What each of the three writes.
    pub edits: Edits,
}

/// What is asked of a record.
pub struct Rules<'a> {
    /// What to make of lists.
    pub arrays: Arrays,
    /// What the fields may hold.
    pub schema: &'a KindSchema,
    /// How much of it there may be.
    pub limits: &'a Limits,
}

/// Inflates a file that was compressed with gzip; any other stays as it is.
pub fn inflated(data: &[u8]) -> CommandResult<Option<Vec<u8>>> {
    if !data.starts_with(&[0x1f, 0x8b]) {
        return Ok(None);
    }
    let mut whole = Vec::new();
    let read = MultiGzDecoder::new(data).take(INFLATED_BYTES_MAX + 1).read_to_end(&mut whole);
    read.map_err(|error| {
        CommandError::new(Kind::NotDone, format_args!("the file is compressed with gzip, and damaged: {error}"))
            .hint("nothing was imported; fetch the file again")
    })?;
    if whole.len() as u64 > INFLATED_BYTES_MAX {
        return Err(CommandError::new(Kind::NotDone, "the file is longer than 256 MiB, inflated")
            .hint("nothing was imported; import it in pieces"));
    }
    Ok(Some(whole))
}

/// Reads all records. Lines without content are passed over; a bad one is told by its number.
pub fn read(data: &[u8], rules: &Rules<'_>) -> CommandResult<(Vec<Record>, Bad)> {
    let (mut records, mut bad) = (Vec::new(), Bad::default());
    let mut seen: HashMap<EntryId, u64> = HashMap::new();
    for (number, line) in (1..).zip(data.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if records.len() + bad.count() >= RECORDS_MAX {
            let message = format!("the file has more than {}", count(RECORDS_MAX, "record", "records"));
            return Err(CommandError::new(Kind::NotDone, message)
                .hint("nothing was imported; import it in pieces of whole lines"));
        }
        let record = read_line(number, line, rules).and_then(|record| match seen.get(&record.root) {
            Some(before) => Err(format!("record {} stands already on line {before}", record.root)),
            None => Ok(record),
        });
        match record {
            Ok(record) => {
                seen.insert(record.root.clone(), number);
                records.push(record);
            }
            Err(reason) => bad.reject(BadRow::new(number, reason)),
        }
    }
    Ok((records, bad))
}

/// Reads one record; the error is the reason why it is bad.
fn read_line(line: u64, text: &[u8], rules: &Rules<'_>) -> Result<Record, String> {
    if text.len() > LINE_BYTES_MAX {
        return Err(format!("it has {} bytes, {LINE_BYTES_MAX} are allowed", text.len()));
    }
    let mut json: Json = serde_json::from_slice(text).map_err(|error| no_json(&error))?;
    let Json::Object(members) = &mut json else { return Err("it is no JSON object".to_owned()) };
    let root = name(line, members)?;
    let mut take = |which: &str| members.remove(which).unwrap_or_default();
    let base = match take("base") {
        // Both sides made it, not knowing of each other.
        Json::Null => Json::Object(serde_json::Map::new()),
        base => base,
    };
    let three = ThreeWay { base, ours: take("ours"), theirs: take("theirs") };
    let mut options = FlattenOptions { arrays: rules.arrays, ..FlattenOptions::new(root.clone()) };
    options.leaves_max = options.leaves_max.min(rules.limits.edit_writes_max);
    options.value_bytes_max = rules.limits.value_bytes_max;
    let leaves = |which: &str, record: &Json| flatten(record, &options).map_err(|error| format!("{which}: {error}"));
    let (base, ours) = (leaves("base", &three.base)?, leaves("ours", &three.ours)?);
    let theirs = leaves("theirs", &three.theirs)?;
    let edits = Edits::of(&three, &options).map_err(|error| error.to_string())?;
    check(&edits, rules)?;
    Ok(Record { line, root, base, ours, theirs, edits })
}

/// Says what is wrong with JSON, without the line: it is always the first there.
fn no_json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or_default();
    format!("it is no JSON: {reason} at character {}", error.column())
}

/// Names a record by what it says of itself, or else by its line.
fn name(line: u64, members: &serde_json::Map<String, Json>) -> Result<EntryId, String> {
    let text = |member: &str| match members.get(member) {
        Some(Json::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Json::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let of_file = || {
        let file = text("file")?;
        let last = file.rsplit('/').find(|part| !part.is_empty())?;
        let stem = last.strip_suffix(".json").unwrap_or(last);
        let commit = text("merge").map(|merge| format!("@{}", merge.chars().take(COMMIT_DIGITS).collect::<String>()));
        Some(format!("{stem}{}", commit.unwrap_or_default()))
    };
    let named = text("id").or_else(|| text("name")).or_else(of_file);
    let named = named.map_or_else(|| format!("record-{line}"), |named| escaped(&named));
    EntryId::new(&named).map_err(|error| error.to_string())
}

/// Writes what may not stand in the name of an entry as `%` and two digits. A dot too: it stands before what is below
/// the record, and `a.b` must not be below `a`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let is_edge = at == 0 || at + c.len_utf8() == text.len();
        if matches!(c, '/' | '.' | '%') || c.is_control() || (is_edge && c.is_whitespace()) {
            let mut bytes = [0; 4];
            c.encode_utf8(&mut bytes).bytes().for_each(|byte| out.push_str(&format!("%{byte:02X}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// Checks what would be written, so that nothing is refused half-way.
fn check(edits: &Edits, rules: &Rules<'_>) -> Result<(), String> {
    let max = rules.limits.edit_writes_max;
    for (which, writes) in [("base", &edits.base), ("ours", &edits.ours), ("theirs", &edits.theirs)] {
        if writes.len() > max {
            let writes = count(writes.len(), "leaf", "leaves");
            return Err(format!("{which} changes {writes}, {max} are allowed in one change"));
        }
        for write in writes {
            let Write::Set { key, value } = write else { continue };
            rules.schema.check_value(&key.field, value).map_err(|error| format!("{which}: {}: {error}", key.entry))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use comity_model::KindName;

    use super::*;

    fn read_text(text: &str) -> (Vec<Record>, Bad) {
        let schema = KindSchema::open(KindName::new("feature").unwrap());
        let rules = Rules { arrays: Arrays::Whole, schema: &schema, limits: &Limits::default() };
        read(text.as_bytes(), &rules).unwrap()
    }

    fn names(lines: &[&str]) -> Vec<String> {
        let text: Vec<String> = lines
            .iter()
            .map(|line| format!("{{{line}{}\"ours\":{{}},\"theirs\":{{}}}}", if line.is_empty() { "" } else { "," }))
            .collect();
        let (records, bad) = read_text(&text.join("\n"));
        assert_eq!(bad.count(), 0, "{:?}", bad.json());
        records.iter().map(|record| record.root.to_string()).collect()
    }

    #[test]
    fn a_record_is_named_by_what_it_says_of_itself() {
        assert_eq!(
            names(&[
                r#""id":"M7","name":"x""#,
                r#""name":"a.b/c %""#,
                r#""id":17"#,
                r#""file":"features-json/web-share.json","merge":"fe590f521e25a3d8""#,
                r#""file":"web-share.json""#,
                r#""id":null"#,
                "",
            ]),
            ["M7", "a%2Eb%2Fc %25", "17", "web-share@fe590f52", "web-share", "record-6", "record-7"]
        );
    }

    #[test]
    fn no_record_stands_below_another() {
        let text = r#"{"id":"a","ours":{"b":{"c":1}},"theirs":{}}
            {"id":"a.b","ours":{"c":1},"theirs":{}}"#;
        let (records, _) = read_text(text);
        let keys: Vec<String> = records.iter().flat_map(|record| record.ours.keys()).map(ToString::to_string).collect();
        assert_eq!(keys, ["a.b/c", "a%2Eb/c"]);
    }

    #[test]
    fn what_is_compressed_is_inflated_and_a_cut_file_is_noticed() {
        use std::io::Write as _;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"{}\n").unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(inflated(&gzip).unwrap().as_deref(), Some(&b"{}\n"[..]));
        assert_eq!(inflated(b"{}\n").unwrap(), None);
        assert!(inflated(&gzip[..gzip.len() - 1]).is_err());
    }
}
