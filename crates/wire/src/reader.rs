//! Reads CBOR values out of a frame, with every length, count and depth bounded before anything is kept.

use comity_model::Limits;
use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};

use crate::error::{DecodeError, excerpt};
use crate::message::Message;

/// The CBOR tag of a byte string that is an array of 8-bit numbers; some encoders put it around `Uint8Array`.
const TAG_UINT8_ARRAY: u64 = 64;

/// A place in a frame. Cheap to clone; borrows what it reads, so that it allocates nothing by itself.
///
/// Maps are read in two passes: [`Reader::fields`] steps over all values and notes where those of known keys stand;
/// then the caller reads those that the type of message needs. So the order of keys does not matter, and keys of
/// other types of message are skipped like unknown ones.
#[derive(Clone)]
pub(crate) struct Reader<'b> {
    decoder: Decoder<'b>,
    depth_max: usize,
    envelope_bytes_max: usize,
    /// How many more values may be stepped over. Each costs at least a byte of envelope, so an honest frame never
    /// gets there, and a frame of 64 MiB of empty arrays costs no more than an envelope of them.
    values_left: usize,
}

impl<'b> Reader<'b> {
    /// Starts at the first byte of a frame.
    pub(crate) fn new(frame: &'b [u8], limits: &Limits) -> Self {
        Self {
            decoder: Decoder::new(frame),
            depth_max: limits.cbor_depth_max,
            envelope_bytes_max: limits.envelope_bytes_max,
            values_left: limits.envelope_bytes_max,
        }
    }

