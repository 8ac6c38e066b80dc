//! `conflicts list`.

use std::io::Write;

use clap::Args;
use comity_model::Timestamp;
use comity_review::{Brief, Conflict, State};
use serde_json::{Value as Json, json};

use super::find::Filter;
use super::words;
use crate::commands::not_here;
use crate::error::{CommandError, CommandResult, Kind};
use crate::names::{self, Sort};
use crate::output::{FAINT, STRONG, Table, count, one_line};
use crate::review::{self, Reviewed, Shorts};
use crate::session::{Need, Session};

/// Conflicts that are listed for people unless told.
const LISTED_MAX: usize = 200;

/// Longest title, in characters.
const TITLE_MAX: usize = 60;

/// List what people have to decide, by document
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity conflicts list                          what is open, in all documents here
  comity conflicts list 'Roof 7' --entry M050
  comity conflicts list --kind duplicate
  comity conflicts list --state all              what is decided, dismissed and agreed too
  comity conflicts list --exit-code --quiet      for scripts: exit code 1 when something is open
  comity conflicts list --json | jq -r '.conflicts[].id'

A side in the list is what somebody wrote: dead ≠ microcracks. The age is that of the latest write, by
the clocks of those who wrote.")]
pub struct List {
    #[command(flatten)]
    filter: Filter,
    /// Only this state, or `all` [default: what is open]
    #[arg(long, value_name = "STATE", value_parser = Wanted::parse)]
    state: Option<Wanted>,
    /// How many are listed; 0 for all [default: 200, with --json all]
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    /// End with exit code 1 when any of those asked for is open
    #[arg(long)]
    exit_code: bool,
}

/// Which states.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    All,
    One(State),
}

impl Wanted {
    fn parse(word: &str) -> Result<Self, String> {
        if word == "all" {
            return Ok(Self::All);
        }
        word.parse().map(Self::One).map_err(|error| format!("{error}, or all"))
    }
}

/// The conflicts of one document; the sides of each are looked up when it is printed.
struct Group<'a> {
    reviewed: &'a Reviewed,
    briefs: Vec<Brief>,
    /// How many there were before some were left out.
    total: usize,
}

impl Group<'_> {
    fn conflicts(&self) -> impl Iterator<Item = Conflict> {
        self.briefs.iter().filter_map(|brief| self.reviewed.review.conflict(brief.id))
    }
}

impl List {
    pub fn run(self, session: &Session) -> CommandResult {
        session.run(Need::Documents, |node| async move {
            // The ids are as short as can be among all that is here, so all of it is looked at.
            let all = review::read(&node, None).await?;
            let only = match &self.filter.document {
                Some(name) => Some(names::find(&node, name, Sort::Document).await?),
                None => None,
            };
            if let Some(missing) = only.filter(|id| all.iter().all(|reviewed| reviewed.known.id != *id)) {
                return Err(not_here(&missing));
            }
            let shorts = Shorts::of_conflicts(all.iter().map(|reviewed| &reviewed.review));
            let mut groups: Vec<Group<'_>> = Vec::new();
            for reviewed in all.iter().filter(|reviewed| only.is_none_or(|id| id == reviewed.known.id)) {
                let briefs = self.filter.briefs(&reviewed.review, |state| self.wants(state));
                if !briefs.is_empty() {
                    groups.push(Group { reviewed, total: briefs.len(), briefs });
                }
            }
            let open = groups.iter().flat_map(|group| &group.briefs).filter(|one| one.state.is_open()).count();
            self.say(session, groups, &shorts, open)?;
            if self.exit_code && open > 0 {
                let what = count(open, "conflict is open", "conflicts are open");
                return Err(CommandError::new(Kind::NotDone, what)
                    .hint("`comity conflicts show ID` shows one with how to answer it"));
            }
            Ok(())
        })
    }

