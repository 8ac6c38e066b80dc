//! `policy simulate`: a policy over what really happened.

use clap::Args;
use comity_model::RegisterKey;
use comity_review::{Judgement, Outcome, Policy, Rule, Verdict};
use serde_json::{Value as Json, json};

use super::super::find_document;
use super::given::Given;
use super::replay::{Case, Replay, sort};
use super::{hash, short, warn_of_others};
use crate::error::CommandResult;
use crate::output::{FAINT, Output, STRONG, Table, one_line};
use crate::session::{Need, Session};
use crate::values;

/// Longest value in a line, in characters.
const CELL_MAX: usize = 40;

/// Rows that are printed; JSON has all.
const ROWS_MAX: usize = 200;

/// Replay the history of a document under another policy, and report what would change
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity policy simulate 'Roof 7' audits.toml
  comity policy simulate 'Roof 7' --example audits
  comity policy simulate 'Roof 7' audits.toml --json | jq '.cases[] | select(.differs)'

Looks at every conflict that is open or that people decided: what the policy in force gives, what the
other would give, and how often each gives what people decided. Nothing is written.")]
pub struct Simulate {
    /// The document: title, id, or the beginning of an id
    #[arg(value_name = "DOC")]
    document: String,
    #[command(flatten)]
    given: Given,
}

/// What one policy comes to.
struct Column<'a> {
    policy: Option<&'a Policy>,
    found: usize,
    by_rule: usize,
    by_people: usize,
    compared: usize,
    agreed: usize,
}

impl Simulate {
    pub fn run(self, session: &Session) -> CommandResult {
        let source = self.given.read(1)?;
        session.run(Need::Documents, |node| async move {
            let out = session.output;
            let document = find_document(&node, &self.document).await?;
            let (kind, space, title) = document.read(|view| (view.kind(), view.about("space"), view.title())).await?;
            if let Some(space) = space.as_ref().and_then(|space| space.as_text()?.parse().ok()) {
                let carried = node.policies(space).await?;
                warn_of_others(out, &carried);
            }
            let now = node.policy_of(&document).await?;
            let of_kind = |policy: &Policy| kind.as_ref().and_then(|kind| policy.kind(kind)).cloned();
            let (was, is) = (now.as_ref().and_then(of_kind), of_kind(&source.policy));
            if is.is_none() {
                let kind = kind.as_ref().map_or("of this document", |kind| kind.as_str());
                out.warn(format_args!("{} says nothing about kind {kind}: a person decides everything", source.name));
            }
            let asks_for_roles = [&was, &is].into_iter().flatten().any(|policy| {
                let own = policy.fields.values().flat_map(|field| field.rules.iter().flatten());
                policy.default.iter().chain(own).any(|rule| *rule == Rule::UserPriority)
            });
            let replay = document.read(move |view| Replay::of(view, was.as_ref(), is.as_ref())).await?;
            let columns = [
                Column::of(now.as_ref(), &replay.cases, |case| case.now.as_ref()),
                Column::of(Some(&source.policy), &replay.cases, |case| case.then.as_ref()),
            ];
            if out.json {
                let kind = kind.as_ref().map(|kind| kind.as_str());
                let heads: Vec<String> = replay.heads.as_slice().iter().map(ToString::to_string).collect();
                let document = json!({ "id": document.id().to_string(), "kind": kind, "heads": heads });
                return out.json("policy-simulate", report(&document, &columns, &replay));
            }
            let title = one_line(title.as_deref().unwrap_or("(no title)"), 80);
            let kind = kind.as_ref().map_or("no kind", |kind| kind.as_str());
            out.line(format_args!("{STRONG}{title}{STRONG:#} {FAINT}{kind}{FAINT:#}"))?;
            out.print(totals(&columns))?;
            print_changes(out, &replay)?;
            if asks_for_roles {
                out.note("no device has a verified role yet, so user-priority leaves its conflicts to the next rule");
            }
            Ok(())
        })
    }
}

impl<'a> Column<'a> {
    fn of(policy: Option<&'a Policy>, cases: &[Case], given: impl Fn(&Case) -> Option<&Judgement>) -> Self {
        let mut column = Self { policy, found: 0, by_rule: 0, by_people: 0, compared: 0, agreed: 0 };
        for case in cases {
            let Some(judgement) = given(case) else { continue };
            column.found += 1;
            let is_manual = matches!(judgement.outcome, Outcome::Manual { .. });
            if is_manual {
                column.by_people += 1
            } else {
                column.by_rule += 1
            };
            if let Some(agrees) = case.agrees(Some(judgement)) {
                column.compared += 1;
                column.agreed += usize::from(agrees);
            }
        }
        column
    }

    fn json(&self) -> Json {
        json!({
            "policy": self.policy.map(short), "hash": self.policy.map(hash), "epoch": self.policy.map(Policy::epoch),
            "conflicts": self.found, "by_rule": self.by_rule, "by_people": self.by_people,
            "compared": self.compared, "agreed": self.agreed,
        })
    }
}

