//! What each fuzz target does with its input, so that a stable compiler can replay the corpus.
//!
//! A target is a module with `run(data)`, which panics when a property does not hold; a binary in `fuzz_targets` that
//! hands it to libFuzzer; a folder in `corpus`; and a row in [`TARGETS`].

mod choices;
// Framed as Automerge does: no fuzzer guesses a SHA-256.
#[allow(dead_code, reason = "the tests of admission use all of it")]
#[path = "../../crates/crdt/src/admit/tests/bytes.rs"]
mod frame;
mod node;

pub mod admission;
pub mod configuration;
pub mod document_load;
pub mod hostile_peer;
pub mod store_open;
pub mod store_rows;
pub mod three_engines;
pub mod wire;

/// What a target does with an input.
pub type Run = fn(&[u8]);

/// The targets, by the name of their binary and of their corpus folder.
pub const TARGETS: &[(&str, Run)] = &[
    ("admission", admission::run),
    ("configuration", configuration::run),
    ("document_load", document_load::run),
    ("hostile_peer", hostile_peer::run),
    ("store_open", store_open::run),
    ("store_rows", store_rows::run),
    ("three_engines", three_engines::run),
    ("wire_decode", wire::run),
];

/// Gives a folder for scratch work: in memory where there is such a place, since targets write it thousands of times.
fn scratch() -> tempfile::TempDir {
    let folder =
        tempfile::Builder::new().prefix("comity-fuzz-").tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    folder.expect("a folder for scratch work can be made")
}

/// Runs one input under libFuzzer, whose own panic hook would abort on panics that are caught, too: it is replaced by
/// one that takes notes. A panic that nobody catches is shown and ends the process.
#[cfg(fuzzing)]
pub fn fuzz(run: Run, data: &[u8]) {
    noted::listen();
    if std::panic::catch_unwind(|| run(data)).is_err() {
        noted::show();
        std::process::abort();
    }
}

#[cfg(fuzzing)]
mod noted {
    use std::sync::{Mutex, Once};

    static LAST: Mutex<String> = Mutex::new(String::new());

    pub fn listen() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            std::panic::set_hook(Box::new(|panic| {
                *LAST.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = panic.to_string();
            }));
        });
    }

    pub fn show() {
        eprintln!("{}", LAST.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }
}
