//! What helps to use the others.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde_json::json;

use crate::cli::Cli;
use crate::error::{CommandResult, EXIT_CODES};
use crate::output::Table;
use crate::session::Session;

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity completions bash > ~/.local/share/bash-completion/completions/comity
  comity completions zsh  > ~/.zfunc/_comity
  comity completions fish > ~/.config/fish/completions/comity.fish")]
pub struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub fn run(self, session: &Session) -> CommandResult {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "comity", &mut script);
        session.output.print(String::from_utf8_lossy(&script))
    }
}

/// Print what the exit codes mean
#[derive(Debug, Args)]
#[command(after_help = exit_codes())]
pub struct ExitCodes {}

impl ExitCodes {
    pub fn run(self, session: &Session) -> CommandResult {
        if session.output.json {
            let code =
                |(code, name, meaning): &(u8, &str, &str)| json!({ "code": code, "name": name, "meaning": meaning });
            let codes: Vec<_> = EXIT_CODES.iter().map(code).collect();
            return session.output.json("exit-codes", json!({ "codes": codes }));
        }
        session.output.print(exit_codes())
    }
}

fn exit_codes() -> String {
    let mut table = Table::new(&["code", "name", "meaning"]);
    for (code, name, meaning) in EXIT_CODES {
        table.row([code.to_string(), (*name).to_owned(), (*meaning).to_owned()]);
    }
    anstream::adapter::strip_str(&table.to_string()).to_string()
}
