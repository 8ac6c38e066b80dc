//! What comes from others, good and bad. Messages are made here by Automerge itself, as a hostile peer would.

use automerge::sync::{ChunkList, Message, MessageVersion};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, Automerge, ObjType, ROOT, ReadDoc};
use bytes::Bytes;
use comity_crdt::{Document, ReceiveError, Received, SyncSession, admit};
use comity_model::Limits;

use crate::support::{device, edit, edit_at, entry, set};

#[allow(dead_code, reason = "other programs include it too")]
#[path = "../../src/admit/tests/bytes.rs"]
mod raw;

/// A message that brings these chunks.
fn message(chunks: &[Bytes]) -> Vec<u8> {
    let changes: Vec<Vec<u8>> = chunks.iter().map(|chunk| chunk.to_vec()).collect();
    Message {
        heads: Vec::new(),
        need: Vec::new(),
        have: Vec::new(),
        changes: ChunkList::from(changes),
        flags: None,
        version: MessageVersion::V1,
    }
    .encode()
}

pub fn give(document: &mut Document, chunks: &[Bytes], limits: &Limits) -> Result<Received, ReceiveError> {
    let admitted = admit(&message(chunks), limits).unwrap();
    document.receive(&mut SyncSession::new(), admitted, limits)
}

/// Ten changes in a row, each on the one before.
fn chain() -> (Document, Vec<Bytes>) {
    let mut document = Document::new();
    let chunks = (0..10).flat_map(|round| edit(&mut document, 1, &[set("M1/status", round)]).chunks).collect();
    (document, chunks)
}

#[test]
fn a_new_document_is_stored_as_one_snapshot_and_news_as_it_came() {
    let (source, chunks) = chain();
    let limits = Limits::default();
    let mut document = Document::new();
    let received = give(&mut document, &chunks[..10], &limits).unwrap();
    assert!(received.whole);
    assert_eq!((received.new_changes.len(), received.chunks.len()), (10, 1));
    let received = give(&mut document, &chunks, &limits).unwrap();
    assert!(!received.whole);
    assert_eq!(received.chunks, chunks[10..]);
    assert_eq!(received.new_changes, source.heads().as_slice());
    let nothing = give(&mut document, &chunks, &limits).unwrap();
    assert_eq!(nothing, Received::default());
}

#[test]
fn a_whole_document_is_stored_as_it_came() {
    let (source, chunks) = chain();
    let saved = source.save().unwrap();
    let mut document = Document::new();
    let received = give(&mut document, std::slice::from_ref(&saved), &Limits::default()).unwrap();
    assert_eq!((received.whole, received.new_changes.len()), (true, 11));
    assert_eq!(received.chunks, std::slice::from_ref(&saved));
    // With one more change behind it, both are in what is stored.
    let mut more = Document::load(None, &chunks).unwrap();
    let last = edit(&mut more, 2, &[set("M2/status", "good")]).chunks;
    let mut document = Document::new();
    let received = give(&mut document, &[saved, last[0].clone()], &Limits::default()).unwrap();
    assert!(received.whole);
    assert_eq!(Document::load(Some(&received.chunks[0]), [b""; 0]).unwrap().heads(), more.heads());
}

#[test]
fn a_whole_document_that_meets_another_is_stored_change_by_change() {
    let (source, chunks) = chain();
    let mut document = Document::new();
    let mut stored = edit(&mut document, 2, &[set("M2/status", "good")]).chunks;
    let received = give(&mut document, &[source.save().unwrap()], &Limits::default()).unwrap();
    assert!(!received.whole);
    assert_eq!(received.new_changes.len(), 10, "all but the genesis");
    assert_eq!(received.chunks, chunks[1..]);
    stored.extend(received.chunks);
    assert_eq!(Document::load(None, &stored).unwrap().heads(), document.heads());
}

#[test]
fn changes_that_come_too_early_wait() {
    let (source, chunks) = chain();
    let limits = Limits::default();
    let mut document = Document::new();
    give(&mut document, &chunks[..2], &limits).unwrap();
    for chunk in chunks[3..].iter().rev() {
        assert_eq!(give(&mut document, std::slice::from_ref(chunk), &limits).unwrap(), Received::default());
    }
    assert!(document.orphan_bytes() > 0);
    assert!(!document.covers(source.heads()));
    // Nothing that waits gets into a snapshot: what is stored must stand by itself.
    assert_eq!(Document::load(Some(&document.save().unwrap()), [b""; 0]).unwrap().heads(), document.heads());
    let received = give(&mut document, &chunks[2..3], &limits).unwrap();
    assert_eq!(received.chunks, chunks[2..], "with all that waited, in order");
    assert_eq!(document.heads(), source.heads());
    assert_eq!(document.orphan_bytes(), 0);
}

