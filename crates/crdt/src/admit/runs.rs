//! The encodings of columns, read run by run: run lengths, differences and booleans.
//!
//! Only the one form is accepted that every encoder writes. Automerge keeps operations, not bytes, and writes a
//! change anew when it is saved or sent; from another form the change would come back under another hash.

use super::reader::Reader;
use super::refusal::{ColumnFault, Place, Refusal};

/// What a run-length encoded column can hold.
pub(super) trait Element<'a>: Copy + PartialEq {
    fn read(reader: &mut Reader<'a>, column: &'static str) -> Result<Self, Refusal>;
}

impl Element<'_> for u64 {
    fn read(reader: &mut Reader<'_>, column: &'static str) -> Result<Self, Refusal> {
        reader.unsigned(column)
    }
}

impl Element<'_> for i64 {
    fn read(reader: &mut Reader<'_>, column: &'static str) -> Result<Self, Refusal> {
        reader.signed(column)
    }
}

impl<'a> Element<'a> for &'a str {
    fn read(reader: &mut Reader<'a>, column: &'static str) -> Result<Self, Refusal> {
        reader.text(column)
    }
}

/// A named column: its bytes, none if the chunk leaves it out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<'a> {
    pub(super) name: &'static str,
    pub(super) reader: Reader<'a>,
}

impl Column<'_> {
    pub(super) fn fault(&self, row: u64, fault: ColumnFault) -> Refusal {
        Refusal::Column { column: self.name, row, fault, place: self.place() }
    }

    pub(super) fn place(&self) -> Place {
        self.reader.place()
    }
}

/// Counts the rows of a run-length encoded column of numbers without expanding it.
pub(super) fn count_rows(column: Column<'_>) -> Result<u64, Refusal> {
    let mut runs = Runs::<u64>::new(column);
    let mut rows = 0_u64;
    while let Some((_, count)) = runs.next(rows)? {
        rows = rows.saturating_add(count);
    }
    Ok(rows)
}

/// Adds up a run-length encoded column of numbers without expanding it.
pub(super) fn sum_rows(column: Column<'_>) -> Result<u64, Refusal> {
    let mut runs = Runs::<u64>::new(column);
    let mut sum = 0_u64;
    while let Some((value, count)) = runs.next(0)? {
        sum = sum.saturating_add(value.unwrap_or(0).saturating_mul(count));
    }
    Ok(sum)
}

#[derive(Clone, Copy)]
enum Previous<T> {
    Start,
    Nulls,
    Repeat(T),
    Literal(T),
}

impl<T: Copy + PartialEq> Previous<T> {
    fn ends_with(&self, value: T) -> bool {
        matches!(self, Self::Repeat(last) | Self::Literal(last) if *last == value)
    }
}

struct Runs<'a, T> {
    column: Column<'a>,
    literals_left: u64,
    previous: Previous<T>,
}

impl<'a, T: Element<'a>> Runs<'a, T> {
    fn new(column: Column<'a>) -> Self {
        Self { column, literals_left: 0, previous: Previous::Start }
    }

    fn next(&mut self, row: u64) -> Result<Option<(Option<T>, u64)>, Refusal> {
        let name = self.column.name;
        if self.literals_left == 0 {
            if self.column.reader.is_empty() {
                return Ok(None);
            }
            let head = self.column.reader.signed(name)?;
            if head == 0 {
                let count = self.column.reader.unsigned(name)?;
                self.require(count > 0 && !matches!(self.previous, Previous::Nulls), row)?;
                self.previous = Previous::Nulls;
                return Ok(Some((None, count)));
            }
            if head > 0 {
                let value = T::read(&mut self.column.reader, name)?;
                self.require(head > 1 && !self.previous.ends_with(value), row)?;
                self.previous = Previous::Repeat(value);
                return Ok(Some((Some(value), head.unsigned_abs())));
            }
            self.require(!matches!(self.previous, Previous::Literal(_)), row)?;
            self.literals_left = head.unsigned_abs();
        }
        self.literals_left -= 1;
        let value = T::read(&mut self.column.reader, name)?;
        self.require(!self.previous.ends_with(value), row)?;
        self.previous = Previous::Literal(value);
        Ok(Some((Some(value), 1)))
    }

    fn require(&self, holds: bool, row: u64) -> Result<(), Refusal> {
        if holds { Ok(()) } else { Err(self.column.fault(row, ColumnFault::Runs)) }
    }

    fn at_end(&self) -> bool {
        self.literals_left == 0 && self.column.reader.is_empty()
    }
}

