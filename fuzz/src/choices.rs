//! Reads an input as a list of choices, so that every input means something and a small change of it a small change.

/// The choices that are left. At the end there are only zeroes; ask [`is_empty`](Self::is_empty) before going on.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Begins at the front of an input.
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// Tells whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives the next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Gives a number below `end`, from one byte.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    /// Gives a number from two bytes, the smaller first.
    pub fn number(&mut self) -> usize {
        usize::from(self.byte()) | usize::from(self.byte()) << 8
    }

    /// Gives as many bytes as the next choice says, at most 65,535 and no more than there are.
    pub fn bytes(&mut self) -> &'a [u8] {
        let length = self.number();
        self.take(length)
    }

    /// Gives this many bytes, or as many as there are.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (now, later) = self.0.split_at(length.min(self.0.len()));
        self.0 = later;
        now
    }

    /// Gives all that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
