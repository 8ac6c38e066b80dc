//! `policy explain`: a policy in plain words.

use std::path::Path;

use clap::Args;
use comity_model::KindName;
use comity_review::Policy;
use comity_review::policy::Explanation;
use serde_json::{Value as Json, json};

use super::{find, given, in_force, none_in_force, short, warn_of_others};
use crate::error::{CommandError, CommandResult, Kind};
use crate::output::{STRONG, one_line};
use crate::session::{Need, Session};

/// Say in plain words what a policy does
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity policy explain 'Solar park West'
  comity policy explain audits.toml --kind audit
  comity policy example audits | comity policy explain -

What names a file that is here is taken for it; everything else for a space.")]
pub struct Explain {
    /// A space (title or id), a file, or `-` for what comes in
    #[arg(value_name = "SPACE|FILE")]
    what: String,
    /// Only this kind of documents
    #[arg(long)]
    kind: Option<String>,
}

impl Explain {
    pub fn run(self, session: &Session) -> CommandResult {
        let is_file = self.what == "-" || Path::new(&self.what).is_file();
        if is_file {
            let source = given::file(Path::new(&self.what))?;
            return self.explain(session, &source.policy);
        }
        session.run(Need::Documents, |node| async move {
            let space = find(&node, &self.what).await.map_err(|error| {
                error.hint("it is no file either: a relative name is looked up in the current folder")
            })?;
            let carried = node.policies(space).await?;
            warn_of_others(session.output, &carried);
            match in_force(&carried) {
                Some(policy) => self.explain(session, policy),
                None => Err(none_in_force(&carried)),
            }
        })
    }

    fn explain(&self, session: &Session, policy: &Policy) -> CommandResult {
        if let Some(kind) = &self.kind {
            let known = KindName::new(kind).is_ok_and(|kind| policy.kind(&kind).is_some());
            if !known {
                let names: Vec<&str> = policy.kinds().map(|(name, _)| name.as_str()).collect();
                let what = format!("the policy says nothing about kind {:?}", one_line(kind, 60));
                return Err(CommandError::new(Kind::NotFound, what)
                    .hint("what it says nothing about, a person decides")
                    .hint(format!("it speaks of: {}", names.join(", "))));
            }
        }
        let mut all = policy.explain();
        all.retain(|part| self.kind.as_ref().is_none_or(|kind| part.kind.as_str() == kind));
        if session.output.json {
            let part = |part: &Explanation| {
                let field = part.field.as_ref().map(|field| field.as_str());
                json!({ "kind": part.kind.as_str(), "field": field, "lines": part.lines })
            };
            let parts: Vec<Json> = all.iter().map(part).collect();
            let content = json!({ "policy": short(policy), "epoch": policy.epoch(), "parts": parts });
            return session.output.json("policy-explain", content);
        }
        if all.is_empty() {
            session.output.note("the policy says nothing: a person decides everything");
        }
        for part in &all {
            let field = part.field.as_ref().map(|field| format!(", {field}")).unwrap_or_default();
            session.output.line(format_args!("{STRONG}{}{field}{STRONG:#}", part.kind))?;
            part.lines.iter().try_for_each(|line| session.output.line(format_args!("  {line}")))?;
        }
        Ok(())
    }
}
