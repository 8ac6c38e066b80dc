//! A change that is written once more against the same change applied by Automerge: no difference, at once or later.

mod authors;

use std::cell::Cell;

use automerge::legacy::OpType;
use automerge::transaction::Transactable;
use automerge::{ActorId, Automerge, Change, ChangeHash};
use comity_model::{Act, ActKind, HybridTime, Limits, Write};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::admit::tests::{Choices, message};
use crate::genesis::Container;
use crate::{Document, ReceiveError, Received, SyncSession, admit};
use authors::{authors, craft, drafted, edit, shown};

thread_local! {
    static MEDDLER: Cell<Option<Meddler>> = const { Cell::new(None) };
}

/// What goes wrong although nothing can.
#[derive(Clone, Copy)]
enum Meddler {
    Differs,
    Panics,
}

/// Stands between a transaction and the comparison of what came out of it.
pub(super) fn meddle(written: Option<ChangeHash>) -> Option<ChangeHash> {
    match MEDDLER.get() {
        None => written,
        Some(Meddler::Differs) => Some(ChangeHash([0; 32])),
        Some(Meddler::Panics) => panic!("as a fault of Automerge might"),
    }
}

/// One who receives, twice: we, and Automerge alone.
struct Receiver {
    ours: Document,
    plain: Automerge,
}

impl Receiver {
    fn new(base: &Automerge) -> Self {
        let bytes = base.save();
        let mut ours = Document::load(Some(&bytes), [b""; 0]).unwrap();
        ours.replay.open();
        Self { ours, plain: Automerge::load(&bytes).unwrap() }
    }

    /// Takes in all that an author has, in one message. Gives how many changes there were, and how many were written.
    fn receive(&mut self, author: &Automerge) -> (usize, usize) {
        // As they come out of their bytes: what an author has in memory may say a little more.
        let decoded = |change: Change| Change::try_from(change.raw_bytes()).unwrap();
        let changes: Vec<Change> = self.plain.get_changes_added(author).into_iter().map(decoded).collect();
        let before = self.ours.replay.written;
        give(&mut self.ours, &changes).unwrap();
        let count = changes.len();
        self.plain.apply_changes(changes).unwrap();
        self.same();
        (count, self.ours.replay.written - before)
    }

    /// Writes something here.
    fn edit(&mut self, number: i64) {
        let actor = comity_model::ActorId::from_bytes(&[9; 24]);
        let act = Act { time: HybridTime::default(), policy: [0; 8], kind: ActKind::Edit };
        let write = Write::Set { key: format!("M{}/status", number % 3).parse().unwrap(), value: number.into() };
        let edited = self.ours.edit(&actor, act, None, &[write], &Limits::default()).unwrap();
        for chunk in edited.chunks {
            self.plain.load_incremental(&chunk).unwrap();
        }
    }

    fn same(&self) {
        assert_eq!(self.ours.inner.get_heads(), self.plain.get_heads());
        assert_eq!(shown(&self.ours.inner), shown(&self.plain));
        assert_eq!(self.ours.inner.save(), self.plain.save());
    }

    /// Compares all that can be asked, with a fresh copy too, and then what comes of going on.
    fn same_for_ever(&self, seed: u64) {
        self.same();
        let copy = Automerge::load(&self.ours.inner.save()).unwrap();
        let all = [&self.ours.inner, &self.plain, &copy];
        let patches = all.map(|document| format!("{:?}", document.current_state()));
        assert!(patches[0] == patches[1] && patches[0] == patches[2]);
        let edited = all.map(|document| {
            let mut document = document.clone().with_actor(ActorId::from(&[7]));
            (0..5).for_each(|round| edit(&mut document, &mut Choices::new(seed + round)));
            (document.get_heads(), shown(&document), document.save())
        });
        assert!(edited[0] == edited[1] && edited[0] == edited[2]);
    }
}

fn give(document: &mut Document, changes: &[Change]) -> Result<Received, ReceiveError> {
    let chunks: Vec<Vec<u8>> = changes.iter().map(|change| change.clone().bytes().into_owned()).collect();
    let limits = Limits::default();
    document.receive(&mut SyncSession::new(), admit(&message(&chunks), &limits).unwrap(), &limits)
}

#[derive(Clone, Debug)]
enum Step {
    /// An author writes, knowing what it knows.
    Edit(usize, u64),
    Craft(usize, u64),
    /// An author gets all that the receiver has.
    Catch(usize),
    /// An author and the receiver are in step, and the author writes.
    Turn(usize, u64),
    Receive(usize),
    /// The receiver writes.
    Own,
}

