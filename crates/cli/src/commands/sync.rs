//! `sync`: in step with relays, once or for as long as it runs.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use comity_model::{DocumentId, SpaceId};
use comity_node::{DialOptions, Node, NodeError, SyncState, Uplink, UplinkState, Url};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{interval, timeout};

use super::device::pending;
use crate::config::parse_url;
use crate::error::{CommandError, CommandResult, Kind};
use crate::losses::{self, Named};
use crate::names::SPACE_KIND;
use crate::output::{FAINT, count, one_line};
use crate::session::{Need, Session, interrupt};
use crate::units;

/// How often the status line is looked at while nothing happens.
const LOOK: Duration = Duration::from_millis(500);

/// Longest reason on a line that is written over, in characters.
const REASON_MAX: usize = 40;

/// Keep documents in step with a relay
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity sync ws://127.0.0.1:8470                 stays connected; Ctrl-C ends
  comity sync ws://127.0.0.1:8470 --once          until both have everything; for scripts
  comity sync wss://relay.example/sync --once --timeout 2min
  comity sync                                     with the relays of config.toml

It says: synced, syncing, or offline with the number of pending changes. Editing goes on without a
relay; what is pending is delivered when it is back. Exit code of --once: 0 when everything is on
both sides, 1 when not in time (what did arrive is kept).")]
pub struct Sync {
    /// Where relays are [default: `relays` of config.toml, or COMITY_RELAYS, with commas between]
    #[arg(value_name = "URL")]
    urls: Vec<String>,
    /// End as soon as everything is on both sides
    #[arg(long)]
    once: bool,
    /// With --once: give up after this time
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = units::duration, requires = "once")]
    timeout: Duration,
    /// Certificates (PEM) to trust beside the public authorities
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
}

/// Gives the relays of the command line, else those of the configuration.
pub fn relays(session: &Session, given: &[String]) -> CommandResult<Vec<Url>> {
    let urls: Vec<Url> = given.iter().map(|url| parse_url(url)).collect::<CommandResult<_>>()?;
    let urls = if urls.is_empty() { session.config.relays.clone() } else { urls };
    if urls.is_empty() {
        return Err(CommandError::new(Kind::Usage, "no relay is known")
            .hint("name one, as in ws://127.0.0.1:8470, or put relays = [\"ws://…\"] into config.toml")
            .hint("`comity relay` runs one"));
    }
    Ok(urls)
}

/// Links the node to relays.
pub fn connect(node: &Node, session: &Session, urls: &[Url], trust: Option<&Path>) -> Vec<Uplink> {
    let options = dial_options(session, trust);
    urls.iter().map(|url| node.connect(url.clone(), options.clone())).collect()
}

fn dial_options(session: &Session, trust: Option<&Path>) -> DialOptions {
    let mut options = DialOptions::default();
    options.message_bytes_max = session.config.limits.message_bytes_max;
    options.extra_roots = trust.map(Path::to_owned);
    options
}

/// Hangs up.
pub async fn hang_up(uplinks: Vec<Uplink>) {
    for uplink in uplinks {
        uplink.stop().await;
    }
}

impl Sync {
    pub fn run(self, session: &Session) -> CommandResult {
        let urls = relays(session, &self.urls)?;
        if let Some(file) = &self.trust {
            std::fs::metadata(file).map_err(|error| CommandError::file("read", file, error))?;
            dial_options(session, Some(file)).check().map_err(|error| {
                CommandError::new(Kind::Usage, error).hint("--trust wants the relay's certificate as a PEM file")
            })?;
        }
        session.run_until(Need::Sync, |node| async move {
            // From the first moment on: Ctrl-C must find somebody who closes the node.
            let interrupted = interrupt();
            // Before there is a link: what a relay has that was just linked to is not known at once.
            let before = pending(&node.sync_state().await?);
            let uplinks = connect(&node, session, &urls, self.trust.as_deref());
            let done = if self.once {
                tokio::select! {
                    done = self.once(session, &node, &uplinks, before) => done,
                    () = interrupted => Err(CommandError::new(Kind::Interrupted, "interrupted")
                        .hint("what arrived is kept; the next sync goes on from here")),
                }
            } else {
                let done = tokio::select! {
                    done = stay(session, &node, &uplinks) => done,
                    () = interrupted => Ok(()),
                };
                if is_live(session) {
                    session.output.line("")?;
                }
                done
            };
            hang_up(uplinks).await;
            done
        })
    }

    async fn once(&self, session: &Session, node: &Node, uplinks: &[Uplink], before: usize) -> CommandResult {
        let losses_before = losses::open(node).await;
        let all = async {
            for uplink in uplinks {
                uplink.online().await;
            }
            loop {
                node.synced().await?;
                let spaces = node.spaces().len();
                node.check_losses().await?;
                // A space that is back lists documents that were not wanted before.
                if node.spaces().len() == spaces {
                    return Ok::<(), NodeError>(());
                }
            }
        };
        let all = async {
            tokio::select! {
                done = all => Ok(done?),
                damaged = damaged(node) => Err(damaged),
            }
        };
        let Ok(synced) = timeout(self.timeout, all).await else { return Err(self.too_late(node, uplinks).await?) };
        synced?;
        let (lost, back) = sort_out(losses_before, losses::open(node).await);
        let missing = missing_spaces(node).await?;
        let documents = node.wanted().len().saturating_sub(node.spaces().len());
        if session.output.json {
            let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
            let content = json!({
                "state": "synced", "documents": documents, "delivered": before, "spaces_missing": missing,
                "lost": losses::to_json(&lost), "back": losses::to_json(&back),
            });
            return session.output.json("sync", content);
        }
        let delivered =
            if before == 0 { String::new() } else { format!(", {} delivered", count(before, "change", "changes")) };
        session.output.done(format_args!("synced: {}{delivered}", count(documents, "document", "documents")));
        for named in &back {
            session.output.done(is_back(named));
        }
        for named in &lost {
            session.output.warn(format_args!("still lost: {}; no relay had all of it", named.line()));
        }
        for space in missing {
            session.output.warn(format_args!(
                "space {space} is not at the relay yet: check the id, and sync the device that made it"
            ));
        }
        Ok(())
    }

