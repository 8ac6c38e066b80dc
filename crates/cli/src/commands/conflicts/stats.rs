//! `conflicts stats`.

use std::collections::BTreeMap;

use clap::Args;
use comity_model::Timestamp;
use comity_review::{ConflictKind, State};
use serde_json::{Value as Json, json};

use super::find::Filter;
use super::words;
use crate::error::CommandResult;
use crate::output::{Table, count};
use crate::review::{self, Reviewed};
use crate::session::{Need, Session};

/// Count the conflicts, by kind and by how they stand
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity conflicts stats
  comity conflicts stats 'Roof 7' --field status
  comity conflicts stats --json | jq .open")]
pub struct Stats {
    #[command(flatten)]
    filter: Filter,
}

/// What is counted of one kind.
#[derive(Default)]
struct Counted {
    states: BTreeMap<State, usize>,
    /// The moments since which the open ones are there; of some nobody said it.
    open_since: Vec<Timestamp>,
}

impl Stats {
    pub fn run(self, session: &Session) -> CommandResult {
        session.run(Need::Documents, |node| async move {
            let all = review::read(&node, self.filter.document.as_deref()).await?;
            let mut kinds: BTreeMap<ConflictKind, Counted> = BTreeMap::new();
            all.iter().for_each(|reviewed| self.count(reviewed, &mut kinds));
            let decisions: usize = all.iter().map(|reviewed| reviewed.review.decisions().count()).sum();
            let unreadable: usize = all.iter().map(|reviewed| reviewed.review.unreadable_decisions()).sum();
            let out = session.output;
            if out.json {
                return out.json("conflicts-stats", stats_json(&kinds, all.len(), decisions, unreadable));
            }
            if !kinds.is_empty() {
                out.print(table(&kinds))?;
            }
            let open: usize = kinds.values().map(Counted::open).sum();
            let open = count(open, "open conflict", "open conflicts");
            let documents = count(all.len(), "document", "documents");
            out.note(format_args!("{open} in {documents}; {}", count(decisions, "decision", "decisions")));
            if unreadable > 0 {
                let unreadable = count(unreadable, "decision", "decisions");
                out.warn(format_args!("{unreadable} cannot be read by this release; a newer one may have made them"));
            }
            Ok(())
        })
    }

    fn count(&self, reviewed: &Reviewed, kinds: &mut BTreeMap<ConflictKind, Counted>) {
        let fitting = reviewed.review.briefs().filter(|brief| self.filter.fits(brief.kind, &brief.subject));
        for brief in fitting {
            let counted = kinds.entry(brief.kind).or_default();
            *counted.states.entry(brief.state).or_default() += 1;
            if brief.state.is_open() {
                let conflict = reviewed.review.conflict(brief.id);
                counted.open_since.extend(conflict.as_ref().and_then(words::since));
            }
        }
    }
}

impl Counted {
    fn open(&self) -> usize {
        self.states.iter().filter(|(state, _)| state.is_open()).map(|(_, number)| number).sum()
    }

    fn of(&self, state: State) -> usize {
        self.states.get(&state).copied().unwrap_or_default()
    }

    fn median(&self) -> Option<Timestamp> {
        let mut since = self.open_since.clone();
        since.sort_unstable_by_key(|time| time.unix_ms);
        since.get(since.len() / 2).copied()
    }

    fn oldest(&self) -> Option<Timestamp> {
        self.open_since.iter().min_by_key(|time| time.unix_ms).copied()
    }
}

fn table(kinds: &BTreeMap<ConflictKind, Counted>) -> Table {
    let now = review::now();
    let states: Vec<State> =
        State::ALL.into_iter().filter(|state| kinds.values().any(|one| one.of(*state) > 0)).collect();
    let mut table = Table::new(&["kind"]);
    states.iter().for_each(|state| table.column(state.to_string()));
    table.column("oldest open".to_owned());
    table.column("half are older than".to_owned());
    for (kind, counted) in kinds {
        let mut row = vec![kind.to_string()];
        row.extend(states.iter().map(|state| counted.of(*state).to_string()));
        let age = |time: Option<Timestamp>| match counted.open() {
            0 => "-".to_owned(),
            _ => review::age(time, now),
        };
        row.extend([age(counted.oldest()), age(counted.median())]);
        table.row(row);
    }
    table
}

fn stats_json(kinds: &BTreeMap<ConflictKind, Counted>, documents: usize, decisions: usize, unreadable: usize) -> Json {
    let kind = |(kind, counted): (&ConflictKind, &Counted)| {
        let states: serde_json::Map<String, Json> =
            State::ALL.into_iter().map(|state| (state.to_string(), json!(counted.of(state)))).collect();
        json!({
            "kind": kind.as_str(), "states": states, "open": counted.open(),
            "oldest_open": counted.oldest().map(|time| time.to_string()),
            "median_open": counted.median().map(|time| time.to_string()),
        })
    };
    json!({
        "documents": documents, "open": kinds.values().map(Counted::open).sum::<usize>(), "decisions": decisions,
        "unreadable_decisions": unreadable, "kinds": kinds.iter().map(kind).collect::<Vec<_>>(),
    })
}
