//! Edits: `set`, `delete`, `restore`. Each is one atomic change.

use clap::Args;
use comity_model::{EntryId, Heads, RegisterKey};
use comity_node::{Document, Editor, Node, NodeError};
use serde_json::json;

use super::find_document;
use crate::entries;
use crate::error::{CommandError, CommandResult, HeadsMoved, Kind};
use crate::names::SPACE_KIND;
use crate::session::{Need, Session};
use crate::values::Assignment;

/// Which entries of which document.
#[derive(Debug, Args)]
struct Target {
    /// The document: title, id, or the beginning of an id
    #[arg(value_name = "DOC")]
    document: String,
    /// An entry (M050) or a range (M030..M040, both ends included)
    #[arg(value_name = "ENTRY")]
    entries: String,
    /// Write only if the document still has these heads (as `show --json` gives them, joined by `+`; 8 digits of each
    /// are enough)
    #[arg(long, value_name = "HEADS", value_parser = heads_text)]
    if_heads: Option<String>,
}

/// Set fields of an entry, or of a range of entries, as one change
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity set 'Roof 7' M050 status=microcracks
  comity set 'Roof 7' M050 status=dead 'comment=burnt connector'
  comity set 'Roof 7' M030..M040 status=ok              eleven entries, one atomic change
  comity set 'Roof 7' M050 'serial:=\"0042\"'             JSON, taken as it is: a text, not a number

A value is read as the kind of the document declares it; a field that is not declared takes what the
text looks like. An entry that is not there yet is made.")]
pub struct Set {
    #[command(flatten)]
    target: Target,
    /// FIELD=VALUE, or FIELD:=JSON
    #[arg(value_name = "FIELD=VALUE", required = true)]
    assignments: Vec<String>,
}

/// Mark an entry or a range deleted; its values stay, and it can be restored
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity delete 'Roof 7' M050
  comity delete 'Roof 7' M030..M040
  comity restore 'Roof 7' M030..M040       takes it back")]
pub struct Delete {
    #[command(flatten)]
    target: Target,
}

/// Bring back deleted entries, with their values
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity restore 'Roof 7' M050
  comity restore 'Roof 7' M030..M040")]
pub struct Restore {
    #[command(flatten)]
    target: Target,
}

/// What was found when the edit was made.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    new: usize,
    deleted: usize,
}

impl Set {
    pub fn run(self, session: &Session) -> CommandResult {
        let assignments: Vec<Assignment> =
            self.assignments.iter().map(|text| Assignment::parse(text)).collect::<CommandResult<_>>()?;
        let max = session.config.limits.edit_writes_max / assignments.len();
        let entries = entries::parse(&self.target.entries, max.max(1))?;
        for (i, assignment) in assignments.iter().enumerate() {
            if assignments[..i].iter().any(|other| other.field == assignment.field) {
                return Err(CommandError::new(Kind::Usage, format_args!("field {} is given twice", assignment.field))
                    .hint("give each field once"));
            }
        }
        session.run(Need::Documents, |node| async move {
            let document = writable(&node, &self.target.document).await?;
            let kind = document.read(|view| view.kind()).await?;
            let schema = kind.map(|kind| session.config.schema(&kind));
            let mut writes = Vec::new();
            for assignment in &assignments {
                let schema = schema.as_ref().ok_or_else(|| no_kind(&self.target.document))?;
                writes.push((assignment.field.clone(), assignment.value(schema).map_err(NodeError::from)?));
            }
            edit(session, &document, &self.target, entries, "set", move |edit, entry| {
                writes.iter().try_for_each(|(field, value)| {
                    edit.set_register(RegisterKey::new(entry.clone(), field.clone()), value.clone())
                })
            })
            .await
        })
    }
}

impl Delete {
    pub fn run(self, session: &Session) -> CommandResult {
        let entries = entries::parse(&self.target.entries, session.config.limits.edit_writes_max)?;
        session.run(Need::Documents, |node| async move {
            let document = writable(&node, &self.target.document).await?;
            edit(session, &document, &self.target, entries, "deleted", |edit, entry| edit.delete(entry.as_str())).await
        })
    }
}

impl Restore {
    pub fn run(self, session: &Session) -> CommandResult {
        let entries = entries::parse(&self.target.entries, session.config.limits.edit_writes_max)?;
        session.run(Need::Documents, |node| async move {
            let document = writable(&node, &self.target.document).await?;
            edit(session, &document, &self.target, entries, "restored", |edit, entry| {
                // What nobody ever deleted needs no change to say so.
                let life = RegisterKey::life(entry.clone());
                let is_alive = edit.entry(entry).is_some() && edit.document().register(&life, None).is_none();
                if is_alive { Ok(()) } else { edit.restore(entry.as_str()) }
            })
            .await
        })
    }
}

