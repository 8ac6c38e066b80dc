//! Time that passes because the plan says so. Nothing is waited for by guessing how long it takes.

use std::time::Duration;

pub use tokio::time::Instant;

/// Lets a time pass.
pub async fn rest(time: Duration) {
    // A load has a pace.
    tokio::time::sleep(time).await;
}

/// Lets time pass until a moment.
pub async fn until(moment: Instant) {
    // The plan says when.
    tokio::time::sleep_until(moment).await;
}
