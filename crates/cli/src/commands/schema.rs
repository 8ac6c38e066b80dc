//! `schema`: what JSON looks like, for programs that check what they read.

use clap::Args;
use serde_json::{Value as Json, json};

use crate::error::{CommandError, CommandResult, Kind};
use crate::output::Table;
use crate::session::Session;

/// A kind of JSON document that Comity writes.
struct Schema {
    /// What stands in `schema` between `comity.` and the version.
    name: &'static str,
    /// What writes it.
    by: &'static [&'static str],
    /// The schema, a file of `crates/cli/schemas`.
    text: &'static str,
}

/// What the others refer to.
const COMMON: &str = include_str!("../../schemas/common.json");

macro_rules! schemas {
    ($($name:literal by $($by:literal),+;)+) => {
        &[$(Schema {
            name: $name,
            by: &[$($by),+],
            text: include_str!(concat!("../../schemas/", $name, ".json")),
        }),+]
    };
}

/// All of them. A command without a row fails a test, and so does a document that its schema does not know.
const SCHEMAS: &[Schema] = schemas! {
    "init" by "comity init";
    "id" by "comity id";
    "status" by "comity status";
    "space" by "comity space create", "comity space join";
    "spaces" by "comity space list";
    "document" by "comity doc new", "comity doc show";
    "documents" by "comity doc list";
    "import" by "comity import";
    "import-three-way" by "comity import";
    "export" by "comity export";
    "change" by "comity set", "comity delete", "comity restore";
    "show" by "comity show";
    "entry" by "comity show";
    "field" by "comity show";
    "log" by "comity log";
    "blame" by "comity blame";
    "diff" by "comity diff";
    "at" by "comity at";
    "policy-check" by "comity policy check";
    "policy-set" by "comity policy set";
    "policy-show" by "comity policy show";
    "policy-explain" by "comity policy explain";
    "policy-example" by "comity policy example";
    "policy-simulate" by "comity policy simulate";
    "conflicts" by "comity conflicts list";
    "conflict" by "comity conflicts show";
    "why" by "comity conflicts why";
    "decision" by "comity conflicts resolve", "comity conflicts dismiss", "comity conflicts confirm",
        "comity conflicts reopen", "comity conflicts approve", "comity conflicts link", "comity undo", "comity rollback";
    "conflicts-plan" by "comity conflicts plan";
    "conflicts-applied" by "comity conflicts apply";
    "conflicts-stats" by "comity conflicts stats";
    "conflict-turn" by "comity conflicts watch";
    "suggest-eval" by "comity suggest eval";
    "watch" by "comity watch";
    "sync" by "comity sync";
    "relay" by "comity relay";
    "health" by "GET /health";
    "verify" by "comity store verify";
    "backup" by "comity store backup", "comity store verify";
    "restore" by "comity store restore";
    "salvage" by "comity store salvage";
    "compact" by "comity store compact";
    "stats" by "comity store stats";
    "evidence" by "comity evidence list";
    "evidence-record" by "comity evidence show";
    "demo" by "comity demo";
    "exit-codes" by "comity exit-codes";
    "schemas" by "comity schema";
    "error" by "every command that fails";
};

/// Print the JSON Schema of what commands write with --json
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity schema                  lists them
  comity schema show             what `comity show DOC --json` writes
  comity schema comity.show/1    the same, by what stands in its `schema`

They are JSON Schemas of draft 2020-12. The number at the end goes up when something that was there
is gone or means something else.")]
pub struct Print {
    /// Which one [default: list all]
    name: Option<String>,
}

impl Print {
    pub fn run(self, session: &Session) -> CommandResult {
        let Some(name) = self.name else { return list(session) };
        let wanted = |schema: &&Schema| schema.name == name || schema.title() == name;
        let Some(schema) = SCHEMAS.iter().find(wanted) else {
            return Err(CommandError::new(Kind::NotFound, format_args!("there is no schema {name:?}"))
                .hint("`comity schema` lists them"));
        };
        session.output.line(schema.whole())
    }
}

fn list(session: &Session) -> CommandResult {
    if session.output.json {
        let row = |schema: &Schema| json!({ "name": schema.name, "schema": schema.title(), "by": schema.by });
        let rows: Vec<Json> = SCHEMAS.iter().map(row).collect();
        return session.output.json("schemas", json!({ "schemas": rows }));
    }
    let mut table = Table::new(&["name", "schema", "written by"]);
    for schema in SCHEMAS {
        table.row([schema.name.to_owned(), schema.title(), schema.by.join(", ")]);
    }
    session.output.print(table)
}

impl Schema {
    /// Gives what stands in the `schema` of a document.
    fn title(&self) -> String {
        let json = self.json();
        // A document of several forms says it in each.
        let form = json.get("properties").or_else(|| json.pointer("/oneOf/0/properties"));
        form.and_then(|form| form.pointer("/schema/const")).and_then(Json::as_str).unwrap_or_default().to_owned()
    }

    /// Gives the schema with what it refers to inside, so that it can be used by itself.
    fn whole(&self) -> String {
        let text = self.text.trim_end();
        if !text.contains("urn:comity:common:") {
            return text.to_owned();
        }
        // As text, so that the order stays as written: what a thing is before what it consists of.
        let rest = text.strip_suffix("\n}").expect("a test has read every schema");
        let common = COMMON.trim_end().replace('\n', "\n    ");
        format!("{rest},\n  \"$defs\": {{\n    \"common\": {common}\n  }}\n}}")
    }

    fn json(&self) -> Json {
        parse(self.text)
    }
}

fn parse(text: &str) -> Json {
    serde_json::from_str(text).expect("a test has read every schema")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    /// Commands that print no document of their own: a script for a shell.
    const WITHOUT: &[&str] = &["comity completions"];

    fn leaves(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
        let path = format!("{path}{}", command.get_name());
        let mut subcommands = command.get_subcommands().peekable();
        if subcommands.peek().is_none() {
            found.insert(path);
            return;
        }
        subcommands.for_each(|subcommand| leaves(subcommand, &format!("{path} "), found));
    }

    #[test]
    fn every_command_has_a_schema_and_every_schema_a_command() {
        let mut commands = BTreeSet::new();
        leaves(&Cli::command(), "", &mut commands);
        let by = SCHEMAS.iter().flat_map(|schema| schema.by).filter(|by| by.starts_with("comity "));
        let known: BTreeSet<String> = by.chain(WITHOUT).map(ToString::to_string).collect();
        assert_eq!(commands, known);
    }

    #[test]
    fn every_file_is_listed_and_says_its_name_and_version() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let listed = SCHEMAS.iter().map(|schema| format!("{}.json", schema.name));
        let listed: BTreeSet<String> = listed.chain(["common.json".to_owned()]).collect();
        assert_eq!(listed.len(), SCHEMAS.len() + 1, "none is listed twice");
        assert_eq!(files.collect::<BTreeSet<_>>(), listed);
        parse(COMMON);
        for schema in SCHEMAS {
            let title = schema.title();
            let (name, version) = title.split_once('/').unwrap_or_else(|| panic!("{} has no version", schema.name));
            assert_eq!(name, format!("comity.{}", schema.name));
            assert_eq!(schema.json()["$id"], format!("urn:comity:{}:{version}", schema.name));
            let whole: Json = serde_json::from_str(&schema.whole()).unwrap();
            assert_eq!(whole.pointer("/$defs/common").is_some(), schema.text.contains("$ref"), "{name}");
        }
    }
}
