//! The store: `store verify|backup|restore|salvage|compact|stats`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use comity_store::{
    BackupSummary, DamagedDocument, JournalReport, Options, Progress, SledStore, Store as _, VerifyReport,
};
use indicatif::ProgressBar;
use serde_json::{Value as Json, json};

use crate::error::{CommandError, CommandResult, Kind};
use crate::output::count;
use crate::session::Session;
use crate::units::about_bytes;

/// Damaged documents that are listed.
const LISTED_MAX: usize = 50;

/// The store on disk: verify, back up, restore, salvage, compact, count
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  comity store verify
  comity store backup roof-backup.comity
  comity store restore roof-backup.comity --data ./restored
  comity store salvage --into ./rescued
  comity store compact
  comity store stats

The data folder must not be in use by another process. A backup is one file with all documents; it
holds no device key, so a restored copy is a device of its own.")]
pub enum Store {
    Verify(Verify),
    Backup(Backup),
    Restore(Restore),
    Salvage(Salvage),
    Compact(Compact),
    Stats(Stats),
}

impl Store {
    pub fn run(self, session: &Session) -> CommandResult {
        match self {
            Self::Verify(command) => command.run(session),
            Self::Backup(command) => command.run(session),
            Self::Restore(command) => command.run(session),
            Self::Salvage(command) => command.run(session),
            Self::Compact(command) => command.run(session),
            Self::Stats(command) => command.run(session),
        }
    }
}

/// Check every checksum and every document, without repairing anything
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity store verify
  comity store verify --json && echo sound
  comity store verify --backup roof-backup.comity      checks a backup file

Exit code 9 when something is damaged.")]
pub struct Verify {
    /// Check a backup file instead
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
}

impl Verify {
    fn run(self, session: &Session) -> CommandResult {
        if let Some(file) = &self.backup {
            let summary = comity_store::verify_backup(file)?;
            return say_backup(session, "backup", "sound", file, &summary);
        }
        let bar = bar(session);
        let verified = comity_store::verify(&existing(session)?, &options(session), &mut |progress| {
            advance(&bar, progress);
        });
        bar.finish_and_clear();
        let report = verified?;
        if session.output.json {
            session.output.json("verify", verify_json(&report))?;
        } else {
            say_verified(session, &report)?;
        }
        if !report.is_damaged() {
            return Ok(());
        }
        Err(CommandError::new(Kind::Integrity, "the store is damaged")
            .hint("the next command that opens it saves what can be read, sets the damaged files aside and says so")
            .hint("then `comity sync RELAY --once` brings back what a relay has; `comity store restore` what a backup has"))
    }
}

fn say_verified(session: &Session, report: &VerifyReport) -> CommandResult {
    let out = session.output;
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    if report.is_damaged() {
        if let Some(error) = &report.engine_error {
            out.line(format_args!("engine       {error}"))?;
        }
        for (name, lost) in [
            ("catalogue", report.catalogue_rows_lost),
            ("node rows", report.meta_rows_lost),
            ("journal", report.journal.groups_lost() + report.journal.segments_harmed()),
        ] {
            if lost > 0 {
                out.line(format_args!("{name:<12} {lost} lost"))?;
            }
        }
        say_damaged(session, "damaged", &report.damaged)?;
    } else {
        out.done("sound");
    }
    if let Some(earlier) = &report.unacknowledged {
        say_damaged(session, "reported", &earlier.damaged)?;
        out.note(
            "an earlier loss is reported and not yet written down; the next command that opens the store tells it",
        );
    }
    out.line(format_args!("documents    {}", report.documents))?;
    out.line(format_args!("rows         {}", report.rows))?;
    if !report.clean {
        let groups = count(number(report.journal.groups), "group", "groups");
        out.note(format_args!(
            "the last run did not end properly; {groups} of the journal will be replayed at the next start"
        ));
    }
    Ok(())
}

fn say_damaged(session: &Session, word: &str, damaged: &[DamagedDocument]) -> CommandResult {
    for damaged in damaged.iter().take(LISTED_MAX) {
        let what: Vec<String> = damaged.damage.iter().map(ToString::to_string).collect();
        session.output.line(format_args!("{word:<12} {}: {}", damaged.document, what.join("; ")))?;
    }
    if damaged.len() > LISTED_MAX {
        session.output.note(format_args!("… and {} more; --json lists all", damaged.len() - LISTED_MAX));
    }
    Ok(())
}

