//! Tries out a possibly damaged engine where a hang or a crash does no harm: in a child process with a deadline.
//!
//! The child is the running executable, started again with an environment variable. That works only for programs that
//! call [`child_main_if_asked`] first thing in `main`, and the call itself is what tells the library so. In any other
//! program the engine is tried out on a thread with a deadline and with panics caught; a hang then leaves a thread
//! behind, which ends with the process.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::check::END;
use crate::engine::Engine;
use crate::error::StoreError;
use crate::folder::Folder;
use crate::options::{ChildCommand, Options};
use crate::row::Space;

/// Holds the folder of the store for the child.
const ASKED: &str = "COMITY_STORE_TRY_FOLDER";
/// Holds the memory for the engine's cache, in bytes.
const CACHE: &str = "COMITY_STORE_TRY_CACHE_BYTES";
const POLL_STEP: Duration = Duration::from_millis(2);
const MESSAGE_BYTES_MAX: u64 = 2_000;

/// Set by programs that can be their own child.
static READY: AtomicBool = AtomicBool::new(false);

/// Ends the process with the child's work if this process was started as the child; returns otherwise.
///
/// Programs that open stores call this first thing in `main`, before threads, arguments or logs. From then on a store
/// that was not closed properly is first opened and read through by a child process, so that not even an engine that
/// hangs on damage can harm this one.
pub fn child_main_if_asked() {
    READY.store(true, Ordering::Release);
    let Some(root) = std::env::var_os(ASKED) else { return };
    let code = match try_here(Path::new(&root)) {
        Ok(()) => 0,
        Err(error) => {
            println!("{error}");
            1
        }
    };
    std::process::exit(code);
}

/// Opens the engine and reads all that it holds.
fn try_here(root: &Path) -> Result<(), StoreError> {
    let folder = Folder::new(root);
    let format = folder.format().ok().flatten();
    match format.as_ref().map(|format| format.engine.as_str()) {
        #[cfg(feature = "redb")]
        Some(crate::engine::redb::RedbEngine::NAME) => read_through::<crate::engine::redb::RedbEngine>(&folder),
        _ => read_through::<crate::engine::sled::SledEngine>(&folder),
    }
}

fn read_through<E: Engine>(folder: &Folder) -> Result<(), StoreError> {
    let mut options = Options::default();
    if let Some(bytes) = std::env::var(CACHE).ok().and_then(|bytes| bytes.parse().ok()) {
        options.cache_bytes = bytes;
    }
    let engine = E::open(&folder.engine(E::NAME), options.cache())?;
    for space in Space::ALL {
        engine.scan(space, &[], &END, &mut |_, _| true)?;
    }
    engine.close()
}

/// Has a child process try the engine of a store. Does nothing when this program cannot be its own child.
pub(crate) fn try_engine(options: &Options, root: &Path, deadline: Duration) -> Result<(), StoreError> {
    let mut command = match &options.child {
        Some(ChildCommand { program, arguments }) => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        None if READY.load(Ordering::Acquire) => match std::env::current_exe() {
            Ok(program) => Command::new(program),
            Err(_) => return Ok(()),
        },
        None => return Ok(()),
    };
    command.env(ASKED, root).env(CACHE, options.cache_bytes.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(StoreError::io("start the verifying child for", root))?;
    let start = Instant::now();
    let failed = |message| StoreError::Engine { engine: "the engine", what: "be read by a child process", message };
    loop {
        let status = child.try_wait().map_err(StoreError::io("wait for the verifying child of", root))?;
        match status {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                let mut message = String::new();
                let read = child.stdout.take().map(|out| out.take(MESSAGE_BYTES_MAX).read_to_string(&mut message));
                tracing::debug!(?read, "read the child's message");
                return Err(failed(format!("{status}: {}", message.trim())));
            }
            None if start.elapsed() > deadline => {
                // Killed and reaped; it may have ended by itself just now, which is as good.
                let (_, _) = (child.kill(), child.wait());
                return Err(StoreError::Deadline { what: "read the engine in a child process", after: deadline });
            }
            None => std::thread::sleep(POLL_STEP),
        }
    }
}
