//! Logs go to stderr; `COMITY_LOG` filters them.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;
use crate::error::{CommandError, CommandResult, Kind};

/// Starts the log. `default` is the filter when `COMITY_LOG` is not set.
pub fn start(default: &str, format: LogFormat) -> CommandResult {
    let filter = match std::env::var("COMITY_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::try_new(&filter).map_err(|error| {
            CommandError::new(Kind::Usage, format_args!("COMITY_LOG={filter:?} is not a filter: {error}"))
                .hint("write a level, as in COMITY_LOG=debug, or levels by module: comity_net=trace,info")
        })?,
        _ => EnvFilter::new(default),
    };
    let is_colourful = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Human => log.with_ansi(is_colourful).with_target(false).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    started.map_err(|error| CommandError::new(Kind::NotDone, format_args!("cannot start the log: {error}")))
}
