//! `watch`: changes as they come in.

use std::time::Duration;

use clap::Args;
use comity_node::{Change, Changes, DecodedChange, Document, Event};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep_until};

use super::past::write;
use super::show::when_exactly;
use super::sync::{connect, hang_up, relays};
use crate::entries;
use crate::error::{CommandError, CommandResult, Kind};
use crate::names::{self, Sort, Who};
use crate::output::{FAINT, STRONG};
use crate::session::{Need, Session, interrupt};
use crate::units;
use crate::values;

/// Show the changes of a document live, as others make them
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity watch 'Roof 7'                                 with the relays of config.toml
  comity watch 'Roof 7' --relay ws://127.0.0.1:8470
  comity watch 'Roof 7' --count 1 --for 30s             wait for one write, at most half a minute
  comity watch 'Roof 7' --json                          one JSON document a line

A line for each write: M050 status = microcracks (tablet a1b2c3d4). Ctrl-C ends it.")]
pub struct Watch {
    /// The document: title, id, or the beginning of an id
    #[arg(value_name = "DOC")]
    document: String,
    /// A relay to follow; may be given several times
    #[arg(long, value_name = "URL")]
    relay: Vec<String>,
    /// End after this time, as in 30s or 10min
    #[arg(long = "for", value_name = "TIME", value_parser = units::duration)]
    duration: Option<Duration>,
    /// End after this many writes
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

impl Watch {
    pub fn run(self, session: &Session) -> CommandResult {
        let urls = relays(session, &self.relay)?;
        session.run_until(Need::Sync, |node| async move {
            let id = names::find(&node, &self.document, Sort::Document).await?;
            let document = node.document(id);
            let changes = document.subscribe();
            let uplinks = connect(&node, session, &urls, None);
            let who = Who::new(&node, &session.config);
            session.output.note(format_args!("{FAINT}watching; Ctrl-C ends{FAINT:#}"));
            let done = tokio::select! {
                done = self.follow(session, &document, changes, &who) => done,
                () = interrupt() => Ok(()),
                () = until(self.duration) => self.time_is_up(),
            };
            hang_up(uplinks).await;
            done
        })
    }

    async fn follow(&self, session: &Session, document: &Document, mut changes: Changes, who: &Who) -> CommandResult {
        let mut left = self.count;
        while let Some(change) = changes.next().await {
            let new = match change {
                Change::Event(Event::Changed { changes, .. }) => changes,
                Change::Event(Event::Failed { failure, .. }) => {
                    return Err(CommandError::new(Kind::NotDone, failure.message)
                        .hint("`comity store verify` checks the store"));
                }
                Change::Missed(events) => {
                    session.output.warn(format_args!(
                        "{events} events came too fast and are not shown; `comity log` has them all"
                    ));
                    continue;
                }
                _ => continue,
            };
            for line in new.iter().flat_map(|change| lines(session, document, change, who)) {
                session.output.line(line?)?;
                left = left.map(|left| left - 1);
                if left == Some(0) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The time was given either to look for a while, or to wait for something that has not come.
    fn time_is_up(&self) -> CommandResult {
        match self.count {
            None => Ok(()),
            Some(count) => {
                Err(CommandError::new(Kind::NotDone, format_args!("fewer than {count} writes came in time"))
                    .hint("give it more time with --for; with -v the log says whether the relay was there"))
            }
        }
    }
}

/// Resolves when the time is over; never when none is given.
pub async fn until(duration: Option<Duration>) {
    match duration.and_then(|duration| Instant::now().checked_add(duration)) {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn lines(session: &Session, document: &Document, change: &DecodedChange, who: &Who) -> Vec<CommandResult<String>> {
    let writes: Vec<_> = change.ops.iter().filter_map(|op| Some((op.register()?, op.value()))).collect();
    if session.output.json {
        let line = |(key, value): &(comity_model::RegisterKey, Option<&comity_model::Value>)| {
            let content = json!({
                "document": document.id().to_string(), "entry": key.entry.as_str(), "field": key.field.as_str(),
                "value": value.map_or(Json::Null, values::to_json), "removed": value.is_none(),
                "device": Who::device(&change.actor), "change": change.hash.to_string(),
                "time": when_exactly(change.act, change.time_s),
            });
            crate::output::json_text("watch", content)
        };
        return writes.iter().map(line).collect();
    }
    let mut lines = Vec::new();
    let mut at = 0;
    // Equal writes to entries that follow each other are one line: that is how they were made.
    while at < writes.len() {
        let same = |(key, value): &&(comity_model::RegisterKey, Option<&comity_model::Value>)| {
            key.field == writes[at].0.field && *value == writes[at].1
        };
        let run: Vec<_> = writes[at..].iter().take_while(same).collect();
        let names = entries::compress(run.iter().map(|(key, _)| &key.entry)).join(", ");
        let what = write(&writes[at].0.field, writes[at].1);
        lines.push(Ok(format!("{STRONG}{names}{STRONG:#} → {what} {FAINT}({}){FAINT:#}", who.name(&change.actor))));
        at += run.len();
    }
    lines
}
