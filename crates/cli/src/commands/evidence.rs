//! What was refused: `evidence list|show`.

mod list;
mod show;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use comity_node::evidence::{self, Contents, Record, Unreadable};
use serde_json::{Value as Json, json};

use self::list::List;
use self::show::Show;
use crate::error::{CommandError, CommandResult, Kind as ErrorKind};
use crate::output::count;
use crate::session::Session;

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

fn record_json(record: &Record) -> Json {
    json!({
        "number": record.number, "time": record.time.to_string(), "kind": record.kind.as_str(),
        "reason": record.reason, "document": record.document.map(|document| document.to_string()),
        "peer": record.peer.as_ref().map(|peer| peer.as_str()), "address": record.address,
        "size": record.size, "kept": record.kept, "sha256": record.digest_hex(),
    })
}
