//! Documents come back from the store as they went in.

use bytes::Bytes;
use comity_crdt::{Document, LoadError, ReceiveError, admit_document};
use comity_model::Limits;

use crate::receiving::give;
use crate::support::{End, edit, edit_at, in_sync, set, settle};

fn three_edits() -> (Document, Vec<Bytes>) {
    let mut document = Document::new();
    let mut stored = edit(&mut document, 1, &[set("M1/status", "good")]).chunks;
    let seen = document.heads().clone();
    stored.extend(edit(&mut document, 2, &[set("M1/status", "dead")]).chunks);
    stored.extend(edit_at(&mut document, 1, &seen, &[set("M1/status", "x".repeat(1_000))]).chunks);
    (document, stored)
}

#[test]
fn chunks_in_any_order_and_twice_give_the_document() {
    let (document, stored) = three_edits();
    let mut twice: Vec<_> = stored.iter().chain(&stored).cloned().collect();
    twice.reverse();
    let loaded = Document::load(None, &twice).unwrap();
    assert_eq!(loaded.heads(), document.heads());
    assert_eq!(loaded.entries(None), document.entries(None));
    assert_eq!(loaded.disagreements(), document.disagreements());
}

#[test]
fn a_snapshot_and_the_chunks_since_give_the_document() {
    let (mut document, mut stored) = three_edits();
    let snapshot = document.save().unwrap();
    stored.extend(edit(&mut document, 3, &[set("M2/status", "good")]).chunks);
    // Chunks that the snapshot covers may still be there: the store removes them after it.
    let mut loaded = Document::load(Some(&snapshot), &stored).unwrap();
    assert_eq!(loaded.heads(), document.heads());
    let again = edit(&mut loaded, 3, &[set("M3/status", "good")]);
    assert_eq!(loaded.decode_changes(&[again.hash.unwrap()])[0].seq, 2);
}

#[test]
fn an_admitted_file_becomes_a_document() {
    let (document, _) = three_edits();
    let file = admit_document(&document.save().unwrap(), &Limits::default()).unwrap();
    assert_eq!(Document::import(&file).unwrap().heads(), document.heads());
}

#[test]
fn a_missing_chunk_is_named() {
    let (document, stored) = three_edits();
    let missing = Document::load(None, &stored[1..]);
    assert!(matches!(missing, Err(LoadError::MissingDependencies { missing }) if missing.as_slice().len() == 1));
    // One on which nothing depends is not noticed here: the store's manifest counts chunks.
    assert_ne!(Document::load(None, &stored[..3]).unwrap().heads(), document.heads());
}

/// The store lost a change in the middle. What is left is read, and what waits for the lost one comes back with it.
#[test]
fn what_a_store_has_left_is_read_and_grows_together_when_the_rest_comes() {
    let mut source = Document::new();
    let rounds = (0..6).map(|round| edit(&mut source, 1, &[set(&format!("M{round}/status"), "good")]).chunks);
    let chunks: Vec<Bytes> = rounds.flatten().collect();
    for lost in 0..chunks.len() {
        let left: Vec<Bytes> = [&chunks[..lost], &chunks[lost + 1..]].concat();
        let (mut document, missing) = Document::load_incomplete(None, &left).unwrap();
        let is_last = lost == chunks.len() - 1;
        assert_eq!((missing.is_empty(), document.is_whole()), (is_last, is_last), "without {lost}");
        assert_eq!(document.change_count(), lost);
        if is_last {
            continue;
        }
        assert!(document.save().is_none(), "a snapshot would make the loss of the others final");
        let mut stored = left.clone();
        if lost > 0 {
            // Its next number is taken, by a change that waits.
            stored.extend(edit(&mut document, 1, &[set("M9/status", "dead")]).chunks);
        }
        let received = give(&mut document, &chunks[lost..=lost], &Limits::default()).unwrap();
        // All that was stored is part of the document now, so one snapshot may replace it.
        assert_eq!(received.whole, lost == 0);
        assert!(received.whole || received.chunks == chunks[lost..]);
        assert!(document.is_whole() && document.covers(source.heads()) && document.orphan_bytes() == 0);
        stored.extend(edit(&mut document, 1, &[set("M9/status", "good")]).chunks);
        let snapshot = received.whole.then(|| received.chunks[0].clone());
        stored.extend(received.chunks.into_iter().filter(|_| snapshot.is_none()));
        let again = Document::load(snapshot.as_deref(), &stored).unwrap();
        assert_eq!(again.heads(), document.heads(), "and so it is stored");
    }
}

