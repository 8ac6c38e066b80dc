//! `cargo xtask fuzz document_load`: see `comity_fuzz::document_load`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| comity_fuzz::fuzz(comity_fuzz::document_load::run, data));

#[cfg(not(fuzzing))]
fn main() {}
