//! The report of damage that nobody has acknowledged yet. It is on disk before anything that shows the damage is changed
//! (before it, whole groups of the journal may have gone into the engine, which hides nothing), so that a process which
//! dies between hearing of the damage and writing it down leaves it for the next one to hear.
//!
//! ```text
//! damage 1 DOCUMENTS GROUPS-LOST GROUPS-ALTERED SEGMENTS-DAMAGED SEGMENTS-CUT ROWS-LOST META-LOST ROWS-BUILT FOLDER SUM
//! reason TEXT SUM
//! document ID DAMAGE,… HEAD,… SUM
//! ```
//!
//! Each line has its own checksum, and the first stands at the end again: a disk that damaged the store may damage this
//! too, and then as few names as possible are lost, and counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};

use comity_model::{ChangeHash, DocumentId, Heads};

use crate::disk;
use crate::error::StoreError;
use crate::folder::{Folder, hex};
use crate::report::{Damage, DamagedDocument, OpenReport};
use crate::row::{Sealer, checksum};

/// Longest file: some 400,000 documents with their heads. What does not fit is counted as names that are lost.
const BYTES_MAX: usize = 64 << 20;

/// Most heads that are kept of a document. A part of them is worth more than none: what lacks one of these lacks something.
const HEADS_MAX: usize = 64;

/// Stands for heads that are not known, and for no folder.
const NONE: &str = "-";

/// Reads what earlier openings found and nobody acknowledged; `None` when there is nothing.
pub(crate) fn read(folder: &Folder, sealer: &Sealer) -> Result<Option<OpenReport>, StoreError> {
    let path = folder.damage();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("read", &path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX as u64).read_to_end(&mut bytes).map_err(StoreError::io("read", &path))?;
    Ok(Some(parse(&bytes, folder, sealer)))
}

/// Keeps a report until it is acknowledged, in place of the one before. Durable when this returns.
pub(crate) fn write(folder: &Folder, sealer: &Sealer, report: &OpenReport) -> Result<(), StoreError> {
    disk::write_whole(&folder.damage(), text(report, sealer).as_bytes())?;
    disk::sync_folder(&folder.root)
}

/// Forgets the report. Doing it twice is fine.
pub(crate) fn forget(folder: &Folder) -> Result<(), StoreError> {
    let path = folder.damage();
    match fs::remove_file(&path) {
        Ok(()) => disk::sync_folder(&folder.root),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io("remove", &path)(error)),
    }
}

/// Adds what an earlier opening found. Nothing is counted twice when both found the same. All heads that were ever known
/// of a document must come back: one that is asked for in vain hides no loss, one that is forgotten may.
pub(crate) fn add(report: &mut OpenReport, earlier: OpenReport) {
    let mut documents: BTreeMap<DocumentId, DamagedDocument> =
        earlier.damaged.into_iter().map(|damaged| (damaged.document, damaged)).collect();
    for new in std::mem::take(&mut report.damaged) {
        match documents.get_mut(&new.document) {
            Some(known) => {
                known.heads = union(known.heads.take(), new.heads);
                let more = new.damage.into_iter().filter(|damage| !known.damage.contains(damage)).collect::<Vec<_>>();
                known.damage.extend(more);
            }
            None => drop(documents.insert(new.document, new)),
        }
    }
    report.damaged = documents.into_values().collect();
    let (now, then) = (&mut report.journal, earlier.journal);
    for (now, then) in [
        (&mut now.lost_groups, then.lost_groups),
        (&mut now.altered_groups, then.altered_groups),
        (&mut now.damaged_segments, then.damaged_segments),
        (&mut now.cut_segments, then.cut_segments),
        (&mut report.catalogue_rows_lost, earlier.catalogue_rows_lost),
        (&mut report.meta_rows_lost, earlier.meta_rows_lost),
        (&mut report.rebuilt_rows, earlier.rebuilt_rows),
    ] {
        *now = then.max(*now);
    }
    report.set_aside = report.set_aside.take().or(earlier.set_aside);
    report.reason = report.reason.take().or(earlier.reason);
}

/// Gives all heads of both; `None`, which means that they are not known, says nothing against those that are.
pub(crate) fn union(one: Option<Heads>, other: Option<Heads>) -> Option<Heads> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.as_slice().iter().chain(other.as_slice()).copied().collect()),
        (one, other) => one.or(other),
    }
}

fn text(report: &OpenReport, sealer: &Sealer) -> String {
    let OpenReport { journal, catalogue_rows_lost, meta_rows_lost, rebuilt_rows, .. } = report;
    let aside = report.set_aside.as_ref().and_then(|aside| aside.file_name()?.to_str()).unwrap_or(NONE);
    let head = format!(
        "damage 1 {} {} {} {} {} {catalogue_rows_lost} {meta_rows_lost} {rebuilt_rows} {aside}",
        report.damaged.len(),
        journal.lost_groups,
        journal.altered_groups,
        journal.damaged_segments,
        journal.cut_segments,
    );
    let mut text = String::new();
    put(&mut text, sealer, &head);
    if let Some(reason) = &report.reason {
        let reason: String = reason.chars().take(2_000).map(|c| if c.is_control() { ' ' } else { c }).collect();
        put(&mut text, sealer, &format!("reason {reason}"));
    }
    for damaged in &report.damaged {
        let codes: Vec<String> = damaged.damage.iter().map(code).collect();
        put(&mut text, sealer, &format!("document {} {} {}", damaged.document, codes.join(","), heads_text(damaged)));
        if text.len() > BYTES_MAX - (16 << 10) {
            tracing::error!(documents = report.damaged.len(), "too many documents are damaged to remember all names");
            break;
        }
    }
    put(&mut text, sealer, &head);
    text
}

