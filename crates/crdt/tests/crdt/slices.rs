//! Much that comes at once is applied in slices, and what waits is bounded.

use bytes::Bytes;
use comity_crdt::{Document, EditError, ReceiveError, TooLarge, admit_document};
use comity_model::{Limits, Write};

use crate::receiving::give;
use crate::support::{act, device, edit, set};

/// Eight changes of three operations each, every one on the one before, and the genesis.
fn chain() -> (Document, Vec<Bytes>) {
    let mut document = Document::new();
    let round = |number: usize| ["a", "b", "c"].map(|field| set(&format!("M{number}/{field}"), number as i64));
    let chunks = (0..8).flat_map(|number| edit(&mut document, 1, &round(number)).chunks).collect();
    (document, chunks)
}

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

#[test]
fn slices_make_the_same_document_in_whatever_form_and_order_it_comes() {
    let (source, chunks) = chain();
    // The genesis has four operations, so this is the least.
    for operations in [4, 6, 7, 1_000] {
        let limits = limits(|limits| limits.change_operations_max = operations);
        let mut backwards = chunks.clone();
        backwards.reverse();
        for chunks in [chunks.clone(), backwards, vec![source.save().unwrap()]] {
            let mut document = Document::new();
            let received = give(&mut document, &chunks, &limits).unwrap();
            assert_eq!((received.whole, received.new_changes.len()), (true, 9));
            assert_eq!(document.heads(), source.heads());
            assert_eq!(Document::load(Some(&received.chunks[0]), [b""; 0]).unwrap().heads(), source.heads());

            let mut other = Document::new();
            let mut stored = edit(&mut other, 2, &[set("M1/status", "good")]).chunks;
            let received = give(&mut other, &chunks, &limits).unwrap();
            assert_eq!((received.whole, received.new_changes.len(), received.chunks.len()), (false, 8, 8));
            stored.extend(received.chunks);
            assert_eq!(Document::load(None, &stored).unwrap().heads(), other.heads());
            assert!(other.covers(source.heads()));
        }
    }
}

#[test]
fn what_had_waited_is_applied_in_slices_too() {
    let (source, chunks) = chain();
    for operations in [4, 6, 7, 1_000] {
        let limits = limits(|limits| limits.change_operations_max = operations);
        let mut document = Document::new();
        give(&mut document, &chunks[..1], &limits).unwrap();
        give(&mut document, &chunks[2..], &limits).unwrap();
        assert!(document.orphan_bytes() > 0);
        let received = give(&mut document, &chunks[1..2], &limits).unwrap();
        assert_eq!(received.chunks, chunks[1..]);
        assert_eq!((document.heads(), document.orphan_bytes()), (source.heads(), 0));
    }
}

#[test]
fn a_document_takes_so_many_operations_from_others_and_not_one_more() {
    let (source, chunks) = chain();
    let all = source.operation_count() as u64;
    for form in [chunks, vec![source.save().unwrap()]] {
        give(&mut Document::new(), &form, &limits(|limits| limits.document_operations_max = all)).unwrap();
        let mut document = Document::new();
        let refused = give(&mut document, &form, &limits(|limits| limits.document_operations_max = all - 1));
        assert!(
            matches!(refused, Err(ReceiveError::TooLarge(TooLarge::Count { what: "operations", actual, max, .. })) if actual == all && max == all - 1)
        );
        assert!(document.is_empty(), "nothing of it stays in memory");
    }
}

