//! Spaces: `space create|join|list`.

use clap::{Args, Subcommand};
use comity_model::SpaceId;
use serde_json::json;

use crate::error::{CommandError, CommandResult, Kind};
use crate::names;
use crate::output::Table;
use crate::session::{Need, Session};

/// Spaces: projects whose members see each other's documents
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  comity space create 'Solar park West'       prints the id to give to the others
  comity space join 4NMNnkMhL8jXrdJ9jamS58PAVdXu
  comity space list")]
pub enum Space {
    Create(Create),
    Join(Join),
    List(List),
}

impl Space {
    pub fn run(self, session: &Session) -> CommandResult {
        match self {
            Self::Create(command) => command.run(session),
            Self::Join(command) => command.run(session),
            Self::List(command) => command.run(session),
        }
    }
}

/// Make a space and join it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity space create 'Solar park West'
  comity doc new audit 'Roof 7' --space 'Solar park West'

Give the id to the other devices; with it they join.")]
pub struct Create {
    /// Its title
    title: String,
}

impl Create {
    fn run(self, session: &Session) -> CommandResult {
        super::doc::check_title(&self.title)?;
        session.run(Need::Documents, |node| async move {
            let space = node.create_space(&self.title).await?;
            if session.output.json {
                return session.output.json("space", json!({ "id": space.to_string(), "title": self.title }));
            }
            session.output.done(format_args!("made and joined the space {:?}", self.title));
            session.output.line(space)?;
            session.output.note(format_args!("on the other devices: comity space join {space}"));
            Ok(())
        })
    }
}

/// Join a space by its id
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity space join 4NMNnkMhL8jXrdJ9jamS58PAVdXu
  comity sync ws://relay.example --once       fetches what the space lists")]
pub struct Join {
    /// The whole id, as `comity space create` printed it
    id: String,
}

impl Join {
    fn run(self, session: &Session) -> CommandResult {
        let space: SpaceId = self.id.parse().map_err(|error| {
            CommandError::new(Kind::Usage, error)
                .hint("ask for the whole id: `comity space list --json` shows it where the space was made")
        })?;
        session.run(Need::Documents, |node| async move {
            let known = names::all(&node).await?;
            if let Some(other) = known.iter().find(|known| known.id == space.document() && !known.is_space()) {
                return Err(CommandError::new(
                    Kind::Usage,
                    format_args!("{space} is no space: it is {:?}", other.label()),
                )
                .hint("`comity space list` shows the ids of spaces where they were made"));
            }
            let is_new = !node.spaces().contains(&space);
            node.join_space(space).await?;
            if session.output.json {
                return session.output.json("space", json!({ "id": space.to_string(), "joined": is_new }));
            }
            session.output.done(if is_new { "joined" } else { "joined already" });
            session.output.note(format_args!("next: {} sync RELAY --once, to fetch what it lists", session.comity));
            Ok(())
        })
    }
}

/// List the spaces of this device
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity space list
  comity space list --json")]
pub struct List {}

impl List {
    fn run(self, session: &Session) -> CommandResult {
        session.run(Need::Documents, |node| async move {
            let (known, spaces) = (names::all(&node).await?, node.spaces());
            let mut table = Table::new(&["id", "documents", "title"]);
            let mut rows = Vec::new();
            for space in known.iter().filter(|known| spaces.contains(&SpaceId::new(known.id))) {
                let documents =
                    known.iter().filter(|known| known.space.is_some_and(|of| of.document() == space.id)).count();
                table.row([space.id.to_string(), documents.to_string(), space.label()]);
                rows.push(json!({
                    "id": space.id.to_string(), "title": space.title, "documents": documents, "here": space.is_here,
                }));
            }
            if session.output.json {
                return session.output.json("spaces", json!({ "spaces": rows }));
            }
            if table.is_empty() {
                session.output.note("this device is in no space; `comity space create TITLE` makes one");
                return Ok(());
            }
            session.output.print(table)
        })
    }
}
