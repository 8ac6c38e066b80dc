//! Documents: `doc new|list|show`.

use clap::{Args, Subcommand};
use comity_model::{KindName, SpaceId};
use comity_node::{Document, NewDocument, Node};
use serde_json::json;

use crate::config::Config;
use crate::error::{CommandError, CommandResult, Kind};
use crate::names::{self, Sort};
use crate::output::{ALERT, Table, count, one_line};
use crate::session::{Need, Session};

/// Longest title, in bytes.
const TITLE_BYTES_MAX: usize = 512;

/// Documents: make, list, describe
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  comity doc new audit 'Roof 7'
  comity doc list
  comity doc show 'Roof 7'

To see what is in a document: `comity show`.")]
pub enum Doc {
    New(New),
    List(List),
    Show(Describe),
}

impl Doc {
    pub fn run(self, session: &Session) -> CommandResult {
        match self {
            Self::New(command) => command.run(session),
            Self::List(command) => command.run(session),
            Self::Show(command) => command.run(session),
        }
    }
}

/// Make a document
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity doc new audit 'Roof 7'
  comity doc new audit 'Roof 7' --space 'Solar park West'
  comity doc new sale 'North, May' --space Sales --key north-2026-05

With a key, two devices that make \"the same\" document while offline make one document.
Kinds: audit, harvest, intervention, planning, preference, sale, and those that the config file
declares:
  [[kind]]
  name = \"inventory\"
  fields = [{ name = \"count\", type = \"integer\" }]")]
pub struct New {
    /// Its kind: what its entries look like
    kind: String,
    /// Its title
    title: String,
    #[command(flatten)]
    place: Place,
}

/// Where a new document belongs.
#[derive(Debug, Args)]
pub struct Place {
    /// The space it belongs to: title or id
    #[arg(long)]
    space: Option<String>,
    /// What it is about, unique in the space
    #[arg(long, requires = "space")]
    key: Option<String>,
}

impl Place {
    /// Whether anything is said.
    pub fn is_given(&self) -> bool {
        self.space.is_some()
    }

    /// Makes a document there.
    pub async fn create(&self, node: &Node, kind: KindName, title: &str) -> CommandResult<Document> {
        let mut new = NewDocument::new(kind, title);
        if let Some(space) = &self.space {
            new = new.in_space(SpaceId::new(names::find(node, space, Sort::Space).await?));
        }
        if let Some(key) = &self.key {
            check_title(key)?;
            new = new.with_key(key);
        }
        Ok(node.create(new).await?)
    }
}

/// Checks the name of a kind: it must be declared, so that a slip of the finger makes no new one.
pub fn check_kind(config: &Config, text: &str) -> CommandResult<KindName> {
    let names: Vec<String> = config.all_kinds().iter().map(|schema| schema.name.to_string()).collect();
    let hint = format!("kinds here: {}; declare others under [[kind]] in config.toml", names.join(", "));
    let kind = KindName::new(text).map_err(|error| CommandError::new(Kind::Usage, error).hint(hint.clone()))?;
    if kind.as_str() == names::SPACE_KIND {
        return Err(CommandError::new(Kind::NotAllowed, "a space is not made as a document")
            .hint("`comity space create TITLE`"));
    }
    match config.declared(&kind) {
        Some(_) => Ok(kind),
        None => {
            Err(CommandError::new(Kind::Missing, format_args!("there is no kind {kind:?}", kind = text)).hint(hint))
        }
    }
}

/// Checks a title or key: short enough for a list, on one line.
pub fn check_title(title: &str) -> CommandResult {
    if title.is_empty() || title.len() > TITLE_BYTES_MAX || title.chars().any(char::is_control) {
        return Err(CommandError::new(Kind::Usage, format_args!("{:?} is no title", one_line(title, 40)))
            .hint(format!("a title is one line of 1 to {TITLE_BYTES_MAX} bytes")));
    }
    Ok(())
}

