//! Policies of spaces: `policy check|set|show|explain|example|simulate`.

mod example;
mod explain;
mod given;
mod replay;
mod simulate;

use clap::{Args, Subcommand};
use comity_model::SpaceId;
use comity_node::{CarriedPolicy, Node, PolicyStanding, SetPolicyError};
use comity_review::{KindPolicy, Policy as Rules};
use serde_json::{Value as Json, json};

use self::given::{Given, Source};
use crate::error::{CommandError, CommandResult, Kind};
use crate::names::{self, Sort};
use crate::output::{ALERT, FAINT, Output, Table, count, one_line};
use crate::session::{Need, Session};

/// Policies: which conflicts a rule may settle, and which need a person
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  comity policy example audits > audits.toml     begin with one that is shipped
  comity policy check audits.toml                what is wrong with it, by line and column
  comity policy explain audits.toml              in plain words
  comity policy simulate 'Roof 7' audits.toml    what it would change, over what really happened
  comity policy set 'Solar park West' audits.toml

A space carries its policy, so every device applies the same. Policies never write: they say which value
is shown until somebody decides. Without one, a person decides everything.")]
pub enum Policy {
    Check(Check),
    Set(Set),
    Show(Show),
    Explain(explain::Explain),
    Example(example::Example),
    Simulate(simulate::Simulate),
}

impl Policy {
    pub fn run(self, session: &Session) -> CommandResult {
        match self {
            Self::Check(command) => command.run(session),
            Self::Set(command) => command.run(session),
            Self::Show(command) => command.run(session),
            Self::Explain(command) => command.run(session),
            Self::Example(command) => command.run(session),
            Self::Simulate(command) => command.run(session),
        }
    }
}

/// Check a policy: what is wrong with it, by line and column, or what is in it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity policy check audits.toml
  comity policy check - < audits.toml
  comity policy check audits.toml --json | jq -r .hash")]
pub struct Check {
    #[command(flatten)]
    given: Given,
}

impl Check {
    fn run(self, session: &Session) -> CommandResult {
        let Source { name, policy, .. } = self.given.read(1)?;
        if session.output.json {
            return session.output.json("policy-check", summary_json(&policy));
        }
        session.output.done(format_args!("{} is a policy", one_line(&name, 80)));
        session.output.print(summary(&policy))
    }
}

/// Put a policy into force in a space
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity policy set 'Solar park West' audits.toml
  comity policy set 'Solar park West' --example audits --example harvests

A policy has an epoch, `epoch = 2` at its top, 1 unless it says so; it must be greater than that of the
one in force. Shipped examples take the next one. Others follow when they hear of it (`comity sync`).")]
pub struct Set {
    /// The space: title or id
    #[arg(value_name = "SPACE")]
    space: String,
    #[command(flatten)]
    given: Given,
}

impl Set {
    fn run(self, session: &Session) -> CommandResult {
        // What is wrong with it is said before anything is opened.
        let mut source = self.given.read(1)?;
        session.run(Need::Documents, |node| async move {
            let space = find(&node, &self.space).await?;
            let carried = node.policies(space).await?;
            if let (Some(now), true) = (in_force(&carried), self.given.is_shipped()) {
                source = self.given.read(now.epoch())?;
                if source.policy.hash() != now.hash() {
                    source = self.given.read(now.epoch().saturating_add(1))?;
                }
            }
            let set = node.set_policy(space, &source.text).await.map_err(cannot_set)?;
            warn_of_others(session.output, &carried);
            if session.output.json {
                let content = json!({
                    "space": space.to_string(), "policy": short(&set.policy), "hash": hash(&set.policy),
                    "epoch": set.policy.epoch(), "change": set.change.map(|change| change.to_string()),
                });
                return session.output.json("policy-set", content);
            }
            let (name, epoch) = (short(&set.policy), set.policy.epoch());
            session.output.done(match set.change {
                Some(_) => format!("policy {name}, epoch {epoch}, is in force"),
                None => format!("policy {name}, epoch {epoch}, was in force already"),
            });
            Ok(())
        })
    }
}

/// Print the policy that is in force in a space
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity policy show 'Solar park West'
  comity policy show 'Solar park West' --quiet > now.toml
  comity policy show 'Solar park West' --all       those before it, and those that cannot be read here")]
pub struct Show {
    /// The space: title or id
    #[arg(value_name = "SPACE")]
    space: String,
    /// List every policy that the space carries
    #[arg(long)]
    all: bool,
}

impl Show {
    fn run(self, session: &Session) -> CommandResult {
        session.run(Need::Documents, |node| async move {
            let out = session.output;
            let space = find(&node, &self.space).await?;
            let carried = node.policies(space).await?;
            if !self.all && in_force(&carried).is_none() {
                return Err(none_in_force(&carried));
            }
            warn_of_others(out, &carried);
            if out.json {
                let policies: Vec<Json> = carried.iter().map(carried_json).collect();
                return out.json("policy-show", json!({ "space": space.to_string(), "policies": policies }));
            }
            if self.all {
                let mut table = Table::new(&["policy", "epoch", "standing"]);
                for one in &carried {
                    let epoch = one.epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string());
                    table.row([one_line(&one.name, 40), epoch, standing(one)]);
                }
                if table.is_empty() {
                    out.note("the space has no policy: a person decides everything");
                    return Ok(());
                }
                return out.print(table);
            }
            let Some(one) = carried.iter().find(|one| one.standing == PolicyStanding::InForce) else { return Ok(()) };
            out.print(plain(&one.text))?;
            out.note(format_args!("policy {}, epoch {}", one.name, one.epoch.unwrap_or_default()));
            let others = carried.len() - 1;
            if others > 0 {
                out.note(format_args!("{} there; --all lists them", count(others, "other is", "others are")));
            }
            Ok(())
        })
    }
}