#[test]
fn a_message_may_let_so_much_wait_and_not_more() {
    let (source, chunks) = chain();
    let mut limits = Limits::default();
    let mut document = Document::new();
    give(&mut document, &chunks[..2], &limits).unwrap();
    give(&mut document, &chunks[5..7], &limits).unwrap();
    limits.orphan_bytes_max = document.orphan_bytes();
    let refused = give(&mut document, &chunks[7..], &limits).unwrap_err();
    assert!(matches!(refused, ReceiveError::TooManyOrphans { .. }) && refused.is_bound());
    // Nothing else is lost over it.
    assert_eq!((document.is_broken(), document.orphan_bytes()), (false, limits.orphan_bytes_max));
    let received = give(&mut document, &chunks[2..5], &limits).unwrap();
    assert_eq!((received.chunks.as_slice(), document.orphan_bytes()), (&chunks[2..7], 0));
    give(&mut document, &chunks[7..], &limits).unwrap();
    assert_eq!(document.heads(), source.heads());
}

/// What somebody lets wait for ever must not keep others out.
#[test]
fn where_too_much_waits_the_older_is_forgotten() {
    let (_, chunks) = chain();
    let (mut theirs, mut mine) = (Document::new(), Document::new());
    let idle: Vec<Bytes> = (0..8).flat_map(|round| edit(&mut theirs, 2, &[set("M2/status", round)]).chunks).collect();
    let new: Vec<Bytes> = (0..3).flat_map(|round| edit(&mut mine, 3, &[set("M3/status", round)]).chunks).collect();
    let mut limits = Limits::default();
    let mut document = Document::new();
    give(&mut document, &chunks[..2], &limits).unwrap();
    give(&mut document, &idle[2..], &limits).unwrap();
    limits.orphan_bytes_max = document.orphan_bytes();
    let received = give(&mut document, &[new[1].clone(), new[3].clone()], &limits).unwrap();
    assert_eq!((received.chunks.as_slice(), received.forgot), (&new[1..2], true), "what lacks nothing is taken");
    let received = give(&mut document, &new[2..3], &limits).unwrap();
    assert_eq!(received.chunks, new[2..4], "and what came last was kept");
    assert_eq!(document.orphan_bytes(), 0);
}

/// Somebody's change waits, and contradicts one that comes meanwhile.
#[test]
fn what_waits_cannot_keep_out_what_it_waits_for() {
    let (source, chunks) = chain();
    let mut copied = Document::load(None, &chunks[..4]).unwrap();
    let contradiction = edit(&mut copied, 1, &[set("M1/status", "dead")]).chunks;
    let on_top = edit(&mut copied, 2, &[set("M1/status", "dead as dead can be")]).chunks;
    let limits = Limits::default();
    let mut document = Document::new();
    give(&mut document, &chunks[..3], &limits).unwrap();
    let waits = [contradiction[0].clone(), on_top[0].clone(), chunks[9].clone()];
    give(&mut document, &waits, &limits).unwrap();
    let received = give(&mut document, &chunks[3..5], &limits).unwrap();
    assert!(received.forgot);
    assert_eq!(received.chunks, chunks[3..5]);
    let received = give(&mut document, &chunks[5..9], &limits).unwrap();
    assert_eq!((received.forgot, received.chunks.as_slice()), (false, &chunks[5..10]));
    assert_eq!(document.orphan_bytes(), 0, "and with the contradiction went what builds on it");
    give(&mut document, &chunks[10..], &limits).unwrap();
    assert_eq!(document.heads(), source.heads());
    let refused = give(&mut document, &contradiction, &limits);
    assert!(matches!(refused, Err(ReceiveError::Equivocation { seq: 4, .. })));
}

/// A change by a new actor whose first number is 7, on top of the genesis, which everybody knows.
fn spoiler(genesis: &Bytes) -> Bytes {
    let mut body = raw::change_body(5, &[raw::hash_of(genesis)], &[], &[]);
    // Behind one dependency and the length of the actor.
    body[34..36].copy_from_slice(&[0x33, 7]);
    raw::chunk(1, &body).into()
}

/// Automerge panics over it. Who brings what it waited for must not be blamed.
#[test]
fn what_waits_and_spoils_the_document_is_not_the_fault_of_who_brings_the_rest() {
    let (source, chunks) = chain();
    let limits = Limits::default();
    let mut document = Document::new();
    give(&mut document, &[spoiler(&chunks[0])], &limits).unwrap();
    let refused = give(&mut document, &chunks, &limits);
    assert!(matches!(refused, Err(ReceiveError::Waited)), "{refused:?}");
    assert!(document.is_broken());
    let mut document = Document::new();
    give(&mut document, &chunks, &limits).unwrap();
    assert_eq!(document.heads(), source.heads());
    let refused = give(&mut document, &[spoiler(&chunks[0])], &limits).unwrap_err();
    assert!(!matches!(refused, ReceiveError::Waited), "now it is known whose fault it is: {refused}");
}

#[test]
fn a_message_that_contradicts_itself_is_refused_in_whatever_order() {
    let (_, chunks) = chain();
    let mut copied = Document::load(None, &chunks[..4]).unwrap();
    let contradiction = edit(&mut copied, 1, &[set("M1/status", "dead")]).chunks;
    let all = [chunks[4].clone(), contradiction[0].clone(), chunks[3].clone()];
    let mut document = Document::new();
    give(&mut document, &chunks[..3], &Limits::default()).unwrap();
    let refused = give(&mut document, &all, &Limits::default());
    assert!(matches!(refused, Err(ReceiveError::Equivocation { seq: 4, .. })));
}

