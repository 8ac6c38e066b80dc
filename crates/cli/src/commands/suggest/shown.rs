//! What is suggested about one conflict, for `conflicts show --suggest`.

use clap::ValueEnum;
use comity_node::Node;
use comity_review::suggest::{Model, Suggestion};
use comity_review::{Conflict, SuggestionShown};
use serde_json::{Value as Json, json};

use super::learned::{self, Known, Scope};
use crate::error::CommandResult;
use crate::names::Who;
use crate::output::{FAINT, STRONG};
use crate::review::{self, Reviewed};
use crate::values;

/// Longest value, in characters.
const VALUE_MAX: usize = 200;

/// When somebody read a suggestion about what they decide. Learning and measuring leave out what was read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Read {
    /// Before choosing
    Before,
    /// After choosing
    After,
}

impl Read {
    /// Gives what the record of the decision says.
    pub const fn noted(self) -> SuggestionShown {
        match self {
            Self::Before => SuggestionShown::Before,
            Self::After => SuggestionShown::After,
        }
    }
}

/// A suggestion, or why there is none.
pub enum Shown {
    /// One.
    Suggestion(Box<Suggestion>),
    /// None, in words.
    Silent(String),
}

impl Shown {
    /// Learns from the decisions of the document's space (its own alone when it is in none) and asks about a conflict.
    pub async fn of(node: &Node, reviewed: &Reviewed, conflict: &Conflict, who: &Who) -> CommandResult<Self> {
        if !conflict.state.is_open() {
            return Ok(Self::Silent(format!("there is nothing to suggest: it is {}", conflict.state)));
        }
        let Some(case) = Known::of(node, reviewed, who).await?.case(conflict) else {
            return Ok(Self::Silent(format!(
                "suggestions choose between values of one field, and this is {}",
                conflict.kind
            )));
        };
        let all = review::read(node, None).await?;
        let scope = Scope::of(reviewed);
        let documents: Vec<&Reviewed> = all.iter().filter(|one| scope.has(one)).collect();
        let model = Model::of(learned::acts(node, &documents, who).await?);
        Ok(match model.suggest(&case) {
            Ok(suggestion) => Self::Suggestion(Box::new(suggestion)),
            Err(abstention) => Self::Silent(abstention.to_string()),
        })
    }

    /// Gives the block for a person.
    pub fn text(&self, short: &str, comity: &str) -> String {
        let suggestion = match self {
            Self::Silent(why) => return format!("  suggested  nothing: {why}\n"),
            Self::Suggestion(suggestion) => suggestion,
        };
        let value = suggestion.value.as_ref();
        let value = value.map_or_else(|| "(removed)".to_owned(), |value| values::shown(value, VALUE_MAX));
        let (side, percent) = (suggestion.candidate + 1, suggestion.confidence * 100.0);
        let mut text =
            format!("  suggested  {STRONG}{value}{STRONG:#} {FAINT}(side {side}, {percent:.0} % sure){FAINT:#}\n");
        for term in &suggestion.terms {
            let sign = if term.log_odds > 0.0 { "for" } else { "against" };
            text.push_str(&format!("             {FAINT}{sign}: {} ({:+.2}){FAINT:#}\n", term.words, term.log_odds));
        }
        for flip in &suggestion.flips {
            text.push_str(&format!("             {FAINT}{}{FAINT:#}\n", flip.words));
        }
        text.push_str(&format!(
            "             {FAINT}it decides nothing; who answers after reading it says so: {comity} conflicts resolve \
             {short} … --suggestion-shown before{FAINT:#}\n"
        ));
        text
    }

    /// Gives it for programs.
    pub fn json(&self) -> Json {
        let suggestion = match self {
            Self::Silent(why) => return json!({ "made": false, "why": why }),
            Self::Suggestion(suggestion) => suggestion,
        };
        let terms = suggestion.terms.iter().map(|term| {
            json!({
                "feature": term.feature.as_str(), "words": term.words, "cases": term.cases, "log_odds": term.log_odds,
            })
        });
        let flips = suggestion
            .flips
            .iter()
            .map(|flip| json!({ "words": flip.words, "becomes": flip.becomes.map(|candidate| candidate + 1) }));
        json!({
            "made": true, "side": suggestion.candidate + 1, "value": suggestion.value.as_ref().map(values::to_json),
            "removed": suggestion.value.is_none(), "confidence": suggestion.confidence,
            "terms": terms.collect::<Vec<_>>(), "flips": flips.collect::<Vec<_>>(),
        })
    }
}
