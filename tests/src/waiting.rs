//! Waiting with a deadline.

use std::time::Duration;

/// The longest wait for anything in a test. Generous: it is met only by a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a future; fails the test with `what` when it takes longer than [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within {} s", PATIENCE.as_secs()),
    }
}
