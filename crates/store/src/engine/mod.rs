//! Engines: ordered rows in two spaces. They may lose what was written since the last [`Engine::sync`]; the journal
//! covers that. Nothing here knows documents.

#[cfg(feature = "redb")]
pub(crate) mod redb;
pub(crate) mod sled;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::error::StoreError;
use crate::report::Progress;
use crate::row::{RowChange, Space};

/// Most bytes given to an engine before it is flushed. sled deadlocks against itself with 256 KiB unflushed, never
/// with 64 or 128; this leaves room for a last row.
pub(crate) const UNFLUSHED_BYTES_MAX: usize = 60 << 10;

/// Looks at one row (key, value) of a scan; false ends the scan.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> bool;

/// An embedded engine. Every error is final for the handle. No call panics.
pub(crate) trait Engine: Sized + Send + Sync + 'static {
    /// Names the engine, its folder, and the program that can open it.
    const NAME: &'static str;

    /// Opens or creates the engine in its folder, with so much memory for its cache; new files are durable when this
    /// returns.
    fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StoreError>;

    /// Gives the value of a key.
    fn value(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits rows from a key on, up to but without another, ascending.
    fn scan(&self, space: Space, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StoreError>;

    /// Applies changes in order. Later reads see them; a crash may lose any suffix.
    fn write(&self, changes: &[RowChange]) -> Result<(), StoreError>;

    /// Makes all that was written durable, files and folders included.
    fn sync(&self) -> Result<(), StoreError>;

    /// Closes, and waits until the files may be opened again.
    fn close(self) -> Result<(), StoreError>;
}

/// Runs a call of an engine that may panic; a panic becomes an error.
pub(crate) fn guarded<T, X: std::fmt::Display>(
    engine: &'static str,
    what: &'static str,
    call: impl FnOnce() -> Result<T, X>,
) -> Result<T, StoreError> {
    let failed = |message| StoreError::Engine { engine, what, message };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| failed(error.to_string())),
        Err(panic) => Err(failed(format!("panic: {}", panic_text(&*panic)))),
    }
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let mut text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned());
    if let Some((cut, _)) = text.char_indices().nth(500) {
        text.truncate(cut);
    }
    text
}

/// Runs work that may hang on a thread of its own and waits for it until a deadline. When the deadline passes the
/// thread is left behind: there is no way to end it but to end the process.
pub(crate) fn within<T: Send + 'static>(
    what: &'static str,
    deadline: Duration,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    within_telling(what, deadline, &mut |_| {}, |_| work())
}

/// As [`within`], for work that tells how far it is.
pub(crate) fn within_telling<T: Send + 'static>(
    what: &'static str,
    deadline: Duration,
    progress: &mut dyn FnMut(Progress),
    work: impl FnOnce(&mut dyn FnMut(Progress)) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    enum News<T> {
        Progress(Progress),
        Ended(Result<T, StoreError>),
    }
    let (tell, news) = mpsc::channel();
    let spawned = std::thread::Builder::new().name("comity-store-guard".to_owned()).spawn(move || {
        // The one who waited may be gone; then nobody wants the news.
        let mut told = |progress| drop(tell.send(News::Progress(progress)));
        let result = match catch_unwind(AssertUnwindSafe(|| work(&mut told))) {
            Ok(result) => result,
            Err(panic) => Err(StoreError::Engine { engine: "the engine", what, message: panic_text(&*panic) }),
        };
        let _ = tell.send(News::Ended(result));
    });
    spawned.map_err(StoreError::io("start a thread for", Path::new("the store")))?;
    let start = Instant::now();
    loop {
        match news.recv_timeout(deadline.saturating_sub(start.elapsed())) {
            Ok(News::Progress(now)) => progress(now),
            Ok(News::Ended(result)) => return result,
            Err(_) => return Err(StoreError::Deadline { what, after: deadline }),
        }
    }
}
