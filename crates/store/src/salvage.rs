//! Salvages what can be read of a damaged store into a new one.

use std::fs;
use std::path::Path;

use crate::catalogue::Catalogue;
use crate::damage;
use crate::disk::{self, FolderLock};
use crate::engine::Engine;
use crate::engine::sled::SledEngine;
use crate::error::{OpenError, StoreError};
use crate::folder::{CleanMark, Folder, Format};
use crate::journal::Journal;
use crate::open::Evidence;
use crate::options::Options;
use crate::rebuild::{Rebuilt, rebuild};
use crate::report::{OpenReport, Progress, SalvageReport};
use crate::snapshots::Snapshots;

/// Reads all that is whole in the files below a folder (a store, or a `damaged-…` folder inside one) and writes it into
/// a new store, which then opens normally. The damaged files are only read, and the engine is not asked.
///
/// # Errors
/// When the format file is unreadable (without its salt no row can be told from garbage), the folder is in use, or
/// `into` is not empty.
pub fn salvage(
    folder: &Path,
    into: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<SalvageReport, OpenError> {
    let from = Folder::new(folder);
    let missing = || OpenError::Missing { folder: folder.to_owned() };
    let format = from.format()?.ok_or_else(missing)?;
    let _lock = FolderLock::take(folder, options.lock_patience)?;
    disk::create_folder(into)?;
    if !disk::list(into)?.is_empty() {
        return Err(OpenError::NotEmpty { folder: into.to_owned() });
    }
    match format.engine.as_str() {
        SledEngine::NAME => salvage_with::<SledEngine>(&from, &Folder::new(into), &format, options, progress),
        #[cfg(feature = "redb")]
        crate::engine::redb::RedbEngine::NAME => {
            salvage_with::<crate::engine::redb::RedbEngine>(&from, &Folder::new(into), &format, options, progress)
        }
        other => {
            let (folder, found) = (folder.to_owned(), other.to_owned());
            Err(OpenError::OtherEngine { folder, found, wanted: SledEngine::NAME })
        }
    }
}

fn salvage_with<E: Engine>(
    from: &Folder,
    into: &Folder,
    format: &Format,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<SalvageReport, OpenError> {
    let sealer = format.sealer;
    let evidence = Evidence::read(from, format)?;
    let snapshots = Snapshots::open(into.snapshots())?;
    copy_snapshots(from, into)?;
    // Everything below the folder may hold rows: engine files, and what an earlier opening set aside.
    let sources = [from.root.clone()];
    let target = into.engine(E::NAME);
    let rebuilt = rebuild::<E>(&sealer, &sources, (&target, options.cache()), &evidence, &snapshots, progress)?;
    snapshots.collect(&rebuilt.referred)?;
    let lost = losses(from, format, &evidence, &rebuilt)?;
    if lost.is_damaged() {
        // Whoever opens the new store hears of it, as if it had been repaired where it was.
        damage::write(into, &sealer, &lost)?;
    }
    let catalogue = Catalogue::write(sealer, &into.root, &rebuilt.index, evidence.generation())?;
    let next = evidence.next().max(rebuilt.index.stamp_max() + 1);
    let journal = Journal::begin(sealer, &into.journal(), next, catalogue.mark())?;
    let mark = CleanMark { catalogue_bytes: catalogue.bytes(), next: journal.next() };
    into.write_format(format)?;
    into.write_clean_mark(&sealer, &mark)?;
    Ok(SalvageReport {
        documents: rebuilt.index.documents.len() as u64,
        rows: rebuilt.rows,
        journal: lost.journal,
        catalogue_rows_lost: lost.catalogue_rows_lost,
        damaged: lost.damaged,
        meta_rows_lost: lost.meta_rows_lost,
    })
}

/// Gives what was lost on the way, with what an opening of the damaged store reported and nobody acknowledged.
fn losses(from: &Folder, format: &Format, evidence: &Evidence, rebuilt: &Rebuilt) -> Result<OpenReport, StoreError> {
    let (journal, catalogue_rows_lost) = evidence.losses();
    let mut lost = OpenReport {
        journal,
        catalogue_rows_lost,
        damaged: rebuilt.damaged.clone(),
        meta_rows_lost: rebuilt.meta_rows_lost,
        rebuilt_rows: rebuilt.rows,
        ..OpenReport::default()
    };
    if let Some(earlier) = damage::read(from, &format.sealer)? {
        // What was set aside stays where it is.
        damage::add(&mut lost, OpenReport { set_aside: None, ..earlier });
    }
    Ok(lost)
}

/// Copies snapshot files; those of a store are looked for beside a `damaged-…` folder too.
fn copy_snapshots(from: &Folder, into: &Folder) -> Result<(), StoreError> {
    let beside = from.root.parent().map(|parent| Folder::new(parent).snapshots());
    for source in [Some(from.snapshots()), beside].into_iter().flatten() {
        for path in disk::list(&source)? {
            let Some(name) = path.file_name().filter(|_| path.is_file()) else { continue };
            let target = into.snapshots().join(name);
            fs::copy(&path, &target).map_err(StoreError::io("copy", &path))?;
        }
    }
    disk::sync_below(&into.snapshots())
}
