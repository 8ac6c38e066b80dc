//! What the command line says.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use super::scenarios::{self, Scenario};
use super::server::Server;

/// How to use it.
pub const USAGE: &str = "\
load bench: relays through the same work by the same clients, in turn.

  --rounds N        how often each relay is put through each scenario (default 3)
  --scenario NAME   only this one; may be given several times:
                    fan-out-50, fan-out-200, closed-loop, in-flight-16, idle, catch-up, stampede, reunion-50,
                    reunion-200
  --server NAME     only this one; may be given several times: comity, samod, javascript
  --markdown FILE   writes the table
  --chart FILE      writes a chart, as SVG
  --json FILE       writes every figure of every run
  --samples FOLDER  lets `perf` sample each relay process into a file there, which slows it down
";

/// What is asked for.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    pub rounds: usize,
    names: Vec<String>,
    pub servers: Vec<Server>,
    pub markdown: Option<PathBuf>,
    pub chart: Option<PathBuf>,
    pub json: Option<PathBuf>,
    pub samples: Option<PathBuf>,
}

impl Options {
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { rounds: 3, ..Self::default() };
        let mut arguments = arguments.iter();
        while let Some(flag) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{flag} wants a value, or is unknown\n\n{USAGE}"))?;
            match flag.as_str() {
                "--rounds" => {
                    options.rounds =
                        value.parse().with_context(|| format!("--rounds wants a number, not {value:?}"))?;
                }
                "--scenario" => options.names.push(value.clone()),
                "--server" => options.servers.push(Server::named(value)?),
                "--markdown" => options.markdown = Some(value.into()),
                "--chart" => options.chart = Some(value.into()),
                "--samples" => options.samples = Some(value.into()),
                "--json" => options.json = Some(value.into()),
                _ => bail!("there is no option {flag}\n\n{USAGE}"),
            }
        }
        ensure!((1..=100).contains(&options.rounds), "--rounds: from 1 to 100");
        for name in &options.names {
            let known = scenarios::ALL.iter().any(|scenario| scenario.name == name);
            ensure!(known, "there is no scenario {name:?}\n\n{USAGE}");
        }
        if options.servers.is_empty() {
            options.servers = Server::ALL.to_vec();
        }
        Ok(options)
    }

    /// Gives the scenarios that are asked for.
    pub fn scenarios(&self) -> impl Iterator<Item = &'static Scenario> {
        let is_asked = |name: &str| self.names.is_empty() || self.names.iter().any(|asked| asked == name);
        scenarios::ALL.iter().filter(move |scenario| is_asked(scenario.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn flags_are_read_and_mistakes_named() {
        let options = parse("--rounds 5 --scenario idle --scenario catch-up --server comity --chart c.svg").unwrap();
        let names: Vec<&str> = options.scenarios().map(|scenario| scenario.name).collect();
        assert_eq!((options.rounds, names, &options.servers[..]), (5, vec!["idle", "catch-up"], &[Server::Comity][..]));
        assert_eq!(parse("").unwrap().scenarios().count(), scenarios::ALL.len());
        for (line, reason) in [
            ("--rounds", "wants a value"),
            ("--rounds x", "wants a number"),
            ("--rounds 0", "from 1"),
            ("--scenario x", "no scenario"),
            ("--server x", "no server"),
            ("--sever comity", "no option --sever"),
        ] {
            let error = format!("{:#}", parse(line).unwrap_err());
            assert!(error.contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn the_help_names_every_scenario_and_server() {
        for name in scenarios::ALL.iter().map(|scenario| scenario.name).chain(Server::ALL.map(Server::name)) {
            assert!(USAGE.contains(name), "{name}");
        }
    }
}