fn damaged_json(damaged: &[DamagedDocument]) -> Vec<Json> {
    let row = |damaged: &DamagedDocument| {
        let damage: Vec<String> = damaged.damage.iter().map(ToString::to_string).collect();
        json!({ "document": damaged.document.to_string(), "damage": damage })
    };
    damaged.iter().map(row).collect()
}

fn journal_json(journal: &JournalReport) -> Json {
    json!({
        "groups": journal.groups, "tail_bytes": journal.tail_bytes,
        "lost_groups": journal.groups_lost(), "damaged_segments": journal.segments_harmed(),
    })
}

fn verify_json(report: &VerifyReport) -> Json {
    json!({
        "sound": !report.is_damaged(), "engine": report.engine, "clean": report.clean,
        "journal": journal_json(&report.journal), "engine_error": report.engine_error,
        "documents": report.documents, "rows": report.rows, "catalogue_rows_lost": report.catalogue_rows_lost,
        "meta_rows_lost": report.meta_rows_lost, "damaged": damaged_json(&report.damaged),
        "unacknowledged": report.unacknowledged.as_ref().map(|earlier| damaged_json(&earlier.damaged)),
    })
}

/// Write all documents into one new file
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity store backup roof-backup.comity
  comity store backup /media/stick/$(date +%F).comity

The file appears under its name only when it is complete and on disk; it never overwrites one.")]
pub struct Backup {
    /// The file to make
    file: PathBuf,
}

impl Backup {
    fn run(self, session: &Session) -> CommandResult {
        let store = open(session)?;
        let bar = bar(session);
        let written = comity_store::backup(&store, &self.file, &mut |progress| advance(&bar, progress));
        bar.finish_and_clear();
        store.close()?;
        say_backup(session, "backup", "backed up to", &self.file, &written?)
    }
}

/// Make a data folder from a backup
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity store restore roof-backup.comity --data ./restored
  comity status --data ./restored

The file is checked whole before anything is written, and the store of the data folder must not be
there yet. The copy is a device of its own, with a key of its own.")]
pub struct Restore {
    /// The backup
    file: PathBuf,
}

impl Restore {
    fn run(self, session: &Session) -> CommandResult {
        let folder = &session.config.data;
        std::fs::metadata(&self.file).map_err(|error| CommandError::file("read", &self.file, error))?;
        std::fs::create_dir_all(folder).map_err(|error| CommandError::file("make the folder", folder, error))?;
        let bar = bar(session);
        let restored = comity_store::restore(&self.file, &session.config.store(), options(session), &mut |progress| {
            advance(&bar, progress);
        });
        bar.finish_and_clear();
        say_backup(session, "restore", "restored into", folder, &restored?)
    }
}

/// Save what can be read of a damaged store into a new data folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity store salvage --into ./rescued
  comity store salvage ./old-data/store --into ./rescued
  comity store salvage ./data/store/damaged-1 --into ./rescued

The damaged files are only read. Exit code 8 when something was lost on the way.")]
pub struct Salvage {
    /// The damaged store, or the data folder that it is in [default: the data folder]
    store: Option<PathBuf>,
    /// The data folder to make
    #[arg(long, value_name = "FOLDER")]
    into: PathBuf,
}

impl Salvage {
    fn run(self, session: &Session) -> CommandResult {
        let from = match self.store {
            // The data folder is what people know.
            Some(folder) if folder.join("store").is_dir() => folder.join("store"),
            Some(folder) => folder,
            None => existing(session)?,
        };
        if !from.is_dir() {
            return Err(CommandError::new(Kind::NotFound, format_args!("there is no folder {}", from.display()))
                .hint("name the store's folder: `store` in a data folder, or a `damaged-…` folder inside it"));
        }
        std::fs::create_dir_all(&self.into)
            .map_err(|error| CommandError::file("make the folder", &self.into, error))?;
        let bar = bar(session);
        let salvaged = comity_store::salvage(&from, &self.into.join("store"), &options(session), &mut |progress| {
            advance(&bar, progress);
        });
        bar.finish_and_clear();
        let report = salvaged?;
        let lost = report.is_damaged();
        if session.output.json {
            let content = json!({
                "documents": report.documents, "rows": report.rows, "journal": journal_json(&report.journal),
                "meta_rows_lost": report.meta_rows_lost, "damaged": damaged_json(&report.damaged),
            });
            session.output.json("salvage", content)?;
        } else {
            let documents = count(usize::try_from(report.documents).unwrap_or(usize::MAX), "document", "documents");
            session.output.done(format_args!("{documents} saved into {}", self.into.display()));
            say_damaged(session, "damaged", &report.damaged)?;
        }
        if !lost {
            return Ok(());
        }
        Err(CommandError::new(Kind::Partly, "something was lost")
            .hint("`comity sync RELAY --once` in the new folder brings back what a relay has"))
    }
}

