//! The real binary, run as a person runs it: what it prints, and its exit codes.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod addresses;
mod config;
mod conflicts;
mod damage;
mod documents;
mod evidence;
mod exit_codes;
mod help;
mod import;
mod past;
mod policy;
mod round_trip;
mod scene;
mod store;
mod suggest;
mod support;
mod three_way;
mod together;
