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

#[test]
fn changes_of_a_hundred_bytes_and_as_many_operations_as_may_be_are_applied_one_by_one() {
    let limits = Limits::default();
    let operations = limits.change_operations_max;
    let changes: Vec<_> = (1..=2).map(|actor| bytes::run_length_bomb_of(operations - 1, 1, actor)).collect();
    let message = bytes::message(&changes);
    let before = peak_kib();
    let mut document = Document::new();
    let admitted = admit(&message, &limits).expect("each change and all of them are within the limits");
    let received = document.receive(&mut SyncSession::new(), admitted, &limits).expect("well made");
    assert_eq!((received.new_changes.len(), document.operation_count() as u64), (2, 2 * operations));
    let (Some(before), Some(after)) = (before, peak_kib()) else {
        println!("skipped: the peak of memory is not known here");
        return;
    };
    println!("{} bytes, {} operations: {} KiB", message.len(), 2 * operations, after - before);
    assert!(after - before < GROWTH_KIB_MAX, "{} KiB more", after - before);
}