/// Gives a run-length encoded column row by row. A column that is left out is all nulls.
pub(super) struct Cursor<'a, T> {
    runs: Runs<'a, T>,
    absent: bool,
    any_value: bool,
    value: Option<T>,
    left: u64,
    row: u64,
}

impl<'a, T: Element<'a>> Cursor<'a, T> {
    pub(super) fn new(column: Column<'a>) -> Self {
        let absent = column.reader.is_empty();
        Self { runs: Runs::new(column), absent, any_value: false, value: None, left: 0, row: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Option<T>, Refusal> {
        if self.left == 0 {
            if self.absent {
                self.row += 1;
                return Ok(None);
            }
            let Some((value, count)) = self.runs.next(self.row)? else {
                return Err(self.fault(ColumnFault::TooFew));
            };
            self.value = value;
            self.any_value |= value.is_some();
            self.left = count;
        }
        self.left -= 1;
        self.row += 1;
        Ok(self.value)
    }

    pub(super) fn required(&mut self) -> Result<T, Refusal> {
        let value = self.next()?;
        value.ok_or_else(|| self.fault(ColumnFault::Null))
    }

    /// Refuses rows too many, and a column of nulls only, which encoders leave out.
    pub(super) fn finish(&self) -> Result<(), Refusal> {
        if self.left > 0 || !self.runs.at_end() {
            return Err(self.fault(ColumnFault::TooMany));
        }
        if self.absent || self.any_value { Ok(()) } else { Err(self.fault(ColumnFault::Runs)) }
    }

    pub(super) fn fault(&self, fault: ColumnFault) -> Refusal {
        self.runs.column.fault(self.row, fault)
    }
}

/// Gives a column of differences row by row, summed up.
pub(super) struct DeltaCursor<'a> {
    differences: Cursor<'a, i64>,
    sum: i64,
}

impl<'a> DeltaCursor<'a> {
    pub(super) fn new(column: Column<'a>) -> Self {
        Self { differences: Cursor::new(column), sum: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Option<i64>, Refusal> {
        let Some(difference) = self.differences.next()? else {
            return Ok(None);
        };
        self.sum = self.sum.checked_add(difference).ok_or_else(|| self.fault(ColumnFault::Range))?;
        Ok(Some(self.sum))
    }

    /// Gives the next row, which must be there and within 0 and `u32::MAX`.
    pub(super) fn required(&mut self) -> Result<u32, Refusal> {
        let value = self.next()?.ok_or_else(|| self.fault(ColumnFault::Null))?;
        u32::try_from(value).map_err(|_| self.fault(ColumnFault::Range))
    }

    pub(super) fn finish(&self) -> Result<(), Refusal> {
        self.differences.finish()
    }

    fn fault(&self, fault: ColumnFault) -> Refusal {
        self.differences.fault(fault)
    }
}

/// Gives a column of booleans row by row. A column that is left out is all false.
pub(super) struct BooleanCursor<'a> {
    column: Column<'a>,
    absent: bool,
    started: bool,
    value: bool,
    left: u64,
    row: u64,
}

impl<'a> BooleanCursor<'a> {
    pub(super) fn new(column: Column<'a>) -> Self {
        Self { column, absent: column.reader.is_empty(), started: false, value: true, left: 0, row: 0 }
    }

