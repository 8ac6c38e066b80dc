//! `cargo xtask fuzz store_open`: see `comity_fuzz::store_open`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(init: comity_store::child_main_if_asked(), |data: &[u8]| comity_fuzz::fuzz(comity_fuzz::store_open::run, data));

#[cfg(not(fuzzing))]
fn main() {}
