//! `cargo xtask fuzz configuration`: see `comity_fuzz::configuration`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| comity_fuzz::fuzz(comity_fuzz::configuration::run, data));

#[cfg(not(fuzzing))]
fn main() {}
