//! Opening: create, go on after a proper close, or recover.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use comity_model::DocumentId;

use crate::apply::apply_group;
use crate::catalogue::{self, Catalogue, Expected, Index, Stamps, meta_id};
use crate::check::{Checked, check};
use crate::child;
use crate::damage;
use crate::disk::{self, FolderLock};
use crate::durable::{Durable, OpenParts};
use crate::engine::{Engine, within};
use crate::entry::Entry;
use crate::error::{OpenError, StoreError};
use crate::folder::{CleanMark, Folder, Format};
use crate::journal::{self, Journal, Suspect};
use crate::kept;
use crate::options::Options;
use crate::rebuild::{self, Rebuilt};
use crate::report::{Damage, DamagedDocument, JournalReport, OpenReport};
use crate::snapshots::Snapshots;

/// Opens or creates the store in a folder.
pub(crate) fn open<E: Engine>(root: &Path, options: Options) -> Result<(Durable<E>, OpenReport), OpenError> {
    disk::create_folder(root)?;
    let folder = Folder::new(root);
    let lock = FolderLock::take(root, options.lock_patience)?;
    let Some(format) = folder.format()? else {
        if !folder.is_free(E::NAME)? {
            return Err(OpenError::NotAStore { folder: root.to_owned() });
        }
        return create(folder, options, lock);
    };
    check_engine::<E>(&folder, &format)?;
    let earlier = damage::read(&folder, &format.sealer)?;
    let mut opening = Opening { folder, format, options, earlier, report: OpenReport::default() };
    let parts = opening.open::<E>(lock)?;
    let Opening { mut report, earlier, .. } = opening;
    if let Some(earlier) = earlier {
        damage::add(&mut report, earlier);
    }
    if report.is_damaged() {
        tracing::warn!(folder = %root.display(), ?report, "the store was damaged");
    }
    Ok((Durable::new(parts), report))
}

/// Refuses a folder of another engine.
pub(crate) fn check_engine<E: Engine>(folder: &Folder, format: &Format) -> Result<(), OpenError> {
    if format.engine != E::NAME {
        let (folder, found) = (folder.root.clone(), format.engine.clone());
        return Err(OpenError::OtherEngine { folder, found, wanted: E::NAME });
    }
    Ok(())
}

fn create<E: Engine>(
    folder: Folder,
    options: Options,
    lock: FolderLock,
) -> Result<(Durable<E>, OpenReport), OpenError> {
    // The format file comes last, so that a creation that was cut short is not taken for a store.
    let engine_folder = folder.engine(E::NAME);
    if engine_folder.exists() {
        std::fs::remove_dir_all(&engine_folder).map_err(StoreError::io("remove", &engine_folder))?;
    }
    let snapshots = Snapshots::open(folder.snapshots())?;
    let engine = E::open(&engine_folder, options.cache())?;
    let format = Format::random(E::NAME)?;
    let sealer = format.sealer;
    let catalogue = Catalogue::write(sealer, &folder.root, &Index::default(), 0)?;
    let journal = Journal::begin(sealer, &folder.journal(), 1, catalogue.mark())?;
    disk::sync_folder(&folder.root)?;
    folder.write_format(&format)?;
    let index = Index::default();
    let parts = OpenParts { folder, sealer, options, snapshots, journal, catalogue, engine, index, lock };
    Ok((Durable::new(parts), OpenReport { created: true, clean: true, ..OpenReport::default() }))
}

/// Snapshot files that documents refer to.
type Referred = BTreeSet<(DocumentId, [u8; 32])>;

struct Opening {
    folder: Folder,
    format: Format,
    options: Options,
    /// What earlier openings found and nobody acknowledged.
    earlier: Option<OpenReport>,
    /// What this one finds.
    report: OpenReport,
}

/// What the store's own files say, whatever the engine says.
pub(crate) struct Evidence {
    pub(crate) catalogue: catalogue::Contents,
    pub(crate) journal: journal::Contents,
    pub(crate) mark: Option<CleanMark>,
}

