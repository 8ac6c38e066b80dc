//! The store under long runs: `cargo xtask soak store one-writer | power | kill`.
//!
//! What each run does stands on its module. Progress goes to standard output in plain lines; the exit code is 1 when
//! something was lost, hung or came back different.

// Helpers of tests are tests too; a soak that meets an error ends with it.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../../tests/store/common.rs"]
mod common;
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../../tests/store/kills.rs"]
mod kills;
mod one_writer;
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../../tests/store/power/mod.rs"]
mod power;

use std::collections::BTreeMap;
use std::process::ExitCode;

use crate::common::Engine;

const USAGE: &str = "Usage: cargo xtask soak store COMMAND [--OPTION VALUE]...

  one-writer  batches from one writer, as fast as the disk takes them, then a comparison with what was written
              --minutes 60  --engine sled|redb  --folder F (a new folder in it)  --seed N
  power       power losses: a child's writes are recorded, cut at random moments, and the store opened on what is left
              --rounds 1000  --engine sled|redb  --seed N
  kill        a child that writes is killed, again and again
              --rounds 1000  --engine sled|redb  --seed N
";
/// What children of this program are started with; what they do stands in their environment.
const CHILD: &[&str] = &["child"];

fn main() -> ExitCode {
    comity_store::child_main_if_asked();
    kills::child_work_if_asked();
    if power::child_work_if_asked() {
        return ExitCode::SUCCESS;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let run = Arguments::parse(&words).and_then(|(command, arguments)| match command {
        "one-writer" => one_writer::run(&arguments),
        "power" => lose_power(&arguments),
        "kill" => kill(&arguments),
        other => Err(format!("there is no `{other}`\n\n{USAGE}")),
    });
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("soak store: {message}");
            ExitCode::FAILURE
        }
    }
}

fn lose_power(arguments: &Arguments) -> Result<(), String> {
    let (engine, seed) = (arguments.engine()?, arguments.number("seed", 1)?);
    let tally = power::lose_power(engine, arguments.number("rounds", 1_000)?, seed, CHILD, &mut |tally| {
        println!("{} power losses, {} rebuilt, {} bad", tally.rounds, tally.rebuilt, tally.bad.len());
    });
    tally.bad.iter().for_each(|what| println!("{what}"));
    if tally.bad.is_empty() { Ok(()) } else { Err(format!("{} bad rounds", tally.bad.len())) }
}

fn kill(arguments: &Arguments) -> Result<(), String> {
    let (engine, seed) = (arguments.engine()?, arguments.number("seed", 1)?);
    kills::kill_rounds(engine, arguments.number("rounds", 1_000)?, seed, CHILD, &mut |round| {
        if round % 10 == 0 {
            println!("{round} kills");
        }
    })
}

/// Options as pairs of words.
pub(crate) struct Arguments(BTreeMap<String, String>);

impl Arguments {
    fn parse(words: &[String]) -> Result<(&str, Self), String> {
        let Some((command, rest)) = words.split_first() else { return Err(format!("say what to run\n\n{USAGE}")) };
        let mut pairs = BTreeMap::new();
        for pair in rest.chunks(2) {
            let [name, value] = pair else { return Err(format!("{} needs a value\n\n{USAGE}", pair[0])) };
            let name = name.strip_prefix("--").ok_or_else(|| format!("{name} is no option\n\n{USAGE}"))?;
            pairs.insert(name.to_owned(), value.clone());
        }
        Ok((command, Self(pairs)))
    }

    pub(crate) fn number(&self, name: &str, default: u64) -> Result<u64, String> {
        let Some(text) = self.0.get(name) else { return Ok(default) };
        text.parse().map_err(|_| format!("--{name} takes a number, not {text:?}"))
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn engine(&self) -> Result<Engine, String> {
        let name = self.text("engine").unwrap_or("sled");
        let found = Engine::ALL.iter().find(|engine| engine.name() == name);
        found.copied().ok_or_else(|| format!("there is no engine {name:?} in this build"))
    }
}