fn totals(columns: &[Column<'_>; 2]) -> Table {
    let mut table = Table::new(&["", "in force", "the other"]);
    let mut row = |name: &str, cell: &dyn Fn(&Column<'_>) -> String| {
        table.row([name.to_owned()].into_iter().chain(columns.iter().map(cell)));
    };
    row("policy", &|column| column.policy.map_or_else(|| "none".to_owned(), short));
    row("conflicts, open or decided", &|column| column.found.to_string());
    row("  settled by a rule", &|column| column.by_rule.to_string());
    row("  left to people", &|column| column.by_people.to_string());
    row("rule gives what people decided", &|column| match column.compared {
        0 => "nothing to compare".to_owned(),
        compared => format!("{} of {compared}", column.agreed),
    });
    table
}

fn print_changes(out: Output, replay: &Replay) -> CommandResult {
    let differing: Vec<&Case> = replay.cases.iter().filter(|case| case.differs()).collect();
    if !differing.is_empty() {
        out.line(format_args!("\n{STRONG}what would change{STRONG:#}"))?;
        let mut table = Table::new(&["conflict", "about", "kind", "state", "in force", "the other", "people decided"]);
        for case in differing.iter().take(ROWS_MAX) {
            let conflict = &case.conflict;
            let id: String = conflict.id.to_string().chars().take(8).collect();
            table.row([
                id,
                one_line(&conflict.subject.to_string(), CELL_MAX),
                conflict.kind.to_string(),
                conflict.state.to_string(),
                words(case, case.now.as_ref()),
                words(case, case.then.as_ref()),
                case.decided.as_ref().map_or_else(String::new, |decided| named(&decided.writes)),
            ]);
        }
        out.print(table)?;
    }
    let same = replay.cases.len() - differing.len();
    match (differing.len(), same) {
        (0, 0) => out.note("no conflict is open and none was decided"),
        (0, _) => out.note("nothing would change"),
        (ROWS_MAX.., _) if differing.len() > ROWS_MAX => {
            out.note(format_args!("{} more are not shown; --json has all", differing.len() - ROWS_MAX));
        }
        _ => {}
    }
    let broken = |all: &[(String, Verdict)]| -> Vec<(String, String)> {
        all.iter().filter_map(|(name, verdict)| Some((name.clone(), trouble(verdict)?))).collect()
    };
    let (was, is) = (broken(&replay.now), broken(&replay.then));
    let new: Vec<_> = is.iter().filter(|one| !was.contains(one)).collect();
    if !new.is_empty() {
        out.line(format_args!("\n{STRONG}invariants of the other policy that do not hold now{STRONG:#}"))?;
    }
    for (name, why) in new {
        out.line(format_args!("{}: {}", one_line(name, CELL_MAX), one_line(why, 200)))?;
    }
    Ok(())
}

/// Says why an invariant does not hold.
fn trouble(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Broken { because, .. } => Some(because.clone()),
        Verdict::Unknown { why } => Some(format!("cannot be computed: {why}")),
        _ => None,
    }
}

/// Says what comes of a conflict.
fn words(case: &Case, judgement: Option<&Judgement>) -> String {
    let Some(judgement) = judgement else { return "no conflict".to_owned() };
    match &judgement.outcome {
        Outcome::Decided { rule, .. } => {
            let values = case.values(judgement).unwrap_or_default();
            format!("{} ({rule})", named(&values.into_iter().collect::<Vec<_>>()))
        }
        Outcome::Merged => "side by side".to_owned(),
        Outcome::PerDevice => "one for each device".to_owned(),
        _ => "a person".to_owned(),
    }
}

/// Names the values of registers; without the field when there is only one.
fn named(writes: &[(RegisterKey, comity_model::Value)]) -> String {
    match writes {
        [(_, value)] => values::shown(value, CELL_MAX),
        several => {
            let one = |(register, value): &(RegisterKey, comity_model::Value)| {
                format!("{} = {}", register.field, values::shown(value, CELL_MAX))
            };
            several.iter().map(one).collect::<Vec<_>>().join(", ")
        }
    }
}

fn report(document: &Json, [now, then]: &[Column<'_>; 2], replay: &Replay) -> Json {
    let judged = |case: &Case, judgement: Option<&Judgement>| {
        judgement.map(|one| {
            let rule = match one.outcome {
                Outcome::Decided { rule, .. } => Some(rule.as_str()),
                _ => None,
            };
            let values = case.values(one).map(|values| writes_json(&values.into_iter().collect::<Vec<_>>()));
            let why: Vec<&str> = one.steps.iter().map(|step| step.why.as_str()).collect();
            json!({ "outcome": sort(one), "rule": rule, "values": values, "why": why, "agrees": case.agrees(Some(one)) })
        })
    };
    let cases = replay.cases.iter().map(|case| {
        let conflict = &case.conflict;
        json!({
            "conflict": conflict.id.to_string(), "kind": conflict.kind.as_str(),
            "subject": conflict.subject.to_string(), "state": conflict.state.as_str(),
            "in_force": judged(case, case.now.as_ref()), "other": judged(case, case.then.as_ref()),
            "decided": case.decided.as_ref().map(|decided| writes_json(&decided.writes)), "differs": case.differs(),
        })
    });
    let cases: Vec<Json> = cases.collect();
    json!({
        "document": document, "in_force": now.json(), "other": then.json(), "cases": cases,
        "invariants": { "in_force": verdicts_json(&replay.now), "other": verdicts_json(&replay.then) },
    })
}

fn writes_json(writes: &[(RegisterKey, comity_model::Value)]) -> Json {
    let one = |(register, value): &(RegisterKey, comity_model::Value)| json!({ "entry": register.entry.as_str(), "field": register.field.as_str(), "value": values::to_json(value) });
    writes.iter().map(one).collect()
}

fn verdicts_json(verdicts: &[(String, Verdict)]) -> Json {
    let one = |(name, verdict): &(String, Verdict)| {
        let word = match verdict {
            Verdict::Holds => "holds",
            Verdict::Broken { .. } => "broken",
            _ => "unknown",
        };
        json!({ "name": name, "verdict": word, "why": trouble(verdict) })
    };
    verdicts.iter().map(one).collect()
}
