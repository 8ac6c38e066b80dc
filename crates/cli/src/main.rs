//! The `comity` command.

mod heap;

use std::process::ExitCode;

fn main() -> ExitCode {
    heap::one_for_each_core();
    // First of all that does something: this process may be asked to try out a store that could hang.
    comity_store::child_main_if_asked();
    comity::run()
}
