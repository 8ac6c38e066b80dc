//! `conflicts show`: three ways: what stood there, each side, what is shown now; then the decisions and how to answer.

use std::collections::BTreeSet;

use clap::Args;
use comity_model::Value;
use comity_review::{Conflict, ConflictKind, DecisionId, Place, State, Subject, Written};
use serde_json::{Value as Json, json};

use super::find::{self, Found, Target};
use super::words;
use crate::commands::show::when_exactly;
use crate::commands::suggest::Shown;
use crate::error::CommandResult;
use crate::names::Who;
use crate::output::{ALERT, FAINT, STRONG, one_line};
use crate::review;
use crate::session::{Need, Session};
use crate::values;

/// Longest value and reason, in characters.
const VALUE_MAX: usize = 2_000;

/// Sides, writes of a side and decisions that are shown one by one.
const SHOWN_MAX: usize = 20;

/// Show a conflict: what stood there, who wrote what, what they had seen, and how to answer
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity conflicts show 3f2a
  comity conflicts show 3f2a --json | jq '.conflict.sides'
  comity conflicts show 3f2a --suggest          what past decisions suggest, or why they suggest nothing

Times are those of the authors' clocks, and clocks may be wrong: what an author had seen is not.
What is shown now is no verdict.")]
pub struct Show {
    #[command(flatten)]
    target: Target,
    /// Add what past decisions suggest; left out unless asked for, so that people decide by themselves
    #[arg(long)]
    suggest: bool,
}

impl Show {
    pub fn run(self, session: &Session) -> CommandResult {
        session.run(Need::Documents, |node| async move {
            let who = Who::new(&node, &session.config);
            let found = find::conflict(&node, &self.target, &who).await?;
            let shown = shown(&found).await?;
            let suggested = match self.suggest {
                true => Some(Shown::of(&node, found.reviewed(), &found.conflict, &who).await?),
                false => None,
            };
            if session.output.json {
                return say_json(session, &found, &shown, suggested.as_ref());
            }
            session.output.print(text(&found, &shown, &who))?;
            if let Some(suggested) = suggested {
                session.output.print(suggested.text(&found.short, &session.comity))?;
            }
            session.output.print(answers(session, &found))
        })
    }
}

/// Gives what is shown now in each place of a conflict.
async fn shown(found: &Found) -> CommandResult<Vec<(Place, Option<Value>)>> {
    let places: BTreeSet<Place> = found.conflict.writes().map(|write| write.place.clone()).collect();
    let shown = found.reviewed().document.read(move |view| {
        let value = |place: &Place| match place {
            Place::Field(register) => Some(view.register(register)?.winner()?.value.clone()),
            Place::About(name) => view.about(name),
            _ => None,
        };
        places.into_iter().map(|place| (place.clone(), value(&place))).collect()
    });
    Ok(shown.await?)
}

fn say_json(
    session: &Session,
    found: &Found,
    shown: &[(Place, Option<Value>)],
    suggested: Option<&Shown>,
) -> CommandResult {
    let reviewed = found.reviewed();
    let shown = shown.iter().map(|(place, value)| {
        json!({ "place": place.to_string(), "value": value.as_ref().map(values::to_json), "removed": value.is_none() })
    });
    let decisions = found.conflict.decisions.iter().flat_map(|id| decision_json(found, id));
    let content = json!({
        "heads": reviewed.heads.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "conflict": words::json(reviewed, &found.conflict, &found.short),
        "shown": shown.collect::<Vec<_>>(), "decisions": decisions.collect::<Vec<_>>(),
        "suggestion": suggested.map(Shown::json),
    });
    session.output.json("conflict", content)
}

