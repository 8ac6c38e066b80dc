//! Reading tables from files: CSV, TSV, or columns separated by blanks.

mod mapping;
mod table;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use clap::ValueEnum;

use crate::error::{CommandError, CommandResult};

pub use mapping::{Mapping, Pattern, Source};
pub use table::{BadRow, Row, Rows};

/// Longest file that is imported: 256 MiB. It is held in memory, so that all of it is checked before anything is
/// written.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// How the columns of a file are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Look at the first line: tabs, commas, semicolons, then blanks
    Auto,
    /// Commas; quotes around what holds one
    Csv,
    /// Semicolons, as many spreadsheets write
    Semicolon,
    /// Tabs
    Tsv,
    /// One or more blanks or tabs; no quotes
    Blank,
}

impl Format {
    /// Finds out from the first line that is not empty.
    pub fn resolve(self, data: &[u8]) -> Self {
        if self != Self::Auto {
            return self;
        }
        let first = data.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
        let holds = |byte: u8| first.contains(&byte);
        match () {
            () if holds(b'\t') => Self::Tsv,
            () if holds(b',') => Self::Csv,
            () if holds(b';') => Self::Semicolon,
            () if first.trim_ascii().iter().any(u8::is_ascii_whitespace) => Self::Blank,
            () => Self::Csv,
        }
    }

    /// Whether the first row is taken for a header unless told: yes, save in files separated by blanks.
    pub fn has_header(self) -> bool {
        self != Self::Blank
    }

    /// Names the format for a person.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Auto => "to be found out",
            Self::Csv => "separated by commas",
            Self::Semicolon => "separated by semicolons",
            Self::Tsv => "separated by tabs",
            Self::Blank => "separated by blanks",
        }
    }
}

/// Reads a whole file; `-` is the standard input.
pub fn read_file(path: &Path) -> CommandResult<Vec<u8>> {
    let wrong = |error| CommandError::file("read", path, error);
    let mut data = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().take(FILE_BYTES_MAX + 1).read_to_end(&mut data)
    } else {
        File::open(path).map_err(wrong)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut data)
    };
    if read.map_err(wrong)? as u64 > FILE_BYTES_MAX {
        return Err(wrong(io::Error::other("it is longer than 256 MiB; import it in pieces")));
    }
    // The mark that some programs put before UTF-8.
    if data.starts_with(b"\xef\xbb\xbf") {
        data.drain(..3);
    }
    Ok(data)
}