impl Evidence {
    pub(crate) fn read(folder: &Folder, format: &Format) -> Result<Self, StoreError> {
        let journal = journal::read(&format.sealer, &folder.journal())?;
        Ok(Self {
            catalogue: Catalogue::read(&format.sealer, &folder.root, journal.catalogue)?,
            journal,
            mark: folder.clean_mark(&format.sealer)?,
        })
    }

    /// Tells whether the store was closed properly and nothing has changed since.
    pub(crate) fn is_clean(&self) -> bool {
        let Some(mark) = self.mark else { return false };
        let journal = &self.journal;
        let report = &journal.report;
        let quiet =
            journal.groups.is_empty() && report.tail_bytes == 0 && !report.is_damaged() && journal.segments == 1;
        let whole = self.catalogue.rows_lost + self.catalogue.rows_torn == 0 && !self.catalogue.missing;
        quiet && whole && mark.next == journal.next && mark.catalogue_bytes == self.catalogue.bytes
    }

    /// Gives what they lost themselves: of the journal, and rows of the catalogue.
    pub(crate) fn losses(&self) -> (JournalReport, u64) {
        let (mut journal, mut rows_lost) = (self.journal.report.clone(), self.catalogue.rows_lost);
        if self.catalogue.missing || (self.mark.is_some() && !self.is_clean()) {
            // A mark that does not fit means that a file was changed while the store was closed.
            rows_lost = rows_lost.max(1);
        }
        if self.journal.segments == 0 {
            journal.damaged_segments += 1;
        }
        (journal, rows_lost)
    }

    /// Gives what must be there once the journal is replayed.
    pub(crate) fn expected(&self) -> Index {
        let mut index = self.catalogue.index.clone();
        for (stamp, entries) in &self.journal.groups {
            for entry in entries {
                match entry {
                    Entry::Manifest { document, manifest, .. } => {
                        let expected = Expected { stamp: *stamp, live_bytes: manifest.live_bytes() };
                        index.put_document(*document, expected);
                    }
                    Entry::Meta { key, .. } => drop(index.meta.insert(meta_id(key), *stamp)),
                    Entry::RemoveMeta { key } => drop(index.meta.remove(&meta_id(key))),
                    _ => {}
                }
            }
        }
        index
    }

    /// Gives the greatest generation that a catalogue of this store has had.
    pub(crate) fn generation(&self) -> u64 {
        self.journal.catalogue.map_or(0, |mark| mark.generation).max(self.catalogue.generation)
    }

    /// Gives a number above every group that was ever written.
    pub(crate) fn next(&self) -> u64 {
        let mark = self.mark.map_or(0, |mark| mark.next);
        self.journal.next.max(mark).max(self.catalogue.index.stamp_max() + 1).max(1)
    }
}

impl Opening {
    fn open<E: Engine>(&mut self, lock: FolderLock) -> Result<OpenParts<E>, OpenError> {
        let sealer = self.format.sealer;
        self.folder.mend_format(&self.format)?;
        self.folder.settle_engine(E::NAME)?;
        let mut evidence = Evidence::read(&self.folder, &self.format)?;
        let snapshots = Snapshots::open(self.folder.snapshots())?;
        let clean = evidence.is_clean();
        if clean {
            self.folder.remove_clean_mark()?;
        }
        (self.report.journal, self.report.catalogue_rows_lost) = evidence.losses();
        let mut reason = None;
        if clean {
            match self.open_engine::<E>() {
                Ok(engine) => {
                    self.report.clean = true;
                    let catalogue = Catalogue::reopen(sealer, &self.folder.root, &evidence.catalogue);
                    let journal = Journal::begin(sealer, &self.folder.journal(), evidence.next(), catalogue.mark())?;
                    let index = std::mem::take(&mut evidence.catalogue.index);
                    return Ok(self.parts(snapshots, journal, catalogue, engine, index, lock));
                }
                Err(error) => reason = Some(error.to_string()),
            }
        }
        let (engine, index, referred) = self.recover::<E>(&evidence, &snapshots, reason)?;
        let next = evidence.next().max(index.stamp_max() + 1);
        if let Some(referred) = referred {
            name_suspects(&evidence.journal.suspects, &index.stamps(), &mut self.report.damaged);
            if self.report.is_damaged() {
                // The engine is whole, but the files that are written anew below are evidence, and so are snapshots that
                // perhaps only a lost group referred to.
                let aside = self.keep_and_remember()?;
                snapshots.set_aside(&referred, &aside.join("snapshots"))?;
            } else {
                self.report.snapshots_removed = snapshots.collect(&referred)?;
            }
        }
        // A mark that does not fit says that there is damage, so it stays until that is written down.
        self.folder.remove_clean_mark()?;
        // Engine first, then the list of what it holds, then the journal that could make it again.
        engine.sync()?;
        let catalogue = Catalogue::write(sealer, &self.folder.root, &index, evidence.generation())?;
        let journal = Journal::begin(sealer, &self.folder.journal(), next, catalogue.mark())?;
        if self.report.set_aside.is_some() {
            kept::prune(&self.folder);
        }
        Ok(self.parts(snapshots, journal, catalogue, engine, index, lock))
    }

