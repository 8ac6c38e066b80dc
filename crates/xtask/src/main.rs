//! Developer tasks, run as `cargo xtask COMMAND`.
//!
//! One file or folder for each command, with a `run` function; `COMMANDS` below names them all. To add one, write the
//! file and add a row.

mod autobahn;
mod bench;
mod counts;
mod fuzz;
mod growth;
mod interop;
mod metadata;
mod npm;
mod profile;
mod soak;
mod soak_relay;
mod steps;
mod test;
mod tidy;

use std::{env, path::PathBuf, process::ExitCode};

/// What `cargo xtask` can do.
const COMMANDS: &[Command] = &[
    Command { name: "test", about: "everything that must pass before a change lands [--fast]", run: test::run },
    Command { name: "tidy", about: "the rules of the house: layers, owners, forbidden words, lengths", run: tidy::run },
    Command { name: "interop", about: "only the tests with the official npm packages", run: interop::run },
    Command { name: "autobahn", about: "the WebSocket suite against the relay's accept loop", run: autobahn::run },
    Command { name: "fuzz", about: "the fuzz targets [TARGET...] [--seconds N] [--input FILE]", run: fuzz::run },
    Command {
        name: "bench",
        about: "our relay, the official JavaScript server and a samod relay through the same work [--rounds N]\n             \
                [--scenario NAME] [--server NAME] [--markdown FILE] [--chart FILE] [--json FILE]",
        run: bench::run,
    },
    Command { name: "profile", about: "where our relay spends its time [SCENARIO...]", run: profile::run },
    Command {
        name: "counts",
        about: "instructions of the inner loops against benches/counts.txt [--update]",
        run: counts::run,
    },
    Command {
        name: "growth",
        about: "tables of how cost grows [TABLE...] [--quick] [--markdown FILE]",
        run: growth::run,
    },
    Command {
        name: "soak",
        about: "the simulator [--profile P] [--seeds A..B] [--seed N] [--shrink]\n             \
                soak relay: a relay restarted again and again under clients [--minutes N] [--clients N] [--seed N]\n             \
                soak store: power [--rounds N], kill [--rounds N], one-writer [--minutes N] [--engine sled|redb] [--seed N]",
        run: soak::run,
    },
];

/// A row of [`COMMANDS`].
struct Command {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> anyhow::Result<()>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        eprint!("{}", usage());
        return ExitCode::from(2);
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print!("{}", usage());
        return ExitCode::SUCCESS;
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprint!("xtask: there is no command `{name}`\n\n{}", usage());
        return ExitCode::from(2);
    };
    match (command.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    let mut text = String::from("Usage: cargo xtask COMMAND\n\n");
    for Command { name, about, .. } in COMMANDS {
        text.push_str(&format!("  {name:<10} {about}\n"));
    }
    text
}

/// Returns the top folder of the workspace.
fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.ancestors().nth(2).expect("xtask lies two folders below the top of the workspace").to_path_buf()
}

/// Refuses arguments that a command does not know, so that a typing error is not silently ignored.
fn only_known(arguments: &[String], known: &[&str]) -> anyhow::Result<()> {
    match arguments.iter().find(|argument| !known.contains(&argument.as_str())) {
        Some(unknown) if known.is_empty() => anyhow::bail!("takes no arguments, was given `{unknown}`"),
        Some(unknown) => anyhow::bail!("does not know `{unknown}`; it knows {}", known.join(", ")),
        None => Ok(()),
    }
}
