//! What happened, as a digest of everything and the last lines in words.

use std::collections::VecDeque;
use std::fmt;

use crate::plan::seconds;

/// Lines that are kept.
const TAIL_MAX: usize = 10_000;

pub(crate) struct Trace {
    digest: u64,
    lines: u64,
    tail: VecDeque<String>,
}

impl Trace {
    pub fn new() -> Self {
        Self { digest: 0xcbf2_9ce4_8422_2325, lines: 0, tail: VecDeque::new() }
    }

    /// Writes a line.
    pub fn note(&mut self, now_us: u64, who: &str, what: fmt::Arguments<'_>) {
        let mut line =
            if self.tail.len() >= TAIL_MAX { self.tail.pop_front().unwrap_or_default() } else { String::new() };
        line.clear();
        // Writing to a string cannot fail.
        let _ = fmt::write(&mut line, format_args!("{:>12.6} {who:<8} {what}", seconds(now_us)));
        self.digest = fnv(self.digest, line.as_bytes());
        self.lines += 1;
        self.tail.push_back(line);
    }

    pub fn digest(&self) -> u64 {
        self.digest
    }

    pub fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }
}

/// Digests bytes, FNV-1a: the same on every machine and in every release, which the standard library's is not.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    fnv(0xcbf2_9ce4_8422_2325, bytes)
}

fn fnv(mut hash: u64, bytes: &[u8]) -> u64 {
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}