    /// Reads a map with the given keys: gives the place of each value, or none where the key is missing or its value
    /// is null or undefined. Skips unknown keys.
    pub(crate) fn fields<const N: usize>(
        &mut self,
        what: &'static str,
        keys: &[&'static str; N],
    ) -> Result<[Option<Self>; N], DecodeError> {
        let mut places = [const { None }; N];
        let mut seen: Vec<&'b str> = Vec::new();
        self.each_key(what, Message::KEYS_MAX, |reader, key| {
            if seen.contains(&key) {
                return Err(DecodeError::Duplicate { what, key: excerpt(key) });
            }
            seen.push(key);
            let value = reader.clone();
            let is_absent = matches!(reader.datatype(what)?, Type::Null | Type::Undefined);
            reader.skip(what)?;
            if let Some(known) = keys.iter().position(|known| *known == key)
                && !is_absent
            {
                places[known] = Some(value);
            }
            Ok(())
        })?;
        Ok(places)
    }

    /// Reads a map of at most `items_max` keys, and calls `entry` at each value, which it must read or skip.
    pub(crate) fn each_key(
        &mut self,
        what: &'static str,
        items_max: usize,
        mut entry: impl FnMut(&mut Self, &'b str) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let length = match self.datatype(what)? {
            Type::Map | Type::MapIndef => self.take(what, Decoder::map)?,
            _ => return Err(DecodeError::WrongType { what, expected: "a map" }),
        };
        let mut read = 0;
        while self.has_more(what, length, read)? {
            if read == items_max {
                return Err(DecodeError::TooMany { what, max: items_max });
            }
            read += 1;
            let key = match self.datatype(what)? {
                Type::String => self.take(what, Decoder::str)?,
                _ => return Err(DecodeError::WrongType { what, expected: "a map whose keys are texts" }),
            };
            entry(self, key)?;
        }
        Ok(())
    }

    /// Reads a list of at most `items_max` values, each with `item`.
    pub(crate) fn list<T>(
        &mut self,
        what: &'static str,
        items_max: usize,
        item: impl Fn(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let length = match self.datatype(what)? {
            Type::Array | Type::ArrayIndef => self.take(what, Decoder::array)?,
            _ => return Err(DecodeError::WrongType { what, expected: "an array" }),
        };
        // Grows as items are read: the declared length is only a claim.
        let mut items = Vec::new();
        while self.has_more(what, length, items.len())? {
            if items.len() == items_max {
                return Err(DecodeError::TooMany { what, max: items_max });
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Reads a text of any length that fits the frame, borrowed.
    pub(crate) fn text(&mut self, what: &'static str) -> Result<&'b str, DecodeError> {
        match self.datatype(what)? {
            Type::String => self.take(what, Decoder::str),
            Type::StringIndef => Err(DecodeError::Chunked { what }),
            _ => Err(DecodeError::WrongType { what, expected: "a text" }),
        }
    }

    /// Reads a text of at most `bytes_max`.
    pub(crate) fn short_text(&mut self, what: &'static str, bytes_max: usize) -> Result<&'b str, DecodeError> {
        let text = self.text(what)?;
        if text.len() > bytes_max {
            return Err(DecodeError::TooLong { what, max: bytes_max, actual: text.len() });
        }
        Ok(text)
    }

    /// Reads a byte string, bare or in the tag that some encoders put around it, borrowed.
    pub(crate) fn bytes(&mut self, what: &'static str) -> Result<&'b [u8], DecodeError> {
        const EXPECTED: &str = "a byte string";
        let mut datatype = self.datatype(what)?;
        if datatype == Type::Tag {
            if self.take(what, Decoder::tag)?.as_u64() != TAG_UINT8_ARRAY {
                return Err(DecodeError::WrongType { what, expected: EXPECTED });
            }
            datatype = self.datatype(what)?;
        }
        match datatype {
            Type::Bytes => self.take(what, Decoder::bytes),
            Type::BytesIndef => Err(DecodeError::Chunked { what }),
            _ => Err(DecodeError::WrongType { what, expected: EXPECTED }),
        }
    }

    /// Tells whether a text comes next.
    pub(crate) fn is_text(&self, what: &'static str) -> Result<bool, DecodeError> {
        Ok(matches!(self.datatype(what)?, Type::String | Type::StringIndef))
    }

    /// Reads true or false.
    pub(crate) fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.datatype(what)? {
            Type::Bool => self.take(what, Decoder::bool),
            _ => Err(DecodeError::WrongType { what, expected: "true or false" }),
        }
    }

    /// Reads a whole number that JavaScript can hold, written as an integer or as a float.
    pub(crate) fn integer(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let out_of_range = DecodeError::OutOfRange { what, expected: "a whole number from 0 to 2^53 - 1" };
        let number = if self.is_uint(what)? {
            self.take(what, Decoder::u64)?
        } else {
            let float = self.float(what)?;
            // A float without fraction in this range converts exactly; the comparison is false for NaN.
            if !(float >= 0.0 && float <= Message::COUNT_MAX as f64 && float.fract() == 0.0) {
                return Err(out_of_range);
            }
            float as u64
        };
        if number > Message::COUNT_MAX { Err(out_of_range) } else { Ok(number) }
    }

    /// Reads a number, written as an unsigned integer or as a float.
    pub(crate) fn float(&mut self, what: &'static str) -> Result<f64, DecodeError> {
        if self.is_uint(what)? {
            return Ok(self.take(what, Decoder::u64)? as f64);
        }
        match self.datatype(what)? {
            Type::F32 | Type::F64 => self.take(what, Decoder::f64),
            _ => Err(DecodeError::WrongType { what, expected: "an unsigned integer or a float" }),
        }
    }

    /// Refuses bytes that follow.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        match self.decoder.input().len() - self.decoder.position() {
            0 => Ok(()),
            bytes => Err(DecodeError::Trailing { bytes }),
        }
    }

    /// Steps over one value of any kind, without recursion.
    fn skip(&mut self, what: &'static str) -> Result<(), DecodeError> {
        let mut open = Vec::new();
        self.skip_head(what, &mut open)?;
        while let Some(innermost) = open.last_mut() {
            match innermost {
                Open::Counted { left: 0 } => {
                    open.pop();
                    continue;
                }
                Open::Counted { left } => *left -= 1,
                Open::UntilBreak { is_map, odd } => {
                    let at_key = !(*is_map && *odd);
                    *odd = !*odd;
                    if at_key && self.take_break(what)? {
                        open.pop();
                        continue;
                    }
                }
            }
            self.skip_head(what, &mut open)?;
        }
        Ok(())
    }

    /// Steps over a scalar, or over the head of an array, map or tag, which is then open.
    fn skip_head(&mut self, what: &'static str, open: &mut Vec<Open>) -> Result<(), DecodeError> {
        self.spend()?;
        let inner = match self.datatype(what)? {
            Type::Array | Type::ArrayIndef => Open::of(self.take(what, Decoder::array)?, false),
            Type::Map | Type::MapIndef => Open::of(self.take(what, Decoder::map)?, true),
            Type::Tag => {
                self.take(what, Decoder::tag)?;
                Open::Counted { left: 1 }
            }
            scalar => return self.skip_scalar(what, scalar),
        };
        if open.len() == self.depth_max {
            return Err(DecodeError::TooDeep { what, max: self.depth_max });
        }
        open.push(inner);
        Ok(())
    }

    fn skip_scalar(&mut self, what: &'static str, datatype: Type) -> Result<(), DecodeError> {
        match datatype {
            Type::Bytes => self.take(what, Decoder::bytes).map(drop),
            Type::String => self.take(what, Decoder::str).map(drop),
            Type::BytesIndef | Type::StringIndef => self.skip_chunks(what, datatype),
            Type::Bool | Type::Null | Type::Undefined => self.step(what, 1),
            // The head byte and two of half-precision float, which this build of the library does not read.
            Type::F16 => self.step(what, 3),
            Type::F32 => self.step(what, 5),
            Type::F64 => self.step(what, 9),
            Type::Simple => self.take(what, Decoder::simple).map(drop),
            Type::Break | Type::Unknown(_) => Err(self.malformed(what)),
            _ => self.take(what, Decoder::int).map(drop),
        }
    }

    fn skip_chunks(&mut self, what: &'static str, datatype: Type) -> Result<(), DecodeError> {
        self.step(what, 1)?;
        while !self.take_break(what)? {
            self.spend()?;
            match (datatype, self.datatype(what)?) {
                (Type::BytesIndef, Type::Bytes) => self.take(what, Decoder::bytes).map(drop)?,
                (Type::StringIndef, Type::String) => self.take(what, Decoder::str).map(drop)?,
                _ => return Err(self.malformed(what)),
            }
        }
        Ok(())
    }

    /// Counts one value that is stepped over.
    fn spend(&mut self) -> Result<(), DecodeError> {
        let Some(left) = self.values_left.checked_sub(1) else {
            let max = self.envelope_bytes_max;
            return Err(DecodeError::TooLong { what: "envelope", max, actual: max.saturating_add(1) });
        };
        self.values_left = left;
        Ok(())
    }

    /// Tells whether a container of this declared length has another item; takes the break that ends it.
    fn has_more(&mut self, what: &'static str, length: Option<u64>, read: usize) -> Result<bool, DecodeError> {
        match length {
            Some(length) => Ok((read as u64) < length),
            None => Ok(!self.take_break(what)?),
        }
    }

    fn take_break(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        let is_break = self.datatype(what)? == Type::Break;
        if is_break {
            self.step(what, 1)?;
        }
        Ok(is_break)
    }

    fn is_uint(&self, what: &'static str) -> Result<bool, DecodeError> {
        Ok(matches!(self.datatype(what)?, Type::U8 | Type::U16 | Type::U32 | Type::U64))
    }

    fn step(&mut self, what: &'static str, bytes: usize) -> Result<(), DecodeError> {
        let position = self.decoder.position() + bytes;
        if position > self.decoder.input().len() {
            return Err(DecodeError::Truncated { what });
        }
        self.decoder.set_position(position);
        Ok(())
    }

    fn datatype(&self, what: &'static str) -> Result<Type, DecodeError> {
        self.decoder.datatype().map_err(|_| DecodeError::Truncated { what })
    }

    fn malformed(&self, what: &'static str) -> DecodeError {
        DecodeError::Malformed { what, position: self.decoder.position() }
    }

    /// Reads with the library, once the type is known to fit.
    fn take<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Decoder<'b>) -> Result<T, Error>,
    ) -> Result<T, DecodeError> {
        let position = self.decoder.position();
        let is_text = self.datatype(what)? == Type::String;
        read(&mut self.decoder).map_err(|error| match error {
            error if error.is_end_of_input() => DecodeError::Truncated { what },
            _ if is_text => DecodeError::NotUtf8 { what },
            _ => DecodeError::Malformed { what, position },
        })
    }
}

/// An array, map or tag that is being stepped over.
enum Open {
    /// So many values are left.
    Counted { left: u64 },
    /// Ends with a break, which in a map may only stand where a key could.
    UntilBreak { is_map: bool, odd: bool },
}

impl Open {
    fn of(length: Option<u64>, is_map: bool) -> Self {
        match length {
            // No frame holds as many values as would saturate, so the frame ends first.
            Some(length) => Self::Counted { left: length.saturating_mul(if is_map { 2 } else { 1 }) },
            None => Self::UntilBreak { is_map, odd: false },
        }
    }
}
