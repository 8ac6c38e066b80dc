//! What a small message may hold at most, applied in a process of its own: memory stays within 128 MiB of before.
//!
//! One test and nothing beside it, because the peak is that of the process.

use comity_crdt::{Document, SyncSession, admit};
use comity_model::Limits;

#[path = "../src/admit/tests/bytes.rs"]
mod bytes;

const GROWTH_KIB_MAX: u64 = 128 * 1024;

/// The most memory that this process has ever held, in KiB; none where the system does not tell.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// As many operations as a change may hold, twice, in changes that wait for a third.
#[test]
fn changes_of_a_hundred_bytes_and_as_many_operations_as_may_be_are_applied_one_by_one() {
    let limits = Limits::default();
    let operations = limits.change_operations_max;
    let first = bytes::run_length_bomb_of(4, 1, 9);
    let on_top = [bytes::hash_of(&first)];
    let changes: Vec<_> =
        (1..=2).map(|actor| bytes::run_length_bomb_after(operations - 1, 1, actor, 6, &on_top)).collect();
    let messages = [changes, vec![first]].map(|changes| bytes::message(&changes));
    let before = peak_kib();
    let mut document = Document::new();
    let mut receive = |message: &[u8]| {
        let admitted = admit(message, &limits).expect("each change and all of them are within the limits");
        document.receive(&mut SyncSession::new(), admitted, &limits).expect("well made")
    };
    assert!(receive(&messages[0]).new_changes.is_empty(), "they wait");
    assert_eq!(receive(&messages[1]).new_changes.len(), 3);
    assert_eq!(document.operation_count() as u64, 2 * operations + 5);
    let (Some(before), Some(after)) = (before, peak_kib()) else {
        println!("skipped: the peak of memory is not known here");
        return;
    };
    println!("{} bytes, {} operations: {} KiB", messages.concat().len(), 2 * operations, after - before);
    assert!(after - before < GROWTH_KIB_MAX, "{} KiB more", after - before);
}
