//! Heads of frames and of HTTP answers.

use tokio::io::ReadBuf;

/// Longest header: two bytes, eight of length, four of mask.
const HEADER_BYTES_MAX: usize = 14;

/// Ends the head of an HTTP answer.
pub(super) const HEAD_END: &[u8] = b"\r\n\r\n";

pub(super) const MASKED: u8 = 0x80;

/// A few bytes in place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bytes14 {
    bytes: [u8; HEADER_BYTES_MAX],
    start: usize,
    end: usize,
}

impl Bytes14 {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Moves what fits into a buffer.
    pub(super) fn drain_into(&mut self, buf: &mut ReadBuf<'_>) {
        let count = buf.remaining().min(self.end - self.start);
        buf.put_slice(&self.bytes[self.start..self.start + count]);
        self.start += count;
        if self.start == self.end {
            *self = Self::default();
        }
    }
}

/// Counts the bytes up to the end of a head, or all; keeps what has been seen of the end.
pub(super) fn through_head(bytes: &[u8], seen: &mut usize) -> usize {
    for (at, byte) in bytes.iter().enumerate() {
        *seen = match *byte {
            byte if byte == HEAD_END[*seen] => *seen + 1,
            b'\r' => 1,
            _ => 0,
        };
        if *seen == HEAD_END.len() {
            return at + 1;
        }
    }
    bytes.len()
}

/// Counts the bytes that a header still lacks, as far as can be told.
pub(super) fn missing(gathered: &[u8]) -> usize {
    let whole = match gathered.get(1) {
        None => 2,
        Some(second) => {
            let length = match second & !MASKED {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            2 + length + if second & MASKED == 0 { 0 } else { 4 }
        }
    };
    whole - gathered.len()
}

/// Reads length and mask of a whole header.
pub(super) fn parse(header: &[u8]) -> (u64, Option<[u8; 4]>) {
    let [_, second, rest @ ..] = header else { return (0, None) };
    let long = match second & !MASKED {
        126 => 2,
        127 => 8,
        short => return (u64::from(short), mask(rest)),
    };
    let (length, rest) = rest.split_at(long);
    (length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), mask(rest))
}

fn mask(rest: &[u8]) -> Option<[u8; 4]> {
    rest.try_into().ok()
}

/// Writes the header of a piece.
pub(super) fn header(first: u8, length: u16, mask: Option<[u8; 4]>) -> Bytes14 {
    let mut header = Bytes14::default();
    let masked = if mask.is_some() { MASKED } else { 0 };
    match u8::try_from(length) {
        Ok(short) if short < 126 => header.push(&[first, masked | short]),
        _ => {
            header.push(&[first, masked | 126]);
            header.push(&length.to_be_bytes());
        }
    }
    header.push(mask.as_ref().map_or(&[], |mask| &mask[..]));
    header
}
