//! How the cost of finding conflicts grows, with the history of a document and with the conflicts in it.

use std::collections::BTreeMap;

use anyhow::ensure;
use comity_crdt::{DecodedChange, Document, SyncSession};
use comity_model::{Heads, Write};
use comity_review::{Declarations, Review, State};

use crate::heap;
use crate::table::{FLAT, LINEAR, Table, Unit};
use crate::work::{Samples, audit, edit, entries_of, exchange, limits, load, save, set, timed};

const ROUNDS: usize = 9;

/// Changes that each of two devices makes in one round, not knowing of the other's.
const CHANGES: usize = 50;

/// Operations of a change that marks several entries at once.
const MARKED: usize = 100;

/// Entries of the largest audit that technicians made: cells of the elpv images.
const AUDIT_ENTRIES: usize = 2_624;

/// What an audit's policy declares.
fn declared() -> Declarations {
    let field = |name: &str| name.parse().expect("a field name");
    Declarations {
        groups: vec![[field("comment"), field("status")].into()],
        depends_on: BTreeMap::from([(field("checked-by"), [field("status")].into())]),
        natural_key: vec![field("serial")],
        second_reviewer: [field("status")].into(),
        invariants: Vec::new(),
    }
}

/// Two devices that started from one copy and never met.
struct Apart {
    copies: [Document; 2],
    seen: [Heads; 2],
    written: usize,
}

impl Apart {
    fn new(start: &Document) -> anyhow::Result<Self> {
        let copies = [load(&save(start)?)?, load(&save(start)?)?];
        let seen = [start.heads().clone(), start.heads().clone()];
        Ok(Self { copies, seen, written: 0 })
    }

    /// Brings both in step.
    fn meet(self) -> anyhow::Result<Document> {
        let [mut a, mut b] = self.copies;
        exchange(&mut a, &mut SyncSession::new(), &mut b, &mut SyncSession::new())?;
        ensure!(a.heads() == b.heads(), "both are in step");
        Ok(a)
    }

    /// Both write to the same entries; gives what they wrote.
    fn disagree(&mut self, changes: usize, marked: usize, entries: usize) -> anyhow::Result<Vec<DecodedChange>> {
        let mut news = Vec::new();
        for (side, copy) in self.copies.iter_mut().enumerate() {
            for change in 0..changes {
                let at = |index: usize| (self.written + change * marked + index) * 7_919 % entries;
                let value = |index: usize| format!("{} seen by {side}", self.written + index);
                let write = |index| set(at(index), "status", value(index).as_str().into());
                let writes = (0..marked).map(write).collect::<anyhow::Result<Vec<Write>>>()?;
                edit(copy, 100 + side, self.written + change, &writes, &limits())?;
            }
            news.extend(copy.decode_since(&self.seen[side]));
            self.seen[side] = copy.heads().clone();
        }
        self.written += changes * marked;
        Ok(news)
    }
}

/// What 100 new operations cost, by the operations that a document has.
pub fn history(sizes: &[usize]) -> anyhow::Result<Table> {
    let columns = [
        ("operations", Unit::Count),
        ("find in 100 new", Unit::Seconds),
        ("decide", Unit::Seconds),
        ("read the history", Unit::Seconds),
        ("memory", Unit::Bytes),
    ];
    let mut table = Table::new("Conflicts, by the history of a document", &columns);
    table.note(
        "*Find in 100 new*: two devices have each changed 50 fields, not knowing of each other; their 100 changes are fed to \
         the review of the document. *Decide* is what an answer to one of the conflicts writes. *Read the history* is the \
         review of the whole document made from nothing.",
    );
    for size in sizes {
        let (document, _) = audit(*size)?;
        let (before, entries) = (heap::in_use(), entries_of(*size));
        let (mut review, read) = timed(|| Review::of(&document, declared()));
        let memory = heap::in_use().saturating_sub(before);
        let mut apart = Apart::new(&document)?;
        let [mut find, mut decide] = <[Samples; 2]>::default();
        for _ in 0..ROUNDS {
            let news = apart.disagree(CHANGES, 1, entries)?;
            let (turns, time) = timed(|| review.feed(&news));
            find.add(time);
            let opened = turns.iter().find(|turn| turn.now == Some(State::Open));
            let Some(opened) = opened else { anyhow::bail!("nothing opened") };
            let (conflict, time) = timed(|| review.conflict(opened.id));
            ensure!(conflict.is_some_and(|conflict| conflict.sides.len() > 1), "a conflict has two sides");
            decide.add(time);
        }
        let row = [*size as f64, find.median(), decide.median(), read.as_secs_f64(), memory as f64];
        table.row(row.to_vec());
    }
    table.check_growth("find in 100 new", FLAT, 100e-6);
    table.check_growth("decide", FLAT, 10e-6);
    table.check_growth("read the history", LINEAR, 1e-3);
    table.check_growth("memory", LINEAR, 100e3);
    let cost = |operations: f64| table.cell(operations, "find in 100 new");
    if let (Some(small), Some(large)) = (cost(10_000.0), cost(960_000.0)) {
        table.check("find in 100 new: at 960,000 operations less than twice of that at 10,000", large / small, 2.0);
    }
    Ok(table)
}

/// What a list of conflicts costs, by the conflicts in an audit.
pub fn conflicts(sizes: &[usize]) -> anyhow::Result<Table> {
    let columns = [
        ("conflicts", Unit::Count),
        ("list", Unit::Seconds),
        ("digest", Unit::Seconds),
        ("from the store to the list", Unit::Seconds),
    ];
    let mut table = Table::new("Conflicts, by their number", &columns);
    table.note(
        "Two devices have marked the same modules of an audit, not knowing of each other. *List* gives all conflicts with \
         sides and bases, *from the store to the list* loads the document, reads its history and lists them. An audit has \
         2,624 entries, or as many as there are conflicts.",
    );
    for size in sizes {
        let (mut start, _) = audit(AUDIT_ENTRIES.max(*size) * 10)?;
        let entries = entries_of(AUDIT_ENTRIES.max(*size) * 10);
        let mut apart = Apart::new(&start)?;
        let per_change = MARKED.min(*size);
        apart.disagree(size / per_change, per_change, entries)?;
        start = apart.meet()?;
        let snapshot = save(&start)?;
        let (review, whole) = timed(|| -> anyhow::Result<_> {
            let review = Review::of(&load(&snapshot)?, declared());
            let open = review.conflicts(State::is_open).len();
            Ok((review, open))
        });
        let (review, open) = review?;
        ensure!(open >= *size, "{open} conflicts are open, not {size}");
        let [mut list, mut digest] = <[Samples; 2]>::default();
        for _ in 0..ROUNDS {
            list.add(timed(|| review.conflicts(State::is_open).len()).1);
            digest.add(timed(|| review.digest()).1);
        }
        table.row(vec![*size as f64, list.median(), digest.median(), whole.as_secs_f64()]);
    }
    table.check_growth("list", LINEAR, 1e-3);
    table.check_at(10_000.0, "list", 0.2);
    table.check_at(1_000.0, "from the store to the list", 1.0);
    Ok(table)
}
