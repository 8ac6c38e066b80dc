//! What a few kilobytes may hold that wait, and what they cost once they need not wait any more: memory stays within
//! 128 MiB of before.
//!
//! One test and nothing beside it, because the peak is that of the process.

use std::io::Write;

use comity_crdt::{Document, SyncSession, admit};
use comity_model::Limits;

#[allow(dead_code, reason = "other programs include it too")]
#[path = "../src/admit/tests/bytes.rs"]
mod bytes;

const GROWTH_KIB_MAX: u64 = 128 * 1024;

/// Inflated bytes of each change: as much as a short message may hold.
const KEY_BYTES: usize = 12_000_000;

/// The most memory that this process has held since the peak was last forgotten, in KiB; none where the system does not
/// tell.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// A deflated change of some kilobytes, on top of another, which puts a null under a very long key.
fn long_key(actor: u8, on_top: &[[u8; 32]]) -> Vec<u8> {
    let key = [bytes::leb(KEY_BYTES as u64), vec![b'k'; KEY_BYTES]].concat();
    let columns = [
        (0x15, bytes::run(1, &key)),
        (0x34, bytes::leb(1)),
        (0x42, bytes::run(1, &[1])),
        (0x56, bytes::run(1, &[0])),
        (0x70, bytes::run(1, &[0])),
    ];
    let mut body = bytes::change_body(6, on_top, &[], &columns);
    let at = 2 + 32 * on_top.len();
    body[at..at + 2].copy_from_slice(&[actor, 1]);
    let whole = bytes::chunk(1, &body);
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    deflated.write_all(&body).expect("memory takes it");
    let deflated = deflated.finish().expect("memory takes it");
    [&whole[..8], &[2], &bytes::leb(deflated.len() as u64), &deflated].concat()
}

#[test]
fn deflated_changes_that_wait_cost_no_more_than_the_document_may_hold() {
    let limits = Limits::default();
    let first = bytes::run_length_bomb_of(4, 1, 9);
    let on_top = [bytes::hash_of(&first)];
    let early: Vec<Vec<u8>> = (20..60).map(|actor| bytes::message(&[long_key(actor, &on_top)])).collect();
    let first = bytes::message(&[first]);
    let mut document = Document::new();
    let mut receive = |message: &[u8]| {
        let admitted = admit(message, &limits).expect("each is within the limits");
        document.receive(&mut SyncSession::new(), admitted, &limits)
    };
    // What it took to make all this is forgotten.
    let forgotten = std::fs::write("/proc/self/clear_refs", "5");
    let before = peak_kib();
    for message in &early {
        assert!(receive(message).expect("well made").new_changes.is_empty(), "it waits");
    }
    let received = receive(&first).expect("it is not to blame");
    assert!(received.forgot && received.new_changes.len() < 3, "no message could hold all of them");
    let (Ok(()), Some(before), Some(after)) = (forgotten, before, peak_kib()) else {
        println!("skipped: the peak of memory is not known here");
        return;
    };
    println!("{} bytes: {} KiB more than {before}", early.concat().len(), after - before);
    assert!(after - before < GROWTH_KIB_MAX, "{} KiB more", after - before);
}