#[test]
fn a_document_takes_so_many_changes_and_not_one_more() {
    let (mut source, chunks) = chain();
    for form in [chunks, vec![source.save().unwrap()]] {
        give(&mut Document::new(), &form, &limits(|limits| limits.document_changes_max = 9)).unwrap();
        let refused = give(&mut Document::new(), &form, &limits(|limits| limits.document_changes_max = 8));
        let Err(ReceiveError::TooLarge(too)) = refused else { panic!("{refused:?}") };
        assert_eq!(too, TooLarge::Count { what: "changes", actual: 9, max: 8, limit: "document_changes_max" });
    }
    let limits = limits(|limits| limits.document_changes_max = 10);
    source.edit(&device(1), act(1), None, &[set("M9/a", 1)], &limits).unwrap();
    let refused = source.edit(&device(1), act(1), None, &[set("M9/b", 1)], &limits).unwrap_err();
    assert!(refused.to_string().contains("document_changes_max"), "{refused}");
}

#[test]
fn a_document_takes_so_many_operations_from_here_and_not_one_more() {
    let (mut source, _) = chain();
    let limits = limits(|limits| limits.document_operations_max = source.operation_count() as u64 + 2);
    let writes = [set("M9/a", 1), set("M9/b", 2), set("M9/c", 3)];
    let refused = source.edit(&device(1), act(1), None, &writes, &limits);
    assert!(matches!(refused, Err(EditError::TooLarge(_))));
    source.edit(&device(1), act(1), None, &writes[..2], &limits).unwrap();
}

#[test]
fn a_document_weighs_about_the_same_however_it_came_and_more_with_more_in_it() {
    let (source, chunks) = chain();
    let mut received = Document::new();
    give(&mut received, &chunks, &Limits::default()).unwrap();
    let loaded = Document::load(Some(&source.save().unwrap()), [b""; 0]).unwrap();
    for other in [&received, &loaded] {
        let (one, two) = (source.weight_bytes(), other.weight_bytes());
        assert!(one <= 2 * two && two <= 2 * one, "{one} and {two}");
    }
    let before = received.weight_bytes();
    edit(&mut received, 1, &[set("M1/remark", "x".repeat(10_000))]);
    assert!(received.weight_bytes() >= before + 10_000, "though it deflates to nearly nothing");
}

/// Bounds that hold for a message, each so low that one of them is met soon.
fn bounds() -> Vec<(&'static str, Limits)> {
    vec![
        ("changes", limits(|limits| limits.chunks_max = 100)),
        ("operations", limits(|limits| limits.message_operations_max = 300)),
        ("inflated bytes", limits(|limits| limits.inflated_bytes_max = 30_000)),
        ("price", limits(|limits| (limits.price_free_bytes_max, limits.price_per_byte_max) = (300_000, 1))),
        (
            "price that bytes pay for",
            limits(|limits| (limits.price_free_bytes_max, limits.price_per_byte_max) = (100_000, 20)),
        ),
    ]
}

/// Edits of many sorts: new registers, rewritten ones, deleted entries, long values that deflate and such that do not.
fn writes(number: u32) -> Vec<Write> {
    let entry = crate::support::entry(&format!("M{:03}", number % 40));
    let noise = |seed: u32| char::from(b'a' + u8::try_from(seed.wrapping_mul(2_654_435_761) >> 24).unwrap() % 26);
    match number % 4 {
        0 => vec![set(&format!("M{:03}/status", number % 40), i64::from(number)), set("M1/seen", i64::from(number))],
        1 => vec![Write::Delete { entry }],
        2 => vec![set(&format!("M{number}/remark"), "x".repeat(200))],
        _ => vec![set(&format!("M{number}/remark"), (0..200).map(|at| noise(number * 999 + at)).collect::<String>())],
    }
}

