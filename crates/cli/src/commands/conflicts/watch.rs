//! `conflicts watch`: conflicts as they open, turn and close.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use comity_model::{DocumentId, Heads};
use comity_node::{DecodedChange, Event, Node, NodeEvent};
use comity_review::{Review, State, Turn};
use serde_json::json;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::find::Filter;
use super::words;
use crate::commands::sync::{connect, hang_up, relays};
use crate::commands::watch::until;
use crate::error::{CommandError, CommandResult, Kind};
use crate::names::{self, Known};
use crate::output::{ALERT, FAINT, STRONG, count};
use crate::review;
use crate::session::{Need, Session, interrupt};
use crate::units;

/// Shortest piece of an id that is shown: more than in lists, because ids come that are not known yet.
const SHORT: usize = 8;

/// Show conflicts live, as they open, turn and close
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity conflicts watch                                  with the relays of config.toml
  comity conflicts watch 'Roof 7' --relay ws://127.0.0.1:8470
  comity conflicts watch --count 1 --for 10min            wait for one turn
  comity conflicts watch --json                           one JSON document a line

A line for each turn: opened, reopened, agreed, decided, dismissed, gone (somebody wrote over it, or a new
write made another conflict of it). Ctrl-C ends it.")]
pub struct Watch {
    #[command(flatten)]
    filter: Filter,
    /// A relay to follow; may be given several times
    #[arg(long, value_name = "URL")]
    relay: Vec<String>,
    /// End after this time, as in 30s or 10min
    #[arg(long = "for", value_name = "TIME", value_parser = units::duration)]
    duration: Option<Duration>,
    /// End after this many turns
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// What is watched.
struct Watched<'a> {
    session: &'a Session,
    node: &'a Node,
    filter: &'a Filter,
    only: Option<DocumentId>,
    reviews: BTreeMap<DocumentId, (Review, Known)>,
    /// How many turns are still wanted.
    left: Option<u64>,
}

impl Watch {
    pub fn run(self, session: &Session) -> CommandResult {
        let urls = relays(session, &self.relay)?;
        session.run_until(Need::Sync, |node| async move {
            let events = node.events();
            let mut reviews = BTreeMap::new();
            let only = self.filter.document.as_deref();
            for reviewed in review::read(&node, only).await? {
                reviews.insert(reviewed.known.id, (reviewed.review, reviewed.known));
            }
            let only = only.and_then(|_| reviews.keys().next().copied());
            let mut watched = Watched { session, node: &node, filter: &self.filter, only, reviews, left: self.count };
            let open = count(watched.open(), "conflict is open", "conflicts are open");
            let uplinks = connect(&node, session, &urls, None);
            session.output.note(format_args!("{FAINT}{open}; watching; Ctrl-C ends{FAINT:#}"));
            let done = tokio::select! {
                done = watched.follow(events) => done,
                () = interrupt() => Ok(()),
                () = until(self.duration) => self.time_is_up(),
            };
            hang_up(uplinks).await;
            done
        })
    }

    /// The time was given either to look for a while, or to wait for something that has not come.
    fn time_is_up(&self) -> CommandResult {
        match self.count {
            None => Ok(()),
            Some(count) => Err(CommandError::new(Kind::NotDone, format_args!("fewer than {count} turns came in time"))
                .hint("give it more time with --for; with -v the log says whether the relay was there")),
        }
    }
}

