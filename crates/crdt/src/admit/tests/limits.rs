//! Every limit, at its value and one below what is sent.

use automerge::Automerge;
use comity_model::Limits;

use super::{change_body, chunk, document, leb, long_keys, message, run_length_bomb};
use crate::admit::{Quantity, Refusal, admit, admit_document};

/// Admits at `n`, and refuses at `n - 1` for this quantity, naming value and limit.
fn at_and_below(bytes: &[u8], n: u64, quantity: Quantity, set: impl Fn(&mut Limits, u64)) {
    let mut limits = Limits::default();
    set(&mut limits, n);
    admit(bytes, &limits).unwrap_or_else(|refusal| panic!("{quantity:?} at {n}: {refusal}"));
    set(&mut limits, n - 1);
    match admit(bytes, &limits) {
        Err(Refusal::OverLimit { quantity: named, value, limit, .. }) => {
            assert_eq!((named, limit), (quantity, n - 1));
            assert_eq!(value, n, "{quantity:?}");
        }
        other => panic!("{quantity:?} below {n}: {other:?}"),
    }
}

fn hashes(count: u8) -> Vec<u8> {
    let mut out = leb(count.into());
    for hash in (0..count).rev() {
        out.extend([hash; 32]);
    }
    out
}

#[test]
fn hash_lists_are_bounded_and_sorted() {
    let set = |limits: &mut Limits, n: u64| limits.hashes_max = n as usize;
    at_and_below(&[&[0x42][..], &hashes(3), &[0, 0, 0]].concat(), 3, Quantity::Hashes, set);
    at_and_below(&[&[0x42, 0][..], &hashes(3), &[0, 0]].concat(), 3, Quantity::Hashes, set);
    at_and_below(&[&[0x42, 0, 0, 1][..], &hashes(3), &[0, 0]].concat(), 3, Quantity::Hashes, set);
    let heads = admit(&[&[0x42][..], &hashes(3), &[0, 0, 0]].concat(), &Limits::default()).unwrap().message.heads;
    assert!(heads.is_sorted());
    assert_eq!(heads.len(), 3);
}

#[test]
fn haves_and_bloom_entries_are_bounded() {
    let rows = [0x42, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0];
    at_and_below(&rows, 3, Quantity::Haves, |limits, n| limits.have_max = n as usize);
    let filter = [0x42, 0, 0, 1, 0, 7, 3, 10, 7, 0, 0, 0, 0, 0];
    at_and_below(&filter, 3, Quantity::BloomEntries, |limits, n| limits.bloom_entries_max = n as u32);
}

#[test]
fn chunks_and_changes_are_bounded() {
    let changes: Vec<_> = document(5, 12).get_changes(&[]).iter().map(|change| change.raw_bytes().to_vec()).collect();
    let count = changes.len() as u64;
    assert!(count > 2);
    let set = |limits: &mut Limits, n: u64| limits.chunks_max = n as usize;
    at_and_below(&message(&changes), count, Quantity::Chunks, set);
    // One list item may hold several chunks.
    at_and_below(&message(&[changes.concat()]), count, Quantity::Chunks, set);
    // And one document chunk several changes.
    at_and_below(&message(&[document(5, 12).save()]), count, Quantity::Changes, set);
}

#[test]
fn inflated_bytes_are_bounded() {
    let mut changes = document(5, 30).get_changes(&[]);
    let compressed: Vec<_> = changes.iter_mut().map(|change| change.bytes().into_owned()).collect();
    let limits = Limits::default();
    for bytes in [message(&compressed), message(&[document(5, 30).save()])] {
        let inflated = admit(&bytes, &limits).unwrap().cost().inflated_bytes as u64;
        assert!(inflated > bytes.len() as u64 / 2);
        let mut exact = Limits::default();
        exact.inflated_bytes_max = inflated as usize;
        admit(&bytes, &exact).unwrap();
        exact.inflated_bytes_max -= 1;
        let refusal = admit(&bytes, &exact).unwrap_err();
        assert!(matches!(refusal, Refusal::OverLimit { quantity: Quantity::InflatedBytes, .. }), "{refusal}");
    }
}

