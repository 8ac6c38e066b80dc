//! The real binary, run as a person runs it: what it prints, and its exit codes.

mod config;
mod documents;
mod exit_codes;
mod help;
mod import;
mod round_trip;
mod store;
mod support;
mod together;