/// Finds a document that may be written by hand.
pub async fn writable(node: &Node, name: &str) -> CommandResult<Document> {
    let document = find_document(node, name).await?;
    let kind = document.read(|view| view.kind()).await?;
    if kind.is_some_and(|kind| kind.as_str() == SPACE_KIND) {
        return Err(CommandError::new(Kind::NotAllowed, "the list of a space is not written by hand")
            .hint("`comity doc new KIND TITLE --space SPACE` adds a document to it"));
    }
    Ok(document)
}

/// Says that a document does not know what it is.
pub fn no_kind(name: &str) -> CommandError {
    CommandError::new(Kind::Missing, format_args!("document {name} does not say of what kind it is yet"))
        .hint("a part of it is still missing here: `comity sync RELAY --once`")
}

/// Makes the edit and says what it came to.
async fn edit(
    session: &Session,
    document: &Document,
    target: &Target,
    entries: Vec<EntryId>,
    done: &str,
    write: impl Fn(&mut Editor<'_>, &EntryId) -> Result<(), NodeError> + Send + 'static,
) -> CommandResult {
    let (number, first) = (entries.len(), entries.first().cloned());
    let seen = target.if_heads.clone();
    let (tell, told) = std::sync::mpsc::channel();
    let change = document
        .edit(move |edit| {
            if let Some(seen) = seen {
                let now = edit.document().heads();
                if !heads_fit(&seen, now) {
                    return Err(NodeError::Application(Box::new(HeadsMoved { seen, now: now.to_string() })));
                }
            }
            let mut found = Found::default();
            for entry in &entries {
                match edit.entry(entry) {
                    None => found.new += 1,
                    Some(there) if there.deleted => found.deleted += 1,
                    Some(_) => {}
                }
                write(edit, entry)?;
            }
            // The receiver lives until the edit has been made.
            let _ = tell.send(found);
            Ok(())
        })
        .await?;
    let found = told.try_recv().unwrap_or_default();
    let out = session.output;
    if done == "set" && found.deleted > 0 {
        let deleted = session.entries(found.deleted);
        out.warn(format_args!("{deleted} marked deleted: set, but not shown until `comity restore`"));
    }
    if out.json {
        let heads = document.read(|view| view.heads()).await?;
        let content = json!({
            "document": document.id().to_string(), "change": change.map(|change| change.to_string()),
            "entries": number, "new": found.new,
            "heads": heads.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        return out.json("change", content);
    }
    let what = match first {
        Some(entry) if number == 1 => entry.to_string(),
        _ => format!("{} ({})", target.entries, session.entries(number)),
    };
    match change {
        None => out.done(format_args!("{what}: nothing to change")),
        Some(_) if found.new == 0 => out.done(format_args!("{what}: {done}, one change")),
        Some(_) => out.done(format_args!("{what}: {done}, one change; {} new", found.new)),
    }
    Ok(())
}

/// Checks that a text could name heads at all: what is mistyped has not moved.
pub fn heads_text(text: &str) -> Result<String, String> {
    let is_hash = |part: &str| (8..=64).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit());
    if text.split('+').all(is_hash) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("heads are hashes of 8 to 64 hexadecimal digits, joined by `+`".to_owned())
}

/// Tells whether a text names exactly these heads: hashes joined by `+`, 8 digits or more of each.
pub fn heads_fit(text: &str, heads: &Heads) -> bool {
    let hashes: Vec<String> = heads.as_slice().iter().map(ToString::to_string).collect();
    let given: Vec<&str> = text.split('+').filter(|part| !part.is_empty()).collect();
    let fits = |part: &&str| part.len() >= 8 && hashes.iter().any(|hash| hash.starts_with(part));
    let all_named = hashes.iter().all(|hash| given.iter().any(|part| hash.starts_with(part)));
    given.len() == hashes.len() && given.iter().all(fits) && all_named
}

#[cfg(test)]
mod tests {
    use comity_model::ChangeHash;

    use super::*;

    #[test]
    fn heads_are_named_whole_or_short_and_in_any_order() {
        let heads = Heads::new(vec![ChangeHash([0xaa; 32]), ChangeHash([0xbb; 32])]);
        for text in ["aaaaaaaa+bbbbbbbb", "bbbbbbbbbb+aaaaaaaaaaaa", &format!("{}+{}", "a".repeat(64), "b".repeat(64))]
        {
            assert!(heads_fit(text, &heads), "{text}");
        }
        for text in
            ["aaaaaaaa", "aaaaaaaa+aaaaaaaa", "aaaa+bbbb", "", "aaaaaaaa+cccccccc", "aaaaaaaa+bbbbbbbb+cccccccc"]
        {
            assert!(!heads_fit(text, &heads), "{text}");
        }
    }
}
