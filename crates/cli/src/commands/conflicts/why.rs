//! `conflicts why`: how a conflict was found, and what the policy says about it.

use clap::Args;
use comity_model::DeviceTag;
use comity_review::{Judgement, Outcome, Roles, judge};
use serde_json::{Value as Json, json};

use super::find::{self, Target};
use super::words;
use crate::error::CommandResult;
use crate::names::Who;
use crate::output::{FAINT, STRONG};
use crate::review;
use crate::session::{Need, Session};

/// Say how a conflict was found, and which rules of the policy were asked about it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity conflicts why 3f2a
  comity conflicts why 3f2a --json | jq '.judgement.steps'")]
pub struct Why {
    #[command(flatten)]
    target: Target,
}

/// Nobody has shown a role yet.
struct NoRoles;

impl Roles for NoRoles {
    fn role(&self, _: &DeviceTag) -> Option<&str> {
        None
    }
}

impl Why {
    pub fn run(self, session: &Session) -> CommandResult {
        session.run(Need::Documents, |node| async move {
            let who = Who::new(&node, &session.config);
            let found = find::conflict(&node, &self.target, &who).await?;
            let (conflict, reviewed) = (&found.conflict, found.reviewed());
            let policy = review::policy(&node, &reviewed.document).await?;
            let judgement = judge(policy.as_ref(), conflict, &NoRoles);
            let out = session.output;
            if out.json {
                let content = json!({
                    "conflict": words::json(reviewed, conflict, &found.short), "found": words::rule(conflict.kind),
                    "judgement": judgement_json(&judgement),
                });
                return out.json("why", content);
            }
            out.line(format_args!(
                "{STRONG}{}{STRONG:#}  {}  {}",
                words::subject(&conflict.subject),
                conflict.kind,
                conflict.state
            ))?;
            out.line(format_args!("found: {}", words::rule(conflict.kind)))?;
            for (i, side) in conflict.sides.iter().enumerate() {
                for write in &side.writes {
                    let change: String = write.change.to_string().chars().take(8).collect();
                    let by = who.name(write.actor());
                    let what = words::write_in_short(write, 60);
                    out.line(format_args!("  side {}  {what}  {FAINT}change {change} of {by}{FAINT:#}", i + 1))?;
                }
            }
            out.print(judged(&judgement))
        })
    }
}

fn judged(judgement: &Judgement) -> String {
    let mut text = String::from("policy:\n");
    for step in &judgement.steps {
        let verdict = if step.decided { "decides" } else { "abstains" };
        let asked = step.rule.map(|rule| format!("{rule} {verdict}: ")).unwrap_or_default();
        text.push_str(&format!("  {asked}{}\n", step.why));
    }
    let outcome = match &judgement.outcome {
        Outcome::Decided { side, rule } => format!("side {} is shown meanwhile, by {rule}", side + 1),
        Outcome::PerDevice => "each device shows its own value".to_owned(),
        Outcome::Merged => "nothing stands against anything: all writes stand side by side".to_owned(),
        Outcome::Manual { .. } => "a person decides".to_owned(),
        _ => "this release has no words for it".to_owned(),
    };
    text.push_str(&format!("so {outcome}\n"));
    text
}

fn judgement_json(judgement: &Judgement) -> Json {
    let (outcome, side) = match &judgement.outcome {
        Outcome::Decided { side, .. } => ("decided", Some(side + 1)),
        Outcome::PerDevice => ("per-device", None),
        Outcome::Merged => ("merged", None),
        _ => ("manual", None),
    };
    let steps = judgement.steps.iter().map(
        |step| json!({ "rule": step.rule.map(|rule| rule.to_string()), "decided": step.decided, "why": step.why }),
    );
    json!({ "outcome": outcome, "side": side, "suggest": judgement.suggest, "steps": steps.collect::<Vec<_>>() })
}
