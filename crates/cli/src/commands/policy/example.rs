//! `policy example`: the policies that are shipped.

use clap::Args;
use comity_review::Policy;
use serde_json::{Value as Json, json};

use super::given;
use crate::error::CommandResult;
use crate::output::{Table, one_line};
use crate::session::Session;

/// List the policies that are shipped, or print one
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity policy example
  comity policy example audits > audits.toml
  comity policy example audits harvests > west.toml    together they are one policy")]
pub struct Example {
    /// Which ones [default: list all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

impl Example {
    pub fn run(self, session: &Session) -> CommandResult {
        let chosen: Vec<(&str, &str)> = match self.names.as_slice() {
            [] => Policy::examples().to_vec(),
            names => names.iter().map(|name| given::example(name)).collect::<CommandResult<_>>()?,
        };
        if session.output.json {
            let row = |(name, text): &(&str, &str)| json!({ "name": name, "kinds": kinds(text), "text": text });
            let rows: Vec<Json> = chosen.iter().map(row).collect();
            return session.output.json("policy-example", json!({ "examples": rows }));
        }
        if self.names.is_empty() {
            let mut table = Table::new(&["name", "kinds", "about"]);
            for (name, text) in chosen {
                let about = text.lines().next().unwrap_or_default().trim_start_matches("# ");
                table.row([name.to_owned(), kinds(text).join(", "), one_line(about, 70)]);
            }
            session.output.print(table)?;
            session.output.note("`comity policy example NAME` prints one");
            return Ok(());
        }
        let texts: Vec<&str> = chosen.iter().map(|(_, text)| *text).collect();
        session.output.print(texts.join("\n"))
    }
}

fn kinds(text: &str) -> Vec<String> {
    let policy = Policy::parse(text);
    policy.map(|policy| policy.kinds().map(|(name, _)| name.to_string()).collect()).unwrap_or_default()
}