    async fn too_late(&self, node: &Node, uplinks: &[Uplink]) -> CommandResult<CommandError> {
        let state = node.sync_state().await?;
        let message = format!("not synced within {}: {state}", units::show_duration(self.timeout));
        let mut error = CommandError::new(Kind::NotDone, message);
        for uplink in uplinks {
            if let UplinkState::Waiting { reason, .. } = uplink.state() {
                error = error.hint(reason);
            }
        }
        Ok(error.hint("nothing is lost: what is pending stays pending; check the address, or give it more --timeout"))
    }
}

/// Waits until a document is found that cannot be read from this disk: it would never be in step.
async fn damaged(node: &Node) -> CommandError {
    let mut events = node.events();
    loop {
        if let Some(loss) = node.loss_to_restart_for() {
            return CommandError::new(Kind::Integrity, loss.what)
                .hint("do it again: the next start saves what is left, and a sync fetches the rest");
        }
        // Missed events are no harm: the losses are asked anew. A node that has stopped finds no more.
        if let Err(RecvError::Closed) = events.recv().await {
            std::future::pending::<()>().await;
        }
    }
}

/// Parts losses into those that are still open, and those that are not.
fn sort_out(before: Vec<Named>, now: Vec<Named>) -> (Vec<Named>, Vec<Named>) {
    let is_open = |named: &Named| now.iter().any(|open| open.loss.document == named.loss.document);
    let back = before.into_iter().filter(|named| !is_open(named)).collect();
    (now, back)
}

/// Says that a document is back, and how much that means.
fn is_back(named: &Named) -> String {
    let label = named.label();
    match named.loss.heads {
        Some(_) => format!("back: {label} has all that it had"),
        None => format!("back: {label} has all that the relay has; what it had before is not known"),
    }
}

/// Lists the spaces that were joined and of which there is nothing, or something that is no space. A relay that does not
/// have a document is in step without it, and whoever joined with a wrong id would wait for ever.
async fn missing_spaces(node: &Node) -> CommandResult<Vec<SpaceId>> {
    let mut missing = Vec::new();
    for space in node.spaces() {
        let kind = node.document(space.document()).read(|view| view.kind()).await?;
        if kind.is_none_or(|kind| kind.as_str() != SPACE_KIND) {
            missing.push(space);
        }
    }
    Ok(missing)
}

/// Shows the state whenever it changes, until the command is ended.
async fn stay(session: &Session, node: &Node, uplinks: &[Uplink]) -> CommandResult {
    let mut events = node.events();
    let mut look = interval(LOOK);
    let mut shown = None;
    let is_live = is_live(session);
    let mut lost = losses::open(node).await;
    loop {
        let open_now: BTreeSet<DocumentId> = node.losses().iter().map(|loss| loss.document).collect();
        if open_now != lost.iter().map(|named| named.loss.document).collect() {
            let (open, back) = sort_out(lost, losses::open(node).await);
            lost = open;
            // Also what was found damaged only now.
            shown = None;
            if is_live {
                session.output.print("\r\x1b[K")?;
            }
            back.iter().for_each(|named| session.output.done(is_back(named)));
        }
        let state = node.sync_state().await?;
        let reason = uplinks.iter().find_map(|uplink| match uplink.state() {
            UplinkState::Waiting { reason, .. } => Some(reason),
            _ => None,
        });
        let now = (state, reason, lost.len());
        if shown.as_ref() != Some(&now) {
            show(session, &now.0, now.1.as_deref(), &lost, is_live)?;
            shown = Some(now);
        }
        // One look serves all that has happened meanwhile, and a flood of events is looked at twice a second.
        look.tick().await;
        tokio::select! {
            event = events.recv() => if matches!(event, Err(RecvError::Closed)) { return Ok(()) },
            _ = look.tick() => {}
        }
        while events.try_recv().is_ok() {}
    }
}

/// Whether the state is one line that is written over.
fn is_live(session: &Session) -> bool {
    session.output.is_terminal() && !session.output.json
}

fn show(session: &Session, state: &SyncState, reason: Option<&str>, lost: &[Named], is_live: bool) -> CommandResult {
    if session.output.json {
        let word = match state {
            SyncState::Synced => "synced",
            SyncState::Syncing { .. } => "syncing",
            _ => "offline",
        };
        let content =
            json!({ "state": word, "pending": pending(state), "reason": reason, "lost": losses::to_json(lost) });
        return session.output.json_line("sync", content);
    }
    // A line that wraps cannot be written over.
    let reason = reason.map(|reason| one_line(reason, if is_live { REASON_MAX } else { 1_000 }));
    let reason = match (state, reason) {
        (SyncState::Offline { .. }, Some(reason)) => format!(" {FAINT}({reason}){FAINT:#}"),
        _ => String::new(),
    };
    if is_live {
        let mut out = anstream::AutoStream::auto(std::io::stdout());
        // Back to the first column, and the rest of the line away.
        write!(out, "\r{state}{reason}\x1b[K")?;
        return Ok(out.flush()?);
    }
    session.output.line(format_args!("{state}{reason}"))
}