    /// Sets evidence aside and writes down what was found, with what earlier openings found. From here on the repair may
    /// hide it. Gives where the evidence is.
    fn keep_and_remember(&mut self) -> Result<PathBuf, StoreError> {
        let staged = kept::stage(&self.folder)?;
        self.report.set_aside = Some(staged.aside().to_owned());
        let mut all = self.report.clone();
        if let Some(earlier) = self.earlier.clone() {
            damage::add(&mut all, earlier);
        }
        damage::write(&self.folder, &self.format.sealer, &all)?;
        staged.keep()
    }

    fn parts<E>(
        &self,
        snapshots: Snapshots,
        journal: Journal,
        catalogue: Catalogue,
        engine: E,
        index: Index,
        lock: FolderLock,
    ) -> OpenParts<E> {
        OpenParts {
            folder: self.folder.clone(),
            sealer: self.format.sealer,
            options: self.options.clone(),
            snapshots,
            journal,
            catalogue,
            engine,
            index,
            lock,
        }
    }

    /// Gives an engine that holds all that can be had: the old one when it verifies, with the snapshot files that it
    /// refers to, else one built anew, after which nothing is left to do.
    fn recover<E: Engine>(
        &mut self,
        evidence: &Evidence,
        snapshots: &Snapshots,
        reason: Option<String>,
    ) -> Result<(E, Index, Option<Referred>), OpenError> {
        let reason = match reason {
            Some(reason) => reason,
            None => match self.replay_and_check::<E>(evidence, snapshots) {
                Ok((engine, checked)) if !checked.is_damaged() => {
                    return Ok((engine, checked.index, Some(checked.snapshots)));
                }
                Ok((engine, checked)) => {
                    let deadline = self.deadline::<E>();
                    // If it cannot even close, the rename below still takes its files out of the way.
                    if let Err(error) = within("close", deadline, move || engine.close()) {
                        tracing::warn!(%error, "the damaged engine did not close");
                    }
                    describe(&checked)
                }
                Err(error) => error.to_string(),
            },
        };
        tracing::warn!(folder = %self.folder.root.display(), reason, "rebuilding the store");
        self.report.reason = Some(reason);
        let (engine, index) = self.rebuild::<E>(evidence, snapshots)?;
        Ok((engine, index, None))
    }

    fn replay_and_check<E: Engine>(
        &self,
        evidence: &Evidence,
        snapshots: &Snapshots,
    ) -> Result<(E, Checked), StoreError> {
        let deadline = self.deadline::<E>();
        if self.folder.engine(E::NAME).exists() {
            child::try_engine(&self.options, &self.folder.root, deadline)?;
        }
        let engine = self.open_engine::<E>()?;
        let sealer = self.format.sealer;
        let (groups, expected) = (evidence.journal.groups.clone(), evidence.expected());
        let snapshots = snapshots.clone();
        within("replay and verify", deadline, move || {
            for (stamp, entries) in &groups {
                apply_group(&engine, &sealer, *stamp, entries)?;
            }
            let checked = check(&engine, &sealer, &snapshots, &expected, &mut |_| {})?;
            Ok((engine, checked))
        })
    }