async fn find(node: &Node, name: &str) -> CommandResult<SpaceId> {
    Ok(SpaceId::new(names::find(node, name, Sort::Space).await?))
}

fn in_force(carried: &[CarriedPolicy]) -> Option<&Rules> {
    let in_force = carried.iter().find(|one| one.standing == PolicyStanding::InForce);
    in_force.and_then(|one| one.policy.as_ref())
}

fn none_in_force(carried: &[CarriedPolicy]) -> CommandError {
    let error = CommandError::new(Kind::Missing, "no policy is in force in this space: a person decides everything")
        .hint(
            "`comity policy set SPACE --example NAME` sets one; `comity policy example` lists those that are shipped",
        );
    if carried.is_empty() { error } else { error.hint("`comity policy show SPACE --all` lists those that are not") }
}

fn cannot_set(error: SetPolicyError) -> CommandError {
    match error {
        SetPolicyError::Node(error) => error.into(),
        SetPolicyError::Policy(error) => given::wrong("the policy", &error),
        SetPolicyError::NotNewer { in_force, .. } => CommandError::new(Kind::NotAllowed, &error)
            .hint(format!("write `epoch = {}` at the top of the policy", in_force.saturating_add(1)))
            .hint("`comity policy show SPACE` prints the one in force"),
        error => CommandError::new(Kind::Missing, error).hint("`comity sync RELAY --once` fetches it"),
    }
}

/// Says what other releases may apply, and this one cannot.
fn warn_of_others(output: Output, carried: &[CarriedPolicy]) {
    let now = in_force(carried).map(Rules::epoch);
    for one in carried {
        let PolicyStanding::Unreadable { why } = &one.standing else { continue };
        let epoch = one.epoch.map_or_else(|| "without an epoch".to_owned(), |epoch| format!("of epoch {epoch}"));
        if one.epoch >= now {
            let (name, why) = (one_line(&one.name, 40), one_line(why, 160));
            output.warn(format_args!(
                "policy {name} {epoch} cannot be read here, so other releases may apply another than this one: {why}"
            ));
        }
    }
}

fn standing(one: &CarriedPolicy) -> String {
    match &one.standing {
        PolicyStanding::InForce => "in force".to_owned(),
        PolicyStanding::Replaced => format!("{FAINT}replaced{FAINT:#}"),
        PolicyStanding::Removed => format!("{FAINT}removed{FAINT:#}"),
        PolicyStanding::Unreadable { why } => format!("{ALERT}cannot be read{ALERT:#}: {}", one_line(why, 100)),
        _ => "unknown".to_owned(),
    }
}

fn carried_json(one: &CarriedPolicy) -> Json {
    let (word, why) = match &one.standing {
        PolicyStanding::InForce => ("in-force", None),
        PolicyStanding::Replaced => ("replaced", None),
        PolicyStanding::Removed => ("removed", None),
        PolicyStanding::Unreadable { why } => ("unreadable", Some(why)),
        _ => ("unknown", None),
    };
    json!({ "policy": one.name, "epoch": one.epoch, "standing": word, "why": why, "text": one.text })
}

/// Gives a text of others as it stands, without what could move the cursor of a terminal.
fn plain(text: &str) -> String {
    let mut plain: String =
        text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '·' } else { c }).collect();
    if !plain.ends_with('\n') {
        plain.push('\n');
    }
    plain
}

fn short(policy: &Rules) -> String {
    hex(&policy.short_hash())
}

fn hash(policy: &Rules) -> String {
    hex(&policy.hash())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn summary(policy: &Rules) -> String {
    let mut text = format!("policy {}, epoch {}\n", short(policy), policy.epoch());
    let mut table = Table::new(&["kind", "default", "fields", "groups", "invariants"]);
    for (name, kind) in policy.kinds() {
        let numbers = [kind.fields.len(), kind.groups.len(), kind.invariants.len()].map(|number| number.to_string());
        let [fields, groups, invariants] = numbers;
        table.row([name.to_string(), rules(kind).join(", "), fields, groups, invariants]);
    }
    if !table.is_empty() {
        text.push_str(&table.to_string());
    }
    text
}

fn rules(kind: &KindPolicy) -> Vec<&'static str> {
    kind.default.iter().map(|rule| rule.as_str()).collect()
}

fn summary_json(policy: &Rules) -> Json {
    let kinds = policy.kinds().map(|(name, kind)| {
        json!({
            "kind": name.as_str(), "default": rules(kind), "fields": kind.fields.len(), "groups": kind.groups.len(),
            "invariants": kind.invariants.len(),
        })
    });
    json!({
        "policy": short(policy), "hash": hash(policy), "epoch": policy.epoch(), "kinds": kinds.collect::<Vec<_>>(),
    })
}
