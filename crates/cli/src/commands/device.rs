//! This device: `init`, `id`, `status`.

use clap::Args;
use comity_node::{Node, SyncState};
use serde_json::json;

use crate::config::FILE;
use crate::error::{CommandError, CommandResult};
use crate::losses;
use crate::names;
use crate::output::{FAINT, count};
use crate::session::{Need, Session};

/// Make the data folder of this device, with its key
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity init
  comity init --name tablet
  comity init --data ./desktop --name desktop      a second device on the same machine

Doing it again changes nothing but the name. Where the folder is: --data, COMITY_DATA,
$XDG_DATA_HOME/comity, ~/.local/share/comity, in this order.")]
pub struct Init {
    /// What to call this device; a label that nobody trusts
    #[arg(long, value_parser = label)]
    name: Option<String>,
}

fn label(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 64 || text.chars().any(char::is_control) {
        return Err("a name is 1 to 64 characters".to_owned());
    }
    Ok(text.to_owned())
}

impl Init {
    pub fn run(self, session: &Session) -> CommandResult {
        let is_new = !session.config.is_initialised();
        let folder = &session.config.data;
        std::fs::create_dir_all(folder).map_err(|error| CommandError::file("make the folder", folder, error))?;
        if let Some(name) = &self.name {
            write_name(session, name)?;
        }
        let open = session.node_config(Need::Documents);
        let device = crate::session::runtime()?.block_on(async {
            let (node, _) = Node::open(open).await?;
            let device = node.device();
            node.close().await?;
            Ok::<_, CommandError>(device)
        })?;
        let name = self.name.or_else(|| session.config.name.clone());
        if session.output.json {
            let content = json!({
                "device": device.to_string(), "short": device.tag().to_string(),
                "name": name, "folder": folder, "created": is_new,
            });
            return session.output.json("init", content);
        }
        let done = if is_new { "made" } else { "was there already:" };
        session.output.done(format_args!("{done} {}", folder.display()));
        session.output.line(format_args!("device  {device}"))?;
        session.output.line(format_args!("short   {}", device.tag()))?;
        if let Some(name) = name {
            session.output.line(format_args!("name    {name}"))?;
        }
        if is_new {
            session.output.note(format_args!("next: {} doc new audit 'Roof 7'", session.comity));
        }
        Ok(())
    }
}

/// Writes the name into the config file of the data folder, and leaves the rest of the file as it is.
fn write_name(session: &Session, name: &str) -> CommandResult {
    let path = session.config.data.join(FILE);
    let old = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(CommandError::file("read", &path, error)),
    };
    // A name is a top-level key, so it stands before the first table.
    let is_name = |line: &&str| line.split('=').next().is_some_and(|key| key.trim() == "name");
    let top = old.lines().take_while(|line| !line.trim_start().starts_with('['));
    let rest = old.lines().skip_while(|line| !line.trim_start().starts_with('['));
    let line = format!("name = {}", toml::Value::String(name.to_owned()));
    let mut lines = vec![line.as_str()];
    lines.extend(top.filter(|line| !is_name(line)).chain(rest));
    let text = lines.join("\n") + "\n";
    std::fs::write(&path, text).map_err(|error| CommandError::file("write", &path, error))
}

/// Print the id of this device
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity id
  comity id --json

The short id is how histories name this device. To see a label instead, put it into config.toml:
  [devices]
  a1b2c3d4 = \"desktop\"")]
pub struct Id {}

impl Id {
    pub fn run(self, session: &Session) -> CommandResult {
        session.run(Need::Documents, |node| async move {
            let device = node.device();
            if session.output.json {
                let content = json!({
                    "device": device.to_string(), "short": device.tag().to_string(),
                    "name": session.config.name, "storage": node.storage().as_str(),
                });
                return session.output.json("id", content);
            }
            session.output.line(format_args!("{device}\n{FAINT}short {}{FAINT:#}", device.tag()))
        })
    }
}

/// Say how this device stands: documents, spaces, relays, what is pending
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity status
  comity status --json | jq .pending

Only one process at a time may have a data folder open, so this shows the state between runs of
`comity sync`; a running `comity sync` shows its own state.")]
pub struct Status {}

impl Status {
    pub fn run(self, session: &Session) -> CommandResult {
        session.run(Need::Sync, |node| async move {
            let state = node.sync_state().await?;
            let known = names::all(&node).await?;
            let documents = known.iter().filter(|known| !known.is_space());
            let (here, listed) = (documents.clone().filter(|known| known.is_here).count(), documents.count());
            let relays = node.relays()?;
            let pending = pending(&state);
            let lost = losses::open(&node).await;
            let (refused, _) = node.evidence_kept();
            if session.output.json {
                let relays: Vec<_> =
                    relays.iter().map(|(storage, url)| json!({ "storage": storage.as_str(), "url": url })).collect();
                let content = json!({
                    "device": node.device().to_string(), "name": session.config.name, "folder": session.config.data,
                    "documents": here, "documents_missing": listed - here,
                    "spaces": node.spaces().iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "relays": relays, "pending": pending, "lost": losses::to_json(&lost), "refused": refused,
                });
                return session.output.json("status", content);
            }
            let out = session.output;
            let name = session.config.name.clone().map(|name| format!(" ({name})")).unwrap_or_default();
            out.line(format_args!("device     {}{name}", node.device().tag()))?;
            out.line(format_args!("folder     {}", session.config.data.display()))?;
            let missing = if listed > here { format!(", {} not here yet", listed - here) } else { String::new() };
            out.line(format_args!("documents  {here}{missing}"))?;
            out.line(format_args!("spaces     {}", node.spaces().len()))?;
            match relays.len() {
                0 => out.line("relays     none yet")?,
                _ => relays.values().try_for_each(|url| out.line(format_args!("relay      {url}")))?,
            }
            out.line(format_args!("pending    {}", count(pending, "change", "changes")))?;
            if refused > 0 {
                out.line(format_args!("refused    {}", count(refused, "record of evidence", "records of evidence")))?;
            }
            for named in &lost {
                out.line(format_args!("lost       {}", named.line()))?;
            }
            if !lost.is_empty() {
                out.warn("the store was damaged; `comity sync RELAY --once` brings back what a relay has");
            }
            if refused > 0 {
                out.note("`comity evidence list` shows what was refused or damaged, and when");
            }
            if pending > 0 {
                out.note("pending changes are safe on this device; `comity sync RELAY --once` delivers them");
            }
            Ok(())
        })
    }
}

/// Gives how many changes no relay is known to have.
pub fn pending(state: &SyncState) -> usize {
    match state {
        SyncState::Syncing { pending } | SyncState::Offline { pending } => *pending,
        _ => 0,
    }
}
