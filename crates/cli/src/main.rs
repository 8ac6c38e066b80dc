//! The `comity` command.

use std::process::ExitCode;

/// glibc's gives each of some seventy threads a heap of its own, of which little comes back: a relay that does nothing new
/// grew by hundreds of megabytes an hour.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // First of all: this process may be asked to try out a store that could hang.
    comity_store::child_main_if_asked();
    comity::run()
}
