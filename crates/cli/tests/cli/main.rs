//! The real binary, run as a person runs it: what it prints, and its exit codes.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod addresses;
mod config;
mod damage;
mod documents;
mod evidence;
mod exit_codes;
mod help;
mod import;
mod round_trip;
mod store;
mod support;
mod together;