fn decision_json(found: &Found, id: &DecisionId) -> Vec<Json> {
    let review = &found.reviewed().review;
    let superseded = !review.superseding(id).is_empty();
    let row = |(record, change, act): (&comity_review::DecisionRecord, comity_model::ChangeHash, _)| {
        let author = review.author(&change);
        let writes = record
            .writes
            .iter()
            .map(|(register, value)| json!({ "place": register.to_string(), "value": values::to_json(value) }));
        json!({
            "id": id.to_string(), "choice": record.choice.as_str(), "writes": writes.collect::<Vec<_>>(),
            "reason": record.reason, "reviewer": record.reviewer, "rule": record.rule,
            "device": author.and_then(|(actor, ..)| Who::device(actor)),
            "time": when_exactly(act, author.map_or(0, |(.., time_s)| time_s)),
            "change": change.to_string(), "superseded": superseded,
        })
    };
    review.decision(id).map(row).collect()
}

fn text(found: &Found, shown: &[(Place, Option<Value>)], who: &Who) -> String {
    let (conflict, reviewed) = (&found.conflict, found.reviewed());
    let mut text = format!(
        "{STRONG}{}{STRONG:#}  {}  {ALERT}{}{ALERT:#}\n{FAINT}{}, {}, {} in {}{FAINT:#}\n",
        words::subject(&conflict.subject),
        conflict.kind,
        conflict.state,
        conflict.id,
        words::state(conflict.state),
        one_line(reviewed.known.kind.as_deref().unwrap_or("no kind"), 60),
        reviewed.label(),
    );
    if let Some(before) = conflict.reopens {
        text.push_str(&format!("{FAINT}what answered {before} had not seen all of this{FAINT:#}\n"));
    }
    let several = shown.len() > 1;
    let label = |place: &Place| if several { format!("{}: ", place_in_short(place)) } else { String::new() };
    for (i, base) in conflict.base.iter().enumerate() {
        let head = if i == 0 { "before" } else { "" };
        text.push_str(&row(head, &format!("{}{}", label(&base.place), seen(&base.values)), ""));
    }
    let mut is_first = true;
    for (place, value) in shown.iter().filter(|(_, value)| value.is_some()) {
        let head = if std::mem::take(&mut is_first) { "shown now" } else { "" };
        text.push_str(&row(head, &format!("{}{}", label(place), words::value(value.as_ref(), VALUE_MAX)), ""));
    }
    for (i, side) in conflict.sides.iter().take(SHOWN_MAX).enumerate() {
        for (j, write) in side.writes.iter().take(SHOWN_MAX).enumerate() {
            let head = if j == 0 { format!("side {}", i + 1) } else { String::new() };
            text.push_str(&written(&head, conflict, write, several, who));
        }
        text.push_str(&more(side.writes.len(), "more write", "more writes"));
    }
    text.push_str(&more(conflict.sides.len(), "more side", "more sides"));
    for id in conflict.decisions.iter().take(SHOWN_MAX) {
        text.push_str(&decision(found, id, who));
    }
    text.push_str(&more(conflict.decisions.len(), "more decision", "more decisions"));
    text
}

fn more(number: usize, one: &str, many: &str) -> String {
    match number.saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        left => format!("{FAINT}… and {}; --json has all{FAINT:#}\n", crate::output::count(left, one, many)),
    }
}

fn row(head: &str, what: &str, note: &str) -> String {
    let gap = if note.is_empty() { "" } else { "  " };
    format!("  {head:<9}  {what}{FAINT}{gap}{note}{FAINT:#}\n")
}

fn detail(text: &str) -> String {
    format!("             {FAINT}{text}{FAINT:#}\n")
}

fn place_in_short(place: &Place) -> String {
    match place {
        Place::Field(register) => one_line(&register.to_string(), words::SUBJECT_MAX),
        other => one_line(&other.to_string(), words::SUBJECT_MAX),
    }
}

fn seen(values: &[Option<Value>]) -> String {
    match values {
        [] => "nothing".to_owned(),
        values => {
            let values: Vec<String> = values.iter().map(|value| words::value(value.as_ref(), VALUE_MAX)).collect();
            values.join(", ")
        }
    }
}