fn step() -> impl Strategy<Value = Step> {
    let author = 0..3_usize;
    prop_oneof![
        3 => (author.clone(), any::<u64>()).prop_map(|(author, seed)| Step::Edit(author, seed)),
        1 => (author.clone(), any::<u64>()).prop_map(|(author, seed)| Step::Craft(author, seed)),
        2 => author.clone().prop_map(Step::Catch),
        4 => (author.clone(), any::<u64>()).prop_map(|(author, seed)| Step::Turn(author, seed)),
        2 => author.prop_map(Step::Receive),
        1 => Just(Step::Own),
    ]
}

#[test]
fn what_is_written_once_more_is_what_automerge_applies() {
    let (came, written) = (Cell::new(0), Cell::new(0));
    let cases = Config { cases: 96, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(cases).run(&prop::collection::vec(step(), 1..40), |steps| {
        let mut authors = authors();
        let mut receiver = Receiver::new(&authors[0]);
        let note = |counts: (usize, usize)| {
            came.set(came.get() + counts.0);
            written.set(written.get() + counts.1);
        };
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Edit(author, seed) => edit(&mut authors[author], &mut Choices::new(seed)),
                Step::Craft(author, seed) => craft(&mut authors[author], &mut Choices::new(seed)),
                Step::Catch(author) => drop(authors[author].merge(&mut receiver.plain.clone()).unwrap()),
                Step::Turn(author, seed) => {
                    note(receiver.receive(&authors[author]));
                    authors[author].merge(&mut receiver.plain.clone()).unwrap();
                    edit(&mut authors[author], &mut Choices::new(seed));
                    note(receiver.receive(&authors[author]));
                }
                Step::Receive(author) => note(receiver.receive(&authors[author])),
                Step::Own => receiver.edit(number as i64),
            }
        }
        receiver.same_for_ever(came.get() as u64);
        Ok(())
    });
    outcome.unwrap();
    println!("{} changes came, {} of them were written", came.get(), written.get());
    assert!(came.get() > 500 && written.get() * 5 > came.get(), "{} of {}", written.get(), came.get());
}

/// Gives an author and a receiver that are in step.
fn pair() -> (Automerge, Receiver) {
    let author = authors().remove(0);
    let receiver = Receiver::new(&author);
    (author, receiver)
}

fn put(author: &mut Automerge, key: &str, value: i64) {
    author.transact(|transaction| transaction.put(Container::Values.id(), key, value)).unwrap();
}

#[test]
fn changes_one_on_the_other_are_written_and_changes_side_by_side_are_applied() {
    let (mut author, mut receiver) = pair();
    put(&mut author, "a", 1);
    assert_eq!(receiver.receive(&author), (1, 1));
    (0..9).for_each(|value| put(&mut author, ["a", "b"][value as usize % 2], 10 + value));
    assert_eq!(receiver.receive(&author), (9, 9));
    receiver.edit(1);
    put(&mut author, "a", 100);
    assert_eq!(receiver.receive(&author), (1, 0), "its author had not seen what was written here");
    author.merge(&mut receiver.plain.clone()).unwrap();
    put(&mut author, "a", 101);
    assert_eq!(receiver.receive(&author), (1, 1), "in step again");
    receiver.same_for_ever(1);
}

#[test]
fn the_last_change_of_the_author_need_not_be_a_head() {
    let (mut author, mut receiver) = pair();
    for number in 0..6 {
        receiver.edit(number);
        author.merge(&mut receiver.plain.clone()).unwrap();
        put(&mut author, "a", number);
        assert_eq!(receiver.receive(&author), (1, 1), "two who take turns");
    }
    receiver.same_for_ever(2);
}

#[test]
fn a_document_that_was_just_loaded_applies_the_first_message() {
    let (mut author, receiver) = pair();
    let mut document = Document::load(Some(&receiver.plain.save()), [b""; 0]).unwrap();
    for (round, written) in [0, 1, 2].into_iter().enumerate() {
        put(&mut author, "a", round as i64);
        let last = author.get_last_local_change().unwrap();
        give(&mut document, &[last]).unwrap();
        assert_eq!(document.replay.written, written);
    }
}