    fn wants(&self, state: State) -> bool {
        match self.state {
            None => state.is_open(),
            Some(Wanted::All) => true,
            Some(Wanted::One(wanted)) => state == wanted,
        }
    }

    fn say(&self, session: &Session, mut groups: Vec<Group<'_>>, shorts: &Shorts, open: usize) -> CommandResult {
        let out = session.output;
        let total: usize = groups.iter().map(|group| group.total).sum();
        let limit = match self.limit {
            None if out.json => 0,
            None => LISTED_MAX,
            Some(limit) => limit,
        };
        let left_out = if limit == 0 { 0 } else { cut(&mut groups, limit) };
        if out.json {
            let rows = groups.iter().flat_map(|group| group.conflicts().map(|one| (group.reviewed, one)));
            let rows: Vec<Json> = rows.map(|(of, one)| words::json(of, &one, &shorts.short(one.id))).collect();
            return out.json("conflicts", json!({ "open": open, "left_out": left_out, "conflicts": rows }));
        }
        let now = review::now();
        let mut data = anstream::AutoStream::auto(std::io::stdout());
        for (i, group) in groups.iter().enumerate() {
            let gap = if i > 0 { "\n" } else { "" };
            write!(data, "{gap}{}{}", heading(group), table(group, shorts, now))?;
        }
        data.flush()?;
        self.summary(session, &groups, total, open, left_out);
        Ok(())
    }

    fn summary(&self, session: &Session, groups: &[Group<'_>], total: usize, open: usize, left_out: usize) {
        let out = session.output;
        let of_these = if self.state.is_none() { "open conflict" } else { "conflict" };
        let mut text = count(total, of_these, &format!("{of_these}s"));
        if total == 0 {
            text = format!("no {of_these}s");
        }
        if self.state.is_some() && open > 0 && open < total {
            text.push_str(&format!(", {open} of them open"));
        }
        if groups.len() > 1 {
            text.push_str(&format!(" in {} documents", groups.len()));
        }
        out.note(text);
        if left_out > 0 {
            out.note(format_args!("{} left out; --limit 0 lists all", count(left_out, "more is", "more are")));
        }
        if total > 0 {
            out.note(format_args!("{FAINT}`{} conflicts show ID` shows one{FAINT:#}", session.comity));
        }
    }
}

/// Leaves out what is beyond the limit; gives how many.
fn cut(groups: &mut Vec<Group<'_>>, limit: usize) -> usize {
    let (mut left, mut left_out) = (limit, 0);
    for group in groups.iter_mut() {
        left_out += group.briefs.len().saturating_sub(left);
        group.briefs.truncate(left);
        left -= group.briefs.len();
    }
    groups.retain(|group| !group.briefs.is_empty());
    left_out
}

fn heading(group: &Group<'_>) -> String {
    let known = &group.reviewed.known;
    let title = one_line(&group.reviewed.label(), TITLE_MAX);
    let kind = one_line(known.kind.as_deref().unwrap_or("no kind"), TITLE_MAX);
    let number = count(group.total, "conflict", "conflicts");
    format!("{STRONG}{title}{STRONG:#} {FAINT}{kind} · {} · {number}{FAINT:#}\n", group.reviewed.short)
}

fn table(group: &Group<'_>, shorts: &Shorts, now: Timestamp) -> Table {
    let has_states = group.briefs.iter().any(|brief| brief.state != State::Open);
    let mut head = vec!["id", "kind", "subject", "sides", "age"];
    if has_states {
        head.insert(2, "state");
    }
    let mut table = Table::new(&head);
    for conflict in group.conflicts() {
        let mut row = vec![
            shorts.short(conflict.id),
            conflict.kind.to_string(),
            words::subject(&conflict.subject),
            words::sides(&conflict),
            review::age(words::since(&conflict), now),
        ];
        if has_states {
            row.insert(2, conflict.state.to_string());
        }
        table.row(row);
    }
    table
}