fn put(text: &mut String, sealer: &Sealer, fields: &str) {
    writeln!(text, "{fields} {}", sum(sealer, fields)).expect("a String takes all that is written");
}

fn sum(sealer: &Sealer, fields: &str) -> String {
    hex(&checksum(&[&sealer.0, fields.as_bytes()]))
}

fn heads_text(damaged: &DamagedDocument) -> String {
    match &damaged.heads {
        Some(heads) if !heads.as_slice().is_empty() => {
            heads.as_slice().iter().take(HEADS_MAX).map(ToString::to_string).collect::<Vec<_>>().join(",")
        }
        _ => NONE.to_owned(),
    }
}

fn parse(bytes: &[u8], folder: &Folder, sealer: &Sealer) -> OpenReport {
    let mut report = OpenReport::default();
    let mut documents = BTreeMap::new();
    let (mut named, mut bad_lines) = (None, 0);
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let fields = str::from_utf8(line).ok().and_then(|line| line.rsplit_once(' '));
        let Some((fields, _)) = fields.filter(|(fields, found)| sum(sealer, fields) == *found) else {
            bad_lines += 1;
            continue;
        };
        match fields.split_once(' ') {
            Some(("damage", rest)) => named = named.or_else(|| parse_head(rest, folder, &mut report)),
            Some(("reason", rest)) => report.reason = Some(rest.to_owned()),
            Some(("document", rest)) => match parse_document(rest) {
                Some(damaged) => drop(documents.insert(damaged.document, damaged)),
                None => bad_lines += 1,
            },
            _ => bad_lines += 1,
        }
    }
    report.damaged = documents.into_values().collect();
    // A name that is lost is a row of a list that is lost; without the first line nobody can tell how many.
    let lost = named.map_or(1.max(bad_lines), |named: u64| named.saturating_sub(report.damaged.len() as u64));
    report.catalogue_rows_lost = report.catalogue_rows_lost.saturating_add(lost);
    report
}

/// Reads the first line; gives how many documents there must be.
fn parse_head(rest: &str, folder: &Folder, report: &mut OpenReport) -> Option<u64> {
    let words: Vec<&str> = rest.split(' ').collect();
    let ["1", numbers @ .., aside] = &words[..] else { return None };
    let numbers = numbers.iter().map(|word| word.parse().ok()).collect::<Option<Vec<u64>>>()?;
    let [documents, lost, altered, damaged, cut, rows, meta, rebuilt] = numbers[..] else { return None };
    report.journal.lost_groups = lost;
    report.journal.altered_groups = altered;
    report.journal.damaged_segments = damaged;
    report.journal.cut_segments = cut;
    report.catalogue_rows_lost = rows;
    report.meta_rows_lost = meta;
    report.rebuilt_rows = rebuilt;
    report.set_aside = (*aside != NONE).then(|| folder.root.join(aside));
    Some(documents)
}

fn parse_document(rest: &str) -> Option<DamagedDocument> {
    let mut words = rest.split(' ');
    let document = words.next()?.parse().ok()?;
    let damage = words.next()?.split(',').map(damage_of).collect::<Option<Vec<_>>>()?;
    let heads = match words.next()? {
        NONE => None,
        list => Some(Heads::new(list.split(',').map(|hash| hash.parse().ok()).collect::<Option<Vec<ChangeHash>>>()?)),
    };
    Some(DamagedDocument { document, heads, damage })
}

/// Each sort of damage that is only a word.
const WORDS: [Damage; 9] = [
    Damage::Gone,
    Damage::ManifestLost,
    Damage::Stale,
    Damage::HeadsLost,
    Damage::Row,
    Damage::ChangesAltered,
    Damage::SnapshotLost,
    Damage::SnapshotAltered,
    Damage::SyncStateLost,
];

/// Gives what is written for a sort of damage. A new one that is a word goes into [`WORDS`] too.
fn code(damage: &Damage) -> String {
    let word = match damage {
        Damage::ChangesLost { found, expected } => return format!("changes-lost:{found}/{expected}"),
        Damage::Gone => "gone",
        Damage::ManifestLost => "manifest-lost",
        Damage::Stale => "stale",
        Damage::HeadsLost => "heads-lost",
        Damage::Row => "row",
        Damage::ChangesAltered => "changes-altered",
        Damage::SnapshotLost => "snapshot-lost",
        Damage::SnapshotAltered => "snapshot-altered",
        Damage::SyncStateLost => "sync-state-lost",
    };
    word.to_owned()
}

