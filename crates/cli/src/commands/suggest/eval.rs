//! `suggest eval`: the decisions made here, each predicted from those before it.

use std::collections::BTreeSet;

use clap::Args;
use comity_model::SpaceId;
use comity_node::Node;
use comity_review::suggest::{ACTS_MIN, Evaluation, Model};
use serde_json::{Value as Json, json};

use super::learned::{self, Scope};
use crate::error::CommandResult;
use crate::names::{self, Sort, Who};
use crate::output::{FAINT, STRONG, Table, count, one_line};
use crate::review::{self, Reviewed};
use crate::session::{Need, Session};

/// Longest title, in characters.
const TITLE_MAX: usize = 60;

/// Measure suggestions on the decisions made here: each is predicted from those before it, then learned
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity suggest eval
  comity suggest eval --space 'Solar park'
  comity suggest eval 'Roof 7' --json | jq '.evaluations[0].has_skill'

The score is Brier's: 0 is perfect, 0.25 is a coin. The base rate, against which it is held, knows only
how often the value that is shown was kept. The interval holds at every moment at once, so it may be
looked at after every decision. Decisions made after reading a suggestion are not counted; all that one
change decides is one trial. There is skill once 30 were counted, the whole interval is above zero, and
the last 50 were not worse than the base rate. Until then nothing is suggested.
Without an argument each space here is measured, and each document that is in none.")]
pub struct Eval {
    /// Only the decisions in this document: title, id, or the beginning of an id
    #[arg(value_name = "DOC", conflicts_with = "space")]
    document: Option<String>,
    /// Only the decisions in this space: title or id
    #[arg(long)]
    space: Option<String>,
}

/// One measurement.
struct Measured {
    scope: Scope,
    title: String,
    documents: usize,
    /// Changes that decided something that can be learned from.
    acts: usize,
    evaluation: Evaluation,
}

impl Eval {
    pub fn run(self, session: &Session) -> CommandResult {
        session.run(Need::Documents, |node| async move {
            let who = Who::new(&node, &session.config);
            let all = review::read(&node, self.document.as_deref()).await?;
            let documents: Vec<&Reviewed> = all.iter().filter(|reviewed| !reviewed.known.is_space()).collect();
            let mut measured = Vec::new();
            for scope in self.scopes(&node, &documents).await? {
                let documents: Vec<&Reviewed> = documents.iter().copied().filter(|one| scope.has(one)).collect();
                measured.push(measure(&node, scope, &documents, &who).await?);
            }
            if self.document.is_none() && self.space.is_none() {
                // A document in no space of which nobody decided anything is no news.
                measured.retain(|one| one.acts > 0 || matches!(one.scope, Scope::Space(_)));
            }
            if session.output.json {
                let evaluations: Vec<Json> = measured.iter().map(Measured::json).collect();
                return session.output.json("suggest-eval", json!({ "evaluations": evaluations }));
            }
            if measured.is_empty() {
                session.output.note("no decisions here yet: there is nothing to learn from, and nothing is suggested");
            }
            let texts: Vec<String> = measured.iter().map(Measured::text).collect();
            session.output.print(texts.join("\n"))
        })
    }

    async fn scopes(&self, node: &Node, documents: &[&Reviewed]) -> CommandResult<BTreeSet<Scope>> {
        if let Some(space) = &self.space {
            let id = names::find(node, space, Sort::Space).await?;
            return Ok([Scope::Space(SpaceId::new(id))].into());
        }
        let scope = |reviewed: &&Reviewed| match self.document {
            Some(_) => Scope::Document(reviewed.known.id),
            None => Scope::of(reviewed),
        };
        Ok(documents.iter().map(scope).collect())
    }
}

async fn measure(node: &Node, scope: Scope, documents: &[&Reviewed], who: &Who) -> CommandResult<Measured> {
    let acts = learned::acts(node, documents, who).await?;
    let title = match scope {
        Scope::Document(_) => documents.first().map(|reviewed| reviewed.label()).unwrap_or_default(),
        Scope::Space(space) => {
            let title = node.document(space.document()).read(|view| view.title()).await?;
            one_line(&title.unwrap_or_else(|| space.to_string()), TITLE_MAX)
        }
    };
    let number = acts.len();
    Ok(Measured { scope, title, documents: documents.len(), acts: number, evaluation: Model::of(acts).evaluation() })
}