fn written(head: &str, conflict: &Conflict, write: &Written, several: bool, who: &Who) -> String {
    let what = match &conflict.subject {
        Subject::Entries(_) => {
            format!("{} = {}", place_in_short(&write.place), words::value(write.value.as_ref(), VALUE_MAX))
        }
        _ if several => words::write_in_short(write, VALUE_MAX),
        _ => words::value(write.value.as_ref(), VALUE_MAX),
    };
    let mut text = row(head, &what, "");
    text.push_str(&detail(&review::by(who, write.actor(), write.act, write.time_s)));
    text.push_str(&detail(&format!("had seen: {}", seen(&write.seen))));
    if let Some(remark) = &write.remark {
        text.push_str(&detail(&format!("remark: {}", one_line(remark, VALUE_MAX))));
    }
    text
}

fn decision(found: &Found, id: &DecisionId, who: &Who) -> String {
    let review = &found.reviewed().review;
    let mut text = String::new();
    for (record, change, act) in review.decision(id).take(SHOWN_MAX) {
        let mut what = words::choice(record.choice).to_owned();
        if let Some((register, value)) = record.writes.first() {
            let more =
                if record.writes.len() > 1 { format!(" and {} more", record.writes.len() - 1) } else { String::new() };
            what.push_str(&format!(": {} = {}{more}", register.field, values::shown(value, VALUE_MAX)));
        }
        let mark = if review.superseding(id).is_empty() { "" } else { ", superseded" };
        text.push_str(&row("decision", &what, &format!("{}{mark}", found.short_decision(id))));
        let by = review.author(&change).map(|(actor, _, time_s)| review::by(who, actor, act, time_s));
        let reviewer = record.reviewer.as_ref().map(|name| format!("{} on ", one_line(name, 60))).unwrap_or_default();
        text.push_str(&detail(&format!("{reviewer}{}", by.unwrap_or_default())));
        if let Some(reason) = &record.reason {
            text.push_str(&detail(&format!("because: {}", one_line(reason, VALUE_MAX))));
        }
    }
    text
}

/// Says what can be typed next.
fn answers(session: &Session, found: &Found) -> String {
    let (conflict, name) = (&found.conflict, found.name());
    let mut words: Vec<String> = Vec::new();
    let mut can = |word: &str, rest: &str| words.push(format!("  {} conflicts {word} {name}{rest}", session.comity));
    if !found.reviewed().known.is_comity {
        return format!("{FAINT}the document belongs to another application: correct it there{FAINT:#}\n");
    }
    match conflict.state {
        State::Agreed => {}
        State::Dismissed => can("reopen", ""),
        State::NeedsSecondReviewer => can("approve", ""),
        State::Resolved => {
            let standing = conflict.decisions.iter().filter(|id| found.reviewed().review.superseding(id).is_empty());
            let undo = standing.map(|id| format!("  {} undo {}", session.comity, found.short_decision(id)));
            words.extend(undo.take(SHOWN_MAX));
        }
        _ => answers_to_open(conflict, &mut can),
    }
    if words.is_empty() {
        return String::new();
    }
    format!("{FAINT}to answer (-m WHY says why):{FAINT:#}\n{}\n", words.join("\n"))
}

fn answers_to_open(conflict: &Conflict, can: &mut impl FnMut(&str, &str)) {
    let sides = conflict.sides.len();
    let accept =
        if sides > 1 { format!(" --accept 1   (or 2{})", if sides > 2 { ", …" } else { "" }) } else { String::new() };
    match conflict.kind {
        ConflictKind::Duplicate => can("link", ""),
        ConflictKind::Invariant => {}
        ConflictKind::StaleDecision => {
            can("resolve", " --keep current");
            can("resolve", " --value VALUE");
        }
        kind => {
            can("resolve", " --keep current");
            can("resolve", &accept);
            match kind {
                ConflictKind::FieldGroup => can("resolve", " --field FIELD=VALUE"),
                ConflictKind::DeleteAgainstUpdate => {}
                _ => can("resolve", " --value VALUE"),
            }
        }
    }
    if matches!(conflict.kind, ConflictKind::Invariant | ConflictKind::StaleDecision | ConflictKind::ImplicitResolution)
    {
        can("confirm", "");
    }
    can("dismiss", "");
}
