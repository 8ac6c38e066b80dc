//! The commands, one file for each family.

mod conflicts;
mod demo;
mod device;
mod doc;
mod edit;
mod evidence;
mod export;
mod help;
mod import;
mod past;
mod policy;
mod relay;
mod rollback;
mod schema;
mod show;
mod space;
mod store;
mod suggest;
mod sync;
mod undo;
mod watch;

pub use show::clock;

use clap::Subcommand;
use comity_model::DocumentId;
use comity_node::{Document, Node};

use crate::config::Config;
use crate::error::{CommandError, CommandResult, Kind};
use crate::names::{self, Sort};
use crate::session::Session;

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    Demo(demo::Demo),
    Init(device::Init),
    Id(device::Id),
    Status(device::Status),
    #[command(subcommand)]
    Space(space::Space),
    #[command(subcommand)]
    Doc(doc::Doc),
    Import(import::Import),
    Export(export::Export),
    Set(edit::Set),
    Delete(edit::Delete),
    Restore(edit::Restore),
    Show(show::Show),
    #[command(alias = "history")]
    Log(past::Log),
    Blame(past::Blame),
    Diff(past::Diff),
    At(past::At),
    #[command(subcommand)]
    Policy(policy::Policy),
    #[command(subcommand)]
    Conflicts(conflicts::Conflicts),
    #[command(subcommand)]
    Suggest(suggest::Suggest),
    Undo(undo::Undo),
    Rollback(rollback::Rollback),
    Watch(watch::Watch),
    Sync(sync::Sync),
    Relay(relay::Relay),
    #[command(subcommand)]
    Store(store::Store),
    #[command(subcommand)]
    Evidence(evidence::Evidence),
    Completions(help::Completions),
    ExitCodes(help::ExitCodes),
    Schema(schema::Print),
}

impl Command {
    /// Puts the flags that are settings into force.
    pub fn configure(&self, config: &mut Config) -> CommandResult {
        match self {
            Self::Relay(relay) => relay.configure(config),
            _ => Ok(()),
        }
    }

    /// Whether this runs a relay.
    pub fn is_relay(&self) -> bool {
        matches!(self, Self::Relay(_))
    }

    /// Runs the command.
    pub fn run(self, session: &Session) -> CommandResult {
        match self {
            Self::Demo(command) => command.run(session),
            Self::Init(command) => command.run(session),
            Self::Id(command) => command.run(session),
            Self::Status(command) => command.run(session),
            Self::Space(command) => command.run(session),
            Self::Doc(command) => command.run(session),
            Self::Import(command) => command.run(session),
            Self::Export(command) => command.run(session),
            Self::Set(command) => command.run(session),
            Self::Delete(command) => command.run(session),
            Self::Restore(command) => command.run(session),
            Self::Show(command) => command.run(session),
            Self::Log(command) => command.run(session),
            Self::Blame(command) => command.run(session),
            Self::Diff(command) => command.run(session),
            Self::At(command) => command.run(session),
            Self::Policy(command) => command.run(session),
            Self::Conflicts(command) => command.run(session),
            Self::Suggest(command) => command.run(session),
            Self::Undo(command) => command.run(session),
            Self::Rollback(command) => command.run(session),
            Self::Watch(command) => command.run(session),
            Self::Sync(command) => command.run(session),
            Self::Relay(command) => command.run(session),
            Self::Store(command) => command.run(session),
            Self::Evidence(command) => command.run(session),
            Self::Completions(command) => command.run(session),
            Self::ExitCodes(command) => command.run(session),
            Self::Schema(command) => command.run(session),
        }
    }
}

/// Finds a document that can be shown: something of it is here, and Comity made it.
async fn find_document(node: &Node, name: &str) -> CommandResult<Document> {
    let id = names::find(node, name, Sort::Document).await?;
    let document = node.document(id);
    let (is_empty, is_comity) = document.read(|view| (view.is_empty(), view.is_comity())).await?;
    match (is_empty, is_comity) {
        (true, _) => Err(not_here(&id)),
        (false, false) => Err(CommandError::new(
            Kind::NotAllowed,
            format_args!(
                "{id} was made by another application; Comity synchronises it, but cannot read or write it as entries"
            ),
        )
        .hint("use the application that made it; `comity sync` keeps it in step")),
        (false, true) => Ok(document),
    }
}

/// Says that a document is known, but not here.
pub fn not_here(id: &DocumentId) -> CommandError {
    CommandError::new(Kind::Missing, format_args!("nothing of document {id} is on this device yet"))
        .hint("`comity sync RELAY --once` fetches it, if it is in a space that this device has joined")
}
