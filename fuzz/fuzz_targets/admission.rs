//! `cargo xtask fuzz admission`: see `comity_fuzz::admission`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| comity_fuzz::fuzz(comity_fuzz::admission::run, data));

#[cfg(not(fuzzing))]
fn main() {}
