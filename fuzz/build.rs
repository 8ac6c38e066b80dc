//! Tells the compiler of `cfg(fuzzing)`, which `cargo fuzz` sets, so that a misspelt one is still found.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(fuzzing)");
    println!("cargo::rerun-if-changed=build.rs");
}
