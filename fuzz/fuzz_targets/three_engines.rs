//! `cargo xtask fuzz three_engines`: see `comity_fuzz::three_engines`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| comity_fuzz::fuzz(comity_fuzz::three_engines::run, data));

#[cfg(not(fuzzing))]
fn main() {}
