//! The list of columns at the head of each table of a chunk, and their bytes, inflated.

use super::budget::Budget;
use super::inflate::inflate;
use super::reader::Reader;
use super::refusal::Refusal;
use super::runs::Column;

/// Set in the specification of a deflated column.
const DEFLATED: u64 = 0b1000;

/// Specification and name of a column: `id << 4 | type`, types group 0, actor 1, integer 2, delta 3, boolean 4,
/// string 5, value metadata 6, value 7.
pub(super) type Known = (u64, &'static str);

/// The layout of one table: what columns it has, how long they are.
pub(super) struct Layout {
    columns: Vec<(u64, u64)>,
    known: &'static [Known],
}

impl Layout {
    /// Reads the layout; every column must be known, in order, given once, and hold something.
    pub(super) fn read(reader: &mut Reader<'_>, known: &'static [Known], may_deflate: bool) -> Result<Self, Refusal> {
        let place = reader.place();
        let count = reader.unsigned("number of columns")?;
        if count > known.len() as u64 {
            return Err(Refusal::Header { what: "number of columns", value: count, place });
        }
        let mut columns = Vec::with_capacity(known.len());
        let mut previous = None;
        for _ in 0..count {
            let place = reader.place();
            let spec = reader.unsigned("column specification")?;
            let length = reader.unsigned("length of a column")?;
            let plain = spec & !DEFLATED;
            let expected = known.iter().any(|(known, _)| *known == plain)
                && previous.is_none_or(|previous| previous < plain)
                && (may_deflate || spec == plain)
                && length > 0;
            if !expected {
                return Err(Refusal::ColumnSpecification { spec, place });
            }
            previous = Some(plain);
            columns.push((spec, length));
        }
        Ok(Self { columns, known })
    }

    /// Takes the bytes of the columns from the reader and inflates those that are deflated.
    pub(super) fn take<'a>(self, reader: &mut Reader<'a>, budget: &mut Budget<'_>) -> Result<Columns<'a>, Refusal> {
        let mut columns = Vec::with_capacity(self.columns.len());
        for (spec, length) in self.columns {
            let name = name(self.known, spec & !DEFLATED);
            let bytes = reader.split(length, name)?;
            let data = if spec & DEFLATED == 0 {
                Data::Plain(bytes)
            } else {
                let inflated = inflate(bytes, name, budget)?;
                if inflated.is_empty() {
                    return Err(Refusal::ColumnSpecification { spec, place: bytes.place() });
                }
                Data::Inflated(inflated, bytes.place().chunk)
            };
            columns.push((spec & !DEFLATED, data));
        }
        Ok(Columns { columns, known: self.known, end: *reader })
    }
}

enum Data<'a> {
    Plain(Reader<'a>),
    Inflated(Vec<u8>, Option<usize>),
}

/// The columns of one table.
pub(super) struct Columns<'a> {
    columns: Vec<(u64, Data<'a>)>,
    known: &'static [Known],
    end: Reader<'a>,
}

impl Columns<'_> {
    /// Gives a column; an empty one if the table leaves it out.
    pub(super) fn get(&self, spec: u64) -> Column<'_> {
        let data = self.columns.iter().find(|(there, _)| *there == spec).map(|(_, data)| data);
        let reader = match data {
            Some(Data::Plain(reader)) => *reader,
            Some(Data::Inflated(bytes, chunk)) => Reader::inflated(bytes, *chunk),
            None => self.end.empty(),
        };
        Column { name: name(self.known, spec), reader }
    }
}

fn name(known: &'static [Known], spec: u64) -> &'static str {
    known.iter().find(|(there, _)| *there == spec).map_or("unknown column", |(_, name)| name)
}
