//! The four measured attacks in a process of their own: memory stays within 80 MiB of before.
//!
//! One test and nothing beside it, because the peak is that of the process.

use std::io::Write;

use comity_crdt::admit;
use comity_model::Limits;

#[path = "../src/admit/tests/bytes.rs"]
mod bytes;

const GROWTH_KIB_MAX: u64 = 80 * 1024;

/// The most memory that this process has ever held, in KiB; none where the system does not tell.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// A compressed change of deflated zeros, a thousand to one.
fn deflate_bomb(mebibytes: usize) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        encoder.write_all(&zeros).expect("memory takes it");
    }
    let deflated = encoder.finish().expect("memory takes it");
    let length = bytes::leb(deflated.len() as u64);
    bytes::message(&[[&[0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 2][..], &length, &deflated].concat()])
}

#[test]
fn attacks_cost_no_memory() {
    let bomb = deflate_bomb(300);
    let attacks = [
        ("a Bloom filter without bits", vec![0x42, 0, 0, 1, 0, 3, 1, 0, 7, 0]),
        ("4,294,967,295 probes", vec![0x42, 0, 0, 1, 0, 9, 1, 10, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0]),
        ("a deflate bomb", bomb),
        ("a run-length bomb", bytes::message(&[bytes::run_length_bomb(5_000_000)])),
    ];
    let before = peak_kib();
    for (name, attack) in attacks {
        let refusal = admit(&attack, &Limits::default()).expect_err(name);
        println!("{name}: {} bytes, {refusal}", attack.len());
        let (Some(before), Some(after)) = (before, peak_kib()) else {
            println!("skipped: the peak of memory is not known here");
            continue;
        };
        assert!(after - before < GROWTH_KIB_MAX, "{name}: {} KiB more", after - before);
    }
}
