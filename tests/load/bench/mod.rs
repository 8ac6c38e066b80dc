//! Our relay, the official JavaScript server and a samod relay, through the same work by the same clients, in turn.
//!
//! A round puts each relay through a scenario once; the figures are the medians over the rounds. All of them store on
//! the same disk: ours answers a writer only from disk, the other two write behind what they answer. The clients share
//! the machine with the relay, so what counts is how the relays compare, not the figures by themselves.

mod chart;
mod client;
mod machine;
mod options;
mod report;
mod scenarios;
mod server;

use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result};

use options::{Options, USAGE};
use report::{Outcome, Report};
use scenarios::{DEADLINE, Scenario, Stage};
use server::Server;

/// What ends the whole benchmark: a relay that cannot be started, a document that is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Fatal(String);

/// Runs the benchmark and prints its table.
///
/// # Errors
/// When a relay cannot be started, a replica ends with something else than the others, or our own relay fails. That
/// another one hangs up or does not finish is a result.
pub async fn run(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--help") {
        print!("{USAGE}");
        return Ok(());
    }
    let options = Options::parse(arguments)?;
    for file in [&options.markdown, &options.chart, &options.json].into_iter().flatten() {
        // Now, and not after twenty minutes. What an earlier run wrote stays until then.
        let opened = fs::File::options().append(true).create(true).open(file);
        opened.with_context(|| format!("cannot write {}", file.display()))?;
    }
    // Beside the program: the system's folder for temporary files may be in memory.
    let program = env::current_exe()?;
    let beside = program.parent().context("a program without a folder")?;
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(beside)?;
    let mut report = Report::new(options.rounds, machine::describe(folder.path()));
    for scenario in options.scenarios() {
        for round in 0..options.rounds {
            // Nobody always comes after the same one.
            let turns = options.servers.len();
            for &server in options.servers.iter().cycle().skip(round % turns).take(turns) {
                let outcome = attempt(scenario, server, folder.path(), options.samples.as_deref()).await;
                let outcome = outcome.with_context(|| format!("{} on {}", server.name(), scenario.name))?;
                println!("{} round {} {}: {outcome}", scenario.name, round + 1, server.name());
                report.add(scenario, server, outcome);
            }
        }
    }
    println!("\n{}", report.markdown());
    for (file, text) in
        [(&options.markdown, report.markdown()), (&options.chart, chart::draw(&report)), (&options.json, report.json())]
    {
        if let Some(file) = file {
            fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    report.check_ours()
}

/// Puts a relay through a scenario once.
///
/// # Errors
/// What is [`Fatal`].
async fn attempt(scenario: &Scenario, server: Server, below: &Path, samples: Option<&Path>) -> Result<Outcome> {
    let run = async {
        let stage = Stage::of(scenario.name, server, below, samples)?;
        let mut run = (scenario.run)(stage).await?;
        run.relay.check_running()?;
        let (cpu, most) = (run.relay.cpu()?, run.relay.resident_bytes_most()?);
        anyhow::Ok(Outcome::Finished { values: run.values, cpu_s: cpu.as_secs_f64(), most_bytes: most })
    };
    match tokio::time::timeout(DEADLINE, run).await {
        Ok(Err(error)) if error.is::<Fatal>() => Err(error),
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(error)) => Ok(Outcome::Failed(format!("{error:#}"))),
        Err(_) => Ok(Outcome::Failed(format!("not finished in {} s, preparations included", DEADLINE.as_secs()))),
    }
}
