//! The `comity` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: this process may be asked to try out a store that could hang.
    comity_store::child_main_if_asked();
    comity::run()
}