impl Measured {
    /// Says in plain words whether suggestions are any good.
    fn verdict(&self) -> String {
        let acts = self.evaluation.acts;
        match acts {
            0 => "No decision to learn from yet, so nothing is suggested.".to_owned(),
            1..ACTS_MIN => format!(
                "Too early to tell: {acts} of the {ACTS_MIN} decisions that it takes. Nothing is suggested."
            ),
            _ if self.evaluation.has_skill => {
                "Skill: reliably better than the base rate. Suggestions are made where one value is likely enough.".to_owned()
            }
            _ => "No skill shown: not reliably better than saying how often the shown value is kept. Nothing is suggested.".to_owned(),
        }
    }

    fn text(&self) -> String {
        let Evaluation { acts, cases, neither, passed_over, brier, base_brier, .. } = &self.evaluation;
        let documents = count(self.documents, "document", "documents");
        let mut text = format!("{STRONG}{}{STRONG:#}  {FAINT}{documents}{FAINT:#}\n{}\n", self.title, self.verdict());
        let mut row = |name: &str, what: String| text.push_str(&format!("  {name:<12}{what}\n"));
        if *acts == 0 {
            if *passed_over > 0 {
                row(
                    "passed over",
                    format!("{passed_over} cases: decided after reading a suggestion, or nothing to choose"),
                );
            }
            return text;
        }
        row("decisions", format!("{acts} ({})", number(*cases, "value", "values")));
        if *neither > 0 {
            row(
                "neither",
                format!("{} decided for none of the values there, and not scored", number(*neither, "was", "were")),
            );
        }
        if *passed_over > 0 {
            row("passed over", format!("{passed_over}: decided after reading a suggestion, or nothing to choose"));
        }
        let difference = &self.evaluation.difference;
        row("score", format!("{brier:.4}"));
        row("base rate", format!("{base_brier:.4}"));
        row("better by", format!("{:+.4}  (95 %: {:+.4} to {:+.4})", difference.mean, difference.low, difference.high));
        row("lately", format!("{:+.4} over the last 50", self.evaluation.recent));
        let (suggested, right) = (self.evaluation.suggested, self.evaluation.suggested_right);
        row("coverage", format!("{suggested} of {cases} would have had a suggestion; {right} of these were right"));
        text.push_str(&format!("{}", self.calibration()));
        text
    }

    fn calibration(&self) -> Table {
        let mut table = Table::new(&["  confidence", "cases", "mean", "right"]);
        for bin in self.evaluation.calibration.iter().filter(|bin| bin.cases > 0) {
            table.row([
                format!("  {:.1} to {:.1}", bin.from, bin.to),
                bin.cases.to_string(),
                format!("{:.2}", bin.confidence),
                format!("{:.2}", bin.right),
            ]);
        }
        table
    }

    fn json(&self) -> Json {
        let Evaluation { acts, cases, neither, passed_over, brier, base_brier, difference, .. } = &self.evaluation;
        let (space, document) = match self.scope {
            Scope::Space(space) => (Some(space.to_string()), None),
            Scope::Document(id) => (None, Some(id.to_string())),
        };
        let scored = |value: f64| (*acts > 0 && value.is_finite()).then_some(value);
        let bins = self.evaluation.calibration.iter().map(|bin| {
            json!({
                "from": bin.from, "to": bin.to, "cases": bin.cases, "confidence": bin.confidence, "right": bin.right,
            })
        });
        json!({
            "space": space, "document": document, "title": self.title, "documents": self.documents,
            "verdict": self.verdict(), "has_skill": self.evaluation.has_skill,
            "acts": acts, "acts_needed": ACTS_MIN, "cases": cases, "neither": neither, "passed_over": passed_over,
            "brier": scored(*brier), "base_brier": scored(*base_brier),
            "better_by": scored(difference.mean), "low": scored(difference.low), "high": scored(difference.high),
            "recent": scored(self.evaluation.recent),
            "suggested": self.evaluation.suggested, "suggested_right": self.evaluation.suggested_right,
            "calibration": bins.collect::<Vec<_>>(),
        })
    }
}

fn number(number: u32, one: &str, many: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), one, many)
}
