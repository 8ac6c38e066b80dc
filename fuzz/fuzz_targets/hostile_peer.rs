//! `cargo xtask fuzz hostile_peer`: see `comity_fuzz::hostile_peer`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| comity_fuzz::fuzz(comity_fuzz::hostile_peer::run, data));

#[cfg(not(fuzzing))]
fn main() {}