/// A document that is full can still reach a peer that has nothing of it, for no bound on messages is below the bound on
/// documents.
#[test]
fn a_document_that_is_full_by_any_bound_fits_into_one_message() {
    for (name, limits) in bounds() {
        let (mut source, mut other) = (Document::new(), Document::new());
        let (mut count, mut snapshot, mut stored) = (0, None::<Bytes>, Vec::<Bytes>::new());
        let full = loop {
            if count % 30 == 29 {
                // It is read again, in whatever form it is stored.
                source = Document::load(snapshot.as_deref(), &stored).unwrap();
                if count % 60 == 59 {
                    snapshot = source.save();
                    stored.clear();
                }
            }
            let edited = source.edit(&device(1), act(1), None, &writes(count), &limits);
            match edited {
                Ok(edited) => {
                    give(&mut other, &edited.chunks, &limits).expect(name);
                    stored.extend(edited.chunks);
                }
                Err(refused) => break refused,
            }
            count += 1;
        };
        assert!(matches!(full, EditError::TooLarge(TooLarge::Whole(_))), "{name}: {full:?}");
        assert!(count > 20, "{name}: {count}");
        let whole = source.save().unwrap();
        admit_document(&whole, &limits).expect(name);
        give(&mut Document::new(), &[whole], &limits).expect(name);
        assert_eq!(other.heads(), source.heads());

        // Somebody who sets himself other bounds, and goes on.
        let mut more = Document::load(Some(&source.save().unwrap()), [b""; 0]).unwrap();
        let refused = (count..count + 2_000).find_map(|number| {
            let edited = more.edit(&device(1), act(1), None, &writes(number), &Limits::default()).unwrap();
            admit_document(&other.save().unwrap(), &limits).expect(name);
            give(&mut other, &edited.chunks, &limits).err()
        });
        let refused = refused.expect(name);
        assert!(refused.is_bound() && !other.is_broken(), "{name}: {refused}");
    }
}

#[test]
fn what_waits_counts_in_full_once_it_is_part_of_the_document() {
    let limits = limits(|limits| limits.price_free_bytes_max = 1_000_000);
    let mut source = Document::new();
    let first = edit(&mut source, 1, &[set("M1/a", 1)]).chunks;
    let source_heads = source.heads().clone();
    let long = |number: u8| {
        let text = format!("{number}{}", "x".repeat(60_000));
        edit(&mut source, number, &[set("M1/remark", text)]).chunks.remove(0)
    };
    let early: Vec<Bytes> = (2..12).map(long).collect();
    let mut document = Document::new();
    for chunk in &early[..1] {
        give(&mut document, std::slice::from_ref(chunk), &limits).unwrap();
    }
    give(&mut document, &first, &limits).unwrap();
    assert!(document.weight_bytes() > 60_000, "though it deflates to nearly nothing");
    let mut document = Document::new();
    for chunk in &early {
        give(&mut document, std::slice::from_ref(chunk), &limits).unwrap();
    }
    assert!(document.orphan_bytes() < 20_000);
    // Who brings what they wait for is not to blame that they are too much.
    let received = give(&mut document, &first, &limits).unwrap();
    assert_eq!((received.forgot, document.orphan_bytes()), (true, 0));
    assert!(document.covers(&source_heads) && received.new_changes.len() < 2 + early.len());
    let refused = early.iter().find_map(|chunk| give(&mut document, std::slice::from_ref(chunk), &limits).err());
    assert!(matches!(refused, Some(ReceiveError::TooLarge(TooLarge::Whole(_)))), "who brings them anew is told");
}

#[test]
fn a_document_has_so_many_heads_and_not_one_more() {
    let (source, chunks) = chain();
    let concurrent: Vec<Bytes> = (2..7)
        .map(|number| edit(&mut Document::load(None, &chunks).unwrap(), number, &[set("M1/a", 9)]).chunks.remove(0))
        .collect();
    for limits in [limits(|limits| limits.hashes_max = 4), limits(|limits| limits.dependencies_max = 4)] {
        let mut document = Document::load(Some(&source.save().unwrap()), [b""; 0]).unwrap();
        give(&mut document, &concurrent[..4], &limits).unwrap();
        assert_eq!(document.heads().as_slice().len(), 4);
        let refused = give(&mut document, &concurrent[4..], &limits).unwrap_err();
        assert!(matches!(refused, ReceiveError::TooLarge(TooLarge::Count { what: "heads", actual: 5, max: 4, .. })));
    }
}
