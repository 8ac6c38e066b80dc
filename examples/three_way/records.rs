//! The records, and what becomes of them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use comity_model::EntryId;
use comity_review::three_way::{
    Arrays, FlattenOptions, LeafOutcome, Leaves, MergeError, Merged, Moments, ThreeWay, flatten,
};
use flate2::read::GzDecoder;
use serde_json::Value as Json;

/// Most bytes that the file may inflate to.
const BYTES_MAX: u64 = 256 << 20;

/// One merge of one file.
pub struct Record {
    /// The merge commit.
    pub merge: String,
    /// The two sides.
    pub three: ThreeWay,
    /// What people made of them.
    pub merged: Json,
}

/// Finds the file, which is not in the tree.
pub fn trial_data() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("COMITY_TRIAL_DATA").map_or_else(beside, PathBuf::from);
    let file = folder.join("caniuse/merges.jsonl.gz");
    if file.is_file() {
        return Some(file);
    }
    println!("skipped: there is no {}; COMITY_TRIAL_DATA names its folder", file.display());
    None
}

/// Reads all records, the oldest first: the file has them the other way round.
pub fn read(file: &Path) -> Result<Vec<Record>, Box<dyn std::error::Error>> {
    let lines = BufReader::new(GzDecoder::new(File::open(file)?).take(BYTES_MAX)).lines();
    let mut records = Vec::new();
    for (number, line) in lines.enumerate() {
        let mut json: Json = serde_json::from_str(&line?).map_err(|error| format!("line {}: {error}", number + 1))?;
        let mut take = |name: &str| json.get_mut(name).map(Json::take).unwrap_or_default();
        let three = ThreeWay { base: take("base"), ours: take("ours"), theirs: take("theirs") };
        let merge = take("merge").as_str().unwrap_or_default().to_owned();
        records.push(Record { merge, three, merged: take("merged") });
    }
    records.reverse();
    Ok(records)
}

/// A record that two devices have changed, and what people made of it.
pub struct Replay {
    /// The merge commit.
    pub merge: String,
    /// The two devices' document.
    pub merged: Merged,
    /// What became of each leaf.
    pub leaves: Vec<LeafOutcome>,
    /// What people made of it.
    pub people: Leaves,
}

impl Replay {
    /// Replays a record. It has no times: neither the commits' nor the writers' stand in the data.
    pub fn of(record: &Record, arrays: Arrays) -> Result<Self, MergeError> {
        let root = EntryId::new("record").expect("a constant that is an entry id");
        let options = FlattenOptions { arrays, ..FlattenOptions::new(root) };
        let merged = Merged::new(&record.three, &options, Moments::default())?;
        let people = flatten(&record.merged, &options)
            .map_err(|reason| MergeError::Record { which: "what people made of it", reason })?;
        Ok(Self { merge: record.merge.clone(), leaves: merged.outcomes(), merged, people })
    }
}
