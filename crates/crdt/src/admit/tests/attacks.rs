//! The measured attacks, built here byte by byte, and the crash files that ship with Automerge.
//!
//! That memory stays where it is during the four is tested in a process of its own, `tests/admission_memory.rs`.

use std::path::Path;

use comity_model::Limits;

use super::{chunk, leb, message, run_length_bomb};
use crate::admit::{Quantity, Refusal, admit, admit_document};

fn refusal(bytes: &[u8]) -> Refusal {
    admit(bytes, &Limits::default()).unwrap_err()
}

/// A sync message with one `have` row that has this Bloom filter.
fn with_bloom(filter: &[u8]) -> Vec<u8> {
    [&[0x42, 0, 0, 1, 0][..], &leb(filter.len() as u64), filter, &[0]].concat()
}

#[test]
fn a_bloom_filter_with_an_entry_and_no_bits_is_refused() {
    let refusal = refusal(&with_bloom(&[1, 0, 7]));
    assert!(matches!(refusal, Refusal::BloomParameters { entries: 1, bits_per_entry: 0, probes: 7, .. }), "{refusal}");
}

#[test]
fn a_bloom_filter_with_four_billion_probes_is_refused() {
    let filter = [&[1, 10][..], &leb(u64::from(u32::MAX)), &[0, 0]].concat();
    let refusal = refusal(&with_bloom(&filter));
    assert!(matches!(refusal, Refusal::BloomParameters { probes: 4_294_967_295, .. }), "{refusal}");
}

#[test]
fn other_odd_bloom_filters_are_refused() {
    assert!(matches!(refusal(&with_bloom(&[0, 10, 7])), Refusal::BloomParameters { entries: 0, .. }));
    assert!(matches!(refusal(&with_bloom(&[1, 10, 7, 0])), Refusal::BloomLength { expected: 2, found: 1, .. }));
    assert!(matches!(refusal(&with_bloom(&[1, 10, 7, 0, 0, 0])), Refusal::BloomLength { expected: 2, found: 3, .. }));
    assert!(admit(&with_bloom(&[1, 10, 7, 0xff, 0x03]), &Limits::default()).is_ok());
    assert!(admit(&with_bloom(&[]), &Limits::default()).is_ok());
}

#[test]
fn a_document_with_more_actors_than_changes_is_refused() {
    // One actor of 16 bytes, no heads, no columns: Automerge 0.12.0 loads it with a panic (`author.rs:105`).
    let body = [&[1, 16][..], &[7; 16], &[0, 0, 0]].concat();
    let refusal = refusal(&message(&[chunk(0, &body)]));
    assert!(matches!(refusal, Refusal::Header { what: "number of actors", value: 1, .. }), "{refusal}");
}

/// Deflated zeros: 255 in one for each byte of input, and more.
fn deflated_zeros(count: usize) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..count >> 20 {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap()
}

#[test]
fn a_deflate_bomb_is_refused_as_a_change_and_as_a_column() {
    let bomb = deflated_zeros(300 << 20);
    let change = [&[0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 2][..], &leb(bomb.len() as u64), &bomb].concat();
    let over = |refusal: Refusal| {
        matches!(refusal, Refusal::OverLimit { quantity: Quantity::Price, limit: 100_663_296.., .. })
    };
    assert!(over(refusal(&message(&[change]))));
    // No actors, no heads, one deflated change column (actor, 0x01 | 0x08), no operation columns.
    let body = [&[0, 0, 1, 9][..], &leb(bomb.len() as u64), &[0], &bomb].concat();
    assert!(over(refusal(&message(&[chunk(0, &body)]))));
}

#[test]
fn a_run_length_bomb_is_refused() {
    let bomb = run_length_bomb(5_000_000);
    assert!(bomb.len() < 113);
    let refused = refusal(&message(&[bomb]));
    let wanted = Refusal::OverLimit {
        quantity: Quantity::ChangeOperations,
        value: 5_000_001,
        limit: 150_000,
        place: match &refused {
            Refusal::OverLimit { place, .. } => *place,
            other => panic!("{other}"),
        },
    };
    assert_eq!(refused, wanted);
    assert!(refused.to_string().contains("5000001 operations in one change, at most 150000"), "{refused}");

    // Ten of them are more than such a short message may cost, though each is within that limit.
    let most = run_length_bomb(149_999);
    let refused = refusal(&message(&vec![most.clone(); 10]));
    assert!(matches!(refused, Refusal::OverLimit { quantity: Quantity::Price, .. }), "{refused}");
    assert_eq!(admit(&message(&[most]), &Limits::default()).unwrap().cost().operations, 150_000);
}

#[test]
fn counts_far_beyond_the_bytes_are_refused_before_anything_is_allocated() {
    let huge = leb(u64::MAX);
    let large = leb(5_000);
    for (prefix, count) in [
        (&[0x42][..], &huge),
        (&[0x42, 0], &huge),
        (&[0x42, 0, 0], &huge),
        (&[0x42, 0, 0, 0], &huge),
        (&[0x42, 0, 0, 0, 1], &huge),
        (&[0x42], &large),
        (&[0x42, 0, 0, 0], &large),
    ] {
        let refusal = refusal(&[prefix, count].concat());
        assert!(matches!(refusal, Refusal::OverLimit { .. } | Refusal::Truncated { .. }), "{refusal}");
    }
}

/// The crash files, copied to `fuzz/corpus/admission` with their source and licence.
fn crash_files() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/admission");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        // The crate may be tested away from the repository.
        println!("skipped: {} is not there", folder.display());
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "automerge"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn the_crash_files_of_automerge_are_refused_or_harmless() {
    for (name, bytes) in crash_files() {
        let as_file = admit_document(&bytes, &Limits::default());
        let as_message = admit(&message(&[bytes]), &Limits::default());
        let harmless = name.starts_with("two_change_chunks") || name == "counter_value_is_ok.automerge";
        assert_eq!(as_file.is_ok(), harmless, "{name}: {as_file:?}");
        assert_eq!(as_message.is_ok(), harmless, "{name}: {as_message:?}");
    }
}
