//! What `GET /health` answers.

use serde::Serialize;

use crate::Vitals;

/// How a relay is doing, as JSON.
pub trait Health: Serialize {
    /// Whether the process should be started again. Then the answer is 503 in place of 200: load balancers and
    /// monitors look no further.
    fn is_failing(&self) -> bool;
}

impl Health for Vitals {
    /// The door by itself has nothing that could fail for good.
    fn is_failing(&self) -> bool {
        false
    }
}