impl Watched<'_> {
    fn open(&self) -> usize {
        let briefs = self.reviews.values().flat_map(|(review, _)| review.briefs());
        briefs.filter(|brief| brief.state.is_open() && self.filter.fits(brief.kind, &brief.subject)).count()
    }

    async fn follow(&mut self, mut events: Receiver<NodeEvent>) -> CommandResult {
        loop {
            match events.recv().await {
                Ok(NodeEvent::Document(Event::Changed { document, changes, .. })) => {
                    if self.only.is_none_or(|id| id == document) {
                        self.feed(document, &changes).await?;
                    }
                }
                Ok(NodeEvent::Document(Event::Failed { failure, .. })) => {
                    return Err(CommandError::new(Kind::NotDone, failure.message)
                        .hint("`comity store verify` checks the store"));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => self.catch_up().await?,
                Err(RecvError::Closed) => return Ok(()),
            }
            if self.left == Some(0) {
                return Ok(());
            }
        }
    }

    async fn feed(&mut self, id: DocumentId, changes: &[DecodedChange]) -> CommandResult {
        if !self.reviews.contains_key(&id) {
            // It has just come: the whole of it is looked at.
            let known = names::all(self.node).await?.into_iter().find(|known| known.id == id);
            let Some(known) = known else { return Ok(()) };
            let declared = review::declarations(self.node, &self.node.document(id)).await?;
            self.reviews.insert(id, (Review::new(declared), known));
            return self.feed_all(id).await;
        }
        let Some((review, _)) = self.reviews.get_mut(&id) else { return Ok(()) };
        let turns = review.feed(changes);
        self.say(id, turns)
    }

    /// Events were missed, because they came too fast: what is known is passed over.
    async fn catch_up(&mut self) -> CommandResult {
        let only = self.only;
        for id in self.node.documents()?.into_iter().filter(|id| only.is_none_or(|only| only == *id)) {
            if self.reviews.contains_key(&id) {
                self.feed_all(id).await?;
            } else {
                Box::pin(self.feed(id, &[])).await?;
            }
        }
        Ok(())
    }

    async fn feed_all(&mut self, id: DocumentId) -> CommandResult {
        let changes = self.node.document(id).read(|view| view.document().decode_since(&Heads::default())).await?;
        let Some((review, _)) = self.reviews.get_mut(&id) else { return Ok(()) };
        let turns = review.feed(&changes);
        self.say(id, turns)
    }

    fn say(&mut self, id: DocumentId, turns: Vec<Turn>) -> CommandResult {
        let Some((review, known)) = self.reviews.get(&id) else { return Ok(()) };
        for turn in turns {
            if self.left == Some(0) || !self.filter.fits(turn.kind, &turn.subject) {
                continue;
            }
            let out = self.session.output;
            if out.json {
                out.json_line("conflict-turn", turn_json(known, &turn))?;
            } else {
                let conflict = turn.now.and_then(|_| review.conflict(turn.id));
                let sides = conflict.map(|conflict| words::sides(&conflict)).unwrap_or_default();
                let id: String = turn.id.to_string().chars().take(SHORT).collect();
                let (word, subject) = (word(&turn), words::subject(&turn.subject));
                out.line(format_args!(
                    "{ALERT}{word}{ALERT:#}  {id}  {STRONG}{subject}{STRONG:#} in {}  {sides}  {FAINT}{}{FAINT:#}",
                    known.label(),
                    turn.kind,
                ))?;
            }
            self.left = self.left.map(|left| left - 1);
        }
        Ok(())
    }
}

fn word(turn: &Turn) -> &'static str {
    match turn.now {
        None => "gone",
        Some(State::Open) => "opened",
        Some(State::Reopened) => "reopened",
        Some(State::NeedsSecondReviewer) => "needs a second reviewer",
        Some(State::Agreed) => "agreed",
        Some(State::Resolved) => "decided",
        Some(State::Dismissed) => "dismissed",
        Some(_) => "turned",
    }
}

fn turn_json(known: &Known, turn: &Turn) -> serde_json::Value {
    json!({
        "document": { "id": known.id.to_string(), "title": known.title, "kind": known.kind },
        "conflict": turn.id.to_string(), "kind": turn.kind.as_str(), "subject": turn.subject.to_string(),
        "before": turn.before.map(State::as_str), "now": turn.now.map(State::as_str),
        "open": turn.now.is_some_and(State::is_open),
    })
}
