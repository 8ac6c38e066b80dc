//! A long run: a relay process that is restarted again and again under clients that come and go.
//!
//! Clients write online and offline, leave with a goodbye or without, and come back; documents come into use and go
//! out of it, so that the relay sees many more than it may have in memory. When a relay has ended, before the next one
//! starts, its folder is copied; a second relay on the copy, where no client can help it, must have every change that
//! any client was told is kept. In the end all clients compare what they hold with what a fresh client finds.
//!
//! Beside the clients strangers come, ten a second: under a new name each, for one document, and go. The long lives of
//! the relay end in a calm, in which everybody comes and goes as before and writes little: `growth` says what for.

mod actor;
mod bars;
mod device;
mod dice;
mod fresh;
mod growth;
mod ledger;
mod light;
mod line;
mod options;
mod pace;
mod passer;
mod place;
mod plan;
mod report;
mod run;
mod samples;
mod shelf;
mod slope;
mod stage;

use anyhow::{Context, Result, bail};

use options::{Options, USAGE};
use plan::Plan;
use report::Report;
use run::Run;

/// Runs it and prints what came of it.
///
/// # Errors
/// When a bar is missed, a client meets what must not happen, or the relay does.
pub async fn run(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--help") {
        print!("{USAGE}");
        return Ok(());
    }
    let options = Options::parse(arguments)?;
    let plan = Plan::draw(options.seed, options.lasts);
    let devices = options.devices();
    println!(
        "soak: {} clients ({devices} devices with a store, {} light ones), {} edits/s, seed {}",
        options.clients,
        options.clients - devices,
        options.edits_per_second,
        options.seed
    );
    println!("plan: {plan}");
    let mut run = Run::prepare(options.clone(), plan).await?;
    let finished = run.perform().await;
    let report = Report::of(&run);
    println!("{report}");
    if let Some(file) = &options.json {
        std::fs::write(file, report.json()).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Err(error) = finished {
        return Err(error.context(format!("everything is kept in {}", run.keep().display())));
    }
    let missed = report.missed();
    if !missed.is_empty() {
        bail!("{}; everything is kept in {}", missed.join("; "), run.keep().display());
    }
    Ok(())
}
