//! From bytes to rows, with the line each begins on.

use super::Format;

/// Longest row, in columns.
const COLUMNS_MAX: usize = 1_000;

/// One row of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line it begins on, from 1.
    pub line: u64,
    /// Its cells.
    pub cells: Vec<String>,
}

/// A row that is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// The line it begins on, from 1.
    pub line: u64,
    /// Why.
    pub reason: String,
}

impl BadRow {
    /// Says that the row on a line is not taken.
    pub fn new(line: u64, reason: impl Into<String>) -> Self {
        Self { line, reason: reason.into() }
    }
}

/// Gives the rows of a file; those without any content are passed over. After a row that cannot be read, the next
/// one begins on the next line.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    data: &'a [u8],
    format: Format,
    at: usize,
    line: u64,
}

impl<'a> Rows<'a> {
    /// Reads rows in a format that is no longer to be found out.
    pub fn new(data: &'a [u8], format: Format) -> Self {
        Self { data, format, at: 0, line: 1 }
    }

    fn delimiter(&self) -> u8 {
        match self.format {
            Format::Tsv => b'\t',
            Format::Semicolon => b';',
            _ => b',',
        }
    }

    /// Where the line that begins at `start` ends, without its end.
    fn line_end(&self, start: usize) -> usize {
        self.data[start..].iter().position(|byte| *byte == b'\n').map_or(self.data.len(), |length| start + length)
    }

    /// Splits the row that begins here; gives its cells and where it ends.
    fn split(&self, start: usize) -> Result<(Vec<Vec<u8>>, usize), String> {
        if self.format == Format::Blank {
            let end = self.line_end(start);
            let words = self.data[start..end].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            return Ok((words.map(<[u8]>::to_vec).collect(), end));
        }
        let delimiter = self.delimiter();
        let mut cells = Vec::new();
        let mut at = start;
        loop {
            let (cell, end) = if self.data.get(at) == Some(&b'"') { self.quoted(at)? } else { self.plain(at) };
            cells.push(cell);
            if cells.len() > COLUMNS_MAX {
                return Err(format!("it has more than {COLUMNS_MAX} columns"));
            }
            match self.data.get(end) {
                Some(byte) if *byte == delimiter => at = end + 1,
                _ => return Ok((cells, end)),
            }
        }
    }

    fn plain(&self, start: usize) -> (Vec<u8>, usize) {
        let delimiter = self.delimiter();
        let length = self.data[start..].iter().position(|byte| *byte == delimiter || *byte == b'\n');
        let end = length.map_or(self.data.len(), |length| start + length);
        let is_last = self.data.get(end) != Some(&delimiter);
        let cell = &self.data[start..end];
        (if is_last { cell.strip_suffix(b"\r").unwrap_or(cell) } else { cell }.to_vec(), end)
    }

    fn quoted(&self, start: usize) -> Result<(Vec<u8>, usize), String> {
        let mut cell = Vec::new();
        let mut at = start + 1;
        loop {
            let Some(length) = self.data[at..].iter().position(|byte| *byte == b'"') else {
                return Err("a cell begins with a quote (\") that is never closed".to_owned());
            };
            cell.extend_from_slice(&self.data[at..at + length]);
            at += length + 1;
            match self.data.get(at) {
                Some(b'"') => {
                    cell.push(b'"');
                    at += 1;
                }
                Some(b'\r') if matches!(self.data.get(at + 1), Some(b'\n') | None) => return Ok((cell, at + 1)),
                None | Some(b'\n') => return Ok((cell, at)),
                Some(byte) if *byte == self.delimiter() => return Ok((cell, at)),
                Some(_) => {
                    return Err("there is text after a closing quote (\"); double the quotes inside a cell".to_owned());
                }
            }
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.data.len() {
            let (start, line) = (self.at, self.line);
            let first = self.line_end(start);
            if self.data[start..first].trim_ascii().is_empty() {
                self.at = first + 1;
                self.line += 1;
                continue;
            }
            let split = self.split(start);
            let end = split.as_ref().map_or(first, |(_, end)| *end);
            // The end of the line included.
            let taken = &self.data[start..(end + 1).min(self.data.len())];
            self.line += taken.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.at = end + 1;
            return Some(split.map_err(|reason| BadRow::new(line, reason)).and_then(|(cells, _)| text(line, cells)));
        }
        None
    }
}

fn text(line: u64, cells: Vec<Vec<u8>>) -> Result<Row, BadRow> {
    let cells: Result<Vec<String>, _> = cells.into_iter().map(String::from_utf8).collect();
    match cells {
        Ok(cells) => Ok(Row { line, cells }),
        Err(_) => Err(BadRow::new(line, "it is not UTF-8 text; save the file as UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Result<(u64, Vec<String>), (u64, String)>;

    fn rows(text: &str, format: Format) -> Vec<Read> {
        let rows = Rows::new(text.as_bytes(), format);
        rows.map(|row| row.map(|row| (row.line, row.cells)).map_err(|bad| (bad.line, bad.reason))).collect()
    }

    fn good(line: u64, cells: &[&str]) -> Read {
        Ok((line, cells.iter().map(|cell| (*cell).to_owned()).collect()))
    }

    #[test]
    fn lines_are_counted_through_quotes_blank_lines_and_windows_line_ends() {
        let text = "a,b\r\n\r\n\"x\r\ny\",\"say \"\"hi\"\"\"\r\nlast,";
        assert_eq!(
            rows(text, Format::Csv),
            [good(1, &["a", "b"]), good(3, &["x\r\ny", "say \"hi\""]), good(5, &["last", ""])]
        );
    }

    #[test]
    fn a_quote_that_never_ends_costs_one_row_and_not_the_rest_of_the_file() {
        let read = rows("a,b\n\"open,1\nc,2\n", Format::Csv);
        assert_eq!(read[0], good(1, &["a", "b"]));
        assert!(read[1].as_ref().is_err_and(|(line, reason)| *line == 2 && reason.contains("never closed")));
        assert_eq!(read[2], good(3, &["c", "2"]));
    }

    #[test]
    fn text_after_a_closing_quote_is_a_bad_row() {
        assert!(rows("\"a\"b,c\n", Format::Csv)[0].is_err());
        assert_eq!(rows("a\"b\",c\n", Format::Csv), [good(1, &["a\"b\"", "c"])]);
    }

    #[test]
    fn blanks_of_any_length_separate() {
        let text = "images/cell0001.png  1.0                 mono\n\t\nimages/cell0002.png\t0.0 poly\r\n";
        assert_eq!(
            rows(text, Format::Blank),
            [good(1, &["images/cell0001.png", "1.0", "mono"]), good(3, &["images/cell0002.png", "0.0", "poly"])]
        );
    }

    #[test]
    fn columns_are_bounded() {
        let row = |columns: usize| ",".repeat(columns - 1) + "x";
        assert!(rows(&row(COLUMNS_MAX), Format::Csv)[0].is_ok());
        assert!(rows(&row(COLUMNS_MAX + 1), Format::Csv)[0].is_err());
    }

    #[test]
    fn the_first_line_tells_the_format() {
        for (text, format) in [
            ("a\tb,c", Format::Tsv),
            ("\n\na,b c", Format::Csv),
            ("a;b c", Format::Semicolon),
            ("images/cell0001.png  1.0   mono", Format::Blank),
            ("one", Format::Csv),
            ("", Format::Csv),
        ] {
            assert_eq!(Format::Auto.resolve(text.as_bytes()), format, "{text:?}");
        }
    }
}
