//! `cargo xtask fuzz store_rows`: see `comity_fuzz::store_rows`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| comity_fuzz::fuzz(comity_fuzz::store_rows::run, data));

#[cfg(not(fuzzing))]
fn main() {}
