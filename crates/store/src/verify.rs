//! Verifies a store at rest.

use std::path::Path;

use crate::check::{Checked, check};
use crate::child;
use crate::damage;
use crate::disk::FolderLock;
use crate::engine::sled::SledEngine;
use crate::engine::{Engine, within_telling};
use crate::error::{OpenError, StoreError};
use crate::folder::Folder;
use crate::open::{Evidence, deadline, name_suspects};
use crate::options::Options;
use crate::report::{Progress, VerifyReport};
use crate::snapshots::Snapshots;

/// Verifies the store in a folder: every checksum, every document against its manifest, and that nothing is missing.
///
/// The folder must not be open elsewhere. Nothing is repaired; opening the store does that. When the store was not
/// closed properly, documents whose last groups still wait in the journal are counted, not judged.
///
/// # Errors
/// When the folder holds no store, is in use, or cannot be read. Damage is not an error: it is in the report.
pub fn verify(folder: &Path, options: &Options, progress: &mut dyn FnMut(Progress)) -> Result<VerifyReport, OpenError> {
    let missing = || OpenError::Missing { folder: folder.to_owned() };
    if !folder.is_dir() {
        return Err(missing());
    }
    let place = Folder::new(folder);
    let format = place.format()?.ok_or_else(missing)?;
    let _lock = FolderLock::take(folder, options.lock_patience)?;
    let evidence = Evidence::read(&place, &format)?;
    let mut report = VerifyReport {
        engine: format.engine.clone(),
        clean: evidence.is_clean(),
        unacknowledged: damage::read(&place, &format.sealer)?,
        ..VerifyReport::default()
    };
    (report.journal, report.catalogue_rows_lost) = evidence.losses();
    let checked = match format.engine.as_str() {
        SledEngine::NAME => check_engine::<SledEngine>(&place, &format.sealer, options, &evidence, progress),
        #[cfg(feature = "redb")]
        crate::engine::redb::RedbEngine::NAME => {
            check_engine::<crate::engine::redb::RedbEngine>(&place, &format.sealer, options, &evidence, progress)
        }
        other => {
            let (folder, found) = (folder.to_owned(), other.to_owned());
            return Err(OpenError::OtherEngine { folder, found, wanted: SledEngine::NAME });
        }
    };
    let suspects = &evidence.journal.suspects;
    match checked {
        Ok(checked) => judge(&mut report, checked, &evidence),
        Err(error) => report.engine_error = Some(error.to_string()),
    }
    name_suspects(suspects, &evidence.expected().stamps(), &mut report.damaged);
    Ok(report)
}

fn check_engine<E: Engine>(
    place: &Folder,
    sealer: &crate::row::Sealer,
    options: &Options,
    evidence: &Evidence,
    progress: &mut dyn FnMut(Progress),
) -> Result<Checked, StoreError> {
    let path = place.engine(E::NAME);
    if !path.exists() {
        let message = "its folder is missing".to_owned();
        return Err(StoreError::Engine { engine: E::NAME, what: "open", message });
    }
    let deadline = deadline(options, &path);
    child::try_engine(options, &place.root, deadline)?;
    let cache_bytes = options.cache();
    let (sealer, snapshots, expected) = (*sealer, Snapshots::at(place.snapshots()), evidence.expected());
    within_telling("verify", deadline, progress, move |progress| {
        let engine = E::open(&path, cache_bytes)?;
        let checked = check(&engine, &sealer, &snapshots, &expected, progress)?;
        engine.close()?;
        Ok(checked)
    })
}

/// Separates damage from what only waits for the journal to be replayed.
fn judge(report: &mut VerifyReport, checked: Checked, evidence: &Evidence) {
    let mut waiting = std::collections::BTreeSet::new();
    let mut meta_waits = false;
    for entry in evidence.journal.groups.iter().flat_map(|(_, entries)| entries) {
        match entry {
            crate::entry::Entry::Manifest { document, .. }
            | crate::entry::Entry::SyncState { document, .. }
            | crate::entry::Entry::RemoveSyncState { document, .. } => {
                waiting.insert(*document);
            }
            crate::entry::Entry::Meta { .. } | crate::entry::Entry::RemoveMeta { .. } => meta_waits = true,
            _ => {}
        }
    }
    report.documents = checked.documents;
    report.rows = checked.rows;
    report.meta_rows_lost = if meta_waits { 0 } else { checked.meta_rows_lost };
    if checked.stray_rows > 0 {
        report.engine_error = Some(format!("{} rows belong to no document", checked.stray_rows));
    }
    for damaged in checked.damaged {
        if waiting.contains(&damaged.document) {
            report.waiting_for_replay += 1;
        } else {
            report.damaged.push(damaged);
        }
    }
}
