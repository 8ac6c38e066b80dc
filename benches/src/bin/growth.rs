//! See `cargo xtask`.

fn main() {}
