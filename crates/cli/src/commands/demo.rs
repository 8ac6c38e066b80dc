//! `demo`: the whole story in half a minute.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::demo;
use crate::error::{CommandError, CommandResult, Kind};
use crate::session::{self, Session, interrupt};

/// Run a relay and three devices here, and watch them work offline and agree
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity demo                    takes a second or two, and leaves nothing behind
  comity demo --keep solar       keeps the data in the folder `solar`, to be looked at
  comity demo --json             the figures only

It uses real sockets on this machine and real stores on its disk.")]
pub struct Demo {
    /// Keep the data of relay and devices in this folder, which must be new or empty
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

impl Demo {
    pub fn run(self, session: &Session) -> CommandResult {
        if let Some(folder) = &self.keep {
            check_empty(folder)?;
        }
        session::runtime()?.block_on(async {
            let failed = |error: anyhow::Error| CommandError::new(Kind::NotDone, format!("the demo failed: {error:#}"));
            let mut nowhere = std::io::sink();
            let mut out = session.output.data();
            let story = async {
                let keep = self.keep.as_deref();
                if session.output.json {
                    let outcome = demo::run(keep, &mut nowhere).await.map_err(failed)?;
                    return session.output.json("demo", outcome);
                }
                demo::run(keep, &mut out).await.map_err(failed)?;
                Ok(())
            };
            tokio::select! {
                done = story => done,
                () = interrupt() => Err(CommandError::new(Kind::Interrupted, "interrupted")),
            }
        })
    }
}

fn check_empty(folder: &Path) -> CommandResult {
    let mut entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(CommandError::file("read", folder, error)),
    };
    if entries.next().is_some() {
        let message = format!("{} is not empty", folder.display());
        return Err(CommandError::new(Kind::Usage, message).hint("name a folder that does not exist yet"));
    }
    Ok(())
}