/// Whatever goes wrong: nothing stays that is not stored, nobody is blamed, and the second attempt is applied.
#[test]
fn a_change_that_comes_out_otherwise_is_received_again_and_applied() {
    for meddler in [Meddler::Differs, Meddler::Panics] {
        let (mut author, mut receiver) = pair();
        put(&mut author, "a", 1);
        receiver.receive(&author);
        let stored = receiver.ours.save().unwrap();
        put(&mut author, "a", 2);
        let last = author.get_last_local_change().unwrap();
        MEDDLER.set(Some(meddler));
        let refused = give(&mut receiver.ours, std::slice::from_ref(&last));
        assert!(matches!(refused, Err(ReceiveError::Waited)), "{refused:?}");
        assert!(receiver.ours.is_broken() && receiver.ours.is_empty());
        let mut again = Document::load(Some(&stored), [b""; 0]).unwrap();
        let received = give(&mut again, std::slice::from_ref(&last)).unwrap();
        MEDDLER.set(None);
        assert_eq!(received.chunks, [last.raw_bytes()]);
        receiver.plain.apply_changes([last]).unwrap();
        receiver.ours = again;
        receiver.same_for_ever(3);
    }
}

#[test]
fn two_changes_under_one_number_are_told_apart_before_anything_is_written() {
    let (mut author, mut receiver) = pair();
    let mut copied = author.clone();
    put(&mut author, "a", 1);
    put(&mut copied, "a", 2);
    receiver.receive(&author);
    let mut both = vec![author.get_last_local_change().unwrap(), copied.get_last_local_change().unwrap()];
    put(&mut author, "b", 1);
    both[0] = author.get_last_local_change().unwrap();
    let refused = give(&mut receiver.ours, &both);
    assert!(matches!(refused, Err(ReceiveError::Equivocation { .. })), "{refused:?}");
    assert!(!receiver.ours.is_broken(), "and the first of them was not written");
    receiver.same();
    assert_eq!(receiver.receive(&author), (1, 1));
}

/// Neither one that depends on the change whose number it takes, nor one that leaves out a number, though all else is right.
#[test]
fn wrong_numbers_of_changes_are_left_to_automerge() {
    for (step, first) in [(-1, "Equivocation"), (1, "Panicked")] {
        let (mut author, receiver) = pair();
        put(&mut author, "a", 1);
        let mut change = drafted(&author, "b");
        change.seq = change.seq.strict_add_signed(step);
        let both = [author.get_last_local_change().unwrap(), Change::from(change)];
        let mut ours = Receiver::new(&receiver.plain).ours;
        give(&mut ours, &both[..1]).unwrap();
        let refused = give(&mut ours, &both[1..]).unwrap_err();
        assert!(format!("{refused:?}").starts_with(first), "{refused:?}");
        assert_eq!(ours.is_broken(), step > 0);
    }
}

#[test]
fn a_value_that_stands_there_already_is_applied() {
    let (mut author, mut receiver) = pair();
    put(&mut author, "a", 1);
    receiver.receive(&author);
    let mut again = drafted(&author, "a");
    again.operations[0].action = OpType::Put(1.into());
    author.apply_changes([Change::from(again)]).unwrap();
    assert_eq!(receiver.receive(&author), (1, 0), "a transaction would write nothing");
    put(&mut author, "a", 2);
    assert_eq!(receiver.receive(&author), (1, 1));
    receiver.same_for_ever(5);
}

/// Automerge applies such changes, and cannot read the document any more once it has written it. We refuse them, yet a store
/// may have some from before.
#[test]
fn operations_whose_numbers_do_not_follow_are_refused_and_where_they_are_the_rest_is_applied() {
    let (mut author, mut receiver) = pair();
    let mut other = authors().remove(1);
    (0..9).for_each(|value| put(&mut other, "c", value));
    receiver.receive(&other);
    author.merge(&mut other).unwrap();
    let mut low = drafted(&author, "a");
    low.start_op = (low.start_op.get() - 5).try_into().unwrap();
    let low = Change::from(low);

    let mut hostile = Receiver::new(&receiver.plain);
    let refused = give(&mut hostile.ours, std::slice::from_ref(&low));
    assert!(matches!(refused, Err(ReceiveError::Unsavable)), "{refused:?}");
    assert!(hostile.ours.is_broken(), "nothing of it stays");

    for document in [&mut author, &mut receiver.plain, &mut receiver.ours.inner] {
        document.apply_changes([low.clone()]).unwrap();
    }
    receiver.ours.advanced();
    let mut next = drafted(&author, "b");
    next.start_op = (next.start_op.get() - 4).try_into().unwrap();
    author.apply_changes([Change::from(next)]).unwrap();
    assert_eq!(receiver.receive(&author), (1, 0), "its number follows that of the head, but not all that is here");
    put(&mut author, "a", 7);
    assert_eq!(receiver.receive(&author), (1, 1));
}