/// The genesis is lost, so nothing of the document stands by itself, and it is as large as it may be.
#[test]
fn a_full_document_of_which_all_is_stranded_is_mended_by_a_whole_one() {
    let (source, chunks) = three_edits();
    let mut limits = Limits::default();
    limits.document_changes_max = source.change_count() as u64;
    limits.document_operations_max = source.operation_count() as u64;
    let (mut document, _) = Document::load_incomplete(None, &chunks[1..]).unwrap();
    assert!(document.is_empty() && !document.is_whole());
    give(&mut document, &[source.save().unwrap()], &limits).unwrap();
    assert!(document.is_whole() && document.heads() == source.heads());
}

/// Both would be on disk, and the document could not be read any more.
#[test]
fn nothing_joins_a_document_that_contradicts_what_its_store_has() {
    let mut source = Document::new();
    let chunks: Vec<Bytes> = (0..4).flat_map(|round| edit(&mut source, 1, &[set("M1/status", round)]).chunks).collect();
    let mut copied = Document::load(None, &chunks[..2]).unwrap();
    let twin = edit(&mut copied, 1, &[set("M1/status", "two")]).chunks;
    let twin_of_stranded = edit(&mut copied, 1, &[set("M1/status", "three")]).chunks;
    let mut stored = [&chunks[..2], &chunks[3..]].concat();
    let (mut document, _) = Document::load_incomplete(None, &stored).unwrap();
    stored.extend(give(&mut document, &twin, &Limits::default()).unwrap().chunks);
    let refused = give(&mut document, &twin_of_stranded, &Limits::default());
    assert!(matches!(refused, Err(ReceiveError::Equivocation { seq: 3, .. })));
    assert_eq!(Document::load_incomplete(None, &stored).unwrap().0.heads(), document.heads());
}

#[test]
fn damaged_bytes_are_an_error_and_never_a_panic() {
    let (document, stored) = three_edits();
    for (index, chunk) in stored.iter().enumerate() {
        for at in 0..chunk.len() {
            let mut damaged = stored.clone();
            let mut bytes = chunk.to_vec();
            bytes[at] ^= 0x10;
            damaged[index] = bytes.into();
            match Document::load(None, &damaged) {
                // The last bits of a deflate stream mean nothing.
                Ok(loaded) => assert_eq!(loaded.heads(), document.heads(), "chunk {index} byte {at}"),
                Err(error) => assert!(matches!(error, LoadError::Change { .. }), "chunk {index} byte {at}: {error}"),
            }
        }
    }
    let snapshot = document.save().unwrap();
    for at in 0..snapshot.len() {
        let mut damaged = snapshot.to_vec();
        damaged[at] ^= 0x10;
        assert!(Document::load(Some(&damaged), [b""; 0]).is_err(), "byte {at}");
    }
}

#[test]
fn what_a_device_stored_while_synchronising_is_the_document() {
    let (mut a, mut b) = (End::default(), End::default());
    a.edit(1, &[set("M1/status", "good")]);
    a.edit(1, &[set("M2/status", "good")]);
    settle(&mut a, &mut b);
    b.edit(2, &[set("M1/status", "dead")]);
    a.edit(1, &[set("M1/status", "cracked")]);
    settle(&mut a, &mut b);
    in_sync(&a, &b);
    assert_eq!(Document::load(None, &a.stored).unwrap().heads(), a.document.heads());
    // The other received it whole at first.
    let loaded = Document::load(Some(&b.stored[0]), &b.stored[1..]).unwrap();
    assert_eq!(loaded.heads(), b.document.heads());
    assert_eq!(loaded.entries(None), b.document.entries(None));
}

/// Documents live in shards, each on its own thread.
#[test]
fn documents_and_sessions_move_between_threads() {
    fn moves<T: Send + 'static>() {}
    moves::<Document>();
    moves::<comity_crdt::SyncSession>();
    moves::<comity_crdt::Admitted>();
}
