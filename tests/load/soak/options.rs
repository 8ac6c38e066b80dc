//! What the command line says.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How to use it.
pub const USAGE: &str = "\
load soak: a relay process that is restarted again and again under clients that come and go.

  --minutes N            how long clients work (default 30; then everything is compared); from 5 on, there are calms
  --clients N            how many, a tenth of them real devices with a store (default 200); beside them, a passer-by
                         comes and goes every second for each 20
  --seed N               from which restarts, visits, edits and absences are drawn (default 1)
  --edits-per-second N   of all clients together (default 50), but for calms, in which memory must be flat
  --json FILE            writes the report, samples included, to a file
";

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub lasts: Duration,
    pub clients: usize,
    pub seed: u64,
    pub edits_per_second: f64,
    pub json: Option<PathBuf>,
}

impl Options {
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut options =
            Self { lasts: Duration::from_secs(30 * 60), clients: 200, seed: 1, edits_per_second: 50.0, json: None };
        let mut arguments = arguments.iter();
        while let Some(flag) = arguments.next() {
            let mut value = || arguments.next().map(String::as_str).with_context(|| format!("{flag} wants a value"));
            match flag.as_str() {
                "--minutes" => options.lasts = Duration::try_from_secs_f64(60.0 * number::<f64>(flag, value()?)?)?,
                "--clients" => options.clients = number(flag, value()?)?,
                "--seed" => options.seed = number(flag, value()?)?,
                "--edits-per-second" => options.edits_per_second = number(flag, value()?)?,
                "--json" => options.json = Some(value()?.into()),
                _ => bail!("there is no option {flag}\n\n{USAGE}"),
            }
        }
        ensure!(options.lasts >= Duration::from_secs(20), "--minutes: a restart needs 20 s at least, which is 0.34");
        ensure!((1..=2_000).contains(&options.clients), "--clients: from 1 to 2000");
        ensure!(
            options.edits_per_second > 0.0 && options.edits_per_second <= 10_000.0,
            "--edits-per-second: above 0, at most 10000"
        );
        Ok(options)
    }

    /// How many clients are real devices.
    pub fn devices(&self) -> usize {
        self.clients.div_ceil(10)
    }

    /// Between two edits of one client.
    pub fn edit_pause(&self) -> Duration {
        Duration::from_secs_f64(self.clients as f64 / self.edits_per_second)
    }
}

fn number<T: FromStr>(flag: &str, text: &str) -> Result<T> {
    text.parse().map_err(|_| anyhow::anyhow!("{flag} wants a number, not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn flags_are_read_and_mistakes_named() {
        let options = parse("--minutes 0.5 --clients 20 --seed 7 --json out.json").unwrap();
        assert_eq!((options.lasts, options.clients, options.devices()), (Duration::from_secs(30), 20, 2));
        assert_eq!((options.seed, options.json), (7, Some("out.json".into())));
        for (line, reason) in [
            ("--minutes", "wants a value"),
            ("--minutes x", "wants a number"),
            ("--minutes -1", "negative"),
            ("--clients 0", "from 1"),
            ("--edits-per-second 0", "above 0"),
            ("--sed 1", "no option --sed"),
        ] {
            let error = format!("{:#}", parse(line).unwrap_err());
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
