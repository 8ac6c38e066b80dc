//! Why a link is closed, as the peer is told.

use std::time::Duration;

/// WebSocket close codes in use (RFC 6455, section 7.4, and our own above 4000).
pub mod code {
    /// Done, nothing is wrong.
    pub const NORMAL: u16 = 1000;
    /// The peer is going away.
    pub const GOING_AWAY: u16 = 1001;
    /// The peer broke the protocol.
    pub const PROTOCOL: u16 = 1002;
    /// Text where only binary is spoken.
    pub const UNSUPPORTED: u16 = 1003;
    /// No code was given; never sent.
    pub const NONE: u16 = 1005;
    /// Text that is not UTF-8.
    pub const NOT_UTF8: u16 = 1007;
    /// Against the rules of this relay.
    pub const POLICY: u16 = 1008;
    /// A message was longer than allowed.
    pub const TOO_LONG: u16 = 1009;
    /// Our own fault.
    pub const INTERNAL: u16 = 1011;
    /// The relay restarts; see [`Goodbye::retry_after`](super::Goodbye::retry_after).
    pub const RESTART: u16 = 1012;
    /// Too busy; come back later.
    pub const TRY_LATER: u16 = 1013;
    /// Not authenticated. Said after the upgrade, because a JavaScript client whose upgrade is answered 401 exits.
    pub const UNAUTHENTICATED: u16 = 4401;
    /// Not allowed.
    pub const FORBIDDEN: u16 = 4403;
}

/// Longest close reason: a control frame holds 125 bytes, two of which are the code.
const REASON_BYTES_MAX: usize = 123;

/// Tells a peer why its link ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goodbye {
    /// A close code; see [`code`].
    pub code: u16,
    /// A short reason for people, at most 123 bytes.
    pub reason: String,
}

impl Goodbye {
    /// Makes a goodbye; a reason that is too long is cut at a character.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason: String = reason.into();
        if reason.len() > REASON_BYTES_MAX {
            reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        }
        Self { code, reason }
    }

    /// Tells a client that the relay restarts and when to come back.
    pub fn restart(retry_after: Duration) -> Self {
        Self::new(code::RESTART, format!("the relay restarts; retry-after={}", retry_after.as_secs()))
    }

    /// Tells a client why not now, and when to come back.
    pub fn try_later(reason: &str, retry_after: Duration) -> Self {
        Self::new(code::TRY_LATER, format!("{reason}; come back later; retry-after={}", retry_after.as_secs()))
    }

    /// Reads when the peer wants us back, if it said so; at most an hour.
    pub fn retry_after(&self) -> Option<Duration> {
        let (_, rest) = self.reason.split_once("retry-after=")?;
        let digits = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
        let seconds: u64 = digits.parse().ok()?;
        Some(Duration::from_secs(seconds.min(3600)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_says_when_to_come_back() {
        let goodbye = Goodbye::restart(Duration::from_secs(7));
        assert_eq!((goodbye.code, goodbye.retry_after()), (1012, Some(Duration::from_secs(7))));
        let goodbye = Goodbye::try_later("no room", Duration::from_secs(5));
        assert_eq!((goodbye.code, goodbye.retry_after()), (1013, Some(Duration::from_secs(5))));
        assert_eq!(goodbye.reason, "no room; come back later; retry-after=5");
        assert_eq!(Goodbye::new(1000, "bye").retry_after(), None);
        assert_eq!(Goodbye::new(1012, "retry-after=").retry_after(), None);
        assert_eq!(Goodbye::new(1012, "retry-after=99999999").retry_after(), Some(Duration::from_secs(3600)));
    }

    #[test]
    fn a_reason_fits_a_control_frame() {
        assert_eq!(Goodbye::new(1000, "x".repeat(123)).reason.len(), 123);
        assert_eq!(Goodbye::new(1000, "x".repeat(124)).reason.len(), 123);
        assert_eq!(Goodbye::new(1000, "é".repeat(62)).reason.len(), 122);
    }
}