impl New {
    fn run(self, session: &Session) -> CommandResult {
        let kind = check_kind(&session.config, &self.kind)?;
        check_title(&self.title)?;
        session.run(Need::Documents, |node| async move {
            let twins =
                names::all(&node).await?.iter().filter(|known| known.title.as_ref() == Some(&self.title)).count();
            let document = self.place.create(&node, kind, &self.title).await?;
            if twins > 0 && self.place.key.is_none() {
                session.output.warn("another document has this title: name each by its id");
            }
            if session.output.json {
                let content = json!({ "id": document.id().to_string(), "kind": self.kind, "title": self.title });
                return session.output.json("document", content);
            }
            session.output.done(format_args!("made the {} {:?}", self.kind, self.title));
            session.output.line(document.id())?;
            session
                .output
                .note(format_args!("next: {0} set DOC ENTRY FIELD=VALUE, or {0} import FILE DOC", session.comity));
            Ok(())
        })
    }
}

/// List the documents of this device and of its spaces
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity doc list
  comity doc list --kind audit
  comity doc list --json | jq -r '.documents[].id'

Ids are shown as short as they are unique here; `comity doc show` prints them whole.")]
pub struct List {
    /// Only this kind
    #[arg(long)]
    kind: Option<String>,
}

impl List {
    fn run(self, session: &Session) -> CommandResult {
        session.run(Need::Documents, |node| async move {
            let known = names::all(&node).await?;
            let short = names::short_ids(&known);
            let (mut table, mut rows) = (Table::new(&["id", "kind", "title"]), Vec::new());
            let is_asked_for = |known: &names::Known| {
                !known.is_space() && self.kind.as_ref().is_none_or(|kind| known.kind.as_ref() == Some(kind))
            };
            for (known, short) in known.iter().zip(short).filter(|(known, _)| is_asked_for(known)) {
                let kind = one_line(known.kind.as_deref().unwrap_or("-"), 64);
                let label = known.label();
                let label = if known.is_here { label } else { format!("{label} {ALERT}(not here yet){ALERT:#}") };
                table.row([short, kind, label]);
                rows.push(json!({
                    "id": known.id.to_string(), "kind": known.kind, "title": known.title,
                    "space": known.space.map(|space| space.to_string()), "here": known.is_here, "comity": known.is_comity,
                }));
            }
            if session.output.json {
                return session.output.json("documents", json!({ "documents": rows }));
            }
            if table.is_empty() {
                session.output.note(match &self.kind {
                    Some(kind) => format!("no documents of kind {kind:?} here"),
                    None => "no documents yet; `comity doc new KIND TITLE` makes one".to_owned(),
                });
                return Ok(());
            }
            session.output.print(table)
        })
    }
}

/// Describe one document: its ids, space and size
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity doc show 'Roof 7'
  comity doc show 4NMNnk --json")]
pub struct Describe {
    /// The document: title, id, or the beginning of an id
    #[arg(value_name = "DOC")]
    document: String,
}

impl Describe {
    fn run(self, session: &Session) -> CommandResult {
        session.run(Need::Documents, |node| async move {
            let document = super::find_document(&node, &self.document).await?;
            let id = document.id();
            let content = document
                .read(move |view| {
                    let entries = view.entries();
                    let deleted = entries.values().filter(|entry| entry.deleted).count();
                    let text = |name: &str| view.about(name).map(|value| value.to_string());
                    json!({
                        "id": id.to_string(), "url": format!("automerge:{id}"),
                        "kind": view.kind().map(|kind| kind.to_string()), "title": view.title(),
                        "space": text("space"), "key": text("key"),
                        "entries": entries.len() - deleted, "deleted": deleted,
                        "disagreements": view.disagreements().len(),
                        "changes": view.standing().changes,
                        "heads": view.heads().as_slice().iter().map(ToString::to_string).collect::<Vec<_>>(),
                    })
                })
                .await?;
            if session.output.json {
                return session.output.json("document", content);
            }
            for name in ["title", "kind", "id", "url", "space", "key"] {
                if let Some(text) = content[name].as_str() {
                    session.output.line(format_args!("{name:<14} {}", one_line(text, 200)))?;
                }
            }
            let number =
                |name: &str| content[name].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_default();
            let deleted = match number("deleted") {
                0 => String::new(),
                deleted => format!(" ({deleted} more deleted)"),
            };
            session.output.line(format_args!("{:<14} {}{deleted}", "entries", number("entries")))?;
            session.output.line(format_args!("{:<14} {}", "disagreements", number("disagreements")))?;
            session.output.line(format_args!("{:<14} {}", "history", count(number("changes"), "change", "changes")))
        })
    }
}
