//! The decoder of the wire: any bytes at all.

use bytes::Bytes;
use comity_model::Limits;
use comity_wire::Message;

/// Reads the bytes as a frame, and asserts that a message that was read is within its limits and can be written, read
/// back and written again without a difference.
pub fn run(data: &[u8]) {
    let limits = Limits::default();
    let frame = Bytes::copy_from_slice(data);
    let Ok(message) = Message::decode(&frame, &limits) else { return };

    assert!(message.data().is_none_or(|data| data.len() <= frame.len()));
    if let Message::Ephemeral { data, session, count, .. } = &message {
        assert!(data.len() <= limits.ephemeral_bytes_max);
        assert!(session.len() <= Message::SESSION_BYTES_MAX);
        assert!(*count <= Message::COUNT_MAX);
    }

    // Our own form may be a little longer than the one that came in.
    let mut wider = limits;
    wider.message_bytes_max *= 2;
    wider.envelope_bytes_max *= 2;
    let written = message.encode();
    let again = Message::decode(&written, &wider).expect("what was written can be read");
    assert_eq!(again, message);
    assert_eq!(again.encode(), written);
}
