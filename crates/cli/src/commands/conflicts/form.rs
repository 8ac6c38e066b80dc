//! What goes with every decision: the reason, the check of the heads, the dry run, and what is said afterwards.

use std::collections::BTreeMap;

use clap::Args;
use comity_model::{ChangeHash, RegisterKey, Value, Write};
use comity_review::{CannotDecide, Conflict, ConflictId, DecisionId, DecisionRecord, Note as Noted, State};
use serde_json::{Value as Json, json};

use super::words;
use crate::commands::edit::{heads_fit, heads_text};
use crate::error::{CommandError, CommandResult, HeadsMoved, Kind};
use crate::output::{FAINT, one_line};
use crate::review::{Reviewed, Shorts};
use crate::session::Session;
use crate::values;

/// Longest value that is said, in characters.
const VALUE_MAX: usize = 200;

/// Writes that are said one by one.
const WRITES_MAX: usize = 50;

/// Why, and who.
#[derive(Debug, Args)]
pub struct Note {
    /// Why; it travels with the decision
    #[arg(short, long, value_name = "WHY")]
    message: Option<String>,
    /// Who decides; a label, for people
    #[arg(long, value_name = "NAME")]
    reviewer: Option<String>,
}

impl Note {
    /// Gives what goes into the record.
    pub fn noted(&self) -> Noted {
        Noted { reason: self.message.clone(), reviewer: self.reviewer.clone(), ..Noted::default() }
    }
}

/// How it is written.
#[derive(Debug, Args)]
pub struct Guard {
    /// Write only if the document still has these heads (as --json gives them, joined by `+`; 8 digits of each are enough)
    #[arg(long, value_name = "HEADS", value_parser = heads_text)]
    if_heads: Option<String>,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
}

impl Guard {
    /// Checks the heads.
    pub fn check(&self, reviewed: &Reviewed) -> CommandResult {
        match &self.if_heads {
            Some(seen) if !heads_fit(seen, &reviewed.heads) => {
                let moved = HeadsMoved { seen: seen.clone(), now: reviewed.heads.to_string() };
                Err(CommandError::new(Kind::HeadsMoved, moved)
                    .hint("look again with `comity conflicts list` and `show`, then decide"))
            }
            _ => Ok(()),
        }
    }
}

/// Makes the id of a new decision.
pub fn new_id() -> CommandResult<DecisionId> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|error| {
        CommandError::new(Kind::NotDone, format_args!("the system gives no random bytes: {error}")).hint("try again")
    })?;
    Ok(DecisionId::from_random(bytes))
}

/// The values that several answers in one document write together.
#[derive(Default)]
pub struct Together(BTreeMap<String, Value>);

impl Together {
    /// Adds what an answer writes; refuses it, with the place, when another answer writes another value there.
    pub fn add(&mut self, writes: &[Write]) -> Result<(), String> {
        let forced = writes.iter().filter_map(|write| match write {
            Write::Force { key, value } => Some((key.to_string(), value)),
            Write::ForceAbout { name, value } => Some((format!("about:{name}"), value)),
            _ => None,
        });
        let forced: Vec<(String, &Value)> = forced.collect();
        let is_against = |(place, value): &&(String, &Value)| self.0.get(place).is_some_and(|other| other != *value);
        if let Some((place, _)) = forced.iter().find(is_against) {
            return Err(format!("another answer of the plan writes another value to {place}"));
        }
        self.0.extend(forced.into_iter().map(|(place, value)| (place, value.clone())));
        Ok(())
    }
}

/// Says that everything is as it is wanted to be.
pub fn nothing(session: &Session, reviewed: &Reviewed, choice: &str, why: &str) -> CommandResult {
    if session.output.json {
        let content = json!({
            "document": words::document(reviewed), "decision": null, "choice": choice, "conflict": null, "state": null,
            "writes": [], "change": null, "dry_run": false,
        });
        return session.output.json("decision", content);
    }
    session.output.done(format_args!("{why}: nothing to change"));
    Ok(())
}

/// Says why an answer cannot be given.
pub fn refusal(error: CannotDecide) -> CommandError {
    let (kind, hint) = match &error {
        CannotDecide::NoSuchSide { .. } => (Kind::Usage, "`comity conflicts show ID` numbers the sides"),
        CannotDecide::DoesNotFit { .. } => (Kind::Usage, "`comity conflicts show ID` ends with what can be answered"),
        CannotDecide::Nothing { .. } => (Kind::NotFound, "`comity conflicts show ID` lists the decisions about it"),
        CannotDecide::NoSuchDecision { .. } => {
            (Kind::NotFound, "`comity conflicts show ID` lists the decisions about a conflict")
        }
        _ => (Kind::Usage, "nothing was written"),
    };
    CommandError::new(kind, error).hint(hint)
}

/// A decision on its way.
pub struct Decision<'a> {
    /// The document, as it was read.
    pub reviewed: &'a Reviewed,
    /// The conflict, when it is about one, and how it stood.
    pub conflict: Option<(ConflictId, State)>,
    /// The decision's own id.
    pub id: DecisionId,
    /// What it writes.
    pub writes: Vec<Write>,
}