fn damage_of(word: &str) -> Option<Damage> {
    if let Some(counts) = word.strip_prefix("changes-lost:") {
        let (found, expected) = counts.split_once('/')?;
        return Some(Damage::ChangesLost { found: found.parse().ok()?, expected: expected.parse().ok()? });
    }
    WORDS.into_iter().find(|damage| code(damage) == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::JournalReport;

    const SEALER: Sealer = Sealer([7; 16]);

    fn document(id: u8, heads: u8, damage: Vec<Damage>) -> DamagedDocument {
        let heads = (heads > 0).then(|| (0..heads).map(|head| ChangeHash([head; 32])).collect());
        DamagedDocument { document: DocumentId::from_bytes([id; 16]), heads, damage }
    }

    fn report(root: &std::path::Path) -> OpenReport {
        let all = WORDS.to_vec();
        OpenReport {
            journal: JournalReport { lost_groups: 1, altered_groups: 2, cut_segments: 3, ..JournalReport::default() },
            catalogue_rows_lost: 4,
            meta_rows_lost: 5,
            rebuilt_rows: 6,
            set_aside: Some(root.join("damaged-12")),
            reason: Some("3 times a row was altered".to_owned()),
            damaged: vec![
                document(1, 0, all),
                document(2, 3, vec![Damage::ChangesLost { found: 1, expected: 9 }, Damage::Stale]),
            ],
            ..OpenReport::default()
        }
    }

    #[test]
    fn a_report_reads_back_as_it_was_until_it_is_forgotten() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path());
        assert_eq!(read(&folder, &SEALER).unwrap(), None);
        forget(&folder).unwrap();
        write(&folder, &SEALER, &report(root.path())).unwrap();
        assert_eq!(read(&folder, &SEALER).unwrap(), Some(report(root.path())));
        forget(&folder).unwrap();
        assert_eq!(read(&folder, &SEALER).unwrap(), None);
    }

    #[test]
    fn a_flipped_bit_or_a_cut_loses_one_name_or_is_counted() {
        let folder = Folder::new(std::path::Path::new("/store"));
        let whole = report(&folder.root);
        let bytes = text(&whole, &SEALER).into_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let found = parse(&flipped, &folder, &SEALER);
            // A flipped line end makes one bad line of two.
            let lost = whole.damaged.len() - found.damaged.len();
            assert!(found.is_damaged() && lost <= 2, "bit {bit}: {found:?}");
            assert_eq!(found.catalogue_rows_lost, 4 + lost as u64, "bit {bit}");
            assert!(found.damaged.iter().all(|damaged| whole.damaged.contains(damaged)), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            let found = parse(&bytes[..cut], &folder, &SEALER);
            let counted = found.catalogue_rows_lost > 4 || cut < text_of_first_line(&bytes);
            assert!(found.is_damaged() && (found.damaged == whole.damaged || counted), "cut at {cut}: {found:?}");
        }
    }

    fn text_of_first_line(bytes: &[u8]) -> usize {
        bytes.iter().position(|byte| *byte == b'\n').unwrap()
    }

    #[test]
    fn what_is_found_again_is_not_counted_again_and_all_heads_that_were_ever_known_stay() {
        let root = std::path::Path::new("/store");
        let mut again = report(root);
        add(&mut again, report(root));
        assert_eq!(again, report(root));
        let mut more = OpenReport { damaged: vec![document(2, 4, vec![Damage::Row])], ..OpenReport::default() };
        more.damaged.push(document(9, 1, vec![Damage::Gone]));
        add(&mut more, report(root));
        let two = document(2, 4, vec![Damage::ChangesLost { found: 1, expected: 9 }, Damage::Stale, Damage::Row]);
        let (first, last) = (report(root).damaged.remove(0), document(9, 1, vec![Damage::Gone]));
        assert_eq!(more.damaged, [first, two, last]);
        assert_eq!((more.meta_rows_lost, more.set_aside), (5, report(root).set_aside));
    }

    #[test]
    fn heads_that_are_known_are_not_forgotten_for_heads_that_are_not() {
        for (now, then, both) in [(0, 3, 3), (3, 0, 3), (1, 3, 3), (0, 0, 0)] {
            let one =
                |heads| OpenReport { damaged: vec![document(1, heads, vec![Damage::Stale])], ..OpenReport::default() };
            let mut report = one(now);
            add(&mut report, one(then));
            assert_eq!(report, one(both), "{now} and {then} heads");
        }
    }

    #[test]
    fn of_more_heads_than_are_kept_as_many_as_fit_are_kept() {
        let most = u8::try_from(HEADS_MAX).unwrap();
        for (heads, kept) in [(most, most), (most + 1, most)] {
            let damaged = vec![document(1, heads, vec![Damage::Row])];
            let one = OpenReport { damaged, ..OpenReport::default() };
            let read = parse(text(&one, &SEALER).as_bytes(), &Folder::new(std::path::Path::new("/")), &SEALER);
            assert_eq!(read.damaged, [document(1, kept, vec![Damage::Row])], "{heads} heads");
            assert_eq!(read.catalogue_rows_lost, 0);
        }
    }
}
