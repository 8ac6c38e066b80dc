//! The `comity` command.

#![allow(rustdoc::bare_urls, reason = "doc comments of arguments are their help texts, printed as they stand")]

mod cli;
mod commands;
mod config;
mod demo;
mod entries;
mod error;
mod input;
mod limits;
mod logging;
mod names;
mod output;
mod session;
mod units;
mod values;

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: this process may be asked to try out a store that could hang.
    comity_store::child_main_if_asked();
    cli::run()
}
