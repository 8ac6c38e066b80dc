//! Memory that the process has and does not use.
//!
//! glibc makes up to eight heaps for each core, spreads a relay's threads over them, and keeps in each what it was once
//! given. Memory would rise, in steps, until every heap has seen the largest load: +288 MB an hour in the first minutes
//! of `cargo xtask soak relay`. With one heap for each core, and what is free given back now and then, memory follows
//! what is in use. Other systems and other C libraries are left as they are.

#![cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    allow(unsafe_code, reason = "two calls into the C library that have no wrapper")
)]

use std::time::{Duration, Instant};

/// Between two times that free memory is given back.
const PAUSE: Duration = Duration::from_secs(10);

/// Longest time between them, however long it took.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// Gives the process one heap for each core, unless the environment says otherwise; to be called before there is a
/// second thread.
pub fn one_for_each_core() {
    let tunables = std::env::var_os("GLIBC_TUNABLES").unwrap_or_default();
    let is_set = tunables.to_string_lossy().contains("glibc.malloc.arena_max");
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() && !is_set {
        set_heaps(std::thread::available_parallelism().map_or(1, |cores| cores.get().min(64)));
    }
}

/// Gives free memory back to the system from time to time, on a thread of its own, for as long as the process lives.
pub fn give_back_now_and_then() {
    let give_back = || {
        loop {
            let start = Instant::now();
            trim();
            // Whoever wants memory of a heap meanwhile waits, so a large one is not looked at as often.
            std::thread::sleep((start.elapsed() * 1_000).clamp(PAUSE, PAUSE_MAX));
        }
    };
    // Without it the process has more memory than it needs, and works as well.
    let _ = std::thread::Builder::new().name("comity-heap".to_owned()).spawn(give_back);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set_heaps(heaps: usize) {
    let heaps = libc::c_int::try_from(heaps).unwrap_or(libc::c_int::MAX);
    // SAFETY: it takes two numbers and changes nothing but the allocator's settings. It may refuse them.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, heaps) };
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    // SAFETY: it takes the allocator's own locks, and touches nothing that is in use.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set_heaps(_: usize) {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}
