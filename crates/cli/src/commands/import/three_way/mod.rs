//! `import --three-way`: merges that were made elsewhere become what they were, two changes of which neither knew the
//! other, so that what they disagree about is found and decided like anything else.

mod fate;
mod read;
mod standing;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use comity_model::{KindName, RegisterKey};
use comity_node::{Document, Node, NodeError};
use comity_review::three_way::Arrays;
use comity_review::{Declarations, Place, Subject};
use serde_json::{Value as Json, json};

use self::fate::{Counts, Standing};
use self::read::{Record, Rules};
use self::standing::Already;
use self::write::Written;
use super::Import;
use super::bad::Bad;
use crate::error::{CommandError, CommandResult, Kind};
use crate::input::BadRow;
use crate::output::{Table, count};
use crate::review;
use crate::session::Session;

/// Lost leaves that are named.
const LOST_MAX: usize = 20;

/// Imports the records of a file, and says what became of every leaf.
pub async fn import(
    import: &Import,
    session: &Session,
    node: &Node,
    data: &[u8],
    existing: Option<Document>,
    kind: KindName,
) -> CommandResult {
    let inflated = read::inflated(data)?;
    let schema = session.config.schema(&kind);
    let arrays = if import.by_position { Arrays::ByPosition } else { Arrays::Whole };
    let rules = Rules { arrays, schema: &schema, limits: &session.config.limits };
    let (records, mut bad) = read::read(inflated.as_deref().unwrap_or(data), &rules)?;
    let (records, already) = compare(existing.as_ref(), records, &mut bad).await?;
    import.judge(session, &bad, records.len())?;
    let mut report = Report { records: records.len(), ..Report::default() };
    report.already = already.iter().filter(|already| **already == Already::All).count();
    if import.dry_run {
        records.iter().for_each(|record| report.counts.expect(record));
        report.say(import, session, &bad)?;
        return import.left_out(&bad);
    }
    let document = import.document(node, existing, kind).await?;
    let declared = review::declarations(node, &document).await?;
    let is_partial = !declared.groups.is_empty() || !declared.depends_on.is_empty();
    let mut written = Written::default();
    if let Err(error) = write::write(node, &document, &records, &already, &mut written).await {
        return Err(cut_short(error, records.len() - report.already, &written));
    }
    report.counts = look(&document, records, declared).await?;
    report.document = Some(document.id().to_string());
    report.changes = written.changes;
    report.say(import, session, &bad)?;
    if is_partial {
        session
            .output
            .note("both sides are changes of this device: groups and depends-on of the policy say nothing of them");
    }
    report.check()?;
    import.left_out(&bad)
}

/// Finds out how much of each record is in already. One of which something else is there is bad.
async fn compare(
    document: Option<&Document>,
    records: Vec<Record>,
    bad: &mut Bad,
) -> CommandResult<(Vec<Record>, Vec<Already>)> {
    let Some(document) = document else {
        let already = vec![Already::Nothing; records.len()];
        return Ok((records, already));
    };
    let roots: Vec<_> = records.iter().map(|record| record.root.clone()).collect();
    let found = document.read(move |view| standing::look(view, &roots)).await?;
    let (mut good, mut already) = (Vec::new(), Vec::new());
    for (record, found) in records.into_iter().zip(found) {
        match Already::of(&record, &found) {
            Already::Other => {
                let reason = format!("record {} is in the document already, and not as this line has it", record.root);
                bad.reject(BadRow::new(record.line, reason));
            }
            is_in => {
                good.push(record);
                already.push(is_in);
            }
        }
    }
    Ok((good, already))
}

/// Looks up every leaf in the document, and whether it is listed among the conflicts.
async fn look(document: &Document, records: Vec<Record>, declared: Declarations) -> CommandResult<Counts> {
    let records = Arc::new(records);
    let counts = document.read(move |view| {
        let subjects = view.review(declared);
        let listed: BTreeSet<RegisterKey> = subjects
            .briefs()
            .filter_map(|brief| match brief.subject {
                Subject::Place(Place::Field(register)) => Some(register),
                _ => None,
            })
            .collect();
        let mut counts = Counts::default();
        for record in records.iter() {
            let keys: BTreeSet<&RegisterKey> =
                record.base.keys().chain(record.ours.keys()).chain(record.theirs.keys()).collect();
            let values = |key: &RegisterKey| {
                let versions = view.register(key).map(|register| register.versions).unwrap_or_default();
                versions.into_iter().map(|version| version.value).collect()
            };
            let standing: Standing = keys.into_iter().map(|key| (key.clone(), values(key))).collect::<BTreeMap<_, _>>();
            counts.look(record, &standing, &listed);
        }
        counts
    });
    Ok(counts.await?)
}

