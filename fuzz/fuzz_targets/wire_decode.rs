//! `cargo xtask fuzz wire_decode`: see `comity_fuzz::wire`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| comity_fuzz::fuzz(comity_fuzz::wire::run, data));

#[cfg(not(fuzzing))]
fn main() {}