/// A copied data folder: one actor, two histories.
#[test]
fn two_changes_under_one_number_are_an_error() {
    let (mut one, chunks) = chain();
    let mut two = Document::load(None, &chunks).unwrap();
    edit(&mut one, 1, &[set("M1/status", "good")]);
    let other = edit(&mut two, 1, &[set("M1/status", "dead")]).chunks;
    let before = one.heads().clone();
    let refused = give(&mut one, &other, &Limits::default());
    assert!(matches!(refused, Err(ReceiveError::Equivocation { actor, seq: 11 }) if actor == device(1)));
    assert_eq!(*one.heads(), before);
    assert!(!one.is_broken());
    assert_eq!(one.entries(None).len(), 1);
    edit(&mut one, 2, &[set("M1/status", "cracked")]);
}

#[test]
fn a_forged_genesis_is_refused() {
    let mut forger = Automerge::new();
    forger.set_actor(ActorId::from(b"comity-genesis-1"));
    let mut transaction = forger.transaction();
    transaction.put_object(ROOT, "values", ObjType::Map).unwrap();
    transaction.commit_with(CommitOptions::default().with_time(0));
    let change = forger.get_last_local_change().unwrap().raw_bytes().to_vec();
    let limits = Limits::default();
    for bytes in [change, forger.save()] {
        let mut document = Document::new();
        let refused = give(&mut document, &[bytes.into()], &limits);
        assert!(matches!(refused, Err(ReceiveError::ForgedGenesis { .. })));
        assert!(document.is_empty());
    }
}

#[test]
fn a_message_with_one_good_and_one_bad_part_leaves_nothing_unstored() {
    let (source, chunks) = chain();
    let mut two = Document::load(None, &chunks[..10]).unwrap();
    let contradiction = edit(&mut two, 1, &[set("M1/status", "dead")]).chunks;
    let mut document = Document::new();
    edit(&mut document, 2, &[set("M2/status", "good")]);
    let refused = give(&mut document, &[source.save().unwrap(), contradiction[0].clone()], &Limits::default());
    assert!(matches!(refused, Err(ReceiveError::Equivocation { .. })));
    assert!(!document.is_broken() && document.entries(None).len() == 1, "refused before anything was applied");

    // In two slices, so that the good part is applied when the bad one comes.
    let mut limits = Limits::default();
    limits.change_operations_max = 4;
    let refused = give(&mut document, &[source.save().unwrap(), contradiction[0].clone()], &limits);
    assert!(matches!(refused, Err(ReceiveError::Equivocation { .. })));
    assert!(document.is_broken() && document.is_empty());
}

#[test]
fn a_change_with_a_wrong_checksum_is_refused_by_admission_or_here() {
    let (_, chunks) = chain();
    let limits = Limits::default();
    for at in 0..chunks[1].len() {
        let mut damaged = chunks[1].to_vec();
        damaged[at] ^= 1;
        let mut document = Document::new();
        let Ok(admitted) = admit(&message(&[chunks[0].clone(), damaged.into()]), &limits) else { continue };
        let refused = document.receive(&mut SyncSession::new(), admitted, &limits);
        assert!(refused.is_err(), "byte {at}");
    }
}

#[test]
fn nothing_of_a_foreign_key_in_the_values_makes_a_reader_stumble() {
    let (mut document, _) = chain();
    let seen = document.heads().clone();
    let mut other = Automerge::load(&document.save().unwrap()).unwrap();
    let (_, values) = other.get(ROOT, "values").unwrap().unwrap();
    let mut transaction = other.transaction();
    transaction.put(&values, "no slash", 1).unwrap();
    transaction.put(&values, "/", 1).unwrap();
    transaction.put(&values, "M9/status ", 1).unwrap();
    transaction.put_object(&values, "M1/list", ObjType::List).unwrap();
    let text = transaction.put_object(&values, "M1/comment", ObjType::Text).unwrap();
    transaction.splice_text(&text, 0, 0, "typed letter by letter").unwrap();
    transaction.put(&values, "M1/count", automerge::ScalarValue::counter(3)).unwrap();
    transaction.delete(&values, "M1/status").unwrap();
    // To make the containers anew hides nothing.
    transaction.put_object(ROOT, "values", ObjType::Map).unwrap();
    transaction.commit();
    give(&mut document, &[other.save().into()], &Limits::default()).unwrap();
    edit_at(&mut document, 2, &seen, &[set("M1/status", "still there")]);
    let entries = document.entries(None);
    assert_eq!(entries.keys().map(ToString::to_string).collect::<Vec<_>>(), ["M1"]);
    let fields = &document.entry(&entry("M1"), None).unwrap().fields;
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(fields, ["comment=typed letter by letter", "count=3", "status=still there"]);
    assert_eq!(document.history(&comity_crdt::HistoryFilter::Document).len(), 12);
}