    fn open_engine<E: Engine>(&self) -> Result<E, StoreError> {
        let path = self.folder.engine(E::NAME);
        if !path.exists() {
            let message = "its folder is missing".to_owned();
            return Err(StoreError::Engine { engine: E::NAME, what: "open", message });
        }
        let cache_bytes = self.options.cache();
        within("open", self.deadline::<E>(), move || E::open(&path, cache_bytes))
    }

    fn deadline<E: Engine>(&self) -> Duration {
        deadline(&self.options, &self.folder.engine(E::NAME))
    }

    fn rebuild<E: Engine>(&mut self, evidence: &Evidence, snapshots: &Snapshots) -> Result<(E, Index), StoreError> {
        let (current, new) = (self.folder.engine(E::NAME), self.folder.engine_new(E::NAME));
        let sources = [current.clone()];
        let sealer = &self.format.sealer;
        let Rebuilt { index, damaged, meta_rows_lost, rows, referred } =
            rebuild::rebuild::<E>(sealer, &sources, (&new, self.options.cache()), evidence, snapshots, &mut |_| {})?;
        self.report.rebuilt_rows = rows;
        self.report.damaged = damaged;
        self.report.meta_rows_lost = meta_rows_lost;
        let aside = self.keep_and_remember()?;
        if current.exists() {
            disk::rename_durably(&current, &aside.join(E::NAME))?;
        }
        disk::rename_durably(&new, &current)?;
        // Altered snapshots are evidence too, and so are those whose document is lost.
        snapshots.set_aside(&referred, &aside.join("snapshots"))?;
        Ok((E::open(&current, self.options.cache())?, index))
    }
}

/// Names the documents of groups that were lost, unless a later group made them whole. `stamps` says how new what is left
/// of each document was when it was found. One that lost something else too is named with what it had in either.
pub(crate) fn name_suspects(suspects: &[Suspect], stamps: &Stamps, damaged: &mut Vec<DamagedDocument>) {
    let mut named: BTreeMap<DocumentId, DamagedDocument> =
        std::mem::take(damaged).into_iter().map(|damaged| (damaged.document, damaged)).collect();
    for Suspect { sequence, document, heads } in suspects {
        let stamp = stamps.get(document);
        if stamp.is_some_and(|stamp| *stamp >= *sequence) {
            continue;
        }
        let new = DamagedDocument { document: *document, heads: None, damage: Vec::new() };
        let named = named.entry(*document).or_insert(new);
        named.heads = damage::union(named.heads.take(), Some(heads.clone()));
        let damage = if stamp.is_some() { Damage::Stale } else { Damage::Gone };
        if !named.damage.contains(&damage) {
            named.damage.push(damage);
        }
    }
    damaged.extend(named.into_values());
}

/// Gives how long an engine with files of this size may take.
pub(crate) fn deadline(options: &Options, engine: &Path) -> Duration {
    let bytes = disk::bytes_below(engine).unwrap_or(0);
    options.open_deadline + Duration::from_secs(bytes >> 22)
}

fn describe(checked: &Checked) -> String {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for damage in checked.damaged.iter().flat_map(|damaged| &damaged.damage) {
        *kinds.entry(damage.to_string()).or_default() += 1;
    }
    let mut words: Vec<String> = kinds.iter().take(8).map(|(kind, count)| format!("{count} times {kind}")).collect();
    if checked.meta_rows_lost > 0 {
        words.push(format!("{} node-level rows lost", checked.meta_rows_lost));
    }
    if checked.stray_rows > 0 {
        words.push(format!("{} rows that belong to nothing", checked.stray_rows));
    }
    words.join(", ")
}