fn cut_short(error: NodeError, missing: usize, written: &Written) -> CommandError {
    let error = CommandError::from(error);
    if written.changes.is_empty() {
        return error;
    }
    CommandError { kind: Kind::Partly, ..error }
        .hint(format!("{} of {missing} records are in, whole; import the file again for the rest", written.records))
}

/// What an import came to.
#[derive(Debug, Default)]
struct Report {
    document: Option<String>,
    records: usize,
    already: usize,
    changes: Vec<String>,
    counts: Counts,
}

impl Report {
    fn say(&self, import: &Import, session: &Session, bad: &Bad) -> CommandResult {
        if session.output.json {
            return session.output.json("import-three-way", self.json(import, bad));
        }
        let what =
            format!("{}, {}", count(self.records, "record", "records"), count(self.counts.leaves, "leaf", "leaves"));
        let already = match self.already {
            0 => String::new(),
            already => format!(" ({} in already)", count(already, "record was", "records were")),
        };
        match (import.dry_run, self.changes.len()) {
            (true, _) => {
                session.output.done(format_args!("{what} would be imported{already}; nothing was written"));
            }
            (false, 0) => session.output.done(format_args!("{what}: nothing to change")),
            (false, changes) => session
                .output
                .done(format_args!("imported {what}, in {}{already}", count(changes, "change", "changes"))),
        }
        session.output.print(self.table(import.dry_run))?;
        if let (Some(id), true) = (&self.document, import.new.is_some()) {
            session.output.line(id)?;
        }
        if self.counts.conflicts > 0 && !import.dry_run {
            session.output.note(format_args!("next: {} conflicts list", session.comity));
        }
        Ok(())
    }

    fn table(&self, is_dry: bool) -> Table {
        let counts = &self.counts;
        let mut table = Table::new(&["leaves", "number"]);
        let mut row = |name: &str, number: usize| table.row([name.to_owned(), number.to_string()]);
        row("untouched", counts.untouched);
        row("changed by ours alone", counts.ours);
        row("changed by theirs alone", counts.theirs);
        row("agreements: both changed to the same", counts.agreements);
        row("conflicts: both changed differently", counts.conflicts);
        if counts.clashes > 0 {
            row("a value where the other side has an object; both are kept", counts.clashes);
        }
        if !is_dry {
            row("silent losses (each leaf was looked up)", counts.lost.len());
        }
        table
    }

    fn json(&self, import: &Import, bad: &Bad) -> Json {
        let counts = &self.counts;
        json!({
            "document": self.document, "records": self.records, "records_in_already": self.already,
            "records_in_conflict": counts.in_conflict, "leaves": counts.leaves, "untouched": counts.untouched,
            "changed_by_ours": counts.ours, "changed_by_theirs": counts.theirs, "agreements": counts.agreements,
            "conflicts": counts.conflicts, "clashes": counts.clashes,
            "silent_losses": (!import.dry_run).then_some(counts.lost.len()), "changes": self.changes,
            "bad": bad.json(), "bad_count": bad.count(), "dry_run": import.dry_run,
        })
    }

    /// Checks that nothing was lost without a word.
    fn check(&self) -> CommandResult {
        let lost = &self.counts.lost;
        if lost.is_empty() {
            return Ok(());
        }
        let what = format!("{} neither shown nor listed", count(lost.len(), "leaf is", "leaves are"));
        let error =
            CommandError::new(Kind::Integrity, what).hint("this is a fault in Comity: keep the file and report it");
        Err(lost.iter().take(LOST_MAX).fold(error, |error, key| error.hint(key.to_string())))
    }
}
