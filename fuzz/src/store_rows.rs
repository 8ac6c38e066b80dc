//! What the store decodes from its disk: rows, documents, journal groups, with every checksum put right.

use std::path::PathBuf;
use std::sync::LazyLock;

use comity_store::{StoreError, fuzzing};

use crate::choices::Choices;

/// Rows taken of one input.
const ROWS_MAX: usize = 64;
/// Kinds of rows, as they stand in a key: manifest, heads, snapshot, changes, sync state.
const KINDS: usize = 5;

/// Where no snapshot files are.
static NO_SNAPSHOTS: LazyLock<PathBuf> = LazyLock::new(|| std::env::temp_dir().join("comity-fuzz-no-snapshots"));

/// Takes the bytes as any one thing on disk, as entries of a journal group, or as rows of a document. Asserts that
/// nothing panics, that whatever can be read is written again as it was, and that a document is either whole or named
/// as damaged.
pub fn run(data: &[u8]) {
    let mut choices = Choices::new(data);
    match choices.below(3) {
        0 => fuzzing::raw(choices.rest()),
        1 => fuzzing::journal(choices.rest(), crate::scratch().path()).expect("a scratch folder can be written to"),
        _ => rows(&mut choices),
    }
}

fn rows(choices: &mut Choices<'_>) {
    let mut rows = Vec::new();
    while !choices.is_empty() && rows.len() < ROWS_MAX {
        let kind = choices.below(KINDS) as u8;
        let (stamp, part) = (u64::from(choices.byte()), choices.below(3) as u32);
        let rest = match kind {
            0 => Vec::new(),
            3 => [&sequence(choices)[..], &part.to_be_bytes()].concat(),
            4 => [choices.take(3), &[0], &part.to_be_bytes()].concat(),
            _ => part.to_be_bytes().to_vec(),
        };
        rows.push(([&[kind], &rest[..]].concat(), stamp, choices.bytes().to_vec()));
    }
    match fuzzing::document(&rows, &NO_SNAPSHOTS) {
        Ok(_) | Err(StoreError::DamagedDocument { .. }) => {}
        Err(other) => panic!("a decoder failed in another way: {other}"),
    }
}

/// Gives a sequence number: mostly a small one, now and then one of the greatest.
fn sequence(choices: &mut Choices<'_>) -> [u8; 8] {
    let byte = choices.byte();
    if byte < 0xf0 { u64::from(byte).to_be_bytes() } else { (u64::MAX - u64::from(byte & 0xf)).to_be_bytes() }
}
