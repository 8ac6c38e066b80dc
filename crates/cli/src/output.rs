//! What commands print: data on stdout, messages on stderr.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::error::{CommandError, CommandResult, Kind};

/// Bold.
pub const STRONG: Style = Style::new().bold();
/// For what is less important.
pub const FAINT: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
/// For what a person should look at.
pub const ALERT: Style = AnsiColor::Yellow.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Says how to print.
#[derive(Clone, Copy, Debug, Default)]
pub struct Output {
    /// One JSON document instead of text.
    pub json: bool,
    /// No messages but errors and warnings.
    pub quiet: bool,
}

impl Output {
    /// Prints data. Styles disappear where stdout is no terminal, or with `NO_COLOR`.
    pub fn print(self, text: impl Display) -> CommandResult {
        let mut out = AutoStream::auto(io::stdout());
        write!(out, "{text}")?;
        out.flush()?;
        Ok(())
    }

    /// Prints a line of data.
    pub fn line(self, text: impl Display) -> CommandResult {
        self.print(format_args!("{text}\n"))
    }

    /// Prints a JSON document: an object that begins with `"schema": "comity.NAME/1"`.
    pub fn json(self, name: &str, content: impl Serialize) -> CommandResult {
        self.line(versioned(name, content, true)?)
    }

    /// Prints a JSON document on one line, for commands that go on.
    pub fn json_line(self, name: &str, content: impl Serialize) -> CommandResult {
        self.line(json_text(name, content)?)
    }

    /// Gives a buffered writer for much data. Flush it at the end.
    pub fn data(self) -> impl Write {
        BufWriter::new(io::stdout())
    }

    /// Says something that is no data, unless the user wants quiet.
    pub fn note(self, text: impl Display) {
        if !self.quiet {
            // A closed stderr is no reason to stop.
            let _ = writeln!(AutoStream::auto(io::stderr()), "{text}");
        }
    }

    /// Says that something went well, unless the user wants quiet.
    pub fn done(self, text: impl Display) {
        self.note(format_args!("{GOOD}✓{GOOD:#} {text}"));
    }

    /// Says something that a person should know, quiet or not.
    pub fn warn(self, text: impl Display) {
        // A closed stderr is no reason to stop.
        let _ = writeln!(AutoStream::auto(io::stderr()), "{ALERT}warning:{ALERT:#} {text}");
    }

    /// Says why a command failed.
    pub fn error(self, error: &CommandError) {
        if error.kind == Kind::BrokenPipe {
            return;
        }
        let mut err = AutoStream::auto(io::stderr());
        // Nobody is left to tell when stderr is closed too.
        let _ = if self.json {
            let content = json!({
                "kind": error.kind.name(), "code": error.kind.code(), "error": error.message(),
                "hints": error.hints, "details": error.details,
            });
            versioned("error", content, true).map(|text| writeln!(err, "{text}")).unwrap_or(Ok(()))
        } else {
            let mut text = format!("{BAD}error:{BAD:#} {}\n", error.message());
            for hint in &error.hints {
                text.push_str(&format!("{FAINT}hint:{FAINT:#} {hint}\n"));
            }
            write!(err, "{text}")
        };
    }

    /// Whether stdout is a terminal.
    pub fn is_terminal(self) -> bool {
        io::stdout().is_terminal()
    }
}

/// Gives a versioned JSON document on one line.
pub fn json_text(name: &str, content: impl Serialize) -> CommandResult<String> {
    versioned(name, content, false)
}

/// Makes a progress bar. It is drawn on a terminal only, and not when the user wants quiet.
pub fn progress_bar(output: Output, length: u64) -> ProgressBar {
    if output.quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg:12} {wide_bar} {human_pos} of {human_len}");
    let bar = ProgressBar::new(length);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn versioned(name: &str, content: impl Serialize, pretty: bool) -> CommandResult<String> {
    let wrong = |error: serde_json::Error| CommandError::new(Kind::NotDone, format_args!("cannot write JSON: {error}"));
    let content = serde_json::to_value(content).map_err(wrong)?;
    let document = Versioned { schema: format!("comity.{name}/1"), content };
    if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.map_err(wrong)
}

/// Puts `schema` first.
#[derive(Serialize)]
struct Versioned {
    schema: String,
    #[serde(flatten)]
    content: Json,
}

/// Columns, aligned.
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Begins a table.
    pub fn new(head: &[&'static str]) -> Self {
        Self { head: head.iter().map(|cell| (*cell).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a column at the end.
    pub fn column(&mut self, name: String) {
        self.head.push(name);
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut widths: Vec<usize> = self.head.iter().map(|cell| cell.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(visible(cell));
            }
        }
        let line = |f: &mut std::fmt::Formatter<'_>, cells: &[String], style: Style| {
            let mut text = String::new();
            for (i, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                let gap = if i + 1 == cells.len() { 0 } else { width - visible(cell) + 2 };
                text.push_str(cell);
                text.extend(std::iter::repeat_n(' ', gap));
            }
            writeln!(f, "{style}{}{style:#}", text.trim_end())
        };
        line(f, &self.head, FAINT)?;
        self.rows.iter().try_for_each(|row| line(f, row, Style::new()))
    }
}

/// Counts the characters of a cell that are seen: not those of styles.
fn visible(cell: &str) -> usize {
    anstream::adapter::strip_str(cell).to_string().chars().count()
}

/// Puts a text on one line, without what could move the cursor of a terminal, cut to a length.
pub fn one_line(text: &str, max: usize) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { '·' } else { c }).take(max).collect();
    if text.chars().nth(max).is_some() {
        line.push('…');
    }
    line
}

/// Says a number of things: `1 entry`, `2 entries`, `1,234 changes`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_easily() {
        assert_eq!(count(1, "entry", "entries"), "1 entry");
        assert_eq!(count(0, "entry", "entries"), "0 entries");
        assert_eq!(count(1_234_567, "entry", "entries"), "1,234,567 entries");
        assert_eq!(count(100, "entry", "entries"), "100 entries");
    }

    #[test]
    fn text_of_others_cannot_move_the_cursor() {
        assert_eq!(one_line("a\u{1b}[2Jb\nc", 80), "a·[2Jb·c");
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(one_line("abc", 3), "abc");
    }
}
