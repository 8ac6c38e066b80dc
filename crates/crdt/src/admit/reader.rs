//! A cursor over received bytes that never allocates and never reads past the end.

use super::refusal::{Place, Refusal};

/// Reads from received bytes and knows where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    place: Place,
}

impl<'a> Reader<'a> {
    pub(super) fn message(bytes: &'a [u8]) -> Self {
        Self { bytes, place: Place { chunk: None, byte: 0, inflated: false } }
    }

    /// Reads what a deflated part of a chunk inflated to.
    pub(super) fn inflated(bytes: &'a [u8], chunk: Option<usize>) -> Self {
        Self { bytes, place: Place { chunk, byte: 0, inflated: true } }
    }

    /// Names the chunk that the next bytes belong to.
    pub(super) fn in_chunk(mut self, chunk: usize) -> Self {
        self.place.chunk = Some(chunk);
        self
    }

    /// Gives a reader of nothing, at this place.
    pub(super) fn empty(&self) -> Self {
        Self { bytes: &[], place: self.place }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn take(&mut self, count: u64, what: &'static str) -> Result<&'a [u8], Refusal> {
        Ok(self.split(count, what)?.bytes)
    }

    /// Takes the next bytes as a reader of their own, which keeps their place.
    pub(super) fn split(&mut self, count: u64, what: &'static str) -> Result<Reader<'a>, Refusal> {
        let truncated = Refusal::Truncated { what, needed: count, left: self.left(), place: self.place };
        let Some((head, tail)) = usize::try_from(count).ok().and_then(|count| self.bytes.split_at_checked(count))
        else {
            return Err(truncated);
        };
        let head = Self { bytes: head, place: self.place };
        self.bytes = tail;
        self.place.byte += head.left();
        Ok(head)
    }

    pub(super) fn byte(&mut self, what: &'static str) -> Result<u8, Refusal> {
        let (first, tail) =
            self.bytes.split_first().ok_or(Refusal::Truncated { what, needed: 1, left: 0, place: self.place })?;
        self.bytes = tail;
        self.place.byte += 1;
        Ok(*first)
    }

    /// Reads an unsigned LEB128 number in its shortest form.
    pub(super) fn unsigned(&mut self, what: &'static str) -> Result<u64, Refusal> {
        let place = self.place;
        let mut number = 0_u64;
        for index in 0..10 {
            let byte = self.byte(what)?;
            if index == 9 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                if index > 0 && byte == 0 {
                    break;
                }
                return Ok(number);
            }
        }
        Err(Refusal::Number { what, place })
    }

    /// Reads a signed LEB128 number in its shortest form.
    pub(super) fn signed(&mut self, what: &'static str) -> Result<i64, Refusal> {
        let place = self.place;
        let mut number = 0_i64;
        let mut previous = 0_u8;
        for index in 0..10 {
            let byte = self.byte(what)?;
            if index == 9 && byte != 0 && byte != 0x7f {
                break;
            }
            number |= i64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                let extends = (byte == 0 && previous & 0x40 == 0) || (byte == 0x7f && previous & 0x40 != 0);
                if index > 0 && extends {
                    break;
                }
                if index < 9 && byte & 0x40 != 0 {
                    number |= -1 << (7 * (index + 1));
                }
                return Ok(number);
            }
            previous = byte;
        }
        Err(Refusal::Number { what, place })
    }

    /// Reads a text that follows its length.
    pub(super) fn text(&mut self, what: &'static str) -> Result<&'a str, Refusal> {
        let length = self.unsigned(what)?;
        let place = self.place;
        std::str::from_utf8(self.take(length, what)?).map_err(|_| Refusal::Text { what, place })
    }

    /// Refuses what is left over.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        if self.is_empty() { Ok(()) } else { Err(Refusal::Leftover { bytes: self.left(), place: self.place }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsigned(bytes: &[u8]) -> Option<u64> {
        let mut reader = Reader::message(bytes);
        reader.unsigned("number").ok().filter(|_| reader.is_empty())
    }

    fn signed(bytes: &[u8]) -> Option<i64> {
        let mut reader = Reader::message(bytes);
        reader.signed("number").ok().filter(|_| reader.is_empty())
    }

    #[test]
    fn numbers_are_read_in_their_shortest_form_only() {
        assert_eq!(unsigned(&[0]), Some(0));
        assert_eq!(unsigned(&[0x80, 1]), Some(128));
        assert_eq!(unsigned(&[0x81, 0]), None);
        assert_eq!(unsigned(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Some(u64::MAX));
        assert_eq!(unsigned(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), None);
        assert_eq!(unsigned(&[0xff; 11]), None);
        assert_eq!(signed(&[0x7f]), Some(-1));
        assert_eq!(signed(&[0x80, 0x40]), Some(-8192));
        assert_eq!(signed(&[0x81, 0xff, 0x7f]), None);
        assert_eq!(signed(&[0xbf, 0]), None);
        assert_eq!(signed(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]), Some(i64::MAX));
        assert_eq!(signed(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f]), Some(i64::MIN));
        assert_eq!(signed(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7e]), None);
    }

    #[test]
    fn a_cut_names_its_place() {
        let mut reader = Reader::message(&[3, b'a']);
        let refusal = reader.text("message").unwrap_err();
        let place = Place { chunk: None, byte: 1, inflated: false };
        assert_eq!(refusal, Refusal::Truncated { what: "message", needed: 3, left: 1, place });
        assert_eq!(refusal.to_string(), "message, byte 1: message needs 3 bytes, 1 are left");
    }
}
