//! The command line: what may be written, and what then runs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Args, CommandFactory, FromArgMatches, Parser};

use crate::commands::Command;
use crate::config::{Config, LogFormat};
use crate::error::{CommandError, CommandResult, Kind};
use crate::logging;
use crate::output::Output;
use crate::session::Session;

const EXAMPLES: &str = "\
Begin here:
  comity init --name tablet                          make this device's data folder
  comity doc new audit 'Roof 7'                      make a document
  comity set 'Roof 7' M030..M040 status=dead         mark eleven modules: one atomic change
  comity show 'Roof 7'                               look at it
  comity relay                                       run a relay (in another terminal)
  comity sync ws://127.0.0.1:8470                    stay in step with it

Documents are named by title, by id, or by the beginning of an id.
Exit codes: `comity help exit-codes`. Settings: flags win over COMITY_* variables, those over config.toml.";

/// Shared audit and record documents that work offline and merge without anybody in charge.
#[derive(Debug, Parser)]
#[command(name = "comity", version, after_help = EXAMPLES, max_term_width = 100, infer_long_args = false)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command understands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
struct Global {
    /// The data folder [default: comity (for a relay: comity-relay) in $XDG_DATA_HOME or ~/.local/share]
    #[arg(long, global = true, value_name = "FOLDER", env = "COMITY_DATA", hide_env_values = true)]
    data: Option<PathBuf>,
    /// A config file [default: config.toml in the data folder]
    #[arg(long, global = true, value_name = "FILE", env = "COMITY_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Print what is in force, as a config file, and do nothing else
    #[arg(long, global = true)]
    print_config: bool,
    /// Print one JSON document with a versioned schema instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Say nothing but data, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Log more; twice for even more (COMITY_LOG filters by module)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

/// Runs the command of this process.
pub fn run() -> ExitCode {
    crate::heap::one_for_each_core();
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    if cli.command.is_none() && !cli.global.print_config {
        Output::default().note(Cli::command().render_help().ansi());
        return ExitCode::from(Kind::Usage.code());
    }
    let output = Output { json: cli.global.json, quiet: cli.global.quiet };
    let code = match cli.run(output) {
        Ok(()) => 0,
        Err(error) => {
            output.error(&error);
            error.kind.code()
        }
    };
    ExitCode::from(code)
}

/// Reads the command line.
fn parse() -> Result<Cli, clap::Error> {
    let mut command = without_empty_variables(Cli::command());
    let matches = command.try_get_matches_from_mut(env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Takes a variable that is set to nothing for one that is not set, as scripts and unit files mean it.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &Arg| arg.get_env().and_then(env::var_os).is_some_and(|value| value.is_empty());
    command.mut_args(|arg| if is_empty(&arg) { arg.env(None) } else { arg }).mut_subcommands(without_empty_variables)
}

/// Prints what clap has to say: help and versions are data, mistakes are messages.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A closed stdout is nobody's loss.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    // Nothing was parsed, but whoever asks for JSON also reads mistakes as JSON.
    if env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json") {
        let text = error.render().to_string();
        let reason = text.split_once("\n\nUsage:").map_or(text.as_str(), |(reason, _)| reason);
        let reason = reason.split_once("\n\nFor more").map_or(reason, |(reason, _)| reason);
        let error = CommandError::new(Kind::Usage, reason.trim_start_matches("error: ").trim_end());
        Output { json: true, quiet: false }.error(&error.hint("--help says what may be written"));
    } else {
        // A closed stderr is nobody's loss.
        let _ = error.print();
    }
    ExitCode::from(Kind::Usage.code())
}

impl Cli {
    fn run(self, output: Output) -> CommandResult {
        let Self { global, command } = self;
        // A relay beside a device on one machine is common, and they cannot share a folder.
        let default = if command.as_ref().is_some_and(Command::is_relay) { "comity-relay" } else { "comity" };
        let mut config = Config::load(global.data.as_deref(), global.config.as_deref(), default)?;
        if let Some(command) = &command {
            command.configure(&mut config)?;
        }
        if global.print_config {
            return output.print(config.to_toml()?);
        }
        let Some(command) = command else { return Ok(()) };
        let format = if command.is_relay() { config.relay.log } else { LogFormat::Human };
        logging::start(level(&command, &global), format)?;
        let session = Session { config: Arc::new(config), output, comity: call(global.data.as_deref()).into() };
        command.run(&session)
    }
}

/// Gives how to call the command again on the same data folder: with `--data`, if only this call named it.
fn call(data: Option<&Path>) -> String {
    match data {
        Some(folder) if env::var_os("COMITY_DATA").as_deref() != Some(folder.as_os_str()) => {
            let folder = folder.display().to_string();
            let is_plain = folder.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
            let folder = if is_plain { folder } else { format!("'{}'", folder.replace('\'', r"'\''")) };
            format!("comity --data {folder}")
        }
        _ => "comity".to_owned(),
    }
}

/// Gives the level of the log. A relay is looked at through its log, so it says a little by itself.
fn level(command: &Command, global: &Global) -> &'static str {
    match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) if command.is_relay() => "info",
        // Damage to the store is told to people in words of their own.
        (false, 0) => "warn,comity_store=error,comity_node::losses=error",
        (false, 1) => "info",
        (false, 2) => "debug",
        (false, _) => "trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_commands_is_sound() {
        Cli::command().debug_assert();
    }
}
