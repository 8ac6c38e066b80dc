//! The `comity` command, as a library: for `main.rs`, and for whoever tries out how the config file is read.

#![allow(rustdoc::bare_urls, reason = "doc comments of arguments are their help texts, printed as they stand")]

mod cli;
mod commands;
pub mod config;
mod demo;
mod entries;
mod error;
mod heap;
mod input;
pub mod limits;
mod logging;
mod losses;
mod names;
mod output;
mod review;
mod session;
pub mod units;
mod values;

pub use cli::run;