impl<'a> Decision<'a> {
    /// Answers a conflict.
    pub fn about(reviewed: &'a Reviewed, conflict: &Conflict, id: DecisionId, writes: Vec<Write>) -> Self {
        Self { reviewed, conflict: Some((conflict.id, conflict.state)), id, writes }
    }

    /// Writes it and says so, or says what would be written.
    pub async fn carry_out(self, session: &Session, guard: &Guard) -> CommandResult {
        guard.check(self.reviewed)?;
        let values = self.values().await?;
        if guard.dry_run {
            return self.say(session, &values, None, self.conflict.map(|(_, state)| state), true);
        }
        let reviewed = self.reviewed;
        let conflicts = self.conflict.into_iter().collect();
        let change = reviewed.decide(&reviewed.heads, conflicts, self.writes.clone()).await?;
        let (_, review) = reviewed.again().await?;
        let state = self.conflict.and_then(|(id, _)| Some(review.conflict(id)?.state));
        self.say(session, &values, change, state, false)
    }

    /// Lists what it writes, with what is shown now.
    async fn values(&self) -> CommandResult<Vec<Given>> {
        let writes = self.writes.clone();
        let given = self.reviewed.document.read(move |view| {
            let shown = |key: &RegisterKey| Some(view.register(key)?.winner()?.value.clone());
            let given = writes.into_iter().filter_map(|write| match write {
                Write::Force { key, value } => Some(Given { now: shown(&key), place: key.to_string(), value }),
                Write::ForceAbout { name, value } => {
                    Some(Given { now: view.about(&name), place: format!("about:{name}"), value })
                }
                _ => None,
            });
            given.collect()
        });
        Ok(given.await?)
    }

    fn record(&self) -> Option<DecisionRecord> {
        let text = self.writes.iter().find_map(|write| match write {
            Write::Decision { record, .. } => Some(record),
            _ => None,
        });
        DecisionRecord::from_text(text?).ok()
    }

    fn say(
        &self,
        session: &Session,
        values: &[Given],
        change: Option<ChangeHash>,
        state: Option<State>,
        is_dry: bool,
    ) -> CommandResult {
        let out = session.output;
        let Some(choice) = self.record().map(|record| record.choice) else { return Ok(()) };
        if out.json {
            let content = json!({
                "document": words::document(self.reviewed), "decision": self.id.to_string(), "choice": choice.as_str(),
                "conflict": self.conflict.map(|(id, _)| id.to_string()), "state": state.map(State::as_str),
                "writes": values.iter().map(Given::json).collect::<Vec<_>>(),
                "change": change.map(|change| change.to_string()), "dry_run": is_dry,
            });
            return out.json("decision", content);
        }
        let undo = format!("`{} undo {}` takes it back", session.comity, self.short());
        // What is dismissed is dismissed: that need not be said twice.
        let news = state.filter(|state| state.as_str() != choice.as_str());
        let news = news.map(|state| format!("; the conflict is {state}")).unwrap_or_default();
        let choice = words::choice(choice);
        if is_dry {
            for given in values.iter().take(WRITES_MAX) {
                out.line(given.in_words())?;
            }
            if values.len() > WRITES_MAX {
                out.note(format_args!("… and {} more; --json lists all", values.len() - WRITES_MAX));
            }
            let what = if values.is_empty() { "no value would change" } else { "nothing was written" };
            out.note(format_args!("{choice}: {what} {FAINT}(--dry-run){FAINT:#}"));
            return Ok(());
        }
        let what = match values {
            [] => choice.to_owned(),
            [one] => format!("{} = {}: {choice}", one_line(&one.place, words::SUBJECT_MAX), one.shown()),
            several => format!("{} values: {choice}", several.len()),
        };
        out.done(format_args!("{what}, one change{news}"));
        out.note(format_args!("{FAINT}{undo}{FAINT:#}"));
        Ok(())
    }

    /// Gives enough of the id to find it again.
    fn short(&self) -> String {
        let others = self.reviewed.review.decisions().map(ToString::to_string);
        Shorts::of(others.chain([self.id.to_string()])).short(&self.id)
    }
}

/// One value that a decision writes.
struct Given {
    place: String,
    now: Option<Value>,
    value: Value,
}

impl Given {
    fn json(&self) -> Json {
        json!({
            "place": self.place, "value": values::to_json(&self.value), "before": self.now.as_ref().map(values::to_json),
        })
    }

    fn shown(&self) -> String {
        values::shown(&self.value, VALUE_MAX)
    }

    fn in_words(&self) -> String {
        let place = one_line(&self.place, words::SUBJECT_MAX);
        match &self.now {
            Some(now) if *now == self.value => format!("{place} = {}  {FAINT}as it is shown{FAINT:#}", self.shown()),
            Some(now) => {
                format!("{place} = {}  {FAINT}instead of {}{FAINT:#}", self.shown(), values::shown(now, VALUE_MAX))
            }
            None => format!("{place} = {}  {FAINT}new{FAINT:#}", self.shown()),
        }
    }
}
