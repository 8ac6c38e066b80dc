//! Says what foreign bytes look like from outside, for whoever looks at evidence.
//!
//! Nothing is admitted here and nothing is handed to Automerge: only lengths and counts are read, as far as they make
//! sense, and nothing is allocated for what they claim.

use crate::chunk::{Chunk, ChunkKind, uleb};

/// Chunks that are described one by one.
const CHUNKS_SHOWN_MAX: usize = 16;

/// Describes the outer form of a sync message, a line for each part, up to where it makes no sense. The bytes may be
/// the beginning of a longer message.
///
/// ```
/// // A Bloom filter with one entry and no bits.
/// let lines = comity_crdt::outline(&[0x42, 0, 0, 1, 0, 3, 1, 0, 7, 0]);
/// assert_eq!(lines[0], "sync message, version 1");
/// assert_eq!(lines[3], "have 1: since 0 heads, a Bloom filter of 3 bytes for 1 entries, 0 bits an entry, 7 probes");
/// ```
pub fn outline(bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    if describe(&mut rest, &mut lines).is_none() {
        let at = bytes.len() - rest.len();
        lines.push(format!("from byte {at} of {} on it makes no sense, or is cut off", bytes.len()));
    }
    lines
}

fn describe(rest: &mut &[u8], lines: &mut Vec<String>) -> Option<()> {
    let version = match rest.first()? {
        0x42 => 1,
        0x43 => 2,
        _ => return None,
    };
    *rest = &rest[1..];
    lines.push(format!("sync message, version {version}"));
    lines.push(format!("heads: {}", hashes(rest)?));
    lines.push(format!("need: {}", hashes(rest)?));
    let rows = number(rest)?;
    for row in 1..=rows {
        let since = hashes(rest)?;
        let length = number(rest)?;
        let filter = take(rest, length)?;
        if lines.len() < CHUNKS_SHOWN_MAX {
            lines.push(format!("have {row}: since {since} heads, {}", bloom(filter)));
        }
    }
    let changes = number(rest)?;
    lines.push(format!("changes: {changes}"));
    for change in 1..=changes {
        let length = number(rest)?;
        let is_whole = usize::try_from(length).is_ok_and(|length| length <= rest.len());
        let shown = lines.len() < 2 * CHUNKS_SHOWN_MAX;
        if shown {
            let begin = &rest[..rest.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
            lines.push(format!("change {change}: {length} bytes, {}", chunks(begin)));
        }
        if !is_whole {
            return None;
        }
        take(rest, length)?;
    }
    if !rest.is_empty() {
        lines.push(format!("flags and more: {} bytes", rest.len()));
        *rest = &[];
    }
    Some(())
}

fn bloom(mut filter: &[u8]) -> String {
    let bytes = filter.len();
    let mut next = || number(&mut filter);
    match (next(), next(), next()) {
        (Some(entries), Some(bits), Some(probes)) => {
            format!("a Bloom filter of {bytes} bytes for {entries} entries, {bits} bits an entry, {probes} probes")
        }
        _ if bytes == 0 => "an empty Bloom filter".to_owned(),
        _ => format!("{bytes} bytes that are no Bloom filter"),
    }
}

/// Lists the chunks of a change.
fn chunks(mut bytes: &[u8]) -> String {
    let mut shown = Vec::new();
    while !bytes.is_empty() && shown.len() < CHUNKS_SHOWN_MAX {
        match Chunk::next(&mut bytes) {
            Ok(chunk) => shown.push(format!("{} of {} bytes", word(chunk.kind), chunk.bytes.len())),
            Err(error) => {
                shown.push(format!("then {} bytes: {error}", bytes.len()));
                break;
            }
        }
    }
    shown.join(", ")
}

fn word(kind: ChunkKind) -> &'static str {
    match kind {
        ChunkKind::Document => "a document chunk",
        ChunkKind::Change => "a change chunk",
        ChunkKind::CompressedChange => "a compressed change chunk",
        ChunkKind::Bundle => "a bundle chunk",
    }
}

/// Skips a list of hashes; gives how many.
fn hashes(rest: &mut &[u8]) -> Option<u64> {
    let count = number(rest)?;
    take(rest, count.checked_mul(32)?)?;
    Some(count)
}

/// Reads a number; takes nothing when there is none.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut after = *rest;
    let number = uleb(&mut after)?;
    *rest = after;
    Some(number)
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::genesis;

    fn message() -> Vec<u8> {
        let mut bytes = vec![0x42, 1];
        bytes.extend([7; 32]);
        bytes.extend([0, 0, 1, u8::try_from(genesis::CHUNK.len()).unwrap()]);
        bytes.extend(genesis::CHUNK);
        bytes
    }

    #[test]
    fn a_message_is_described_part_by_part() {
        let length = genesis::CHUNK.len();
        assert_eq!(
            outline(&message()),
            [
                "sync message, version 1".to_owned(),
                "heads: 1".to_owned(),
                "need: 0".to_owned(),
                "changes: 1".to_owned(),
                format!("change 1: {length} bytes, a change chunk of {length} bytes"),
            ]
        );
    }

    #[test]
    fn what_is_cut_off_is_described_up_to_there() {
        let message = message();
        let lines = outline(&message[..message.len() - 1]);
        assert!(lines.iter().any(|line| line.ends_with("the last chunk is cut off")), "{lines:?}");
        assert_eq!(outline(b"hello"), ["from byte 0 of 5 on it makes no sense, or is cut off"]);
        // Four billion changes in five bytes.
        let lines = outline(&[0x42, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(lines[3], "changes: 4294967295");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_no_bytes_give_many_lines(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(outline(&bytes).len() < 100);
            if let Some(first) = bytes.first_mut() {
                *first = 0x42;
            }
            prop_assert!(outline(&bytes).len() < 100);
        }
    }
}
