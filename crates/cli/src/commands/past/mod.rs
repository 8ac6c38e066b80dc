//! What a document was and who made it so: `log`, `blame`, `diff`, `at`.

mod at;
mod blame;
mod diff;
mod log;
pub mod when;

pub use self::at::At;
pub use self::blame::Blame;
pub use self::diff::Diff;
pub use self::log::{Log, write};

use comity_model::{EntryId, Heads, RegisterKey};
use comity_node::{Disagreement, DisagreementSide, Register, Version};

use crate::error::{CommandError, Kind};

/// Longest value in a line, in characters.
const CELL_MAX: usize = 40;

/// Gives the beginning of a hash, for people.
fn short(hash: &comity_model::ChangeHash) -> String {
    hash.to_string().chars().take(8).collect()
}

/// Gives heads as JSON does.
fn hashes(heads: &Heads) -> Vec<String> {
    heads.as_slice().iter().map(ToString::to_string).collect()
}

/// Says that an entry is nowhere to be found.
fn never(entry: &EntryId) -> CommandError {
    CommandError::new(Kind::NotFound, format_args!("nothing was ever written to {entry}"))
        .hint("`comity show DOC` lists the entries; capital letters matter")
}

/// Groups what stands in a register by value; what is shown stays last.
fn sides(register: RegisterKey, content: Register) -> Disagreement {
    let mut sides: Vec<DisagreementSide> = Vec::new();
    for version in content.versions {
        let mut side = match sides.iter().position(|side| side.value == version.value) {
            Some(known) => sides.remove(known),
            None => DisagreementSide { value: version.value.clone(), versions: Vec::new() },
        };
        side.versions.push(version);
        sides.push(side);
    }
    Disagreement { register, sides }
}

/// Says who wrote a version and when, as JSON.
fn written_json(version: &Version) -> serde_json::Value {
    serde_json::json!({
        "value": crate::values::to_json(&version.value),
        "change": version.change.to_string(),
        "time": super::show::when_exactly(version.act, version.time_s),
        "act": version.act.map_or("foreign", |act| act.kind.as_str()),
        "device": crate::names::Who::device(&version.actor),
        "actor": version.actor.to_string(),
    })
}