    pub(super) fn next(&mut self) -> Result<bool, Refusal> {
        if self.absent {
            return Ok(false);
        }
        while self.left == 0 {
            if self.column.reader.is_empty() {
                return Err(self.column.fault(self.row, ColumnFault::TooFew));
            }
            self.left = self.column.reader.unsigned(self.column.name)?;
            self.value = !self.value;
            // Only the very first run, which counts falses, may be empty.
            if self.left == 0 && self.started {
                return Err(self.column.fault(self.row, ColumnFault::Runs));
            }
            self.started = true;
        }
        self.left -= 1;
        self.row += 1;
        Ok(self.value)
    }

    pub(super) fn finish(&self) -> Result<(), Refusal> {
        if self.left == 0 && self.column.reader.is_empty() {
            Ok(())
        } else {
            Err(self.column.fault(self.row, ColumnFault::TooMany))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(bytes: &[u8]) -> Column<'_> {
        Column { name: "test", reader: Reader::message(bytes) }
    }

    fn numbers(bytes: &[u8], rows: usize) -> Result<Vec<Option<u64>>, Refusal> {
        let mut cursor = Cursor::<u64>::new(column(bytes));
        let values = (0..rows).map(|_| cursor.next()).collect::<Result<_, _>>()?;
        cursor.finish()?;
        Ok(values)
    }

    fn fault(result: Result<Vec<Option<u64>>, Refusal>) -> ColumnFault {
        match result.unwrap_err() {
            Refusal::Column { fault, .. } => fault,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn runs_are_read_as_written() {
        assert_eq!(numbers(&[2, 7, 0x7e, 1, 2, 0, 1], 5).unwrap(), [Some(7), Some(7), Some(1), Some(2), None]);
        assert_eq!(numbers(&[], 2).unwrap(), [None, None]);
        assert_eq!(count_rows(column(&[2, 7, 0x7e, 1, 2, 0, 1])).unwrap(), 5);
        assert_eq!(sum_rows(column(&[2, 7, 0x7e, 1, 2, 0, 1])).unwrap(), 17);
        // Two runs of the largest length do not overflow the count.
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 1];
        let twice = [&huge[..], &huge[..10], &[2], &huge[..]].concat();
        assert_eq!(count_rows(column(&twice)).unwrap(), u64::MAX);
    }

    #[test]
    fn other_forms_of_the_same_rows_are_refused() {
        assert_eq!(fault(numbers(&[1, 7], 1)), ColumnFault::Runs);
        assert_eq!(fault(numbers(&[2, 7, 2, 7], 4)), ColumnFault::Runs);
        assert_eq!(fault(numbers(&[0x7e, 7, 7], 2)), ColumnFault::Runs);
        assert_eq!(fault(numbers(&[0x7f, 7, 0x7f, 8], 2)), ColumnFault::Runs);
        assert_eq!(fault(numbers(&[0x7f, 7, 2, 7], 3)), ColumnFault::Runs);
        assert_eq!(fault(numbers(&[0, 0, 2, 7], 2)), ColumnFault::Runs);
        assert_eq!(fault(numbers(&[0, 3], 3)), ColumnFault::Runs);
        assert_eq!(fault(numbers(&[2, 7], 3)), ColumnFault::TooFew);
        assert_eq!(fault(numbers(&[2, 7], 1)), ColumnFault::TooMany);
    }

    #[test]
    fn booleans_begin_with_falses() {
        let read = |bytes: &[u8], rows: usize| -> Result<Vec<bool>, Refusal> {
            let mut cursor = BooleanCursor::new(column(bytes));
            let values = (0..rows).map(|_| cursor.next()).collect::<Result<_, _>>()?;
            cursor.finish()?;
            Ok(values)
        };
        assert_eq!(read(&[0, 2, 1], 3).unwrap(), [true, true, false]);
        assert_eq!(read(&[], 2).unwrap(), [false, false]);
        assert!(read(&[1, 0, 1], 2).is_err());
        assert!(read(&[2], 1).is_err());
    }

    #[test]
    fn differences_do_not_overflow() {
        let largest = [0x7e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 1];
        let mut cursor = DeltaCursor::new(column(&largest));
        assert_eq!(cursor.next().unwrap(), Some(i64::MAX));
        assert!(matches!(cursor.next(), Err(Refusal::Column { fault: ColumnFault::Range, .. })));
    }
}