/// Write the store's files anew, to give space back to the disk
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity store compact
  comity store compact --data /var/lib/comity-relay --json

It happens by itself once the files are five times what they must hold; this does it now. The disk must
have room for both copies meanwhile: the old files go when the new ones are whole and on disk.")]
pub struct Compact {}

impl Compact {
    fn run(self, session: &Session) -> CommandResult {
        // Damage is noted before anything is written anew.
        open(session)?.close()?;
        let bar = bar(session);
        let compacted = comity_store::compact(&existing(session)?, options(session), &mut |progress| {
            advance(&bar, progress);
        });
        bar.finish_and_clear();
        let report = compacted?;
        if session.output.json {
            let content = json!({
                "engine": report.engine, "documents": report.documents,
                "bytes_before": report.bytes_before, "bytes_after": report.bytes_after,
            });
            return session.output.json("compact", content);
        }
        let documents = count(usize::try_from(report.documents).unwrap_or(usize::MAX), "document", "documents");
        let (before, after) = (about_bytes(report.bytes_before), about_bytes(report.bytes_after));
        session.output.done(format_args!("compacted {documents}: {before} before, {after} now"));
        Ok(())
    }
}

/// Count what the store holds and takes
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  comity store stats
  comity store stats --json | jq .engine_disk_bytes")]
pub struct Stats {}

impl Stats {
    fn run(self, session: &Session) -> CommandResult {
        let store = open(session)?;
        let stats = store.stats();
        store.close()?;
        let stats = stats?;
        if session.output.json {
            let content = json!({
                "engine": stats.engine, "documents": stats.documents, "meta_rows": stats.meta_rows,
                "live_bytes": stats.live_bytes, "engine_disk_bytes": stats.engine_disk_bytes,
                "snapshot_disk_bytes": stats.snapshot_disk_bytes, "journal_disk_bytes": stats.journal_disk_bytes,
                "free_bytes": stats.free_bytes,
            });
            return session.output.json("stats", content);
        }
        let out = session.output;
        out.line(format_args!("engine       {}", stats.engine))?;
        out.line(format_args!("documents    {}", stats.documents))?;
        for (name, bytes) in [
            ("live data", stats.live_bytes),
            ("engine", stats.engine_disk_bytes),
            ("snapshots", stats.snapshot_disk_bytes),
            ("journal", stats.journal_disk_bytes),
            ("disk free", stats.free_bytes),
        ] {
            out.line(format_args!("{name:<12} {}", about_bytes(bytes)))?;
        }
        Ok(())
    }
}

/// Gives the folder of the store, if there is one.
fn existing(session: &Session) -> CommandResult<PathBuf> {
    let folder = session.config.store();
    if folder.is_dir() { Ok(folder) } else { Err(session.not_initialised()) }
}

fn options(session: &Session) -> Options {
    Options { cache_bytes: session.config.limits.cache_bytes_max, ..Options::default() }
}

fn open(session: &Session) -> CommandResult<SledStore> {
    let (store, report) = SledStore::open(&existing(session)?, options(session))?;
    if report.is_damaged() {
        session.output.warn("the store was damaged; what could be saved was saved");
        for damaged in report.damaged.iter().take(LISTED_MAX) {
            let what: Vec<String> = damaged.damage.iter().map(ToString::to_string).collect();
            session.output.warn(format_args!("lost: document {}: {}", damaged.document, what.join("; ")));
        }
        comity_node::note_damage(&session.config.data, &store, &report)?;
        session.output.note("`comity status` tells all that was lost until it is back");
    }
    Ok(store)
}

fn bar(session: &Session) -> ProgressBar {
    crate::output::progress_bar(session.output, 0)
}

fn advance(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.documents_total);
    bar.set_position(progress.documents);
}

fn say_backup(session: &Session, schema: &str, done: &str, path: &Path, summary: &BackupSummary) -> CommandResult {
    if session.output.json {
        let content = json!({
            "path": path, "documents": summary.documents, "changes": summary.changes,
            "meta_rows": summary.meta_rows, "bytes": summary.bytes,
        });
        return session.output.json(schema, content);
    }
    let documents = count(usize::try_from(summary.documents).unwrap_or(usize::MAX), "document", "documents");
    session.output.done(format_args!("{done} {} ({documents}, {})", path.display(), about_bytes(summary.bytes)));
    Ok(())
}
