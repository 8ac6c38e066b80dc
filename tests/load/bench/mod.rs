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

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use options::{Options, USAGE};
use report::{Outcome, Report};
use scenarios::{DEADLINE, Scenario, Stage};
use server::Server;

/// Runs the benchmark and prints its table.
///
/// # Errors
/// When nothing can be run, or a replica ends with something else than the others: a failure of a relay to finish in
/// time is a result, a wrong document is not.
pub async fn run(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--help") {
        print!("{USAGE}");
        return Ok(());
    }
    let options = Options::parse(arguments)?;
    let folder = tempfile::Builder::new().prefix("comity-bench-").tempdir()?;
    let mut report = Report::new(options.rounds, machine::describe());
    for scenario in options.scenarios() {
        for round in 1..=options.rounds {
            for &server in &options.servers {
                let outcome = attempt(scenario, server, folder.path(), options.samples.as_deref()).await;
                println!("{} round {round} {}: {outcome}", scenario.name, server.name());
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
async fn attempt(scenario: &Scenario, server: Server, below: &Path, samples: Option<&Path>) -> Outcome {
    let run = async {
        let stage = Stage::of(server, below, samples)?;
        let run = (scenario.run)(stage).await?;
        let (cpu, most) = (run.relay.cpu()?, run.relay.resident_bytes_most()?);
        anyhow::Ok(Outcome::Finished { values: run.values, cpu_s: cpu.as_secs_f64(), most_bytes: most })
    };
    match tokio::time::timeout(DEADLINE, run).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::Failed(format!("{error:#}")),
        Err(_) => Outcome::Failed(format!("not finished in {} s", DEADLINE.as_secs())),
    }
}