#[test]
fn operations_are_bounded_by_change_by_message_and_by_size() {
    let one = message(&[run_length_bomb(99)]);
    at_and_below(&one, 100, Quantity::ChangeOperations, |limits, n| limits.change_operations_max = n);
    let two = message(&[run_length_bomb(99), run_length_bomb(49)]);
    at_and_below(&two, 150, Quantity::MessageOperations, |limits, n| limits.message_operations_max = n);
    let saved = message(&[document(5, 30).save()]);
    let operations = admit(&saved, &Limits::default()).unwrap().cost().operations;
    at_and_below(&saved, operations, Quantity::MessageOperations, |limits, n| limits.message_operations_max = n);
    // A change inside a document counts as if it came by itself.
    let loaded = Automerge::load(&run_length_bomb(99)).unwrap();
    let saved = message(&[loaded.save()]);
    at_and_below(&saved, 100, Quantity::ChangeOperations, |limits, n| limits.change_operations_max = n);
}

#[test]
fn the_price_is_bounded_by_what_is_free_by_size_and_by_all() {
    let texts = message(&[document(5, 200).save_nocompress()]);
    for dense in [message(&[run_length_bomb(999)]), message(&[long_keys(20, 1_000)]), texts] {
        let price = admit(&dense, &Limits::default()).unwrap().cost().price_bytes;
        assert!(price > dense.len() as u64);
        let at = |free: u64, per_byte: u64, most: u64| {
            let mut limits = Limits::default();
            (limits.price_free_bytes_max, limits.price_per_byte_max, limits.price_bytes_max) = (free, per_byte, most);
            admit(&dense, &limits)
        };
        let paid = dense.len() as u64;
        for (free, per_byte, most) in [(price, 0, u64::MAX), (price - paid, 1, u64::MAX), (u64::MAX, 1, price)] {
            at(free, per_byte, most).unwrap();
        }
        for (free, per_byte, most) in
            [(price - 1, 0, u64::MAX), (price - paid - 1, 1, u64::MAX), (u64::MAX, 1, price - 1)]
        {
            let refusal = at(free, per_byte, most).unwrap_err();
            assert!(matches!(refusal, Refusal::OverLimit { quantity: Quantity::Price, .. }), "{refusal}");
        }
    }
}

#[test]
fn a_key_that_stands_once_for_many_operations_is_paid_for_each_of_them() {
    let once = admit(&message(&[long_keys(1, 1_000)]), &Limits::default()).unwrap().cost();
    let often = admit(&message(&[long_keys(50, 1_000)]), &Limits::default()).unwrap().cost();
    assert!(often.inflated_bytes >= once.inflated_bytes + 49_000);
    // 13 GB, would Automerge be let at it.
    let refusal = admit(&message(&[long_keys(99_000, 65_000)]), &Limits::default()).unwrap_err();
    assert!(matches!(refusal, Refusal::OverLimit { .. }), "{refusal}");
}

#[test]
fn references_are_bounded_like_operations() {
    // One operation that claims to replace four billion others.
    let columns = [
        (0x15, vec![0x7f, 1, b'k']),
        (0x34, vec![1]),
        (0x42, vec![0x7f, 1]),
        (0x56, vec![0x7f, 0]),
        (0x70, [&[0x7f][..], &leb(4_000_000_000)].concat()),
    ];
    let body = change_body(2, &[[7; 32]], &[], &columns);
    let refusal = admit(&message(&[chunk(1, &body)]), &Limits::default()).unwrap_err();
    let named = matches!(refusal, Refusal::OverLimit { quantity: Quantity::References, value: 4_000_000_000, .. });
    assert!(named, "{refusal}");
}

#[test]
fn actors_and_dependencies_are_bounded() {
    let written = (0..20).map(|seed| document(seed, 60)).find(|written| {
        written.get_changes(&[]).iter().any(|change| !change.other_actor_ids().is_empty() && !change.deps().is_empty())
    });
    let written = written.unwrap();
    let changes = written.get_changes(&[]);
    let change = changes.iter().max_by_key(|change| change.other_actor_ids().len()).unwrap();
    let actors = 1 + change.other_actor_ids().len() as u64;
    let bytes = message(&[change.raw_bytes().to_vec()]);
    at_and_below(&bytes, actors, Quantity::Actors, |limits, n| limits.chunk_actors_max = n as usize);
    let change = changes.iter().max_by_key(|change| change.deps().len()).unwrap();
    let bytes = message(&[change.raw_bytes().to_vec()]);
    let set = |limits: &mut Limits, n: u64| limits.dependencies_max = n as usize;
    at_and_below(&bytes, change.deps().len() as u64, Quantity::Dependencies, set);
    at_and_below(&message(&[written.save()]), change.deps().len() as u64, Quantity::Dependencies, set);
    let mut none = Limits::default();
    none.chunk_actors_max = 0;
    let refusal = admit_document(&written.save(), &none).unwrap_err();
    assert!(matches!(refusal, Refusal::OverLimit { quantity: Quantity::Actors, .. }), "{refusal}");
}
