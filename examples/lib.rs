//! Examples to copy from. Each is one file beside this one:
//!
//! - `notebook.rs`: two devices and a relay keep a notebook.
//! - `audit.rs`: an audit of modules, marked in ranges, with a disagreement.
//! - `custom_kind.rs`: a kind of your own, checked where it is written.
//! - `three_way/`: merges of JSON records by people, replayed: conflicts, rules and suggestions beside what people did.
//!
//! Run one with `cargo run -p comity-examples --example notebook`.
