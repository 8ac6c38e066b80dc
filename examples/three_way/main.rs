//! Real three-way merges of JSON records, replayed as two devices' concurrent changes: what Comity finds in them, what
//! its rules would have given beside what people did, and whether suggestions would have been any good.
//!
//! Run it with `cargo run --release -p comity-examples --example three_way`. It reads `caniuse/merges.jsonl.gz` in the
//! folder that `COMITY_TRIAL_DATA` names, one `{merge, file, base, ours, theirs, merged}` a line, and prints Markdown.
//! The data is not part of the project.

mod records;
mod scores;
mod tables;
#[cfg(test)]
mod tests;

use std::error::Error;

use comity_review::three_way::Arrays;

use records::Replay;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(file) = records::trial_data() else { return Ok(()) };
    let records = records::read(&file)?;
    let replays = |arrays| records.iter().map(|record| Replay::of(record, arrays)).collect::<Result<Vec<_>, _>>();
    let (whole, by_position) = (replays(Arrays::Whole)?, replays(Arrays::ByPosition)?);

    println!("# Three-way merges by people, replayed\n");
    println!("{}", tables::found(&[("lists whole", &whole), ("lists by position", &by_position)]));
    println!("{}", tables::people(&whole));
    println!("{}", tables::rules(&[("lists whole", &whole), ("lists by position", &by_position)]));
    println!("{}", scores::on_conflicts(&whole));
    println!("{}", scores::on_single_changes(&whole));
    Ok(())
}
