//! Says what the bytes of a record look like to the parsers.

use comity_model::Limits;
use comity_wire::Message;

use super::record::{Kept, Kind};

/// Describes the bytes of a record, a line for each part that was understood. Nothing is applied or admitted, and bytes
/// that were cut off are described up to there.
pub fn explain(kept: &Kept) -> Vec<String> {
    match kept.record.kind {
        Kind::Frame | Kind::Store => Vec::new(),
        Kind::Admission | Kind::Apply | Kind::Panic => comity_crdt::outline(&kept.bytes),
        Kind::Handshake | Kind::Message | Kind::Protocol => message(&kept.bytes),
    }
}

fn message(bytes: &[u8]) -> Vec<String> {
    if bytes.is_empty() {
        return Vec::new();
    }
    // With our own limits, not with those of whoever refused it: it is only looked at.
    let message = match Message::decode(&bytes.to_vec().into(), &Limits::default()) {
        Ok(message) => message,
        Err(error) => return vec![format!("not a message: {error}")],
    };
    let mut lines = vec![format!("message `{}`", message.type_name())];
    if let Some(sender) = message.sender() {
        lines.push(format!("sender: {sender}"));
    }
    if let Some(target) = message.target() {
        lines.push(format!("target: {target}"));
    }
    if let Some(data) = message.data() {
        lines.push(format!("data: {} bytes", data.len()));
        if let Message::Sync { .. } | Message::Request { .. } = message {
            lines.extend(comity_crdt::outline(data).into_iter().map(|line| format!("  {line}")));
        }
    }
    lines
}
