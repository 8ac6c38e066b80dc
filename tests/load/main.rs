//! A load program: real Automerge clients over real sockets against relay processes.
//!
//! ```text
//! cargo xtask bench          our relay, the official JavaScript server and a samod relay, in turn: see `bench`
//! cargo xtask soak relay     half an hour of restarts under 200 clients that come and go: see `soak`
//! ```

mod bench;
mod process;
mod soak;

use anyhow::{Result, bail};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((name, rest)) if name == "bench" => bench::run(rest).await,
        Some((name, rest)) if name == "soak" => soak::run(rest).await,
        _ => bail!("usage: load bench|soak [--help]"),
    }
}
