//! A Rust file as lines of code and lines of comment, so that a rule about code is not broken by prose.

/// One line of a Rust file.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Line {
    /// The code; what stands in comments and literals is blanked out.
    pub code: String,
    /// The text of the comments on this line, documentation included.
    pub comment: String,
    /// Whether the line belongs to an item under `#[cfg(test)]`.
    pub test: bool,
}

/// Splits a Rust file into lines.
pub fn lines(text: &str) -> Vec<Line> {
    let mut masker = Masker { rest: text, lines: vec![Line::default()] };
    while masker.step() {}
    let mut lines = masker.lines;
    mark_tests(&mut lines);
    lines
}

/// Returns the modules that a file declares only for tests, as in `#[cfg(test)] mod story;`.
pub fn test_modules(lines: &[Line]) -> Vec<String> {
    let declared = |line: &Line| {
        let after = line.code.split_once("mod ")?.1;
        let name = after.strip_suffix(';').or_else(|| after.split_once(';').map(|(name, _)| name))?;
        Some(name.trim().to_owned())
    };
    lines.iter().filter(|line| line.test).filter_map(declared).collect()
}

struct Masker<'a> {
    rest: &'a str,
    lines: Vec<Line>,
}

impl<'a> Masker<'a> {
    /// Takes the next piece: a comment, a literal, or one character of code.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else { return false };
        let after_word = self.last().code.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        if self.rest.starts_with("//") {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            let comment = self.take(end);
            self.last().comment.push_str(comment);
        } else if self.rest.starts_with("/*") {
            let comment = self.take(block_comment_end(self.rest));
            self.spread(comment, |line, part| line.comment.push_str(part));
        } else if let Some(end) = (!after_word).then(|| raw_string_end(self.rest)).flatten() {
            self.literal(end);
        } else if first == '"' {
            self.literal(string_end(self.rest));
        } else if let Some(end) = (first == '\'').then(|| char_end(self.rest)).flatten() {
            self.literal(end);
        } else {
            let code = self.take(first.len_utf8());
            self.spread(code, |line, part| line.code.push_str(part));
        }
        true
    }

    fn take(&mut self, end: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Leaves two quotes of a literal, and its line breaks.
    fn literal(&mut self, end: usize) {
        let literal = self.take(end);
        self.last().code.push('"');
        self.spread(literal, |_, _| {});
        self.last().code.push('"');
    }

    fn spread(&mut self, piece: &str, put: impl Fn(&mut Line, &str)) {
        for (index, part) in piece.split('\n').enumerate() {
            if index > 0 {
                self.lines.push(Line::default());
            }
            put(self.last(), part);
        }
    }

    fn last(&mut self) -> &mut Line {
        self.lines.last_mut().expect("there is always a last line")
    }
}

fn block_comment_end(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Finds the end of `r"…"`, `r#"…"#`, `br"…"` and `cr"…"`.
fn raw_string_end(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - body.len();
    Some(body.find(&close).map_or(text.len(), |end| start + end + close.len()))
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Finds the end of a character literal; `None` for a lifetime.
fn char_end(text: &str) -> Option<usize> {
    let mut letters = text.char_indices().skip(1);
    let (_, first) = letters.next()?;
    if first == '\\' {
        letters.next()?;
        return letters.find(|(_, letter)| *letter == '\'').map(|(at, _)| at + 1);
    }
    letters.next().filter(|(_, letter)| *letter == '\'').map(|(at, _)| at + 1)
}

/// Marks every item under an attribute such as `#[cfg(test)]`, to its closing brace or its semicolon.
fn mark_tests(lines: &mut [Line]) {
    let mut index = 0;
    while index < lines.len() {
        let code = lines[index].code.trim();
        let attribute = code.starts_with("#[cfg(test)]")
            || code.starts_with("#[cfg(any(test")
            || code.starts_with("#[cfg(all(test");
        if !attribute {
            index += 1;
            continue;
        }
        let mut depth = 0_i32;
        let mut opened = false;
        while let Some(line) = lines.get_mut(index) {
            line.test = true;
            index += 1;
            let mut ended = false;
            for letter in line.code.chars() {
                match letter {
                    '{' => {
                        depth += 1;
                        opened = true;
                    }
                    '}' => depth -= 1,
                    ';' if depth == 0 => ended = true,
                    _ => {}
                }
            }
            if ended || (opened && depth <= 0) {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        lines(text).into_iter().map(|line| line.code).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(code("let a = \"x.unwrap() \\\" \"; // b.unwrap()"), ["let a = \"\"; "]);
        assert_eq!(code("r#\"a \" b\"# + 'x' + '\\'' + '\"'"), ["\"\" + \"\" + \"\" + \"\""]);
        assert_eq!(code("a /* x /* y */ \n z */ b"), ["a ", " b"]);
        assert_eq!(lines("f(); // why")[0].comment, "// why");
    }

    #[test]
    fn a_lifetime_is_no_literal() {
        assert_eq!(code("fn f<'a>(x: &'a str) -> &'a str"), ["fn f<'a>(x: &'a str) -> &'a str"]);
    }

    #[test]
    fn a_string_over_lines_keeps_the_count() {
        assert_eq!(code("a(\"one\ntwo\");\nb"), ["a(\"", "\");", "b"]);
    }

    #[test]
    fn items_for_tests_are_marked_to_their_end() {
        let marked: Vec<bool> = lines("fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nfn c() {}")
            .iter()
            .map(|line| line.test)
            .collect();
        assert_eq!(marked, [false, true, true, true, true, false]);
    }

    #[test]
    fn modules_for_tests_in_files_of_their_own_are_found() {
        let lines = lines("mod a;\n#[cfg(test)]\nmod story;\nmod b;");
        assert_eq!(test_modules(&lines), ["story"]);
    }
}
